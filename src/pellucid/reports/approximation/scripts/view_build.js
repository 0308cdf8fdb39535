/* View: the network built up, one neuron of the last hidden layer after the other. */

/* For a live network: what every neuron of the last hidden layer answers on a coarse grid of the
   slice, so that moving the slider only adds columns up. */
function tabulateAnswers(network, samples, every) {
  const target = samples.take(samples.target, every);
  const count = network.outputWeight.length;
  const answers = new Float64Array(target.values.length * count);
  for (let j = 0; j < target.rows; j++) {
    for (let i = 0; i < target.columns; i++) {
      const point = samples.point(i * every, j * every);
      answers.set(hiddenAnswers(network, point), (j * target.columns + i) * count);
    }
  }
  return { ...target, answers, count };
}

/* The order in which neurons are added: as written, or those that move the answer most first. */
function orderNeurons(table, network, largestFirst) {
  const order = Array.from({ length: table.count }, (_, i) => i);
  if (!largestFirst) return order;
  const moved = order.map((neuron) => {
    const answers = table.values.map((_, p) => table.answers[p * table.count + neuron]);
    const [low, high] = extremes(answers);
    return Math.abs(network.outputWeight[neuron]) * (high - low);
  });
  return order.sort((a, b) => moved[b] - moved[a]);
}

function showBuildUp(host, page, samples) {
  if (page.network) return showLiveBuildUp(host, page, samples);
  if (page.frames) return showFrames(host, page, samples);
  return () => {};
}

function showLiveBuildUp(host, page, samples) {
  const network = page.network;
  const total = network.outputWeight.length;
  const flat = samples.shape.length === 1;
  const every = Math.max(1, Math.floor((samples.shape[samples.slice.across] - 1) / (flat ? 512 : 64)));
  const last = network.layers[network.layers.length - 1];
  const groups = last?.groups ?? [];
  const controls = html("div", { class: "controls" }, host);
  let table = null;
  let order = [];
  let largestFirst = false;
  const count = slider(controls, { label: "neurons added", low: 0, high: total, step: 1, value: total,
    write: (value) => `${value} of ${total}`, onChange: () => redraw() });
  playButton(controls, count, (value) => {
    count.set(value);
    redraw();
  });
  choice(controls, { label: "order", options: [["written", "as written"],
    ["largest", "largest contribution first"]], onChange(value) {
    largestFirst = value === "largest";
    order = orderNeurons(table, network, largestFirst);
    redraw();
  } });
  const reading = html("p", { class: "reading" }, host);
  const panels = html("div", { class: "panels two" }, host);
  const figures = [["The sum so far", "sum"], ["What the newest neuron adds", "newest"]].map(
    ([title]) => {
      const figure = html("figure", {}, panels);
      html("figcaption", {}, figure, title);
      return html("div", { class: "figure-host" }, figure);
    });
  const showFirst = network.layers.length > 1 ? showFirstLayer(host, page, samples) : () => {};

  function refresh() {
    table = tabulateAnswers(network, samples, every);
    order = orderNeurons(table, network, largestFirst);
    draw();
  }
  function draw() {
    if (table === null) return refresh();
    const shown = order.slice(0, count.value);
    const newest = shown.length ? shown[shown.length - 1] : null;
    const sum = new Float64Array(table.values.length).fill(network.outputBias);
    const added = new Float64Array(table.values.length);
    for (let p = 0; p < sum.length; p++) {
      const share = (neuron) => network.outputWeight[neuron] * table.answers[p * table.count + neuron];
      for (const neuron of shown) sum[p] += share(neuron);
      if (newest !== null) added[p] = share(newest);
    }
    /* A neuron far up its step adds mostly a constant; the map then shows what departs from it. */
    const [low, high] = extremes(added);
    const mean = added.reduce((total, value) => total + value, 0) / added.length;
    const shifted = !flat && Math.abs(mean) > high - low;
    if (shifted) added.forEach((value, p) => { added[p] = value - mean; });
    drawSum(figures[0], samples, table, sum, page);
    drawPart(figures[1], samples, table, added, "weight × answer");
    const off = largestSize(sum.map((value, p) => value - table.values[p]));
    const role = newest === null ? "Nothing but the output bias yet"
      : `Neuron ${newest + 1} of the last hidden layer${describeNeuron(groups, newest)
        ? `: ${describeNeuron(groups, newest)}` : ""}; its weight in the sum is ${
        writeNumber(network.outputWeight[newest], 5)}`;
    reading.textContent = `${role}. ${shifted
      ? `It adds ${writeNumber(mean, 4)} on average; the map shows the departure from that. ` : ""}` +
      `The sum so far is off by up to ${writeNumber(off, 3)} on the points drawn.`;
  }
  const redraw = onceAFrame(draw);
  samples.onSlice(() => {
    table = null;
    draw();
    showFirst();
  });
  return () => {
    draw();
    showFirst();
  };
}

