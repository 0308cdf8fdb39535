/* The tree as SVG: pictures at branches, answers at leaves, and the ways of up to two images. */

const SIZES = { patch: 46, between: 4, caption: 15, level: 160, row: 37, leaf: 196, margin: 14 };
const NODE_WIDTH = 2 * SIZES.patch + SIZES.between;
const FAR_BELOW = 0.42; // of the natural size: text and pictures are too small to tell anything

const measuring = document.createElement("canvas").getContext("2d");

/* The text, cut and ended with an ellipsis where it is wider. */
function shorten(text, widthPx, font) {
  measuring.font = `${font} system-ui, sans-serif`;
  if (measuring.measureText(text).width <= widthPx) return text;
  let kept = Array.from(text).slice(0, 80);
  while (kept.length && measuring.measureText(`${kept.join("")}…`).width > widthPx) kept.pop();
  return `${kept.join("").trimEnd()}…`;
}

function createTreeView(app, frame) {
  const { tree } = app;
  const drawing = svg("svg", { class: "forest" }, frame);
  const view = { drawing, frame, layout: null, focused: tree.root, scale: 1, size: [1, 1], draw };

  const place = (node) => {
    const { level, row } = view.layout.places.get(node);
    return [SIZES.margin + level * SIZES.level, SIZES.margin + SIZES.caption + (row + 0.5) * SIZES.row];
  };

  function draw() {
    const hadFocus = drawing.contains(document.activeElement);
    const shown = app.shownNodes();
    view.isFolded = foldBranches(tree, app.folds, shown);
    view.layout = layOutNodes(tree, view.isFolded);
    if (!view.layout.places.has(view.focused)) view.focused = nearestVisible(view.focused);
    const width = 2 * SIZES.margin + (view.layout.levels - 1) * SIZES.level + SIZES.leaf;
    const height = 2 * SIZES.margin + SIZES.caption + view.layout.rows * SIZES.row;
    view.size = [width, height];
    drawing.replaceChildren();
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    applyScale();
    const lines = svg("g", { "aria-hidden": "true" }, drawing);
    drawWays(lines);
    for (const { node, folded } of view.layout.visible) {
      if (!isLeaf(node) && !folded) drawEdges(lines, node);
    }
    const nodes = svg("g", { role: "tree", "aria-label": "The tree: arrow keys lead along it" }, drawing);
    for (const { node, folded } of view.layout.visible) drawNode(nodes, node, folded);
    if (hadFocus) focusNode(view.focused, false);
  }

  function nearestVisible(node) {
    for (let at = node; at !== undefined; at = tree.parents.get(at)?.branch) {
      if (view.layout.places.has(at)) return at;
    }
    return tree.root;
  }

  function applyScale() {
    drawing.setAttribute("width", Math.round(view.size[0] * view.scale));
    drawing.setAttribute("height", Math.round(view.size[1] * view.scale));
  }

  view.setScale = (scale) => {
    const wasFar = view.isFar();
    view.scale = Math.min(3, Math.max(0.03, scale));
    applyScale();
    if (wasFar !== view.isFar()) draw();
  };
  view.isFar = () => view.scale < FAR_BELOW;

  function edgeLine(node, child) {
    const [x0, y0] = place(node), [x1, y1] = place(child);
    const start = x0 + NODE_WIDTH + 5, stop = x1 - 5, middle = (start + stop) / 2;
    return `M${start} ${y0}C${middle} ${y0} ${middle} ${y1} ${stop} ${y1}`;
  }

  /* Behind the edges: a band along the way of each image, dots along that of the runner-up. */
  function drawWays(lines) {
    for (const { path, end, kind } of app.shownWays()) {
      path.forEach(({ branch }, i) => {
        const next = i + 1 < path.length ? path[i + 1].branch : end;
        if (view.layout.places.has(branch) && view.layout.places.has(next)) {
          svg("path", { class: `way ${kind}`, d: edgeLine(branch, next) }, lines);
        }
      });
    }
  }

  function drawEdges(lines, node) {
    const answer = app.firstAnswer();
    for (const [child, present] of [[tree.right[node], true], [tree.left[node], false]]) {
      const edge = svg("path", { class: `edge ${writePresence(present)}`, d: edgeLine(node, child) }, lines);
      if (app.state.soft && answer) {
        const reach = answer.reach(child);
        edge.style.strokeWidth = `${(0.75 + 11 * reach).toFixed(2)}px`;
        edge.style.strokeOpacity = (0.3 + 0.7 * Math.sqrt(reach)).toFixed(3);
        edge.classList.add("weighed");
      } else if (answer && !app.isOnShownWay(child)) edge.classList.add("aside");
      if (app.isOtherClass(child)) edge.classList.add("dim");
      if (!view.isFar()) {
        const [x, y] = place(child);
        svg("text", { class: "small end", x: x - 7, y: y - 4 }, lines, writePresence(present));
      }
    }
  }

  function drawNode(parent, node, folded) {
    const [left, middle] = place(node);
    const classes = ["node", isLeaf(node) ? "leaf" : folded ? "folded" : "branch"];
    if (node === app.state.node) classes.push("open");
    if (app.isOtherClass(node)) classes.push("dim");
    if (app.isOfClass(node)) classes.push("hit");
    for (const { path, end, kind } of app.shownWays()) {
      if (kind !== "runner-up" && (node === end || path.some((turn) => turn.branch === node))) {
        classes.push(`on-${kind}`);
      }
    }
    const label = describeNode(node, folded);
    const group = svg("g", {
      class: classes.join(" "), role: "treeitem", "data-node": node, "aria-label": label,
      "aria-level": 1 + tree.levels.get(node), "aria-selected": node === app.state.node,
      tabindex: node === view.focused ? 0 : -1,
    }, parent);
    if (!isLeaf(node)) group.setAttribute("aria-expanded", !folded);
    svg("title", {}, group, label);
    if (isLeaf(node)) drawLeaf(group, ~node, left, middle);
    else if (folded) drawFolded(group, node, left, middle);
    else drawBranch(group, node, left, middle);
    if (!isLeaf(node)) drawFoldMark(group, node, folded, left, middle);
  }

  function describeNode(node, folded) {
    const answer = app.firstAnswer();
    if (isLeaf(node)) {
      const shares = largestShares(tree.leaves[~node], 3)
        .map(({ share, k }) => `${tree.classes[k]} ${writePercent(share, 0)}`).join(", ");
      const here = answer ? `; the image ends here with ${writePercent(answer.reach(node))}` : "";
      return `leaf ${~node}: ${shares}${here}`;
    }
    const shown = tree.prototypes[node];
    const what = shown ? `patch of ${shown.image}, class ${shown.class}` : "no picture";
    const similarity = answer ? app.firstImage().similarities[node] : null;
    const here = answer
      ? `; similarity ${writeSimilarity(similarity)}, ${writePresence(similarity >= 0.5)}` : "";
    const below = folded ? `; folded, ${writeCount(tree.leavesBelow.get(node), "leaf", "leaves")} below` : "";
    return `branch ${node}: ${what}${here}${below}`;
  }

  function drawBranch(group, node, left, middle) {
    const top = middle - SIZES.patch / 2;
    const frameBox = { x: left - 4, y: top - SIZES.caption, width: NODE_WIDTH + 8, rx: 5 };
    svg("rect", { class: "frame", ...frameBox, height: SIZES.patch + SIZES.caption + 4 }, group);
    const shown = tree.prototypes[node];
    if (view.isFar()) return;
    svg("text", { class: "caption", x: left, y: top - 4 }, group, String(node));
    const image = app.firstImage();
    const isOnWay = image && app.firstAnswer().path.some((turn) => turn.branch === node);
    const right = left + NODE_WIDTH;
    if (isOnWay) {
      const similarity = image.similarities[node];
      const kind = similarity >= 0.5 ? "found" : "missed";
      svg("text", { class: `number ${kind}`, x: right, y: top - 4 }, group, similarity.toFixed(2));
    } else if (shown) {
      const room = NODE_WIDTH - 10 - 7 * String(node).length;
      svg("text", { class: "number", x: right, y: top - 4 }, group, shorten(shown.class, room, "11px"));
    }
    const slots = [left, left + SIZES.patch + SIZES.between];
    if (!shown) {
      svg("rect", { class: "track", x: left, y: top, width: NODE_WIDTH, height: SIZES.patch }, group);
      return;
    }
    if (isOnWay) {
      position(showPatch(group, shown, shown.box, SIZES.patch), slots[0], top);
      const here = position(showPatch(group, image, image.boxes[node], SIZES.patch), slots[1], top);
      svg("rect", { class: "here", ...here }, group);
    } else {
      position(showBoxed(group, shown, shown.box, SIZES.patch), slots[0], top);
      position(showPatch(group, shown, shown.box, SIZES.patch), slots[1], top);
    }
  }

  function position(picture, left, top) {
    const width = Number(picture.getAttribute("width")), height = Number(picture.getAttribute("height"));
    const x = left + (SIZES.patch - width) / 2, y = top + (SIZES.patch - height) / 2;
    picture.setAttribute("x", x);
    picture.setAttribute("y", y);
    return { x, y, width, height };
  }

  function drawLeaf(group, leaf, left, middle) {
    const best = tree.majority[leaf], share = tree.leaves[leaf][best];
    svg("rect", { class: "frame", x: left - 4, y: middle - 15, width: 136, height: 30, rx: 5 }, group);
    svg("rect", { class: "track", x: left, y: middle + 5, width: 128, height: 6 }, group);
    svg("rect", { class: colorOfClass(tree, best), x: left, y: middle + 5,
      width: Math.max(1, 128 * share), height: 6 }, group);
    if (view.isFar()) return;
    const percent = writePercent(share, 0);
    const name = shorten(tree.classes[best], 90, "600 12.5px");
    svg("text", { class: "name", x: left, y: middle + 0.5 }, group, name);
    svg("text", { class: "number", x: left + 128, y: middle + 0.5 }, group, percent);
    const answer = app.firstAnswer();
    if (!answer || (!app.state.soft && answer.leaf !== leaf)) return;
    svg("text", { class: "arrival", x: left + 138, y: middle + 4 }, group,
      writePercent(answer.reach(~leaf), answer.reach(~leaf) < 0.0995 ? 1 : 0));
  }

  function drawFolded(group, node, left, middle) {
    svg("rect", { class: "frame", x: left - 4, y: middle - 15, width: 136, height: 30, rx: 15 }, group);
    let x = left + 8;
    const below = tree.leavesBelow.get(node);
    for (const [k, count] of countClassesBelow(node)) {
      const width = (112 * count) / below;
      svg("rect", { class: colorOfClass(tree, k), x, y: middle + 5, width, height: 6 }, group);
      x += width;
    }
    if (view.isFar()) return;
    svg("text", { class: "name", x: left + 8, y: middle + 0.5 }, group, `${node}: ${below} leaves`);
    const answer = app.firstAnswer();
    if (!answer || !app.state.soft) return;
    svg("text", { class: "arrival", x: left + 148, y: middle + 4 }, group, writePercent(answer.reach(node), 0));
  }

  function countClassesBelow(node) {
    const counts = new Map();
    const waiting = [node];
    while (waiting.length) {
      const at = waiting.pop();
      if (!isLeaf(at)) waiting.push(tree.left[at], tree.right[at]);
      else counts.set(tree.majority[~at], (counts.get(tree.majority[~at]) ?? 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1]);
  }

  /* A plus or minus at the right edge: for the pointer; the keyboard has the space bar. */
  function drawFoldMark(group, node, folded, left, middle) {
    if (view.isFar() && !folded) return;
    const x = left + (folded ? 132 : NODE_WIDTH + 4);
    const mark = svg("g", { class: "fold-mark", "data-fold": node }, group);
    svg("circle", { class: "reach", cx: x, cy: middle, r: 12 }, mark);
    svg("circle", { class: "knob", cx: x, cy: middle, r: 6.5 }, mark);
    svg("path", { d: `M${x - 3} ${middle}H${x + 3}${folded ? `M${x} ${middle - 3}V${middle + 3}` : ""}` }, mark);
  }

  function focusNode(node, reveals = true) {
    const before = drawing.querySelector('[tabindex="0"]');
    before?.setAttribute("tabindex", -1);
    view.focused = node;
    const group = drawing.querySelector(`[data-node="${node}"]`);
    group.setAttribute("tabindex", 0);
    group.focus({ preventScroll: true });
    if (reveals) view.reveal(node);
  }
  view.focusNode = focusNode;

  /* Scroll the frame, never the page, so that a node stands inside it. */
  view.reveal = (node) => {
    if (!view.layout.places.has(node)) return;
    const [x, y] = place(node).map((value) => value * view.scale);
    const wide = NODE_WIDTH * view.scale, tall = SIZES.patch * view.scale, room = 24;
    const { clientWidth, clientHeight } = frame;
    if (x < frame.scrollLeft + room) frame.scrollLeft = x - room;
    else if (x + wide > frame.scrollLeft + clientWidth - room) frame.scrollLeft = x + wide + room - clientWidth;
    if (y - tall < frame.scrollTop + room) frame.scrollTop = y - tall - room;
    else if (y + tall > frame.scrollTop + clientHeight - room) frame.scrollTop = y + tall + room - clientHeight;
  };
  view.center = (node) => {
    const [, y] = place(node);
    frame.scrollTop = y * view.scale - frame.clientHeight / 2;
  };
  return view;
}
