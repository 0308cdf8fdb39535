/* View: a corner of the textbook tiling under the microscope, beside construction B there. */

function showMicroscope(host, plane) {
  const state = { k: 10, w: 500, zoom: 3, ownFunction: false };
  const controls = html("div", { class: "controls" }, host);
  slider(controls, { label: "window, in cell sides", low: 0.05, high: 10, log: true, value: state.zoom,
    write: (value) => writeNumber(value, 2), onChange(value) {
      state.zoom = value;
      redraw();
    } });
  slider(controls, { label: "steepness w", low: 60, high: 5000, log: true, value: state.w,
    write: (value) => writeNumber(value, 3), onChange(value) {
      state.w = value;
      redraw();
    } });
  slider(controls, { label: "cells along a side", low: 2, high: 60, step: 1, value: state.k,
    onChange(value) {
      state.k = value;
      redraw();
    } });
  if (plane) {
    choice(controls, { label: "function", options: [["one", "the constant 1"], ["own", plane.title]],
      onChange(value) {
        state.ownFunction = value === "own";
        redraw();
      } });
  }
  const reading = html("p", { class: "reading" }, host);
  const panels = html("div", { class: "panels two" }, host);
  const [tiling, grid] = ["Towers side by side (textbook)", "Construction B (shared gates)"].map(
    (title) => {
      const figure = html("figure", {}, panels);
      html("figcaption", {}, figure, title);
      return html("div", { class: "figure-host" }, figure);
    });
  html("p", { class: "caption" }, host,
    "Cut along the diagonal through the corner (distance along each axis)");
  const cut = html("div", { class: "figure-host" }, host);
  legend(html("ul", {}, host), [["thick pale", "the function"], ["a2", "towers side by side"],
    ["a1", "construction B"]]);
  const facts = html("dl", { class: "facts" }, host);
  const f = plane ? interpolateSquare(plane.values, plane.columns, plane.rows) : null;

  /* The inner corner where the function is largest in size, so that the hole is deepest. */
  function chooseVertex(own) {
    const { k } = state;
    let best = [Math.round(k / 2) / k, Math.round(k / 2) / k];
    if (!own) return best;
    for (let i = 1; i < k; i++) {
      for (let j = 1; j < k; j++) {
        if (Math.abs(f(i / k, j / k)) > Math.abs(f(...best)) + 1e-12) best = [i / k, j / k];
      }
    }
    return best;
  }
  function draw() {
    const { k, w, zoom } = state;
    const own = state.ownFunction;
    const target = own ? f : () => 1;
    const height = own ? (i, j) => f((i + 0.5) / k, (j + 0.5) / k) : () => 1;
    const [vx, vy] = chooseVertex(own);
    const half = zoom / k / 2;
    const size = w / k < 4 ? 61 : 121; // soft gates reach far and take long
    const frame = { x: [vx - half, vx + half], y: [vy - half, vy + half] };
    const towers = new Float64Array(size * size);
    const shared = new Float64Array(size * size);
    for (let row = 0; row < size; row++) {
      const y = frame.y[0] + (row / (size - 1)) * 2 * half;
      for (let column = 0; column < size; column++) {
        const x = frame.x[0] + (column / (size - 1)) * 2 * half;
        const inside = x >= 0 && x <= 1 && y >= 0 && y <= 1;
        towers[row * size + column] = inside ? tilingValue(x, y, k, w, height) : NaN;
        shared[row * size + column] = inside ? gridValue(x, y, k, w, height) : NaN;
      }
    }
    const range = extremes([0, own ? 0 : 1, ...shared.filter((value) => !Number.isNaN(value)),
      ...towers.filter((value) => !Number.isNaN(value))]);
    const axes = own ? plane : { xLow: 0, xHigh: 1, yLow: 0, yHigh: 1, names: ["x", "y"] };
    const toX = (u) => axes.xLow + u * (axes.xHigh - axes.xLow);
    const toY = (u) => axes.yLow + u * (axes.yHigh - axes.yLow);
    const options = { columns: size, rows: size, low: range[0], high: range[1],
      x: { low: toX(frame.x[0]), high: toX(frame.x[1]), label: axes.names[0] },
      y: { low: toY(frame.y[0]), high: toY(frame.y[1]), label: axes.names[1] } };
    const maps = [heatMap(tiling, { ...options, values: towers, label: "Heat map of the tiling" }),
      heatMap(grid, { ...options, values: shared, label: "Heat map of construction B" })];
    if (zoom < 6) maps.forEach((map) => map.mark(toX(vx), toY(vy), "corner"));
    const along = spread(-half, half, 601).filter((t) =>
      Math.min(vx, vy) + t >= 0 && Math.max(vx, vy) + t <= 1);
    const ys = [target, (x, y) => tilingValue(x, y, k, w, height),
      (x, y) => gridValue(x, y, k, w, height)].map((g) => along.map((t) => g(vx + t, vy + t)));
    const [low, high] = padded(extremes([0, ...ys[0], ...ys[1], ...ys[2]]), 0.1);
    const plot = linePlot(cut, { x: { low: along[0] * k, high: along[along.length - 1] * k,
      label: "distance from the corner, in cell sides" }, y: { low, high, label: "value" },
      height: 240, label: "Cut along the diagonal" });
    const positions = along.map((t) => t * k);
    plot.curve(positions, ys[0], "thick pale");
    plot.curve(positions, ys[1], "a2");
    plot.curve(positions, ys[2], "a1");
    const c = w / k;
    const there = tilingValue(vx, vy, k, w, height);
    const fixed = gridValue(vx, vy, k, w, height);
    writeFacts(facts, [
      ["the function at the corner", writeNumber(target(vx, vy), 4)],
      ["towers there", writeNumber(there, 3)],
      ["construction B there", writeNumber(fixed, 4)],
      ["sharpness c = w × side", writeNumber(c, 3)],
      ["share of the square that is bad (14.34 / c²)", c < 4 ? "all of it"
        : `${writeNumber((100 * 14.34) / c ** 2, 2)} %`],
      ["neurons", `${writeCount(5 * k * k)} for the towers, ${
        writeCount(2 * (k - 1) + k * k - 1)} for construction B`],
    ]);
    reading.textContent = c < 2 * Math.log(7)
      ? "The cells are narrower than 2 ln 7 / w: no tower reaches half its height, and the towers vanish."
      : `At the corner the four towers add up to ${writeNumber(there, 3)}, where the function is ` +
        `${writeNumber(target(vx, vy), 4)}. More towers make more holes; steeper ones make them ` +
        "narrower, but no less deep.";
  }
  const redraw = onceAFrame(draw);
  return draw;
}
