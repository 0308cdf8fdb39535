/* Zoom and pan: the frame scrolls by itself, by touch, wheel and keyboard; the mouse drags it too. */

const LEAST_READABLE = 0.62;

function addZoom(app, view) {
  const { frame } = view;
  /* Zoom by a factor and keep the point under (x, y) of the frame where it is. */
  view.zoomBy = (factor, x = frame.clientWidth / 2, y = frame.clientHeight / 2) => {
    const before = view.isOverview ? OVERVIEW_BELOW * 0.99 : view.scale;
    const [left, top] = [frame.scrollLeft + x, frame.scrollTop + y];
    const wasOverview = view.isOverview;
    view.setScale(before * factor);
    if (view.isOverview) return;
    if (wasOverview) return view.center(view.focused);
    const grown = view.scale / before;
    frame.scrollLeft = left * grown - x;
    frame.scrollTop = top * grown - y;
  };
  const wholeScale = () => {
    const [width, height] = view.naturalSize();
    return Math.min((frame.clientWidth - 2) / width, (roomFor(frame) - 2) / height, 1.25);
  };
  view.overviewSize = () => [
    Math.max(260, frame.clientWidth - 2), Math.max(260, Math.min(roomFor(frame) - 2, 18 * view.layout.rows + 30)),
  ];
  view.fit = () => {
    view.layOut();
    view.setScale(wholeScale(), true);
  };
  /* The whole tree where it stays readable, else its root at a readable size. */
  view.start = () => {
    view.layOut();
    const wide = (frame.clientWidth - 2) / view.naturalSize()[0];
    const whole = wholeScale();
    const scale = whole >= LEAST_READABLE ? whole : Math.max(LEAST_READABLE, Math.min(1, wide));
    view.setScale(scale, true);
    view.center(app.tree.root);
  };

  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // without it the wheel scrolls, as everywhere
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    view.zoomBy(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  let start = null;
  view.wasDragged = false;
  frame.addEventListener("pointerdown", (event) => {
    view.wasDragged = false;
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    start = { x: event.clientX, y: event.clientY, left: frame.scrollLeft, top: frame.scrollTop };
  });
  window.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
    if (!view.wasDragged && Math.hypot(dx, dy) < 5) return;
    view.wasDragged = true;
    frame.classList.add("dragged");
    frame.scrollLeft = start.left - dx;
    frame.scrollTop = start.top - dy;
  });
  window.addEventListener("pointerup", () => {
    start = null;
    frame.classList.remove("dragged");
  });
}

/* How high the frame may become: its largest height, in pixels. */
function roomFor(frame) {
  const limit = parseFloat(getComputedStyle(frame).maxHeight);
  return Number.isFinite(limit) ? limit : frame.clientHeight;
}
