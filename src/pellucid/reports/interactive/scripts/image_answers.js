/* Why an image is answered as it is: the turns of its path, its classes, the runner-up; and two
   images side by side. */

function createImageAnswers(app, host) {
  const { tree } = app;
  const open = (node) => app.open(node);
  const soften = (answer) => (app.state.soft ? answer.softPrediction : answer.prediction);

  function draw() {
    host.replaceChildren();
    const shown = app.shownImages();
    host.hidden = shown.length === 0;
    if (!shown.length) return;
    html("h3", {}, host, shown.length === 1 ? "Why this answer" : "Why these answers");
    if (shown.length === 2) drawParting(...shown);
    const columns = html("div", { class: `answers ${shown.length === 2 ? "two" : ""}` }, host);
    shown.forEach((index, place) => drawAnswer(columns, index, place));
  }

  function drawParting(one, other) {
    const [first, second] = [app.answer(one), app.answer(other)];
    const text = html("p", { class: "parting" }, host);
    if (first.leaf === second.leaf) {
      text.append("Both images take the same path, to ");
      nodeButton(text, tree, ~first.leaf, open);
      text.append(".");
      return;
    }
    const branch = findParting(tree, ~first.leaf, ~second.leaf);
    const said = (index) => {
      const similarity = app.images[index].similarities[branch];
      return `${writePresence(similarity >= 0.5)} in ${isolate(app.images[index].name)} (${writeSimilarity(similarity)})`;
    };
    text.append("They go together until ");
    nodeButton(text, tree, branch, open);
    text.append(`: its patch is ${said(one)} and ${said(other)}.`);
  }

  function drawAnswer(parent, index, place) {
    const image = app.images[index], answer = app.answer(index);
    const name = tree.classes[soften(answer)];
    const article = html("article", { class: `explained ${place ? "second" : "first"}` }, parent);
    const header = html("header", {}, article);
    const title = html("h4", {}, header);
    html("span", { class: "name" }, title, image.name);
    title.append(": answered ");
    html("span", { class: "name" }, title, name);
    if (image.true_class !== null) {
      const right = image.true_class === name;
      tag(header, right ? "✓ right" : "✗ wrong", right ? "right" : "wrong");
    }
    const summary = html("div", { class: "summary" }, article);
    drawWhole(html("div", { class: "whole" }, summary), image);
    const facts = html("div", {}, summary);
    drawFacts(facts, image, answer);
    if (app.state.soft) {
      classBars(facts, tree, answer.mixture, "all leaves mixed, each by how likely the image is to end there");
    } else {
      classBars(facts, tree, tree.leaves[answer.leaf], `leaf ${answer.leaf}, at the end of the path`);
    }
    drawRunnerUp(article, image, answer);
    if (app.state.soft) drawLikelyLeaves(article, answer);
    drawSteps(article, image, answer);
  }

  /* The image; boxed where its patch most similar to the open branch is. */
  function drawWhole(parent, image) {
    const { node } = app.state;
    const box = node !== null && !isLeaf(node) ? image.boxes[node] : null;
    const label = box ? `${image.name}; boxed: the patch most similar to branch ${node}` : image.name;
    showBoxed(parent, image, box, 180, label);
  }

  function drawFacts(parent, image, answer) {
    const list = html("dl", { class: "inline" }, parent);
    if (image.true_class !== null) fact(list, "labelled", image.true_class);
    fact(list, "answered", tree.classes[soften(answer)]);
    if (answer.softPrediction !== answer.prediction) {
      fact(list, app.state.soft ? "the one path says" : "all paths mixed say",
        tree.classes[app.state.soft ? answer.prediction : answer.softPrediction]);
    }
    nodeButton(fact(list, "leaf", ""), tree, ~answer.leaf, open, String(answer.leaf));
    fact(list, "path probability", writePercent(answer.probability));
    fact(list, "path margin", writeDistance(answer.margin));
    html("p", { class: "note" }, parent, "Until a patch of this image moves by more than the margin (in "
      + "latent distance), the path stays as it is.");
    if (!app.state.soft) {
      for (const caution of listCautions(answer)) html("p", { class: "caution" }, parent, caution);
    }
  }

  function drawRunnerUp(parent, image, answer) {
    if (answer.runnerUp === null) return;
    const text = html("p", { class: "runner-up" }, parent, "Runner-up: ");
    html("b", { class: "name" }, text, tree.classes[answer.runnerUp]);
    text.append(` with ${writePercent(answer.mixture[answer.runnerUp])} of all leaves mixed. `);
    if (answer.runnerUpLeaf === null) {
      text.append("No leaf has it as its first answer.");
      return;
    }
    if (answer.partsAt === null) return;
    const turn = answer.path.find(({ branch }) => branch === answer.partsAt);
    text.append("Its most likely leaf, ");
    nodeButton(text, tree, ~answer.runnerUpLeaf, open, String(answer.runnerUpLeaf));
    text.append(", splits off at ");
    nodeButton(text, tree, answer.partsAt, open);
    text.append(`: there the patch would have to be ${writePresence(!turn.present)} `
      + `(similarity ${writeSimilarity(turn.similarity)} is ${turn.present ? "above" : "below"} ½ by `
      + `${Math.abs(turn.similarity - 0.5).toFixed(3)}).`);
  }

  function drawLikelyLeaves(parent, answer) {
    const table = html("table", { class: "bars" }, parent);
    html("caption", {}, table, "where the image is most likely to end");
    const body = html("tbody", {}, table);
    for (const { leaf, probability } of rankLeaves(tree, answer, 5)) {
      const row = html("tr", {}, body);
      const name = tree.classes[tree.majority[leaf]];
      const link = nodeButton(html("th", { scope: "row" }, row), tree, ~leaf, open, "");
      html("span", { class: "clamped", title: name }, link, `leaf ${leaf}: ${name}`);
      const bar = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        html("td", { class: "bar" }, row));
      svg("rect", { class: "track", width: 100, height: 10 }, bar);
      svg("rect", { class: colorOfClass(tree, tree.majority[leaf]), width: Math.max(100 * probability, 0.5), height: 10 }, bar);
      html("td", { class: "figure" }, row, writePercent(probability));
    }
  }

  function drawSteps(parent, image, answer) {
    const list = html("ol", { class: "steps" }, parent);
    for (const turn of answer.path) {
      const shown = tree.prototypes[turn.branch];
      const item = html("li", {}, list);
      if (turn.branch === app.state.node) item.className = "chosen";
      const which = html("div", { class: "which" }, item);
      nodeButton(which, tree, turn.branch, open, `Branch ${turn.branch}`);
      const here = html("figure", {}, item);
      showPair(here, image, image.boxes[turn.branch], 96, `patch nearest to branch ${turn.branch}`);
      html("figcaption", {}, here, "in this image");
      const theirs = html("figure", {}, item);
      if (shown) {
        const pair = html("div", { class: "pair" }, theirs);
        showPatch(pair, shown, shown.box, 96, `prototype of branch ${turn.branch} enlarged`);
        showBoxed(pair, shown, shown.box, 96, `prototype of branch ${turn.branch} boxed in ${shown.image}`);
        const caption = html("figcaption", {}, theirs, "prototype, class ");
        html("span", { class: "name" }, caption, shown.class);
      } else html("p", { class: "note" }, theirs, "no picture of this prototype");
      showMeter(item, turn);
    }
  }
  return { draw };
}
