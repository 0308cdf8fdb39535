/* Reads the embedded data, fills the views and draws them again when the width or scheme changes. */

function checkNetwork(page) {
  const place = document.getElementById("self-check");
  if (!page.network || !place) return;
  let most = 0;
  page.checks.points.forEach((point, i) => {
    most = Math.max(most, Math.abs(evaluateNetwork(page.network, point) - page.checks.values[i]));
  });
  const neurons = page.network.layers.reduce((sum, layer) => sum + layer.bias.length, 0);
  place.textContent = `Your browser has just evaluated the network (${writeCount(neurons)} hidden ` +
    `${neurons === 1 ? "neuron" : "neurons"}) at ${page.checks.points.length} points, from ` +
    `the weights in this page: the answers agree with those computed when it was written to ` +
    `${most === 0 ? "the last bit" : writeNumber(most, 2)}.`;
}

function startPage() {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  if (page.network) page.network = readNetwork(page.network);
  const plane = page.plane
    ? { ...page.plane, values: Float64Array.from(decodeArray(page.plane.values, Float32Array)) } : null;
  const draws = [];
  const fill = (id, build) => {
    const host = document.getElementById(id);
    if (host) draws.push(build(host));
  };
  if (page.samples) {
    const samples = readSamples(page);
    fill("view-error", (host) => (samples.shape.length === 1 ? showCurves : showMaps)(host, page, samples));
    fill("view-build", (host) => showBuildUp(host, page, samples));
  }
  fill("view-bump", showBump);
  fill("view-tower", showTower);
  fill("view-microscope", (host) => showMicroscope(host, plane && plane.rows > 1 ? plane : null));
  if (page.ownCells) fill("view-own-cells", (host) => showOwnCells(host, page, plane));
  if (page.cells) fill("view-cells", (host) => showCells(host, page.cells, plane));
  if (plane) fill("view-soft", (host) => showSoftSteps(host, plane));
  if (page.counts) fill("view-counts", (host) => showCounts(host, page.counts));
  const drawAll = () => draws.forEach((draw) => draw());
  drawAll();
  checkNetwork(page);
  let width = document.body.clientWidth;
  const redraw = onceAFrame(drawAll);
  window.addEventListener("resize", () => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    redraw();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.documentElement.dataset.ready = "true";
}

startPage();
