/* Pictures: each is in the page once, in the part that is shown where scripts are off. Here it is
   read from there as text and becomes an element only when it is first shown. */

const FINE_BELOW_PX = 128; // enlarged pixels of a smaller picture look better sharp than smeared

const pictures = { sources: new Map(), host: null };

function readPictures(text) {
  const pattern = /<image id="(p\d+)"[^>]*? href="(data:image\/[a-z]+;base64,[^"]*)"/g;
  for (const match of text.matchAll(pattern)) pictures.sources.set(match[1], match[2]);
  const store = svg("svg", { class: "store", "aria-hidden": "true", width: 0, height: 0 }, document.body);
  pictures.host = svg("defs", {}, store);
}

/* Hold a picture that came later; returns its id. */
function addPicture(source) {
  const id = `q${pictures.sources.size}`;
  pictures.sources.set(id, source);
  return id;
}

function needPicture(id, [height, width]) {
  if (document.getElementById(id)) return;
  const node = svg("image", { id, width, height, preserveAspectRatio: "none" }, pictures.host);
  if (Math.max(height, width) < FINE_BELOW_PX) node.setAttribute("class", "px");
  node.setAttribute("href", pictures.sources.get(id));
}

/* An <svg> of part of a picture, fit into a square: view = [top, left, bottom, right]. */
function showPart(parent, shown, view, sidePx, label, kind) {
  needPicture(shown.picture, shown.size);
  const [top, left, bottom, right] = view;
  const scale = sidePx / Math.max(bottom - top, right - left);
  const node = svg("svg", {
    class: kind,
    viewBox: `${left} ${top} ${right - left} ${bottom - top}`,
    width: ((right - left) * scale).toFixed(2),
    height: ((bottom - top) * scale).toFixed(2),
  }, parent);
  if (label) {
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", label);
    svg("title", {}, node, label);
  } else node.setAttribute("aria-hidden", "true");
  svg("use", { href: `#${shown.picture}` }, node);
  return node;
}

function outline(parent, [top, left, bottom, right]) {
  for (const line of ["box-under", "box-over"]) { // dark under light: seen on any picture
    svg("rect", { class: line, x: left, y: top, width: right - left, height: bottom - top },
      parent);
  }
}

const showPatch = (parent, shown, box, sidePx, label = "") =>
  showPart(parent, shown, box, sidePx, label, "patch");

function showBoxed(parent, shown, box, sidePx, label = "") {
  const node = showPart(parent, shown, [0, 0, ...shown.size], sidePx, label, "boxed");
  if (box) outline(node, box);
  return node;
}

/* The whole picture with its box, and what is in the box enlarged. */
function showPair(parent, shown, box, sidePx, what) {
  const pair = html("div", { class: "pair" }, parent);
  showBoxed(pair, shown, box, sidePx, `${what} boxed in ${shown.name ?? shown.image}`);
  showPatch(pair, shown, box, sidePx, `${what} enlarged`);
  return pair;
}
