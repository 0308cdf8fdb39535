/* View: the function, the network and the error between them. */

/* Samples on an even grid of the box, and the slice of them that is on show.
   A slice has an axis across, for two and more dimensions an axis up, and an index on the others. */
function readSamples(page) {
  const { shape, lower, upper, target, error, names, worst } = page.samples;
  const slice = { across: 0, up: 1, fixed: worst.index.slice() };
  const listeners = [];
  const samples = {
    shape, lower, upper, names, worst, slice,
    target: decodeArray(target, Float32Array),
    error: decodeArray(error, Float32Array),
    coordinate: (axis, index) =>
      lower[axis] + ((upper[axis] - lower[axis]) * index) / (shape[axis] - 1),
    axis: (axis) => ({ low: lower[axis], high: upper[axis], label: names[axis] }),
    /* Position in the flat arrays of the point (i across, j up) of the slice. */
    position(i, j) {
      let at = 0;
      for (let axis = 0; axis < shape.length; axis++) {
        const index = axis === slice.across ? i : axis === slice.up ? j : slice.fixed[axis];
        at = at * shape[axis] + index;
      }
      return at;
    },
    point(i, j) {
      return shape.map((_, axis) => samples.coordinate(axis,
        axis === slice.across ? i : axis === slice.up ? j : slice.fixed[axis]));
    },
    take(array, every = 1) {
      const columns = Math.floor((shape[slice.across] - 1) / every) + 1;
      const rows = shape.length > 1 ? Math.floor((shape[slice.up] - 1) / every) + 1 : 1;
      const values = new Float64Array(columns * rows);
      for (let j = 0; j < rows; j++) {
        for (let i = 0; i < columns; i++) {
          values[j * columns + i] = array[samples.position(i * every, j * every)];
        }
      }
      return { values, columns, rows };
    },
    onSlice: (listener) => listeners.push(listener),
    changed: () => listeners.forEach((listener) => listener()),
  };
  return samples;
}

function errorLevels(page) {
  const { bound, tolerance } = page.certificate;
  const levels = [];
  if (bound !== null) levels.push({ value: bound, label: "bound" });
  if (bound !== null) levels.push({ value: -bound, label: "−bound" });
  const apart = bound === null || Math.abs(tolerance - bound) > 0.15 * bound;
  if (tolerance !== null && apart && (bound === null || tolerance < 1.8 * bound)) {
    levels.push({ value: tolerance, label: "tolerance" });
    levels.push({ value: -tolerance, label: "−tolerance" });
  }
  return levels;
}

