/* How a node looks: a branch with its pictures, a leaf with its answer, a folded branch with what is
   below it; and in the overview each as a mark. */

const SIZES = { patch: 46, between: 4, caption: 15, level: 160, row: 37, leaf: 196, margin: 14 };
const NODE_WIDTH = 2 * SIZES.patch + SIZES.between;
const OVERVIEW_BAR = 44;

const measuring = document.createElement("canvas").getContext("2d");

/* The text, cut and ended with an ellipsis where it is wider. */
function shorten(text, widthPx, font) {
  measuring.font = `${font} system-ui, sans-serif`;
  if (measuring.measureText(text).width <= widthPx) return text;
  let kept = Array.from(text).slice(0, 80);
  while (kept.length && measuring.measureText(`${kept.join("")}…`).width > widthPx) kept.pop();
  return `${kept.join("").trimEnd()}…`;
}

/* A node at its natural size, left edge and middle given. The item itself is its frame alone, as
   large as it looks and named by its label; text and pictures lie over it, for the eyes. */
function drawNodeBody(app, item, looks, node, folded, left, middle) {
  if (isLeaf(node)) drawLeaf(app, item, looks, ~node, left, middle);
  else if (folded) drawFolded(app, item, looks, node, left, middle);
  else {
    drawBranch(app, item, looks, node, left, middle);
    drawPictures(app, looks, node, left, middle);
  }
}

/* A node in the overview: a point, or a bar as long as the answer is sure. */
function drawMark(app, item, looks, node, folded, left, middle, rowPx) {
  const { tree } = app;
  if (!isLeaf(node) && !folded) {
    const radius = Math.min(5, Math.max(1.4, 0.6 * rowPx)) + Math.max(0, 3 - tree.levels.get(node));
    svg("circle", { class: "frame point", cx: left, cy: middle, r: radius }, item);
    svg("circle", { class: "reach", cx: left, cy: middle, r: Math.max(radius, 4) }, item);
    return;
  }
  const height = Math.min(10, Math.max(1, 0.8 * rowPx));
  svg("rect", { class: "frame", x: left - 1, y: middle - height / 2, width: OVERVIEW_BAR + 2, height }, item);
  let x = left;
  for (const [k, share] of folded ? countClassesBelow(tree, node) : [bestShare(tree, ~node)]) {
    const width = OVERVIEW_BAR * (folded ? share / tree.leavesBelow.get(node) : share);
    svg("rect", { class: colorOfClass(tree, k), x, y: middle - height / 2, width, height }, looks);
    x += width;
  }
}

const bestShare = (tree, leaf) => [tree.majority[leaf], tree.leaves[leaf][tree.majority[leaf]]];

function drawBranch(app, item, looks, node, left, middle) {
  const { tree } = app;
  const top = middle - SIZES.patch / 2;
  const frameBox = { x: left - 4, y: top - SIZES.caption, width: NODE_WIDTH + 8, rx: 5 };
  svg("rect", { class: "frame", ...frameBox, height: SIZES.patch + SIZES.caption + 4 }, item);
  const shown = tree.prototypes[node];
  svg("text", { class: "caption", x: left, y: top - 4 }, looks, String(node));
  const index = findPassing(app, node);
  const right = left + NODE_WIDTH;
  if (index !== undefined) {
    const similarity = app.images[index].similarities[node];
    const kind = similarity >= 0.5 ? "found" : "missed";
    svg("text", { class: `number ${kind}`, x: right, y: top - 4 }, looks, similarity.toFixed(2));
  } else if (shown) {
    const room = NODE_WIDTH - 10 - 7 * String(node).length;
    svg("text", { class: "number", x: right, y: top - 4 }, looks, shorten(shown.class, room, "11px"));
  }
}

/* The shown image whose path comes by a branch; of two the first. */
const findPassing = (app, node) => app.shownImages()
  .find((index) => app.answer(index).path.some(({ branch }) => branch === node));

/* The prototype in its image and enlarged; on the path of an image, beside what was found there. */
function drawPictures(app, group, node, left, middle) {
  const shown = app.tree.prototypes[node], index = findPassing(app, node);
  const top = middle - SIZES.patch / 2;
  const slots = [left, left + SIZES.patch + SIZES.between];
  if (!shown) {
    svg("rect", { class: "track", x: left, y: top, width: NODE_WIDTH, height: SIZES.patch }, group);
  } else if (index !== undefined) {
    const image = app.images[index];
    position(showPatch(group, shown, shown.box, SIZES.patch), slots[0], top);
    const here = position(showPatch(group, image, image.boxes[node], SIZES.patch), slots[1], top);
    svg("rect", { class: index === app.state.image ? "here" : "here second", ...here }, group);
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

function drawLeaf(app, item, looks, leaf, left, middle) {
  const { tree } = app;
  const best = tree.majority[leaf], share = tree.leaves[leaf][best];
  svg("rect", { class: "frame", x: left - 4, y: middle - 15, width: 136, height: 30, rx: 5 }, item);
  svg("rect", { class: "track", x: left, y: middle + 5, width: 128, height: 6 }, looks);
  svg("rect", { class: colorOfClass(tree, best), x: left, y: middle + 5,
    width: Math.max(1, 128 * share), height: 6 }, looks);
  const percent = writePercent(share, 0);
  const name = shorten(tree.classes[best], 90, "600 12.5px");
  svg("text", { class: "name", x: left, y: middle + 0.5 }, looks, name);
  svg("text", { class: "number", x: left + 128, y: middle + 0.5 }, looks, percent);
  const answer = app.firstAnswer();
  if (!answer || (!app.state.soft && answer.leaf !== leaf)) return;
  svg("text", { class: "arrival", x: left + 138, y: middle + 4 }, looks,
    writePercent(answer.reach(~leaf), answer.reach(~leaf) < 0.0995 ? 1 : 0));
}

function drawFolded(app, item, looks, node, left, middle) {
  const { tree } = app;
  svg("rect", { class: "frame", x: left - 4, y: middle - 15, width: 136, height: 30, rx: 15 }, item);
  let x = left + 8;
  const below = tree.leavesBelow.get(node);
  for (const [k, count] of countClassesBelow(tree, node)) {
    const width = (112 * count) / below;
    svg("rect", { class: colorOfClass(tree, k), x, y: middle + 5, width, height: 6 }, looks);
    x += width;
  }
  svg("text", { class: "name", x: left + 8, y: middle + 0.5 }, looks, `${node}: ${below} leaves`);
  const answer = app.firstAnswer();
  if (!answer || !app.state.soft) return;
  svg("text", { class: "arrival", x: left + 148, y: middle + 4 }, looks, writePercent(answer.reach(node), 0));
}

function countClassesBelow(tree, node) {
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
  const x = left + (folded ? 132 : NODE_WIDTH + 4);
  const mark = svg("g", { class: "fold-mark", "data-fold": node }, group);
  svg("circle", { class: "reach", cx: x, cy: middle, r: 12 }, mark);
  svg("circle", { class: "knob", cx: x, cy: middle, r: 6.5 }, mark);
  svg("path", { d: `M${x - 3} ${middle}H${x + 3}${folded ? `M${x} ${middle - 3}V${middle + 3}` : ""}` }, mark);
}

