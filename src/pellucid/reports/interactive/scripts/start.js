/* Reads the embedded data, builds the view, and keeps view and address in step. */

function startView() {
  const data = JSON.parse(document.getElementById("view-data").textContent);
  readPictures(document.getElementById("pictures").textContent);
  const host = document.getElementById("view");
  host.hidden = false;
  const tree = prepareTree(data.tree);
  const answers = new Map();
  const app = {
    tree, images: data.images, embeddedCount: data.images.length, folds: new Map(), state: { ...NOTHING_OPEN },
    answer(index) {
      if (!answers.has(index)) answers.set(index, answerImage(tree, app.images[index].similarities));
      return answers.get(index);
    },
    firstImage: () => (app.state.image === null ? null : app.images[app.state.image]),
    firstAnswer: () => (app.state.image === null ? null : app.answer(app.state.image)),
    shownImages: () => [app.state.image, app.state.other].filter((index) => index !== null),
    shownWays, shownNodes, isOnShownWay, isOfClass, isOtherClass,
    change, open, close, addImage,
  };

  function shownWays() {
    const ways = app.shownImages().map((index, i) => {
      const answer = app.answer(index);
      return { path: answer.path, end: ~answer.leaf, kind: i ? "second" : "first" };
    });
    const first = app.firstAnswer();
    if (app.state.showsRunnerUp && first?.runnerUpLeaf !== null && first) {
      ways.push({ path: first.runnerUpPath, end: ~first.runnerUpLeaf, kind: "runner-up" });
    }
    return app.state.soft ? ways.filter(({ kind }) => kind !== "second") : ways;
  }
  function shownNodes() {
    const nodes = shownWays().map(({ end }) => end);
    if (app.state.node !== null) nodes.push(app.state.node);
    return nodes;
  }
  function isOnShownWay(node) {
    return shownWays().some(({ path, end }) => node === end || path.some(({ branch }) => branch === node));
  }
  /* Of the chosen class: a leaf that answers with it, a prototype from its pictures. */
  function isOfClass(node) {
    const k = app.state.chosenClass;
    if (k === null) return false;
    return isLeaf(node) ? tree.majority[~node] === k : tree.prototypes[node]?.class === tree.classes[k];
  }
  let below = { chosenClass: null, nodes: new Set() };
  function isOtherClass(node) {
    const k = app.state.chosenClass;
    if (k === null) return false;
    if (below.chosenClass !== k) {
      const nodes = new Set();
      tree.majority.forEach((best, leaf) => {
        if (best !== k) return;
        nodes.add(~leaf);
        for (const { branch } of wayTo(tree, ~leaf)) nodes.add(branch);
      });
      below = { chosenClass: k, nodes };
    }
    return !below.nodes.has(node) && !isOfClass(node);
  }

  const choiceHost = html("div", { class: "choice" }, host);
  const stage = html("div", { class: "stage" }, host);
  const canvas = html("div", { class: "canvas" }, stage);
  const treeTools = html("div", { class: "tree-tools", role: "group", "aria-label": "The drawing" }, canvas);
  const frame = html("div", { class: "sheet" }, canvas);
  const panel = html("section", { class: "panel", "aria-label": "What is open", tabindex: -1 }, stage);
  const answersHost = html("section", { "aria-label": "Why this answer" }, host);
  const view = createTreeView(app, frame);
  const imageChoice = createImageChoice(app, choiceHost);
  const views = [imageChoice, view, createNodePanel(app, panel), createImageAnswers(app, answersHost)];
  addZoom(app, view);
  listenToTree(app, view);
  views.push(createLegend(app, canvas));
  addTreeTools(app, view, treeTools, canvas);
  addThemeSwitch(document.querySelector("header.top"));
  if (data.live) addUpload(app, host);

  function drawAll() {
    for (const each of views) each.draw();
  }
  function change(next, writesHash = true) {
    Object.assign(app.state, next);
    const { state } = app;
    if (state.image === null) Object.assign(state, { other: null, soft: false, showsRunnerUp: false });
    if (state.other === state.image) state.other = null;
    drawAll();
    if (writesHash) history.replaceState(null, "", `#${writeHash(state)}`);
  }
  /* Open a node's panel; from a link in the text, the drawing scrolls to it as well. */
  function open(node, reveals = true) {
    for (const { branch } of wayTo(tree, node)) {
      if (app.folds.get(branch)) app.folds.set(branch, false);
    }
    change({ node });
    const { top, bottom } = panel.getBoundingClientRect();
    if (reveals) {
      view.focusNode(node);
      if (bottom < 100 || top > window.innerHeight - 100) panel.scrollIntoView({ block: "start" });
    } else if (top > window.innerHeight - 60) { // below the tree: let it be seen that something opened
      window.scrollBy({ top: top - 0.6 * window.innerHeight });
    }
  }
  function close() {
    const { node } = app.state;
    change({ node: null });
    if (node !== null && view.layout.places.has(node)) view.focusNode(node);
  }
  function addImage(image) {
    const id = addPicture(image.picture);
    app.images.push({ ...image, picture: id });
    change({ image: app.images.length - 1, other: null });
  }

  const readAddress = () => readHash(location.hash, tree, app.images.length);
  Object.assign(app.state, readAddress() ?? {});
  for (const each of views) if (each !== view) each.draw();
  view.start();
  if (app.state.node !== null) view.reveal(app.state.node);
  window.addEventListener("hashchange", () => {
    const next = readAddress();
    if (!next) return;
    change(next, false);
    if (next.node !== null) view.reveal(next.node);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && app.state.node !== null) close();
  });
  document.documentElement.dataset.ready = "true";
}

startView();
