/* Drawing: line plots as SVG; heat maps as a canvas below an SVG with axes and marks.
   Every draw replaces what its host showed, at the host's present width, so text keeps its size. */

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
let drawingCount = 0;

const PALETTES = {
  sequential: ["440154", "472c7a", "3b518b", "2c718e", "21908d", "27ad81", "5cc863", "aadc32",
    "fde725"],
  diverging: ["1f5fa8", "67a9cf", "d1e5f0", "f7f7f7", "fddbc7", "ef8a62", "b2182b"],
  divergingDark: ["8cc8ff", "3f82c4", "24476b", "1d2127", "6b3a24", "c46a3f", "ffb888"],
};

const isDark = () => window.matchMedia("(prefers-color-scheme: dark)").matches;

function element(name, attributes, parent, text) {
  const node = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
}

function html(name, attributes, parent, text) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
}

/* 256 colors as RGB triples, between the stops of a palette. */
function paletteColors(name) {
  const chosen = name === "diverging" && isDark() ? "divergingDark" : name;
  const stops = PALETTES[chosen].map((hex) =>
    [0, 2, 4].map((start) => parseInt(hex.slice(start, start + 2), 16)));
  const colors = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const left = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      colors[3 * i + c] = stops[left][c] + (at - left) * (stops[left + 1][c] - stops[left][c]);
    }
  }
  return colors;
}

function niceTicks(low, high, wanted) {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    ticks.push({ value: i * step, label: tickLabel(i * step, step) });
  }
  return ticks;
}

function tickLabel(value, step) {
  if (Math.abs(value) < step / 1e6) return "0";
  if (Math.abs(value) >= 1e5 || step < 1e-4) return writeNumber(value, 4);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return value.toFixed(digits).replace("-", "−");
}

function powerLabel(exponent) {
  if (exponent >= -3 && exponent <= 0) return (10 ** exponent).toFixed(-exponent);
  if (exponent > 0 && exponent <= 3) return writeCount(10 ** exponent);
  const raised = Array.from(`${exponent}`, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  return `10${raised}`;
}

/* Powers of ten; where fewer than three fit between the ends, also 2 and 5 times them. */
function logTicks(low, high, most) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const ticks = [];
  if (last - first < 2) {
    for (let e = first - 1; e <= last; e++) {
      for (const digit of [1, 2, 5]) {
        const value = digit * 10 ** e;
        if (value >= low && value <= high) ticks.push({ value, label: writeNumber(value, 2) });
      }
    }
    return ticks;
  }
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  for (let e = first; e <= last; e += every) ticks.push({ value: 10 ** e, label: powerLabel(e) });
  return ticks;
}

/* Places for labels at least `gap` apart, in the order given, moved as little as is easy. */
function spreadApart(places, gap) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const moved = places.slice();
  for (let n = 1; n < order.length; n++) {
    moved[order[n]] = Math.max(moved[order[n]], moved[order[n - 1]] + gap);
  }
  const excess = order.length
    ? (moved[order.at(-1)] - places[order.at(-1)]) / 2 : 0;
  return moved.map((place) => place - excess);
}

/* A range with a little room on both sides; never empty. */
function padded([low, high], share = 0.06) {
  if (!(high > low)) return [low - Math.max(1e-9, Math.abs(low)) * 0.5 - 1e-300,
    high + Math.max(1e-9, Math.abs(high)) * 0.5];
  const room = share * (high - low);
  return [low - room, high + room];
}

function scale(axis, from, to) {
  const map = axis.log ? Math.log10 : (value) => value;
  const [low, high] = [map(axis.low), map(axis.high)];
  return (value) => from + ((to - from) * (map(value) - low)) / (high - low);
}

