/* Where the visible nodes stand: root at the left, a row for each leaf or folded branch, the present
   child above the absent one, a branch midway between its children. */

const FOLD_FROM_LEAVES = 64; // a larger tree starts folded
const OPEN_LEVELS = 4; // as far as a folded tree is open

/* Which branches are folded: what the reader last chose, else large trees below some level,
   except on the way to what is shown. */
function foldBranches(tree, chosen, shown) {
  const large = tree.leafCount > FOLD_FROM_LEAVES;
  const onTheWay = new Set();
  if (large) for (const node of shown) for (const turn of wayTo(tree, node)) onTheWay.add(turn.branch);
  return (branch) => chosen.get(branch)
    ?? (large && tree.levels.get(branch) >= OPEN_LEVELS && !onTheWay.has(branch));
}

/* Level and row of every visible node, in the order in which they are read. */
function layOutNodes(tree, isFolded) {
  const places = new Map(); // node -> { level, row, folded }
  const visible = [];
  const waiting = [tree.root];
  let rows = 0;
  while (waiting.length) {
    const node = waiting.pop();
    const folded = !isLeaf(node) && isFolded(node);
    const place = { node, level: tree.levels.get(node), row: 0, folded };
    places.set(node, place);
    visible.push(place);
    if (isLeaf(node) || folded) place.row = rows++;
    else waiting.push(tree.left[node], tree.right[node]);
  }
  for (const place of [...visible].reverse()) { // children before parents
    if (isLeaf(place.node) || place.folded) continue;
    place.row = (places.get(tree.left[place.node]).row + places.get(tree.right[place.node]).row) / 2;
  }
  return { places, visible, rows, levels: 1 + Math.max(...visible.map((place) => place.level)) };
}

/* The node that an arrow key leads to: left is back, right is on, up and down stay on the level. */
function findNeighbor(tree, layout, node, key) {
  const place = layout.places.get(node);
  if (key === "ArrowLeft") return tree.parents.get(node)?.branch ?? null;
  if (key === "ArrowRight") return isLeaf(node) || place.folded ? null : tree.right[node];
  if (key === "Home") return tree.root;
  const sameLevel = layout.visible.filter((other) => other.level === place.level);
  if (key === "End") return sameLevel.reduce((a, b) => (b.row > a.row ? b : a)).node;
  const up = key === "ArrowUp";
  let best = null;
  for (const other of sameLevel) {
    if (up ? other.row >= place.row : other.row <= place.row) continue;
    if (!best || (up ? other.row > best.row : other.row < best.row)) best = other;
  }
  return best?.node ?? null;
}
