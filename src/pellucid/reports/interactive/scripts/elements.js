/* Elements and controls. Text is only ever set as text: names are data, never markup. */

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
let controlCount = 0;

function html(name, attributes, parent, text) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
}

function svg(name, attributes, parent, text) {
  const node = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
}

function button(parent, text, onPress, attributes = {}) {
  const node = html("button", { type: "button", ...attributes }, parent, text);
  node.addEventListener("click", onPress);
  return node;
}

/* A link within the view: opens a node, and says so in the address. */
function nodeButton(parent, tree, node, open, text = nameNode(tree, node)) {
  return button(parent, text, () => open(node), { class: "link name" });
}

function choice(parent, label, options, onChange) {
  const id = `control-${controlCount++}`;
  const row = html("div", { class: "control" }, parent);
  html("label", { for: id }, row, label);
  const select = html("select", { id }, row);
  for (const [value, text] of options) html("option", { value }, select, text);
  select.addEventListener("change", () => onChange(select.value));
  return select;
}

function switchBox(parent, label, onChange) {
  const row = html("label", { class: "control check" }, parent);
  const input = html("input", { type: "checkbox" }, row);
  html("span", {}, row, label);
  input.addEventListener("change", () => onChange(input.checked));
  return input;
}

/* One of a few, as a row of joined buttons; the browser's own radio buttons underneath. */
function segments(parent, legend, options, onChange) {
  const name = `control-${controlCount++}`;
  const set = html("fieldset", { class: "segments" }, parent);
  html("legend", {}, set, legend);
  const row = html("div", {}, set);
  const inputs = new Map();
  for (const [value, text] of options) {
    const label = html("label", {}, row);
    const input = html("input", { type: "radio", name, value }, label);
    html("span", {}, label, text);
    input.addEventListener("change", () => onChange(value));
    inputs.set(value, input);
  }
  return { set, select: (value) => { inputs.get(value).checked = true; } };
}

function tag(parent, text, kind) {
  return html("span", { class: `tag ${kind}` }, parent, text);
}

const presenceTag = (parent, present) =>
  tag(parent, present ? "present ↗" : "absent ↘", present ? "yes" : "no");

const colorOfClass = (tree, k) => (tree.classes.length <= 10 ? `k${k}` : "kx");

/* Bars of class probabilities, as a table: name, bar, figure. */
function classBars(parent, tree, shares, caption, count = 5) {
  const table = html("table", { class: "bars" }, parent);
  html("caption", {}, table, caption);
  const body = html("tbody", {}, table);
  for (const { share, k } of largestShares(shares, count)) {
    const row = html("tr", {}, body);
    html("span", { class: "clamped name", title: tree.classes[k] }, html("th", { scope: "row" }, row), tree.classes[k]);
    const bar = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      html("td", { class: "bar" }, row));
    svg("rect", { class: "track", width: 100, height: 10 }, bar);
    svg("rect", { class: colorOfClass(tree, k), width: Math.max(100 * share, 0.5), height: 10 }, bar);
    html("td", { class: "figure" }, row, writePercent(share));
  }
  return table;
}

/* A pair of name and value in a <dl class="inline">. */
function fact(list, key, value) {
  const row = html("div", {}, list);
  html("dt", {}, row, key);
  return html("dd", { class: "name" }, row, value);
}
