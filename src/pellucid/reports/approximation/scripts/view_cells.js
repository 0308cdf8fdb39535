/* Views: cells that follow the function, and steps from steep to soft. */

/* The flat cells that the network itself smooths, in one dimension with the function. */
function showOwnCells(host, page, plane) {
  const own = page.ownCells;
  const figure = html("div", { class: "figure-host narrow" }, host);
  const counts = own.edges.map((count, axis) => `${writeCount(count)} in ${page.samples.names[axis]}`);
  html("p", { class: "reading" }, host, `Inner edges: ${counts.join(", ")}. Jumps that the last layer ` +
    `adds: ${writeCount(own.vertices)}.`);
  if (own.ends) {
    const ends = decodeArray(own.ends, Float64Array);
    const values = decodeArray(own.values, Float64Array);
    return () => {
      const range = padded(extremes([...plane.values, ...values]));
      const plot = linePlot(figure, { x: { low: plane.xLow, high: plane.xHigh, label: plane.names[0] },
        y: { low: range[0], high: range[1], label: "value" }, height: 290, label: "Cells of the network" });
      plot.curve(spread(plane.xLow, plane.xHigh, plane.values.length), plane.values, "thick pale");
      values.forEach((value, i) => plot.curve([ends[i], ends[i + 1]], [value, value], "a1"));
    };
  }
  const { size } = own;
  const values = Float64Array.from(decodeArray(own.values, Float32Array));
  const [low, high] = extremes(values);
  const border = (i, j) => (i > 0 && values[j * size + i] !== values[j * size + i - 1]) ||
    (j > 0 && values[j * size + i] !== values[(j - 1) * size + i]);
  const borders = values.map((_, n) => (border(n % size, Math.floor(n / size)) ? 1 : 0));
  const share = borders.reduce((sum, one) => sum + one, 0) / borders.length;
  /* Borders are drawn by leaving their pixels out, where enough is left between them. */
  const shown = share < 0.3 ? values.map((value, n) => (borders[n] ? NaN : value)) : values;
  return () => heatMap(figure, { values: shown, columns: size, rows: size, low, high,
    x: { low: plane.xLow, high: plane.xHigh, label: plane.names[0] },
    y: { low: plane.yLow, high: plane.yHigh, label: plane.names[1] },
    label: "Heat map: cells of the network", crisp: true });
}

