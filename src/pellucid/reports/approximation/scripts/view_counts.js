/* View: tolerance against neurons, for every way of building. */

function showCounts(host, counts) {
  const figure = html("div", { class: "figure-host" }, host);
  legend(html("ul", {}, host), [
    ...counts.lines.map((line) => [line.style, line.name]),
    ...(counts.points.some((point) => point.chosen) ? [["dot chosen", "this network"]] : []),
    ...(counts.points.some((point) => !point.chosen) ? [["dot other", "other candidates"]] : []),
  ]);
  return () => {
    const plot = linePlot(figure, { x: { low: counts.tolerances[0], high: counts.tolerances[1], log: true,
      label: "tolerance: largest error allowed" }, y: { low: counts.neurons[0], high: counts.neurons[1],
      log: true, label: "neurons" }, height: 420, label: "Neurons against tolerance" });
    for (const line of counts.lines) plot.curve(line.tolerances, line.neurons, line.style);
    if (counts.tolerance !== null) plot.vertical(counts.tolerance, "tolerance-line", "asked for");
    /* Labels are moved apart downwards where points lie close together. */
    const taken = [];
    const sorted = counts.points.slice().sort((a, b) => b.neurons - a.neurons);
    for (const point of sorted) {
      plot.dot(point.tolerance, point.neurons, point.chosen ? "dot chosen" : "dot other",
        point.chosen ? 7 : 5);
    }
    for (const point of sorted) {
      const right = plot.sx(point.tolerance) > plot.area.right - 150;
      let y = plot.sy(point.neurons) + 4;
      const x = plot.sx(point.tolerance);
      while (taken.some((other) => Math.abs(other.x - x) < 150 && Math.abs(other.y - y) < 14)) y += 3;
      taken.push({ x, y });
      element("text", { class: `mark-label halo${right ? " end" : ""}${point.chosen ? " strong" : ""}`,
        x: plot.sx(point.tolerance) + (right ? -11 : 11), y }, plot.over,
      `${point.name}: ${writeCount(point.neurons)}`);
    }
  };
}