/* Axes with ticks, grid and labels; returns the scales and functions that draw into it. */
function linePlot(host, { x, y, height = 260, label }) {
  host.replaceChildren();
  const width = Math.max(220, host.clientWidth || 600);
  const id = `clip-${drawingCount++}`;
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img",
    "aria-label": label }, host);
  const yTicks = y.log ? logTicks(y.low, y.high, height / 34)
    : niceTicks(y.low, y.high, height / 52);
  const longest = Math.max(...yTicks.map((tick) => tick.label.length));
  const area = { left: 14 + 7 * longest, right: width - 14, top: 26, bottom: height - 42 };
  const xTicks = x.log ? logTicks(x.low, x.high, (area.right - area.left) / 60)
    : niceTicks(x.low, x.high, Math.min(8, (area.right - area.left) / 62));
  const sx = scale(x, area.left, area.right);
  const sy = scale(y, area.bottom, area.top);
  for (const { value, label: text } of xTicks) {
    element("line", { class: "grid", x1: sx(value), x2: sx(value), y1: area.top, y2: area.bottom }, svg);
    element("text", { class: "tick middle", x: sx(value), y: area.bottom + 16 }, svg, text);
  }
  for (const { value, label: text } of yTicks) {
    element("line", { class: "grid", x1: area.left, x2: area.right, y1: sy(value), y2: sy(value) }, svg);
    element("text", { class: "tick end", x: area.left - 6, y: sy(value) + 4 }, svg, text);
  }
  element("text", { class: "axis-label", x: 2, y: 13 }, svg, y.label);
  element("text", { class: "axis-label middle", x: (area.left + area.right) / 2, y: height - 6 },
    svg, x.label);
  element("rect", { class: "frame", x: area.left, y: area.top, width: area.right - area.left,
    height: area.bottom - area.top }, svg);
  const clip = element("clipPath", { id }, element("defs", {}, svg));
  element("rect", { x: area.left, y: area.top, width: area.right - area.left,
    height: area.bottom - area.top }, clip);
  const inside = element("g", { "clip-path": `url(#${id})` }, svg);
  const over = element("g", {}, svg);
  const limit = (v) => Math.max(-1e4, Math.min(1e4, v));
  return {
    svg, area, sx, sy, inside, over,
    curve(xs, ys, className) {
      let path = "";
      for (let i = 0; i < xs.length; i++) {
        if (!Number.isFinite(ys[i])) continue;
        path += `${path ? "L" : "M"}${limit(sx(xs[i])).toFixed(2)} ${limit(sy(ys[i])).toFixed(2)}`;
      }
      element("path", { class: `curve ${className}`, d: path }, inside);
    },
    horizontal(value, className, text) {
      if (value < y.low || value > y.high) return;
      element("line", { class: className, x1: area.left, x2: area.right, y1: sy(value), y2: sy(value) },
        inside);
      if (text) element("text", { class: "mark-label end halo", x: area.right - 5, y: sy(value) - 5 },
        over, text);
    },
    vertical(value, className, text) {
      if (value < x.low || value > x.high) return;
      element("line", { class: className, x1: sx(value), x2: sx(value), y1: area.top, y2: area.bottom },
        inside);
      if (text) {
        const end = sx(value) > (area.left + area.right) / 2;
        element("text", { class: `mark-label halo${end ? " end" : ""}`,
          x: sx(value) + (end ? -4 : 4), y: area.top + 13 }, over, text);
      }
    },
    band(low, high, className) {
      element("rect", { class: className, x: area.left, width: area.right - area.left, y: sy(high),
        height: Math.max(0, sy(low) - sy(high)) }, inside);
    },
    dot(px, py, className, radius = 5) {
      element("circle", { class: className, cx: sx(px), cy: sy(py), r: radius }, over);
    },
    text(px, py, text, className = "") {
      element("text", { class: `mark-label halo ${className}`, x: sx(px), y: sy(py) }, over, text);
    },
  };
}

function paint(canvas, values, columns, rows, low, high, palette) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const colors = paletteColors(palette);
  const factor = high > low ? 255 / (high - low) : 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = values[(rows - 1 - row) * columns + column]; // the first row is the lowest
      const shade = Math.max(0, Math.min(255, Math.round((value - low) * factor)));
      const at = 4 * (row * columns + column);
      image.data[at] = colors[3 * shade];
      image.data[at + 1] = colors[3 * shade + 1];
      image.data[at + 2] = colors[3 * shade + 2];
      image.data[at + 3] = Number.isNaN(value) ? 0 : 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/* A map of values[row * columns + column], lowest row first, with a color bar on the right.
   levels: [{value, label}] are marked on the color bar. x, y: {low, high, label}. */
