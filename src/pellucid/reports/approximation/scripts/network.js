/* A sigmoid network, evaluated from its embedded weights in double precision. */

function logistic(z) {
  if (z >= 0) return 1 / (1 + Math.exp(-z));
  const small = Math.exp(z);
  return small / (1 + small);
}

/* Weights come as compressed rows: entries starts[i] to starts[i+1] belong to neuron i. */
function readNetwork(embedded) {
  return {
    layers: embedded.layers.map((layer) => ({
      starts: decodeArray(layer.starts, Uint32Array),
      columns: decodeArray(layer.columns, Uint32Array),
      weights: decodeArray(layer.weights, Float64Array),
      bias: decodeArray(layer.bias, Float64Array),
      groups: layer.groups,
    })),
    outputWeight: decodeArray(embedded.outputWeight, Float64Array),
    outputBias: embedded.outputBias,
  };
}

function applyLayer(layer, input) {
  const output = new Float64Array(layer.bias.length);
  for (let i = 0; i < output.length; i++) {
    let sum = 0;
    for (let k = layer.starts[i]; k < layer.starts[i + 1]; k++) {
      sum += layer.weights[k] * input[layer.columns[k]];
    }
    output[i] = logistic(sum + layer.bias[i]);
  }
  return output;
}

/* What the neurons of the last hidden layer (or of the first `depth` layers) answer at a point. */
function hiddenAnswers(network, point, depth = network.layers.length) {
  let answers = point;
  for (let layer = 0; layer < depth; layer++) answers = applyLayer(network.layers[layer], answers);
  return answers;
}

function evaluateNetwork(network, point) {
  const answers = hiddenAnswers(network, point);
  let sum = 0;
  for (let i = 0; i < answers.length; i++) sum += network.outputWeight[i] * answers[i];
  return sum + network.outputBias;
}

/* The group a neuron belongs to, and its place in it. */
function describeNeuron(groups, neuron) {
  const group = groups.find((item) => neuron >= item.start && neuron < item.stop);
  if (!group) return "";
  const size = group.stop - group.start;
  return size > 1 ? `${group.role} (${neuron - group.start + 1} of ${size})` : group.role;
}