function drawSum(host, samples, table, sum, page) {
  const range = extremes([...table.values, ...sum]);
  if (samples.shape.length === 1) {
    const xs = spread(samples.lower[0], samples.upper[0], table.columns);
    const [low, high] = padded(range);
    const plot = linePlot(host, { x: samples.axis(0), y: { low, high, label: "value" }, height: 270,
      label: "Sum of the neurons added so far, and the function" });
    plot.curve(xs, table.values, "thick pale");
    plot.curve(xs, sum, "a1");
    return;
  }
  const { slice } = samples;
  /* On the scale of the function, unless the sum so far goes beyond it. */
  const own = extremes(sum);
  const f = extremes(table.values);
  const [low, high] = own[0] >= f[0] && own[1] <= f[1] ? f : own;
  heatMap(host, { values: sum, columns: table.columns, rows: table.rows, low, high,
    x: samples.axis(slice.across), y: samples.axis(slice.up),
    label: "Heat map: sum of the neurons added so far" });
}

function drawPart(host, samples, table, part, label) {
  const most = largestSize(part) || 1;
  if (samples.shape.length === 1) {
    const xs = spread(samples.lower[0], samples.upper[0], table.columns);
    const [low, high] = padded(extremes([0, ...part]));
    const plot = linePlot(host, { x: samples.axis(0), y: { low, high, label }, height: 270,
      label: "What one neuron adds" });
    plot.curve(xs, part, "a2");
    return;
  }
  const { slice } = samples;
  heatMap(host, { values: part, columns: table.columns, rows: table.rows, low: -most, high: most,
    palette: "diverging", x: samples.axis(slice.across), y: samples.axis(slice.up),
    label: "Heat map: what one neuron adds" });
}

/* Inside one neuron of the second layer: the steps of the first layer that it adds up. */
function showFirstLayer(host, page, samples) {
  const [first, second] = page.network.layers;
  const count = second.bias.length;
  const flat = samples.shape.length === 1;
  html("h3", {}, host, "Inside one neuron of the second layer");
  html("p", { class: "note" }, host, "It sees the box only through steps of the first layer. Each " +
    "rises from 0 on one side to 1 on the other and is ½ on the line between; the neuron adds them " +
    "up with weights, and answers s(sum).");
  const controls = html("div", { class: "controls" }, host);
  const gate = slider(controls, { label: "neuron of the second layer", low: 1, high: Math.max(2, count),
    step: 1, value: Math.ceil(count / 2), write: (value) => `${value} of ${count}`, onChange() {
      added.setRange(1, Math.max(1, inputsOf().length));
      added.set(inputsOf().length);
      redraw();
    } });
  gate.row.hidden = count === 1;
  const inputsOf = () => {
    const row = Math.min(gate.value, count) - 1;
    const inputs = [];
    for (let k = second.starts[row]; k < second.starts[row + 1]; k++) {
      if (second.weights[k] !== 0) inputs.push([second.columns[k], second.weights[k]]);
    }
    return inputs;
  };
  const added = slider(controls, { label: "steps added", low: 1, high: Math.max(1, inputsOf().length),
    step: 1, value: inputsOf().length, write: (value) => `${value} of ${inputsOf().length}`,
    onChange: () => redraw() });
  playButton(controls, added, (value) => {
    added.set(value);
    redraw();
  });
  const reading = html("p", { class: "reading" }, host);
  const panels = html("div", { class: "panels two" }, host);
  const figures = ["The newest step", "The sum inside so far"].map((title) => {
    const figure = html("figure", {}, panels);
    html("figcaption", {}, figure, title);
    return html("div", { class: "figure-host" }, figure);
  });
  function draw() {
    const row = Math.min(gate.value, count) - 1;
    const inputs = inputsOf().slice(0, added.value);
    const newest = inputs.length ? inputs[inputs.length - 1] : [0, 0];
    const { slice, shape } = samples;
    const every = Math.max(1, Math.floor((shape[slice.across] - 1) / (flat ? 512 : 64)));
    const table = samples.take(samples.target, every);
    const steps = new Float64Array(table.values.length);
    const sums = new Float64Array(table.values.length);
    for (let p = 0; p < sums.length; p++) {
      const answers = applyLayer(first, samples.point((p % table.columns) * every,
        Math.floor(p / table.columns) * every));
      steps[p] = answers[newest[0]];
      sums[p] = second.bias[row];
      for (const [neuron, weight] of inputs) sums[p] += weight * answers[neuron];
    }
    drawSteps(figures[0], samples, table, steps, "answer", [0, 1]);
    drawSteps(figures[1], samples, table, sums, "sum with bias", extremes(sums));
    const role = describeNeuron(second.groups, row);
    reading.textContent = `Second-layer neuron ${row + 1}${role ? `: ${role}` : ""}; its bias is ${
      writeNumber(second.bias[row], 4)}. ${inputs.length ? `The newest step has weight ${
      writeNumber(newest[1], 4)}. ${describeStep(first, newest[0], samples.names)}` : "It has no inputs."}`;
  }
  const redraw = onceAFrame(draw);
  return draw;
}