function heatMap(host, { values, columns, rows, low, high, palette = "sequential", x, y, label,
  levels = [], bar = 84, crisp = false }) {
  host.replaceChildren();
  host.classList.add("heat");
  const width = Math.min(Math.max(220, host.clientWidth || 320), 520);
  const left = 48;
  const side = width - left - bar;
  const height = side + 66;
  const area = { left, right: left + side, top: 22, bottom: 22 + side };
  const frame = html("div", { class: "heat-frame" }, host);
  frame.style.maxWidth = `${width}px`;
  const place = (canvas, from, to, top, bottom) => {
    canvas.style.left = `${(100 * from) / width}%`;
    canvas.style.width = `${(100 * (to - from)) / width}%`;
    canvas.style.top = `${(100 * top) / height}%`;
    canvas.style.height = `${(100 * (bottom - top)) / height}%`;
  };
  const canvas = html("canvas", { "aria-hidden": "true" }, frame);
  paint(canvas, values, columns, rows, low, high, palette);
  if (crisp) canvas.style.imageRendering = "pixelated";
  place(canvas, area.left, area.right, area.top, area.bottom);
  const scaleBar = html("canvas", { "aria-hidden": "true" }, frame);
  paint(scaleBar, spread(0, 1, 256), 1, 256, 0, 1, palette);
  place(scaleBar, area.right + 14, area.right + 26, area.top, area.bottom);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img",
    "aria-label": label }, frame);
  const sx = scale(x, area.left, area.right);
  const sy = scale(y, area.bottom, area.top);
  element("rect", { class: "frame", x: area.left, y: area.top, width: side, height: side }, svg);
  for (const { value, label: text } of niceTicks(x.low, x.high, Math.min(5, side / 56))) {
    element("line", { class: "tick-line", x1: sx(value), x2: sx(value), y1: area.bottom,
      y2: area.bottom + 4 }, svg);
    element("text", { class: "tick middle", x: sx(value), y: area.bottom + 17 }, svg, text);
  }
  for (const { value, label: text } of niceTicks(y.low, y.high, Math.min(5, side / 50))) {
    element("line", { class: "tick-line", x1: area.left - 4, x2: area.left, y1: sy(value),
      y2: sy(value) }, svg);
    element("text", { class: "tick end", x: area.left - 7, y: sy(value) + 4 }, svg, text);
  }
  element("text", { class: "axis-label", x: 2, y: 13 }, svg, y.label);
  element("text", { class: "axis-label middle", x: area.left + side / 2, y: height - 8 }, svg, x.label);
  element("rect", { class: "frame", x: area.right + 14, y: area.top, width: 12, height: side }, svg);
  if (high > low) {
    const at = scale({ low, high }, area.bottom, area.top);
    const taken = spreadApart(levels.map((level) => at(level.value)), 14);
    for (const { value, label: text } of niceTicks(low, high, 5)) {
      element("line", { class: "tick-line", x1: area.right + 26, x2: area.right + 29, y1: at(value),
        y2: at(value) }, svg);
      if (taken.every((other) => Math.abs(other - at(value)) > 15)) {
        element("text", { class: "tick", x: area.right + 32, y: at(value) + 4 }, svg, text);
      }
    }
    levels.forEach(({ value, label: text }, n) => {
      element("line", { class: "level", x1: area.right + 11, x2: area.right + 28, y1: at(value),
        y2: at(value) }, svg);
      element("text", { class: "tick level-label", x: area.right + 32, y: taken[n] + 4 }, svg, text);
    });
  }
  const over = element("g", {}, svg);
  const cursor = element("g", {}, svg);
  return {
    frame, svg, area, sx, sy, over, width, height,
    /* A ring with a cross: the worst point, a vertex. */
    mark(px, py, text) {
      const [cx, cy] = [sx(px), sy(py)];
      element("circle", { class: "ring under", cx, cy, r: 7 }, over);
      element("circle", { class: "ring", cx, cy, r: 7 }, over);
      if (text) {
        const end = cx > (area.left + area.right) / 2;
        element("text", { class: `mark-label halo${end ? " end" : ""}`, x: cx + (end ? -8 : 8),
          y: cy - 10 < area.top + 12 ? cy + 20 : cy - 10 }, over, text);
      }
    },
    line(x1, y1, x2, y2, className) {
      element("line", { class: className, x1: sx(x1), y1: sy(y1), x2: sx(x2), y2: sy(y2) }, over);
    },
    box(xLow, yLow, xHigh, yHigh, className) {
      element("rect", { class: className, x: sx(xLow), y: sy(yHigh), width: sx(xHigh) - sx(xLow),
        height: sy(yLow) - sy(yHigh) }, over);
    },
    setCursor(px, py) {
      cursor.replaceChildren();
      for (const kind of ["crosshair under", "crosshair"]) {
        element("line", { class: kind, x1: sx(px), x2: sx(px), y1: area.top, y2: area.bottom }, cursor);
        element("line", { class: kind, x1: area.left, x2: area.right, y1: sy(py), y2: sy(py) }, cursor);
      }
    },
    /* Data coordinates under a pointer event, or null outside the map. */
    locate(event) {
      const box = svg.getBoundingClientRect();
      const px = ((event.clientX - box.left) * width) / box.width;
      const py = ((event.clientY - box.top) * height) / box.height;
      if (px < area.left || px > area.right || py < area.top || py > area.bottom) return null;
      return [(px - area.left) / side, (area.bottom - py) / side];
    },
  };
}

/* A key: [class of the line or dot, words]. */
function legend(host, items) {
  host.replaceChildren();
  host.classList.add("key");
  for (const [kind, text] of items) {
    const item = html("li", {}, host);
    const svg = element("svg", { width: 28, height: 14, "aria-hidden": "true", class: "plot-key" }, item);
    if (kind.startsWith("dot")) element("circle", { class: kind, cx: 14, cy: 7, r: 5 }, svg);
    else if (kind.startsWith("band")) {
      element("rect", { class: kind, x: 1, y: 2, width: 26, height: 10 }, svg);
    } else element("line", { class: `curve ${kind}`, x1: 1, x2: 27, y1: 7, y2: 7 }, svg);
    item.append(` ${text}`);
  }
}