/* The recorded bisection, replayed up to the number of cells on the slider. */
function showCells(host, cells, plane) {
  const flat = cells.start.low.length === 1;
  const most = cells.splits.length + 1;
  const controls = html("div", { class: "controls" }, host);
  const control = slider(controls, { label: "cells", low: 1, high: most, step: 1,
    value: Math.min(most, 64), write: writeCount, onChange: () => redraw() });
  playButton(controls, control, (value) => {
    control.set(value);
    redraw();
  });
  const reading = html("p", { class: "reading" }, host);
  const panels = html("div", { class: "panels two" }, host);
  const [picture, curve] = [flat ? "One value per cell" : `One value per cell: ${plane.title}`,
    "Half the range of f in the worst cell"].map((title) => {
    const figure = html("figure", {}, panels);
    html("figcaption", {}, figure, title);
    return html("div", { class: "figure-host" }, figure);
  });
  legend(html("ul", {}, curve.parentNode), [["a1", "cells that follow the function"],
    ["a0 dashed", "equal cells"], ["dot chosen", "on show"]]);
  function draw() {
    const count = control.value;
    const shown = replaySplits(cells.start, cells.splits, count);
    const [low, high] = extremes(plane.values);
    if (flat) {
      const range = padded([low, high]);
      const toX = (u) => plane.xLow + u * (plane.xHigh - plane.xLow);
      const plot = linePlot(picture, { x: { low: plane.xLow, high: plane.xHigh, label: plane.names[0] },
        y: { low: range[0], high: range[1], label: "value" }, height: 290, label: "Cells and their values" });
      plot.curve(spread(plane.xLow, plane.xHigh, plane.values.length), plane.values, "thick pale");
      for (const cell of shown) {
        const [from, to] = [toX(cell.low[0]), toX(cell.high[0])];
        plot.curve([from, to], [cell.value, cell.value], "a1");
        if (from > plane.xLow) plot.vertical(from, "cell-line");
      }
    } else {
      const size = 192;
      const values = new Float64Array(size * size);
      for (const cell of shown) {
        const [i0, i1] = [Math.round(cell.low[0] * size), Math.round(cell.high[0] * size)];
        const [j0, j1] = [Math.round(cell.low[1] * size), Math.round(cell.high[1] * size)];
        for (let j = j0; j < j1; j++) values.fill(cell.value, j * size + i0, j * size + i1);
      }
      const map = heatMap(picture, { values, columns: size, rows: size, low, high,
        x: { low: plane.xLow, high: plane.xHigh, label: plane.names[0] },
        y: { low: plane.yLow, high: plane.yHigh, label: plane.names[1] },
        label: "Heat map: one value per cell", crisp: true });
      const toX = (u) => plane.xLow + u * (plane.xHigh - plane.xLow);
      const toY = (u) => plane.yLow + u * (plane.yHigh - plane.yLow);
      for (const { low: from, high: to } of shown) {
        map.box(toX(from[0]), toY(from[1]), toX(to[0]), toY(to[1]),
          count > 300 ? "cell-edge fine" : "cell-edge");
      }
    }
    const positive = cells.largest.filter((radius) => radius > 0);
    const floor = Math.min(...positive, ...cells.equal.map(([, radius]) => radius || Infinity));
    const top = Math.max(...positive, ...cells.equal.map(([, radius]) => radius));
    if (positive.length) {
      const plot = linePlot(curve, { x: { low: 1, high: Math.max(10, most, 1.2 * cells.equal.at(-1)[0]),
        log: true, label: "number of cells" }, y: { low: floor / 1.5, high: top * 1.5, log: true,
        label: "half the range of f (sampled)" }, height: 290, label: "Half range against cells" });
      plot.curve(cells.equal.map(([number]) => number), cells.equal.map(([, radius]) => radius),
        "a0 dashed");
      plot.curve(cells.largest.map((_, i) => i + 1), cells.largest.map((radius) => radius || NaN), "a1");
      if (cells.largest[count - 1] > 0) plot.dot(count, cells.largest[count - 1], "dot chosen");
    } else {
      curve.replaceChildren();
      html("p", { class: "note" }, curve, "The function is constant here: one cell holds it exactly.");
    }
    const radius = cells.largest[count - 1];
    const equal = cells.equal.find(([, other]) => other <= radius);
    reading.textContent = `${writeCount(count)} ${count === 1 ? "cell" : "cells"}: one value per cell ` +
      `stays within ${writeNumber(radius, 3)} of f on the samples` + (equal && equal[0] > count
        ? `; equal cells need ${writeCount(equal[0])} for that.` : ".");
  }
  const redraw = onceAFrame(draw);
  return draw;
}