/* One dimension: both curves above, the error between ± bound below; arrow keys read values. */
function showCurves(host, page, samples) {
  const xs = spread(samples.lower[0], samples.upper[0], samples.shape[0]);
  const target = Array.from(samples.target);
  const network = target.map((value, i) => value + samples.error[i]);
  const key = html("ul", {}, host);
  const above = html("div", { class: "figure-host" }, host);
  const below = html("div", { class: "figure-host", tabindex: "0", role: "group",
    "aria-label": "Error curve. Use the left and right arrow keys to read values." }, host);
  const reading = html("p", { class: "reading", "aria-live": "polite" }, host);
  const levels = errorLevels(page);
  const { bound, tolerance } = page.certificate;
  legend(key, [["thick pale", "f, the function"], ["a1 dashed", "the network"],
    ["a2", "error = network − f"], ["dot worst", "largest error found"],
    ...(bound === null ? [] : [["band", "± the certified bound"]]),
    ...(tolerance === null ? [] : [["tolerance-line", `± the tolerance, ${writeNumber(tolerance)}${
      levels.some((level) => level.label === "tolerance") ? "" : tolerance < bound * 1.15
        ? " (at the bound)" : " (outside the figure)"}`]])]);
  const most = Math.max(largestSize(samples.error), samples.worst.error,
    ...levels.map((level) => level.value)) || 1e-12;
  let at = null;
  let plots = [];
  function draw() {
    const x = { ...samples.axis(0) };
    const [low, high] = padded(extremes([...target, ...network]));
    const top = linePlot(above, { x, y: { low, high, label: "value" }, height: 280,
      label: "The function and the network" });
    top.curve(xs, target, "thick pale");
    top.curve(xs, network, "a1 dashed");
    const bottom = linePlot(below, { x, y: { low: -1.15 * most, high: 1.15 * most,
      label: "error = network − f" }, height: 250, label: "The error of the network" });
    if (page.certificate.bound !== null) {
      bottom.band(-page.certificate.bound, page.certificate.bound, "band");
    }
    for (const { value, label } of levels) {
      bottom.horizontal(value, label.includes("bound") ? "bound-line" : "tolerance-line", label);
    }
    bottom.curve(xs, samples.error, "a2");
    bottom.dot(samples.worst.point[0], samples.worst.signed, "dot worst", 5.5);
    plots = [top, bottom];
    if (at !== null) read(at);
  }
  const cursors = [];
  function read(index) {
    at = Math.max(0, Math.min(xs.length - 1, index));
    cursors.forEach((node) => node.remove());
    cursors.length = 0;
    for (const plot of plots) {
      cursors.push(element("line", { class: "cursor-line", x1: plot.sx(xs[at]), x2: plot.sx(xs[at]),
        y1: plot.area.top, y2: plot.area.bottom }, plot.over));
    }
    reading.textContent = readPoint(page, [xs[at]], target[at], samples.error[at], samples);
  }
  function readWorst() {
    const worst = samples.worst;
    reading.textContent = `Largest error found: ${writeSigned(worst.signed, 4)} at ` +
      `${writePoint(worst.point, samples.names)}. Point at the curves, or use the arrow keys on the ` +
      "lower one, to read other places.";
  }
  const follow = (event, plot) => {
    const box = plot.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - plot.area.left) / (plot.area.right - plot.area.left);
    if (share >= 0 && share <= 1) read(Math.round(share * (xs.length - 1)));
  };
  above.addEventListener("pointermove", (event) => follow(event, plots[0]));
  below.addEventListener("pointermove", (event) => follow(event, plots[1]));
  below.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -20, PageUp: 20 };
    const stride = Math.max(1, Math.round(xs.length / 200));
    if (event.key in steps) read((at ?? samples.worst.index[0]) + stride * steps[event.key]);
    else if (event.key === "Home") read(0);
    else if (event.key === "End") read(xs.length - 1);
    else return;
    event.preventDefault();
  });
  readWorst();
  return draw;
}

function writePoint(point, names) {
  return point.map((value, axis) => `${names[axis]} = ${writeNumber(value, 5)}`).join(", ");
}

function readPoint(page, point, target, error, samples) {
  const live = page.network ? evaluateNetwork(page.network, point) : target + error;
  const share = page.certificate.bound
    ? ` (${Math.round((100 * Math.abs(error)) / page.certificate.bound)} % of the bound)` : "";
  return `At ${writePoint(point, samples.names)}: f = ${writeNumber(target, 6)}, network = ` +
    `${writeNumber(live, 6)}, error = ${writeSigned(error, 4)}${share}.`;
}

