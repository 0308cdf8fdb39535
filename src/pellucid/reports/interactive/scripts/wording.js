/* How numbers and findings are put into words, as Python's pages write them. */

function writePercent(share, digits = 1) {
  const text = (100 * share).toFixed(digits);
  const least = 10 ** -digits;
  if (share > 0 && 100 * share < least / 2) return `<\u00a0${least.toFixed(digits)}\u00a0%`;
  return `${text}\u00a0%`;
}

function writeDistance(value) {
  if (!Number.isFinite(value)) return "unbounded";
  return value < 1e-6 ? "<\u00a01e\u20116" : value.toFixed(3);
}

const writeSimilarity = (value) => value.toFixed(3);
const writePresence = (present) => (present ? "present" : "absent");
/* A name inside a sentence: one that runs from right to left must not turn the rest around. */
const isolate = (name) => `\u2068${name}\u2069`;
const writeCount = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

function nameNode(tree, node) {
  if (!isLeaf(node)) return `branch ${node}`;
  const leaf = ~node, best = tree.majority[leaf];
  return `leaf ${leaf}: ${tree.classes[best]} ${writePercent(tree.leaves[leaf][best], 0)}`;
}

/* The way to a node in words: "branch 0 present, branch 2 absent". */
const writeWay = (way) =>
  way.map(({ branch, present }) => `branch ${branch} ${writePresence(present)}`).join(", ");

/* The largest shares with their classes, the first of equals first; what reads 0 % is left out. */
function largestShares(shares, count) {
  return shares
    .map((share, k) => ({ share, k }))
    .sort((a, b) => b.share - a.share || a.k - b.k)
    .slice(0, count)
    .filter(({ share }, rank) => rank === 0 || share >= 0.005);
}

/* What makes a path a weak reason, as Python's `Explanation.cautions`. */
const nearlyATie = 0.05;
function listCautions(answer) {
  const found = [];
  if (answer.path.length > 0 && !answer.path.some(({ present }) => present)) {
    found.push("No prototype on this path is present: the answer is what is left where all of them "
      + "are absent, and no patch of the image speaks for it.");
  }
  answer.path.forEach(({ similarity }, index) => {
    if (Math.abs(similarity - 0.5) >= nearlyATie) return;
    found.push(`Step ${index + 1} is nearly a tie (similarity ${writeSimilarity(similarity)}, decided at `
      + "0.5): a slightly different image may be answered otherwise.");
  });
  return found;
}
