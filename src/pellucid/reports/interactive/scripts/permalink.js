/* What is open, in the address: #branch=3&image=2&compare=4&mode=soft&class=7&runner-up=1 */

const NOTHING_OPEN = {
  node: null, image: null, other: null, soft: false, chosenClass: null, showsRunnerUp: false,
};

function writeHash(state) {
  const parts = [];
  if (state.node !== null) {
    parts.push(isLeaf(state.node) ? `leaf=${~state.node}` : `branch=${state.node}`);
  }
  if (state.image !== null) parts.push(`image=${state.image}`);
  if (state.other !== null) parts.push(`compare=${state.other}`);
  if (state.soft) parts.push("mode=soft");
  if (state.chosenClass !== null) parts.push(`class=${state.chosenClass}`);
  if (state.showsRunnerUp) parts.push("runner-up=1");
  return parts.join("&");
}

/* The state that an address describes, or null where it is none of ours, such as #accuracy.
   Numbers out of range are left out: an address may come from anywhere. */
function readHash(hash, tree, imageCount) {
  const text = hash.replace(/^#/, "");
  if (text && !text.includes("=")) return null;
  const given = new URLSearchParams(text);
  const number = (key, count) => {
    const value = given.get(key);
    return value !== null && /^\d{1,6}$/.test(value) && Number(value) < count ? Number(value) : null;
  };
  const leaf = number("leaf", tree.leafCount);
  const image = number("image", imageCount);
  const other = image === null ? null : number("compare", imageCount);
  return {
    node: leaf === null ? number("branch", tree.branchCount) : ~leaf,
    image,
    other: other === image ? null : other,
    soft: given.get("mode") === "soft",
    chosenClass: number("class", tree.classes.length),
    showsRunnerUp: image !== null && given.get("runner-up") === "1",
  };
}
