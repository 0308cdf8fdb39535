/* The tree as SVG: pictures at branches, answers at leaves, and the ways of up to two images. */

const OVERVIEW_BELOW = 0.42; // of the natural size: text and pictures would be too small to tell anything

function createTreeView(app, frame) {
  const { tree } = app;
  const drawing = svg("svg", { class: "forest" }, frame);
  const view = {
    drawing, frame, layout: null, focused: tree.root, scale: 1, size: [1, 1], isOverview: false, draw,
  };

  /* In the overview the tree fills the frame, whatever its shape; else it has its natural size. */
  view.rowPx = () => (view.isOverview
    ? (view.size[1] - 2 * SIZES.margin) / view.layout.rows : SIZES.row);
  const levelPx = () => (view.isOverview
    ? (view.size[0] - 2 * SIZES.margin - OVERVIEW_BAR - 4) / Math.max(1, view.layout.levels - 1) : SIZES.level);
  view.naturalSize = () => [
    2 * SIZES.margin + (view.layout.levels - 1) * SIZES.level + SIZES.leaf,
    2 * SIZES.margin + SIZES.caption + view.layout.rows * SIZES.row,
  ];
  const place = (node) => {
    const { level, row } = view.layout.places.get(node);
    const top = SIZES.margin + (view.isOverview ? 0 : SIZES.caption);
    return [SIZES.margin + level * levelPx(), top + (row + 0.5) * view.rowPx()];
  };

  view.layOut = () => {
    view.isFolded = foldBranches(tree, app.folds, app.shownNodes());
    view.layout = layOutNodes(tree, view.isFolded);
  };

  function draw() {
    const hadFocus = drawing.contains(document.activeElement);
    view.layOut();
    if (!view.layout.places.has(view.focused)) view.focused = nearestVisible(view.focused);
    view.size = view.isOverview ? view.overviewSize() : view.naturalSize();
    drawing.replaceChildren();
    drawing.setAttribute("viewBox", `0 0 ${view.size.join(" ")}`);
    drawing.classList.toggle("overview", view.isOverview);
    applyScale();
    const lines = svg("g", { "aria-hidden": "true" }, drawing);
    drawWays(lines);
    for (const { node, folded } of view.layout.visible) {
      if (!isLeaf(node) && !folded) drawEdges(lines, node);
    }
    const nodes = svg("g", { role: "tree", "aria-label": "The tree: arrow keys lead along it" }, drawing);
    for (const { node, folded } of view.layout.visible) drawNode(nodes, node, folded);
    if (hadFocus) focusNode(view.focused, false);
  }

  function nearestVisible(node) {
    for (let at = node; at !== undefined; at = tree.parents.get(at)?.branch) {
      if (view.layout.places.has(at)) return at;
    }
    return tree.root;
  }

  function applyScale() {
    const scale = view.isOverview ? 1 : view.scale;
    drawing.setAttribute("width", Math.round(view.size[0] * scale));
    drawing.setAttribute("height", Math.round(view.size[1] * scale));
  }

  /* Show the tree at a scale; below the least one there is only the overview. */
  view.setScale = (scale, redraws = false) => {
    const needsDrawing = view.isOverview || scale < OVERVIEW_BELOW || redraws;
    view.isOverview = scale < OVERVIEW_BELOW;
    view.scale = Math.min(3, Math.max(OVERVIEW_BELOW, scale));
    if (needsDrawing) draw();
    else applyScale();
  };

  function edgeLine(node, child) {
    const [x0, y0] = place(node), [x1, y1] = place(child);
    const [start, stop] = view.isOverview ? [x0, x1] : [x0 + NODE_WIDTH + 5, x1 - 5];
    const middle = (start + stop) / 2;
    return `M${start} ${y0}C${middle} ${y0} ${middle} ${y1} ${stop} ${y1}`;
  }

  /* Behind the edges: a band along the way of each image, dots along that of the runner-up. */
  function drawWays(lines) {
    for (const { path, end, kind } of app.shownWays()) {
      path.forEach(({ branch }, i) => {
        const next = i + 1 < path.length ? path[i + 1].branch : end;
        if (view.layout.places.has(branch) && view.layout.places.has(next)) {
          svg("path", { class: `way ${kind}`, d: edgeLine(branch, next) }, lines);
        }
      });
    }
  }

  function drawEdges(lines, node) {
    const answer = app.firstAnswer();
    for (const [child, present] of [[tree.right[node], true], [tree.left[node], false]]) {
      const edge = svg("path", { class: `edge ${writePresence(present)}`, d: edgeLine(node, child) }, lines);
      if (app.state.soft && answer) {
        const reach = answer.reach(child);
        edge.style.strokeWidth = `${(0.75 + (view.isOverview ? 5 : 11) * reach).toFixed(2)}px`;
        edge.style.strokeOpacity = (0.3 + 0.7 * Math.sqrt(reach)).toFixed(3);
        edge.classList.add("weighed");
      } else if (answer && !app.isOnShownWay(child)) edge.classList.add("aside");
      if (app.isOtherClass(child)) edge.classList.add("dim");
      if (!view.isOverview) {
        const [x, y] = place(child);
        const kind = app.isOtherClass(child) ? "small end dim" : "small end";
        svg("text", { class: kind, x: x - 7, y: y - 4 }, lines, writePresence(present));
      }
    }
  }

  function drawNode(parent, node, folded) {
    const [left, middle] = place(node);
    const classes = ["node", isLeaf(node) ? "leaf" : folded ? "folded" : "branch"];
    if (node === app.state.node) classes.push("open");
    if (app.isOtherClass(node)) classes.push("dim");
    if (app.isOfClass(node)) classes.push("hit");
    for (const { path, end, kind } of app.shownWays()) {
      if (kind !== "runner-up" && (node === end || path.some((turn) => turn.branch === node))) {
        classes.push(`on-${kind}`);
      }
    }
    const label = describeNode(node, folded);
    const group = svg("g", { class: classes.join(" ") }, parent);
    const item = svg("g", {
      role: "treeitem", "data-node": node, "aria-label": label, "aria-level": 1 + tree.levels.get(node),
      "aria-selected": node === app.state.node, tabindex: node === view.focused ? 0 : -1,
    }, group);
    if (!isLeaf(node)) item.setAttribute("aria-expanded", !folded);
    svg("title", {}, group, label);
    const looks = svg("g", { class: "looks", "aria-hidden": "true" }, group);
    if (view.isOverview) drawMark(app, item, looks, node, folded, left, middle, view.rowPx());
    else drawNodeBody(app, item, looks, node, folded, left, middle);
    if (!isLeaf(node) && !view.isOverview) drawFoldMark(group, node, folded, left, middle);
  }

  function describeNode(node, folded) {
    const answer = app.firstAnswer();
    if (isLeaf(node)) {
      const shares = largestShares(tree.leaves[~node], 3)
        .map(({ share, k }) => `${tree.classes[k]} ${writePercent(share, 0)}`).join(", ");
      const here = answer ? `; the image ends here with ${writePercent(answer.reach(node))}` : "";
      return `leaf ${~node}: ${shares}${here}`;
    }
    const shown = tree.prototypes[node];
    const what = shown ? `patch of ${shown.image}, class ${shown.class}` : "no picture";
    const similarity = answer ? app.firstImage().similarities[node] : null;
    const here = answer
      ? `; similarity ${writeSimilarity(similarity)}, ${writePresence(similarity >= 0.5)}` : "";
    const below = folded ? `; folded, ${writeCount(tree.leavesBelow.get(node), "leaf", "leaves")} below` : "";
    return `branch ${node}: ${what}${here}${below}`;
  }

  function focusNode(node, reveals = true) {
    const before = drawing.querySelector('[tabindex="0"]');
    before?.setAttribute("tabindex", -1);
    view.focused = node;
    const group = drawing.querySelector(`[data-node="${node}"]`);
    group.setAttribute("tabindex", 0);
    group.focus({ preventScroll: true });
    if (reveals) view.reveal(node);
  }
  view.focusNode = focusNode;

  /* Scroll the frame, never the page, so that a node stands inside it. */
  view.reveal = (node) => {
    if (!view.layout.places.has(node)) return;
    if (view.isOverview) return;
    const [x, y] = place(node).map((value) => value * view.scale);
    const wide = NODE_WIDTH * view.scale, tall = SIZES.patch * view.scale, room = 24;
    const { clientWidth, clientHeight } = frame;
    if (x < frame.scrollLeft + room) frame.scrollLeft = x - room;
    else if (x + wide > frame.scrollLeft + clientWidth - room) frame.scrollLeft = x + wide + room - clientWidth;
    if (y - tall < frame.scrollTop + room) frame.scrollTop = y - tall - room;
    else if (y + tall > frame.scrollTop + clientHeight - room) frame.scrollTop = y + tall + room - clientHeight;
  };
  view.center = (node) => {
    if (view.isOverview) return;
    const [x, y] = place(node).map((value) => value * view.scale);
    frame.scrollTop = y - frame.clientHeight / 2;
    frame.scrollLeft = x - frame.clientWidth / 2;
  };
  return view;
}
