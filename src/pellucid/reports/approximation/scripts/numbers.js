/* Numbers: out of the data embedded in the page, and into words. */

function decodeArray(text, ArrayType) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new ArrayType(bytes.buffer);
}

/* 0.012 -> "0.012", 3.7e-44 -> "3.7e−44", 1234567 -> "1 234 567"; a true minus everywhere. */
function writeNumber(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "not known";
  if (!Number.isFinite(value)) return value > 0 ? "unbounded" : "−unbounded";
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (size >= 1e7 || size < 1e-3) {
    text = value.toExponential(Math.max(0, digits - 2)).replace(/\.?0+e/, "e").replace("e+", "e");
  } else if (size >= 1e4) {
    text = Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ");
  } else {
    text = Number(value.toPrecision(digits)).toString();
  }
  return text.replace(/-/g, "−");
}

function writeSigned(value, digits = 3) {
  return (value > 0 ? "+" : "") + writeNumber(value, digits);
}

function writeCount(value) {
  if (value >= 1e9) return writeNumber(value, 3);
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ");
}

/* Evenly spaced numbers, both ends included. */
function spread(low, high, count) {
  return Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
}

function extremes(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function largestSize(values) {
  const [low, high] = extremes(values);
  return Math.max(Math.abs(low), Math.abs(high));
}