function drawSteps(host, samples, table, values, label, range) {
  if (samples.shape.length === 1) {
    const [low, high] = padded(range);
    const plot = linePlot(host, { x: samples.axis(0), y: { low, high, label }, height: 240, label });
    plot.curve(spread(samples.lower[0], samples.upper[0], table.columns), values, "a1");
    return;
  }
  const { slice } = samples;
  heatMap(host, { values, columns: table.columns, rows: table.rows, low: range[0], high: range[1],
    x: samples.axis(slice.across), y: samples.axis(slice.up), label: `Heat map: ${label}` });
}

function describeStep(layer, neuron, names) {
  const terms = [];
  for (let k = layer.starts[neuron]; k < layer.starts[neuron + 1]; k++) {
    if (layer.weights[k] !== 0) terms.push([layer.columns[k], layer.weights[k]]);
  }
  const role = describeNeuron(layer.groups, neuron);
  const head = `First-layer neuron ${neuron + 1}${role ? `: ${role}` : ""}. `;
  if (terms.length === 1) {
    const [[column, weight]] = terms;
    return `${head}It steps ${weight > 0 ? "up" : "down"} at ${names[column]} = ` +
      `${writeNumber(-layer.bias[neuron] / weight, 5)} with steepness ${writeNumber(Math.abs(weight), 4)}.`;
  }
  const sum = terms.map(([column, weight]) => `${writeNumber(weight, 4)}·${names[column]}`).join(" + ");
  return `${head}It answers s(${sum} + ${writeNumber(layer.bias[neuron], 4)}).`.replace(/\+ −/g, "− ");
}

/* Networks too large for the page: sums that were computed when the page was written. */
function showFrames(host, page, samples) {
  const { frames } = page;
  const shown = frames.sums.map((frame) => {
    const values = decodeArray(frame.values, Uint16Array);
    return Float64Array.from(values, (v) => frames.low + ((frames.high - frames.low) * v) / 65535);
  });
  const controls = html("div", { class: "controls" }, host);
  const control = slider(controls, { label: "neurons added", low: 0, high: shown.length - 1, step: 1,
    value: shown.length - 1, write: (value) => `${writeCount(frames.sums[value].count)} of ${
      writeCount(frames.sums[shown.length - 1].count)}`, onChange: () => redraw() });
  playButton(controls, control, (value) => {
    control.set(value);
    redraw();
  });
  const reading = html("p", { class: "reading" }, host);
  const figure = html("div", { class: "figure-host narrow" }, host);
  function draw() {
    const values = shown[control.value];
    const { columns, rows, across, up } = frames;
    const [low, high] = extremes(values);
    if (rows === 1) {
      const room = padded([low, high]);
      const plot = linePlot(figure, { x: samples.axis(0), y: { low: room[0], high: room[1],
        label: "value" }, height: 270, label: "Sum of the neurons added so far" });
      plot.curve(spread(samples.lower[0], samples.upper[0], samples.shape[0]), samples.target, "thick pale");
      plot.curve(spread(samples.lower[0], samples.upper[0], columns), values, "a1");
    } else {
      heatMap(figure, { values, columns, rows, low, high, x: samples.axis(across), y: samples.axis(up),
        label: "Heat map: sum of the neurons added so far" });
    }
    reading.textContent = frames.sums[control.value].role;
  }
  const redraw = onceAFrame(draw);
  return draw;
}