/* Two and more dimensions: heat maps of f, of the network and of the error, on one cursor. */
function showMaps(host, page, samples) {
  if (samples.shape.length > 2) addSliceControls(host, samples);
  const hosts = {};
  const panels = html("div", { class: "panels three" }, host);
  for (const [name, title] of [["target", "f, the function"], ["network", "the network"],
    ["error", "error = network − f"]]) {
    const figure = html("figure", {}, panels);
    html("figcaption", {}, figure, title);
    hosts[name] = html("div", { class: "figure-host", tabindex: "0", role: "group",
      "aria-label": `Heat map: ${title}. Use the arrow keys to read values.` }, figure);
  }
  const reading = html("p", { class: "reading", "aria-live": "polite" }, host);
  const levels = errorLevels(page);
  let maps = {};
  let at = null;
  const everywhere = extremes(samples.target);
  const most = Math.max(largestSize(samples.error), ...levels.map((level) => level.value),
    samples.worst.error) * 1.05 || 1e-12;
  function draw() {
    const { slice } = samples;
    const x = samples.axis(slice.across);
    const y = samples.axis(slice.up);
    const target = samples.take(samples.target);
    const error = samples.take(samples.error);
    const network = target.values.map((value, i) => value + error.values[i]);
    const bar = levels.some((level) => level.label === "tolerance") ? 112 : 92; // as long as labels
    const shared = { columns: target.columns, rows: target.rows, x, y, bar };
    maps = {
      target: heatMap(hosts.target, { ...shared, values: target.values, low: everywhere[0],
        high: everywhere[1], label: "Heat map of the function" }),
      network: heatMap(hosts.network, { ...shared, values: network, low: everywhere[0],
        high: everywhere[1], label: "Heat map of the network" }),
      error: heatMap(hosts.error, { ...shared, values: error.values, low: -most, high: most,
        palette: "diverging", label: "Heat map of the error", levels }),
    };
    if (isWorstSlice(samples)) {
      const { point } = samples.worst;
      maps.error.mark(point[slice.across], point[slice.up], "largest error found");
    }
    if (at) read(at);
    else readWorst();
  }
  function read([i, j]) {
    const { slice, shape } = samples;
    at = [Math.max(0, Math.min(shape[slice.across] - 1, i)), Math.max(0, Math.min(shape[slice.up] - 1, j))];
    const position = samples.position(...at);
    const point = samples.point(...at);
    for (const map of Object.values(maps)) map.setCursor(point[slice.across], point[slice.up]);
    reading.textContent = readPoint(page, point, samples.target[position], samples.error[position],
      samples);
  }
  function readWorst() {
    const { worst } = samples;
    reading.textContent = `Largest error found: ${writeSigned(worst.signed, 4)} at ` +
      `${writePoint(worst.point, samples.names)}. Point at a map, or use the arrow keys on one, to ` +
      "read other places.";
  }
  for (const [name, target] of Object.entries(hosts)) {
    target.addEventListener("pointermove", (event) => {
      const place = maps[name].locate(event);
      const { slice, shape } = samples;
      if (place) read([Math.round(place[0] * (shape[slice.across] - 1)),
        Math.round(place[1] * (shape[slice.up] - 1))]);
    });
    target.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (!(event.key in moves)) return;
      event.preventDefault();
      const { slice, shape, worst } = samples;
      const stride = event.shiftKey ? 10 : Math.max(1, Math.round(shape[slice.across] / 64));
      const from = at ?? [worst.index[slice.across], worst.index[slice.up]];
      read(from.map((value, k) => value + stride * moves[event.key][k]));
    });
  }
  samples.onSlice(() => {
    at = null;
    draw();
  });
  return draw;
}

function isWorstSlice(samples) {
  const { slice, worst } = samples;
  return samples.shape.every((_, axis) =>
    axis === slice.across || axis === slice.up || slice.fixed[axis] === worst.index[axis]);
}

function addSliceControls(host, samples) {
  const { slice, names, shape } = samples;
  const controls = html("div", { class: "controls" }, host);
  const pairs = [];
  for (let a = 0; a < shape.length; a++) {
    for (let b = a + 1; b < shape.length; b++) pairs.push([`${a},${b}`, `${names[a]} and ${names[b]}`]);
  }
  const sliders = html("div", { class: "controls" });
  choice(controls, { label: "axes on show", options: pairs, onChange(value) {
    [slice.across, slice.up] = value.split(",").map(Number);
    rebuild();
    samples.changed();
  } });
  controls.append(sliders);
  const redraw = onceAFrame(samples.changed);
  button(controls, "Go to the largest error", () => {
    slice.fixed = samples.worst.index.slice();
    rebuild();
    samples.changed();
  });
  function rebuild() {
    sliders.replaceChildren();
    for (let axis = 0; axis < shape.length; axis++) {
      if (axis === slice.across || axis === slice.up) continue;
      slider(sliders, { label: `${names[axis]}, held at`, low: 0, high: shape[axis] - 1, step: 1,
        value: slice.fixed[axis], write: (index) => writeNumber(samples.coordinate(axis, index), 4),
        onChange(index) {
          slice.fixed[axis] = index;
          redraw();
        } });
    }
  }
  rebuild();
}
