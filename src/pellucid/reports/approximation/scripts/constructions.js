/* The textbook shapes, their tiling, and the constructions without holes, as plain formulas. */

const TOWER_GAIN = 200; // second-layer weight of the textbook tower; its bias is −3.5 times that
const GATE_GAIN = 40; // K of the AND gate of the grid construction
const GATE_MEDIAN = Math.log(GATE_GAIN / Math.log(3) - 1); // puts the gate's value ½ on the edge

/* Two neurons: a step up at rise and a step down at fall. b1, b2 are the biases, w the steepness. */
function bumpValue(x, w, b1, b2, height) {
  return height * (logistic(w * x + b1) + logistic(-w * x + b2) - 1);
}

function towerValue(x, y, edges, w, gain = TOWER_GAIN) {
  const sum =
    logistic(w * (x - edges[0])) + logistic(-w * (x - edges[1])) +
    logistic(w * (y - edges[2])) + logistic(-w * (y - edges[3]));
  return logistic(gain * sum - 3.5 * gain);
}

/* k × k towers on the unit square, cell (i, j) as high as heightOf(i, j); only near cells count. */
function tilingValue(x, y, k, w, heightOf) {
  const column = Math.floor(x * k);
  const row = Math.floor(y * k);
  let sum = 0;
  for (let i = Math.max(0, column - 2); i <= Math.min(k - 1, column + 2); i++) {
    const across = logistic(w * (x - i / k)) + logistic(-w * (x - (i + 1) / k));
    for (let j = Math.max(0, row - 2); j <= Math.min(k - 1, row + 2); j++) {
      const up = logistic(w * (y - j / k)) + logistic(-w * (y - (j + 1) / k));
      const z = TOWER_GAIN * (across + up - 3.5);
      if (z > -700) sum += heightOf(i, j) * logistic(z);
    }
  }
  return sum;
}

/* The AND gate of the grid construction: 1 where both steps are on, ½ · ½-like at the edges. */
function gate(p, q) {
  return 2 * logistic(GATE_GAIN * (p + q - 2));
}

/* Shift of the first-layer biases, in units of 1/w, that gives the gate's transition mean 0. */
function meanCenteredShift() {
  let mean = 0; // mean of t under the distribution function gate(s(t + median), 1)
  const step = 0.001;
  for (let t = -30 + step / 2; t < 30; t += step) {
    const distribution = gate(logistic(t + GATE_MEDIAN), 1);
    mean += t > 0 ? (1 - distribution) * step : -distribution * step;
  }
  return GATE_MEDIAN + mean;
}

/* Construction B at a point: cell weights are second differences of the gate, so they are
   non-negative and add up to exactly 1. Cells from `first` to `last` (excluded) in both axes;
   cells farther than `reach` from the point have a weight below rounding. */
function gridValue(x, y, k, w, heightOf, { first = 0, last = k, shift = GATE_MEDIAN, reach } = {}) {
  const far = reach ?? Math.ceil((30 * k) / w) + 1;
  const around = (position) => [
    Math.max(first, Math.floor(position * k) - far),
    Math.min(last, Math.floor(position * k) + far + 1),
  ];
  const steps = (position, [from, to]) =>
    Array.from({ length: to - from + 1 }, (_, n) =>
      n === 0 ? 1 : n === to - from ? -1 : logistic(w * (position - (from + n) / k) + shift));
  const columns = around(x);
  const rows = around(y);
  const p = steps(x, columns);
  const q = steps(y, rows);
  const joint = (a, b) => (a < 0 || b < 0 ? 0 : gate(a, b)); // −1 marks the edge that is dropped
  let sum = 0;
  let before = p.map((step) => joint(step, q[0]));
  for (let j = 1; j < q.length; j++) {
    const now = p.map((step) => joint(step, q[j]));
    for (let i = 1; i < p.length; i++) {
      const weight = before[i - 1] - before[i] - now[i - 1] + now[i];
      if (weight !== 0) sum += weight * heightOf(columns[0] + i - 1, rows[0] + j - 1);
    }
    before = now;
  }
  return sum;
}

/* Construction A on [0, 1]: heightOf(i) is the value of cell i, ghost cells included. */
function staircaseValue(x, k, w, heightOf, ghosts) {
  let sum = heightOf(-ghosts);
  for (let i = -ghosts + 1; i < k + ghosts; i++) {
    sum += (heightOf(i) - heightOf(i - 1)) * logistic(w * (x - i / k));
  }
  return sum;
}

/* Cells beyond the box that a soft step still feels. */
function ghostCells(c) {
  return Math.ceil(14 / c) + 1;
}

/* A function on [0, 1], continued beyond both ends by point reflection: no kink in the slope. */
function reflected(f) {
  return function at(x) {
    if (x < 0) return 2 * f(0) - at(-x);
    if (x > 1) return 2 * f(1) - at(2 - x);
    return f(x);
  };
}

/* The same in two dimensions, one axis after the other. */
function reflectedSquare(f) {
  return function at(x, y) {
    if (x < 0) return 2 * at(0, y) - at(-x, y);
    if (x > 1) return 2 * at(1, y) - at(2 - x, y);
    if (y < 0) return 2 * at(x, 0) - at(x, -y);
    if (y > 1) return 2 * at(x, 1) - at(x, 2 - y);
    return f(x, y);
  };
}

/* Values on an even grid of [0, 1] (or the unit square), read between the points. */
function interpolate(values) {
  const last = values.length - 1;
  return (x) => {
    const at = Math.min(Math.max(x, 0), 1) * last;
    const i = Math.min(Math.floor(at), last - 1);
    return values[i] + (at - i) * (values[i + 1] - values[i]);
  };
}

function interpolateSquare(values, columns, rows) {
  return (x, y) => {
    const across = Math.min(Math.max(x, 0), 1) * (columns - 1);
    const up = Math.min(Math.max(y, 0), 1) * (rows - 1);
    const i = Math.min(Math.floor(across), columns - 2);
    const j = Math.min(Math.floor(up), rows - 2);
    const [u, v] = [across - i, up - j];
    const at = (di, dj) => values[(j + dj) * columns + i + di];
    return (1 - v) * ((1 - u) * at(0, 0) + u * at(1, 0)) + v * ((1 - u) * at(0, 1) + u * at(1, 1));
  };
}

/* The first `count` cells of a recorded bisection: each split halves one cell along one axis.
   Cells are {low, high, value, radius}; a split says [cell, axis, value and radius of both]. */
function replaySplits(start, splits, count) {
  const cells = [{ low: start.low.slice(), high: start.high.slice(), value: start.value,
    radius: start.radius }];
  for (const [index, axis, lowValue, lowRadius, highValue, highRadius] of
    splits.slice(0, count - 1)) {
    const cell = cells[index];
    const middle = (cell.low[axis] + cell.high[axis]) / 2;
    const upper = { low: cell.low.slice(), high: cell.high.slice(), value: highValue,
      radius: highRadius };
    upper.low[axis] = middle;
    cell.high[axis] = middle;
    cell.value = lowValue;
    cell.radius = lowRadius;
    cells.push(upper);
  }
  return cells;
}
