/* What stands around the drawing: its buttons above, its legend and keys below. */

/* What the lines of the drawing mean; only those that are there. */
function createLegend(app, host) {
  const list = html("ul", { class: "legend" }, host);
  const entries = [
    ["edge present", "present", () => true],
    ["edge absent", "absent", () => true],
    ["way first", "path of the image", () => app.state.image !== null],
    ["way second", "path of the other image", () => app.state.other !== null && !app.state.soft],
    ["way runner-up", "path of the runner-up", () => app.state.showsRunnerUp],
  ].map(([kind, text, isShown]) => {
    const item = html("li", {}, list);
    const sample = svg("svg", { class: "forest", width: 34, height: 14, "aria-hidden": "true" }, item);
    svg("path", { class: kind, d: "M7 7H27" }, sample);
    html("span", {}, item, text);
    return { item, isShown };
  });
  return { draw: () => entries.forEach(({ item, isShown }) => { item.hidden = !isShown(); }) };
}

function addTreeTools(app, view, host, canvas) {
  button(host, "−", () => view.zoomBy(0.8), { "aria-label": "Zoom out" });
  button(host, "+", () => view.zoomBy(1.25), { "aria-label": "Zoom in" });
  button(host, "Whole tree", () => { foldAll(app, false); view.fit(); });
  button(host, "Start view", () => { app.folds.clear(); view.start(); });
  button(host, "Unfold all", () => { foldAll(app, false); view.draw(); });
  button(host, "Fold all", () => { foldAll(app, true); view.start(); });
  button(host, "Save SVG", () => saveSvg(view));
  button(host, "Save PNG", () => savePng(view));
  html("p", { class: "note keys" }, canvas, "Drag or scroll to move, Ctrl and wheel to zoom. In the tree: "
    + "← back, → on, ↑ ↓ along, Enter opens, Space folds, Escape closes.");
}
