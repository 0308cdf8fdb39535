/* What the reader opened: a branch with its prototype, or a leaf with its answer. */

function createNodePanel(app, panel) {
  const { tree } = app;
  const open = (node) => app.open(node);

  function draw() {
    panel.replaceChildren();
    const node = app.state.node;
    if (node === null) return drawGuide();
    const header = html("header", {}, panel);
    const title = isLeaf(node) ? `Leaf ${~node}` : `Branch ${node}`;
    html("h3", {}, header, title);
    button(header, "×", () => app.close(), { class: "close", "aria-label": `Close ${title}` });
    if (isLeaf(node)) drawLeafPanel(~node);
    else drawBranchPanel(node);
  }

  function drawGuide() {
    html("h3", {}, panel, "How to read it");
    const list = html("ul", { class: "guide" }, panel);
    html("li", {}, list, "Start at the left. Each branch shows one patch of a training image and asks: "
      + "is there something like it in the image?");
    html("li", {}, list, "If it is present the way goes up, if it is absent it goes down, until a leaf answers.");
    html("li", {}, list, "Select a branch or a leaf to see all there is about it here.");
    if (app.images.length) {
      html("li", {}, list, "Choose an image above to follow its way, and to see what the tree found in it.");
    }
  }

  function drawWay(node) {
    const way = wayTo(tree, node);
    if (!way.length) return;
    const row = html("p", { class: "note" }, panel, "Reached by ");
    way.forEach(({ branch, present }, i) => {
      nodeButton(row, tree, branch, open);
      html("span", { class: present ? "up" : "down" }, row, ` ${writePresence(present)}`);
      row.append(i + 1 < way.length ? ", " : ".");
    });
  }

  function drawBranchPanel(branch) {
    const shown = tree.prototypes[branch];
    if (shown) {
      html("p", { class: "question" }, panel, "Is this patch in the image?");
      showPair(panel, shown, shown.box, 150, `prototype of branch ${branch}`);
      const from = html("p", {}, panel, "From the training image ");
      html("span", { class: "name" }, from, shown.image);
      from.append(", class ");
      html("b", { class: "name" }, from, shown.class);
      from.append(".");
      if (shown.distance >= 1e-4) {
        html("p", { class: "note" }, panel,
          `The prototype only resembles this patch: latent distance ${writeDistance(shown.distance)}.`);
      }
    } else html("p", { class: "note" }, panel, "There is no picture of this prototype.");
    for (const index of app.shownImages()) drawInImage(branch, index);
    const leads = html("ul", { class: "leads" }, panel);
    for (const [present, child] of [[true, tree.right[branch]], [false, tree.left[branch]]]) {
      const row = html("li", {}, leads);
      tag(row, writePresence(present), present ? "yes" : "no");
      row.append(" ");
      nodeButton(row, tree, child, open);
    }
    drawWay(branch);
    if (shown?.duplicates.length) {
      const row = html("p", { class: "note" }, panel, "The same patch stands at ");
      shown.duplicates.forEach((other, i) => {
        if (i) row.append(", ");
        nodeButton(row, tree, other, open);
      });
      row.append(".");
    }
    if (shown?.histogram) {
      html("h4", {}, panel, "How similar test images are");
      showHistogram(panel, shown.histogram, app.shownImages().map((index, i) => (
        { similarity: app.images[index].similarities[branch], kind: i ? "second" : "first" })));
    }
    if (shown?.histogram && shown.found_in.length) drawFoundIn(shown);
    if (shown?.neighbors.length) drawNeighbors(shown);
  }

  function drawInImage(branch, index) {
    const image = app.images[index];
    const similarity = image.similarities[branch];
    const turn = takeTurn(branch, similarity, similarity >= 0.5);
    const box = html("div", { class: "in-image" }, panel);
    const title = html("h4", {}, box, "In ");
    html("span", { class: "name" }, title, image.name);
    showPair(box, image, image.boxes[branch], 110, `patch most similar to branch ${branch}`);
    showMeter(box, turn);
    if (!app.answer(index).path.some((other) => other.branch === branch)) {
      html("p", { class: "note" }, box, "The image's one path does not come by here.");
    }
  }

  function drawNeighbors(shown) {
    html("h4", {}, panel, "Nearest training patches");
    const same = shown.neighbors.filter((near) => near.class === shown.class).length;
    const note = html("p", { class: "note" }, panel, `${same} of ${shown.neighbors.length} from class `);
    html("span", { class: "name" }, note, shown.class);
    drawPatches(shown.neighbors, "training patch", (distance) => `distance ${writeDistance(distance)}`);
  }

  /* From most to least similar: the nearest alone would hide a second meaning. */
  function drawFoundIn(shown) {
    html("h4", {}, panel, "Where test images have it");
    const { passing } = shown.histogram;
    const count = passing.slice(passing.length / 2).reduce((sum, images) => sum + images, 0);
    const some = shown.found_in.length < count;
    const said = count === 1 ? "The only test image that goes “present” here."
      : `${some ? `${shown.found_in.length} of` : "All"} ${count} test images that go “present” here, `
        + `${some ? "evenly " : ""}from the most to the least similar. Do all show the same thing?`;
    html("p", { class: "note" }, panel, said);
    drawPatches(shown.found_in, "patch of a test image",
      (distance) => `similarity ${writeSimilarity(Math.exp(-distance))}`);
  }

  function drawPatches(patches, what, describeNearness) {
    const list = html("ul", { class: "neighbors" }, panel);
    for (const near of patches) {
      const item = html("li", {}, list);
      showPair(item, near, near.box, 54, `${what}, class ${near.class},`);
      html("span", { class: "name", title: `${near.class}, ${near.image}` }, item, near.class);
      html("span", { class: "note" }, item, describeNearness(near.distance));
    }
  }

  function drawLeafPanel(leaf) {
    classBars(panel, tree, tree.leaves[leaf], "answer of this leaf: class probabilities", 10);
    const visits = tree.visits[leaf];
    if (visits) {
      const [images, right] = visits;
      html("p", {}, panel, images === 0 ? "No test image ends here by its one path."
        : `${writeCount(images, "test image")} ${images === 1 ? "ends" : "end"} here; `
          + `${right === images ? (images === 1 ? "it is" : "all are") : `${right} of them ${right === 1 ? "is" : "are"}`} answered right.`);
    }
    for (const index of app.shownImages()) {
      const row = html("p", {}, panel);
      html("b", { class: "name" }, row, app.images[index].name);
      row.append(` ends here with probability ${writePercent(app.answer(index).reach(~leaf))}.`);
    }
    drawWay(~leaf);
  }
  return { draw };
}

/* Similarity as a bar with its threshold, and what follows from it, in words. */
function showMeter(parent, turn) {
  const meter = html("div", { class: "meter" }, parent);
  const bar = svg("svg", {
    viewBox: "0 0 100 12", preserveAspectRatio: "none", role: "img",
    "aria-label": `similarity ${writeSimilarity(turn.similarity)}; from 0.5 on the patch counts as present`,
  }, meter);
  svg("rect", { class: "track", y: 2, width: 100, height: 8 }, bar);
  svg("rect", { class: turn.present ? "yes" : "no", y: 2, width: 100 * turn.similarity, height: 8 }, bar);
  svg("rect", { class: "half", x: 49.6, width: 0.8, height: 12 }, bar);
  const said = html("p", {}, meter, "similarity ");
  html("b", {}, said, writeSimilarity(turn.similarity));
  said.append(turn.present ? " ≥ ½ " : " < ½ ");
  presenceTag(said, turn.present);
  html("p", { class: "note" }, meter,
    `present ${writePercent(turn.similarity)}, absent ${writePercent(1 - turn.similarity)}; `
    + `margin ${writeDistance(turn.margin)}`);
}
