/* Choosing and folding nodes, by pointer and by keyboard. */

const ARROWS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

function listenToTree(app, view) {
  const { tree } = app;
  const nodeOf = (event) => {
    const part = event.target.closest("[data-node], [data-fold]");
    return part ? Number(part.dataset.node ?? part.dataset.fold) : null;
  };
  view.drawing.addEventListener("click", (event) => {
    if (view.wasDragged) return;
    const node = nodeOf(event);
    if (node === null) return;
    view.focused = node;
    if (event.target.closest("[data-fold]")) return fold(node, !view.isFolded(node));
    if (!isLeaf(node) && view.isFolded(node)) app.folds.set(node, false);
    app.open(node, false);
    view.focusNode(node);
  });
  view.drawing.addEventListener("keydown", (event) => {
    const node = nodeOf(event);
    if (node === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const folded = !isLeaf(node) && view.isFolded(node);
    if (ARROWS.has(event.key)) {
      if (event.key === "ArrowRight" && folded) fold(node, false);
      else {
        const next = findNeighbor(tree, view.layout, node, event.key);
        if (next !== null) view.focusNode(next);
      }
    } else if (event.key === "Enter") {
      if (folded) app.folds.set(node, false);
      app.open(node, false);
    } else if (event.key === " ") {
      if (isLeaf(node)) app.open(node, false);
      else fold(node, !folded);
    } else if (event.key === "+" || event.key === "=") view.zoomBy(1.25);
    else if (event.key === "-") view.zoomBy(0.8);
    else if (event.key === "0") view.fit();
    else return;
    event.preventDefault();
  });

  function fold(node, folded) {
    app.folds.set(node, folded);
    view.focused = node;
    view.draw();
    view.focusNode(node);
  }
}

/* All branches open, or all but the root and what is on the shown way. */
function foldAll(app, folded) {
  app.folds.clear();
  for (let branch = 0; branch < app.tree.branchCount; branch++) {
    app.folds.set(branch, folded && branch !== app.tree.root && !app.isOnShownWay(branch));
  }
}