/* c = w × side: a staircase in one dimension, construction B's gates in two. */
function showSoftSteps(host, plane) {
  const flat = plane.rows === 1;
  const state = { c: 20, k: flat ? 12 : 8 };
  const controls = html("div", { class: "controls" }, host);
  const steep = slider(controls, { label: "sharpness c = w × side", low: 1, high: 40, log: true,
    value: state.c, write: (value) => writeNumber(value, 3), onChange(value) {
      state.c = value;
      redraw();
    } });
  slider(controls, { label: flat ? "cells" : "cells along a side", low: 4, high: flat ? 60 : 14, step: 1,
    value: state.k, onChange(value) {
      state.k = value;
      startCurve();
      redraw();
    } });
  const reading = html("p", { class: "reading" }, host);
  const panels = html("div", { class: "panels two" }, host);
  const [picture, curve] = [flat ? "Staircase" : "Grid of gates", "Largest error against sharpness"].map(
    (title) => {
      const figure = html("figure", {}, panels);
      html("figcaption", {}, figure, title);
      return html("div", { class: "figure-host" }, figure);
    });
  const shift = flat ? 0 : meanCenteredShift();
  const f = flat ? reflected(interpolate(plane.values))
    : reflectedSquare(interpolateSquare(plane.values, plane.columns, plane.rows));
  /* Cell values with their ghosts (15 at most, at c = 1), worked out once for each k. */
  const most = 16;
  let table = [];
  let stride = 0;
  const height = flat ? (i) => table[i + most] : (i, j) => table[(j + most) * stride + i + most];
  function tabulate() {
    const { k } = state;
    stride = k + 2 * most;
    const at = (n) => ((n % stride) - most + 0.5) / k;
    table = Float64Array.from({ length: flat ? stride : stride * stride },
      (_, n) => (flat ? f(at(n)) : f(at(n), (Math.floor(n / stride) - most + 0.5) / k)));
  }
  const net = (c) => {
    const { k } = state;
    const ghosts = ghostCells(c);
    return flat ? (x) => staircaseValue(x, k, c * k, height, ghosts)
      : (x, y) => gridValue(x, y, k, c * k, height, { first: -ghosts, last: k + ghosts, shift });
  };
  function largestError(c) {
    const g = net(c);
    const axis = spread(0, 1, flat ? 997 : 38);
    let most = 0;
    for (const x of axis) {
      if (flat) most = Math.max(most, Math.abs(g(x) - f(x)));
      else for (const y of axis) most = Math.max(most, Math.abs(g(x, y) - f(x, y)));
    }
    return most;
  }
  const values = flat ? 33 : 17;
  const sharpness = Array.from({ length: values }, (_, i) => 40 ** (i / (values - 1)));
  let errors = [];
  let run = 0;
  /* One value of c at a time, so that the page stays responsive. */
  function startCurve() {
    tabulate();
    errors = [];
    const mine = ++run;
    const next = () => {
      if (mine !== run) return;
      errors.push(largestError(sharpness[errors.length]));
      if (errors.length < sharpness.length) setTimeout(next, 0);
      else redraw();
    };
    setTimeout(next, 0);
  }
  function draw() {
    const { c, k } = state;
    const g = net(c);
    const [low, high] = extremes(plane.values);
    const range = padded([low, high], 0.12);
    if (flat) {
      const us = spread(0, 1, 1001);
      const xs = us.map((u) => plane.xLow + u * (plane.xHigh - plane.xLow));
      const plot = linePlot(picture, { x: { low: plane.xLow, high: plane.xHigh, label: plane.names[0] },
        y: { low: range[0], high: range[1], label: "value" }, height: 290, label: "Staircase and function" });
      plot.curve(xs, us.map(f), "thick pale");
      plot.curve(xs, us.map(g), "a1");
    } else {
      const size = 57;
      const values = new Float64Array(size * size);
      for (let j = 0; j < size; j++) {
        for (let i = 0; i < size; i++) values[j * size + i] = g(i / (size - 1), j / (size - 1));
      }
      heatMap(picture, { values, columns: size, rows: size, low, high,
        x: { low: plane.xLow, high: plane.xHigh, label: plane.names[0] },
        y: { low: plane.yLow, high: plane.yHigh, label: plane.names[1] }, label: "Heat map of the grid" });
    }
    const now = largestError(c);
    if (errors.length === sharpness.length && now > 0) {
      const [least, most] = extremes([...errors, now]);
      const plot = linePlot(curve, { x: { low: 1, high: 40, log: true, label: "sharpness c = w × side" },
        y: { low: least / 1.6, high: most * 1.6, log: true, label: "largest error found" }, height: 290,
        label: "Largest error against sharpness" });
      plot.curve(sharpness, errors, "a2");
      plot.dot(c, now, "dot chosen");
    }
    const best = errors.length === sharpness.length
      ? sharpness[errors.indexOf(Math.min(...errors))] : null;
    const neurons = flat ? k - 1 : 2 * (k - 1) + k * k - 1;
    reading.textContent = `${writeCount(neurons)} neurons inside the box: off by up to ${writeNumber(now, 3)} at c = ${writeNumber(c, 3)}${best === null ? ""
        : `; on this curve the best is c ≈ ${writeNumber(best, 2)}`}. A soft grid has ${
        writeCount(ghostCells(c))} more cells beyond each end of the box.`;
  }
  const redraw = onceAFrame(draw);
  startCurve();
  return draw;
}
