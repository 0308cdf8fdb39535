/* View: the textbook shapes to play with: a bump of two neurons, a tower of five. */

function showBump(host) {
  const state = { w: 60, b1: -0.4 * 60, b2: 0.6 * 60, height: 1, keep: false };
  const panel = html("div", { class: "playground" }, host);
  const controls = html("div", { class: "controls stacked" }, panel);
  const right = html("div", {}, panel);
  const figure = html("div", { class: "figure-host" }, right);
  const key = html("ul", {}, right);
  const facts = html("dl", { class: "facts" }, host);
  legend(key, [["a1", "the bump"], ["a0 dashed", "the two neurons"], ["edge-line", "its edges"]]);
  const edges = () => [-state.b1 / state.w, state.b2 / state.w];
  const rise = slider(controls, { label: "step up at", low: 0, high: 1, step: 0.005, value: 0.4,
    onChange(value) {
      state.b1 = -state.w * value;
      redraw();
    } });
  const fall = slider(controls, { label: "step down at", low: 0, high: 1, step: 0.005, value: 0.6,
    onChange(value) {
      state.b2 = state.w * value;
      redraw();
    } });
  slider(controls, { label: "height", low: -2, high: 2, step: 0.05, value: 1, onChange(value) {
    state.height = value;
    redraw();
  } });
  const steepness = slider(controls, { label: "steepness", low: 5, high: 2000, log: true, value: 60,
    write: (value) => writeNumber(value, 3), onChange: (value) => setSteepness(value) });
  switchBox(controls, { label: "keep the bias when the steepness changes (the edges move)",
    onChange(checked) {
      state.keep = checked;
    } });
  const exact = button(controls, "Set to the textbook bump (steepness 500)", () => {
    state.w = 500;
    state.b1 = -200;
    state.b2 = 300;
    steepness.set(500);
    rise.set(0.4);
    fall.set(0.6);
    redraw();
  });
  exact.classList.add("wide");
  function setSteepness(value) {
    const [up, down] = edges();
    state.w = value;
    if (state.keep) {
      const moved = edges();
      rise.set(moved[0]);
      fall.set(moved[1]);
    } else {
      state.b1 = -value * up;
      state.b2 = value * down;
    }
    redraw();
  }
  function draw() {
    const { w, b1, b2, height } = state;
    const [up, down] = edges();
    const xs = spread(0, 1, 1201);
    const plot = linePlot(figure, { x: { low: 0, high: 1, label: "x" },
      y: { low: Math.min(-0.15, height - 0.15), high: Math.max(1.15, height + 0.15), label: "y" },
      height: 290, label: "The bump and its two neurons" });
    plot.curve(xs, xs.map((x) => height * logistic(w * x + b1)), "a0 dashed thin");
    plot.curve(xs, xs.map((x) => height * (logistic(-w * x + b2) - 1)), "a0 dashed thin");
    plot.vertical(up, "edge-line", "up");
    plot.vertical(down, "edge-line", "down");
    plot.curve(xs, xs.map((x) => bumpValue(x, w, b1, b2, height)), "a1");
    const digits = (value) => writeNumber(value, 5);
    writeFacts(facts, [
      ["first neuron", `w₁ = ${digits(w)}, b₁ = ${digits(b1)}`],
      ["second neuron", `w₂ = ${digits(-w)}, b₂ = ${digits(b2)}`],
      ["output", `w₃ = w₄ = ${digits(height)}, b₃ = ${digits(-height)}`],
      ["edges, −b/w", `${digits(up)} and ${digits(down)}${
        up < 0 || up > 1 || down < 0 || down > 1 ? " (outside the picture)" : ""}`],
      ["value in the middle", digits(bumpValue((up + down) / 2, w, b1, b2, height))],
      ["value on the edges", digits(bumpValue(up, w, b1, b2, height))],
      ["area between it and the ideal bump", down > up
        ? `≈ ${digits((Math.abs(height) * 4 * Math.LN2) / w)} (4 ln 2 / w times the height)`
        : "the edges have crossed"],
    ]);
  }
  const redraw = onceAFrame(draw);
  return draw;
}

function showTower(host) {
  const state = { edges: [0.3, 0.7, 0.3, 0.7], w: 60 };
  const panel = html("div", { class: "playground" }, host);
  const controls = html("div", { class: "controls stacked" }, panel);
  const right = html("div", {}, panel);
  const figure = html("div", { class: "figure-host" }, right);
  const facts = html("dl", { class: "facts" }, host);
  const sliders = ["x from", "x to", "y from", "y to"].map((label, i) =>
    slider(controls, { label, low: 0, high: 1, step: 0.005, value: state.edges[i], onChange(value) {
      state.edges[i] = value;
      redraw();
    } }));
  const steepness = slider(controls, { label: "steepness", low: 5, high: 2000, log: true, value: state.w,
    write: (value) => writeNumber(value, 3), onChange(value) {
      state.w = value;
      redraw();
    } });
  button(controls, "Set to the textbook tower (steepness 500)", () => {
    state.edges = [0.45, 0.55, 0.45, 0.55];
    state.edges.forEach((value, i) => sliders[i].set(value));
    state.w = 500;
    steepness.set(500);
    redraw();
  }).classList.add("wide");
  function draw() {
    const { edges, w } = state;
    const [left, rightEdge, bottom, top] = edges;
    const size = 161;
    const values = new Float64Array(size * size);
    for (let j = 0; j < size; j++) {
      for (let i = 0; i < size; i++) {
        values[j * size + i] = towerValue(i / (size - 1), j / (size - 1), edges, w);
      }
    }
    const map = heatMap(figure, { values, columns: size, rows: size, low: 0, high: 1,
      x: { low: 0, high: 1, label: "x" }, y: { low: 0, high: 1, label: "y" },
      label: "Heat map of the tower" });
    map.box(left, bottom, rightEdge, top, "cell-edge");
    const middle = [(left + rightEdge) / 2, (bottom + top) / 2];
    map.mark(...middle, "center");
    map.mark(left, middle[1], "edge");
    map.mark(left, bottom, "corner");
    const at = (x, y) => writeNumber(towerValue(x, y, edges, w), 4);
    writeFacts(facts, [
      ["at the center", at(...middle)],
      ["in the middle of an edge", at(left, middle[1])],
      ["at a corner", at(left, bottom)],
      ["first layer, four neurons", `weights ±${writeNumber(w, 4)}, biases ${[-w * left, w * rightEdge,
        -w * bottom, w * top].map((bias) => writeNumber(bias, 4)).join(", ")}`],
      ["second layer, one neuron", "weights 200, bias −700: on when more than 3½ of 4 steps are on"],
    ]);
  }
  const redraw = onceAFrame(draw);
  return draw;
}
