/* How similar test images are to a prototype: all of them pale, those whose path comes by full. */

function showHistogram(parent, histogram, marks) {
  const bins = histogram.all.length, width = 300, height = 96, base = 78;
  const most = Math.max(1, ...histogram.all);
  const sum = (counts, from = 0) => counts.slice(from).reduce((a, b) => a + b, 0);
  const total = sum(histogram.all), passing = sum(histogram.passing);
  const found = sum(histogram.passing, bins / 2);
  const text = `Of ${writeCount(total, "test image")}, ${passing} come by this branch; `
    + `${found} of these contain the patch (similarity ½ or more), ${passing - found} do not.`;
  const figure = html("figure", { class: "histogram" }, parent);
  const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text }, figure);
  const step = width / bins;
  // A root scale: one image must be seen beside three hundred.
  const tall = (count) => (count ? Math.max(1.5, (base - 10) * Math.sqrt(count / most)) : 0);
  for (let i = 0; i < bins; i++) {
    for (const [counts, kind] of [[histogram.all, "all"], [histogram.passing, i < bins / 2 ? "no" : "yes"]]) {
      const h = tall(counts[i]);
      if (h) svg("rect", { class: kind, x: i * step + 0.75, y: base - h, width: step - 1.5, height: h }, plot);
    }
  }
  svg("line", { class: "base", x1: 0, x2: width, y1: base, y2: base }, plot);
  svg("line", { class: "half", x1: width / 2, x2: width / 2, y1: 2, y2: base + 4 }, plot);
  for (const [x, label, anchor] of [[0, "0", "start"], [width / 2, "½", "middle"], [width, "1", "end"]]) {
    svg("text", { x, y: height - 3, "text-anchor": anchor }, plot, label);
  }
  for (const { similarity, kind } of marks) {
    const x = similarity * width;
    svg("path", { class: `mark ${kind}`, d: `M${x - 5} 0H${x + 5}L${x} 9Z` }, plot);
  }
  html("figcaption", {}, figure, text
    + " Pale: all test images; full: those that come by. Heights grow with the root of the number."
    + (marks.length ? " The pointer is the image chosen." : ""));
}
