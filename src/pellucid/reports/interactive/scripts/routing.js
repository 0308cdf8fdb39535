/* What a tree answers to an image, from the image's similarities alone: one path or all of them.
   A node is a number: a branch is >= 0, leaf j is ~j (negative). Right means "present". */

const TURNING_DISTANCE = Math.log(2);
const LEAST_LOG = Math.log(-Math.expm1(-1e-12)); // no path is quite impossible

const isLeaf = (node) => node < 0;

/* Adds to a tree what follows from its children: root, parents, levels, leaves below, majorities. */
function prepareTree(tree) {
  const branches = tree.left.length;
  tree.root = branches ? 0 : ~0;
  tree.branchCount = branches;
  tree.leafCount = tree.leaves.length;
  tree.parents = new Map(); // node -> { branch, present }
  tree.levels = new Map([[tree.root, 0]]);
  tree.preorder = [];
  const waiting = [tree.root];
  while (waiting.length) {
    const node = waiting.pop();
    tree.preorder.push(node);
    if (isLeaf(node)) continue;
    for (const present of [false, true]) { // the present child is popped, and drawn, first
      const child = present ? tree.right[node] : tree.left[node];
      tree.parents.set(child, { branch: node, present });
      tree.levels.set(child, tree.levels.get(node) + 1);
      waiting.push(child);
    }
  }
  tree.leavesBelow = new Map();
  for (const node of [...tree.preorder].reverse()) {
    tree.leavesBelow.set(node, isLeaf(node) ? 1
      : tree.leavesBelow.get(tree.left[node]) + tree.leavesBelow.get(tree.right[node]));
  }
  tree.depth = Math.max(...tree.levels.values());
  tree.majority = tree.leaves.map(indexOfLargest);
  return tree;
}

function indexOfLargest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/* The turns from the root to a node: [{ branch, present }]. */
function wayTo(tree, node) {
  const way = [];
  for (let at = tree.parents.get(node); at; at = tree.parents.get(at.branch)) way.push(at);
  return way.reverse();
}

function takeTurn(branch, similarity, present) {
  const distance = -Math.log(similarity);
  return { branch, similarity, present, distance, margin: Math.abs(distance - TURNING_DISTANCE) };
}

/* Everything the tree says of an image with these similarities, one a branch. */
function answerImage(tree, similarities) {
  const logReach = new Map([[tree.root, 0]]);
  for (const node of tree.preorder) {
    if (isLeaf(node)) continue;
    const s = similarities[node];
    logReach.set(tree.right[node], logReach.get(node) + Math.log(s));
    logReach.set(tree.left[node], logReach.get(node) + Math.max(Math.log1p(-s), LEAST_LOG));
  }
  const mixture = tree.classes.map(() => 0);
  tree.leaves.forEach((shares, leaf) => {
    const probability = Math.exp(logReach.get(~leaf));
    shares.forEach((share, k) => { mixture[k] += probability * share; });
  });

  const path = [];
  let node = tree.root;
  while (!isLeaf(node)) {
    const present = similarities[node] >= 0.5;
    path.push(takeTurn(node, similarities[node], present));
    node = present ? tree.right[node] : tree.left[node];
  }
  const leaf = ~node;
  const prediction = tree.majority[leaf];
  const others = mixture.map((share, k) => (k === prediction ? -1 : share));
  const runnerUp = tree.classes.length > 1 ? indexOfLargest(others) : null;
  return {
    reach: (at) => Math.exp(logReach.get(at)),
    mixture,
    softPrediction: indexOfLargest(mixture),
    path,
    leaf,
    prediction,
    probability: Math.exp(logReach.get(~leaf)),
    margin: path.reduce((least, turn) => Math.min(least, turn.margin), Infinity),
    runnerUp,
    ...findRunnerUpPath(tree, similarities, logReach, leaf, runnerUp),
  };
}

/* The most probable leaf of the runner-up class, the way there, and the branch where it parts. */
function findRunnerUpPath(tree, similarities, logReach, leaf, runnerUp) {
  let best = null;
  tree.majority.forEach((k, j) => {
    if (k === runnerUp && (best === null || logReach.get(~j) > logReach.get(~best))) best = j;
  });
  if (best === null) return { runnerUpLeaf: null, runnerUpPath: [], partsAt: null };
  const way = wayTo(tree, ~best);
  return {
    runnerUpLeaf: best,
    runnerUpPath: way.map(({ branch, present }) => takeTurn(branch, similarities[branch], present)),
    partsAt: findParting(tree, ~leaf, ~best),
  };
}

/* The last branch that the ways to two different nodes share; null where one way is the other's. */
function findParting(tree, one, other) {
  const first = wayTo(tree, one), second = wayTo(tree, other);
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    if (first[i].branch === second[i].branch && first[i].present !== second[i].present) {
      return first[i].branch;
    }
  }
  return null;
}

/* The leaves by how probable the image is to end there, most probable first. */
function rankLeaves(tree, answer, count) {
  return tree.leaves
    .map((_, leaf) => ({ leaf, probability: answer.reach(~leaf) }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, count);
}
