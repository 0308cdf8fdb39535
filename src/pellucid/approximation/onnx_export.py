"""Writing sigmoid networks as ONNX: densely, or compactly where they are grids of cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pellucid._checks import DataError, UsageError, check_choice
from pellucid.approximation.certificate.cell_recognition import CellNetwork, recognize
from pellucid.approximation.network import SigmoidNetwork, dense

#: ONNX operator set of the files, of 2021; everything that reads ONNX today knows it.
OPSET = 17
INPUT_NAME = "points"
OUTPUT_NAME = "values"
#: Dense weights above that many entries (512 MB) are refused.
_MOST_ENTRIES = 2**26


def export_onnx(
    network: SigmoidNetwork, path: str | Path, *, form: Literal["auto", "dense", "compact"] = "auto"
) -> Path:
    """Write a network as one ONNX file in double precision, with any number of points a batch.

    The input ``points`` has shape (n, d), the output ``values`` shape (n,). The *dense* form is the
    network layer by layer, with full weight matrices. The *compact* form is for grids of cells and
    computes the same neurons: the steps of each axis, their sums by broadcasting, and the output
    weights as a table, so that no matrix of neurons times steps is needed. In both all neurons are
    computed for each point.

    Args:
        network: Any.
        path: Of the ``.onnx`` file; replaced as a whole.
        form: ``"auto"`` writes the compact form where it is smaller.

    Returns:
        The path.

    Raises:
        UsageError: The compact form of a network that is no grid, or a dense form too large.
        DataError: The file cannot be written.
    """
    check_choice("form", form, ("auto", "dense", "compact"))
    cells = recognize(network) if form != "dense" else None
    if cells is not None and (len(network.hidden) < 2 or not _worthwhile(network, cells)):
        cells = cells if form == "compact" and len(network.hidden) == 2 else None
    if form == "compact" and cells is None:
        raise UsageError(
            f"form must be 'dense' for a network that is no grid of cells, got scheme "
            f"{network.scheme!r}."
        )
    nodes = _Graph()
    if cells is not None:
        _compact(nodes, network, cells)
    else:
        _dense(nodes, network)
    model = nodes.model(network.input_dimension)
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(model.SerializeToString())
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"path must be a file that can be written, got {str(path)!r}: {error}."
        ) from error
    return path


class _Graph:
    """ONNX nodes and constants being put together."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        import onnx

        self._constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output and return the name of that."""
        import onnx

        self._nodes.append(onnx.helper.make_node(operator, inputs, [output], **attributes))
        return output

    def model(self, dimension: int) -> Any:
        """Return the checked model."""
        import onnx

        double = onnx.TensorProto.DOUBLE
        points = onnx.helper.make_tensor_value_info(INPUT_NAME, double, ["n", dimension])
        values = onnx.helper.make_tensor_value_info(OUTPUT_NAME, double, ["n"])
        graph = onnx.helper.make_graph(
            self._nodes, "sigmoid_network", [points], [values], self._constants
        )
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            producer_name="pellucid",
        )
        # The oldest version of the file format that knows the operator set.
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model


#: Combinations of steps for each that is a neuron, up to which all are computed.
_NEARLY_COMPLETE = 1.5


def _worthwhile(network: SigmoidNetwork, cells: CellNetwork) -> bool:
    """Say whether a number for each step of an AND takes less than a weight matrix of them."""
    return cells.dimension < network.hidden[1].inputs


def _dense(graph: _Graph, network: SigmoidNetwork) -> None:
    entries = sum(layer.neurons * layer.inputs for layer in network.hidden)
    if entries > _MOST_ENTRIES:
        raise UsageError(
            f"network must have at most {_MOST_ENTRIES} weights, zeros counted, in the dense form, "
            f"got {entries}. Use form='compact' for grids, or the safetensors file."
        )
    last = INPUT_NAME
    for number, layer in enumerate(network.hidden):
        weight = graph.constant(f"weight_{number}", dense(layer.weight).T)
        bias = graph.constant(f"bias_{number}", layer.bias)
        product = graph.add("MatMul", [last, weight], f"product_{number}")
        argument = graph.add("Add", [product, bias], f"argument_{number}")
        last = graph.add("Sigmoid", [argument], f"hidden_{number}")
    weight = network.output_weight if network.hidden else np.zeros(network.input_dimension)
    total = graph.add("MatMul", [last, graph.constant("output_weight", weight)], "total")
    bias = graph.constant("output_bias", np.array(network.output_bias))
    graph.add("Add", [total, bias], OUTPUT_NAME)


def _compact(graph: _Graph, network: SigmoidNetwork, cells: CellNetwork) -> None:
    """Write ``sum_v w_v s(K sum_axis (p_axis[v_axis] - 1) - offset)``.

    The step number 0 of each axis is 1: always on. Where nearly all combinations of steps are
    neurons, they are all computed, by broadcasting, with output weight 0 where the network has
    none; otherwise the steps of each neuron are gathered.
    """
    d = cells.dimension
    complete = int(np.prod(cells.shape)) <= _NEARLY_COMPLETE * len(cells.vertices)
    weights = np.array(network.output_weight)
    if complete:
        weights = np.zeros(cells.shape)
        np.add.at(weights, tuple(cells.vertices.T), network.output_weight)
        # Above all the neuron that is always on is no neuron: its weight is the output bias.
        weights.flat[0] = 0.0
    gain, offset = cells.law.gain, cells.law.offset
    assert gain is not None
    one = graph.constant("one", np.array(1.0))
    summed = ""
    for axis in range(d):
        column = graph.constant(f"axis_{axis}", np.array([axis], dtype=np.int64))
        value = graph.add("Gather", [INPUT_NAME, column], f"coordinate_{axis}", axis=1)
        w = graph.constant(f"steepness_{axis}", np.array(cells.steepness[axis]))
        biases = graph.constant(f"bias_{axis}", cells.biases[axis])
        scaled = graph.add("Mul", [value, w], f"scaled_{axis}")
        # (n, 1) and (k - 1,) give (n, k - 1).
        argument = graph.add("Add", [scaled, biases], f"argument_{axis}")
        steps = graph.add("Sigmoid", [argument], f"steps_{axis}")
        # K (p - 1) with a zero put before: (n, k).
        less = graph.add("Sub", [steps, one], f"less_{axis}")
        scale = graph.constant(f"gain_{axis}", np.array(gain))
        terms = graph.add("Mul", [less, scale], f"terms_{axis}")
        pads = graph.constant(f"pads_{axis}", np.array([0, 1, 0, 0], dtype=np.int64))
        padded = graph.add("Pad", [terms, pads], f"padded_{axis}")
        if complete:
            sizes = np.array([0, *(-1 if other == axis else 1 for other in range(d))], np.int64)
            shape = graph.constant(f"shape_{axis}", sizes)
            shaped = graph.add("Reshape", [padded, shape], f"t_{axis}")
        else:
            steps_of = np.ascontiguousarray(cells.vertices[:, axis], dtype=np.int32)
            number = graph.constant(f"step_of_neuron_{axis}", steps_of)
            shaped = graph.add("Gather", [padded, number], f"t_{axis}", axis=1)
        summed = graph.add("Add", [summed, shaped], f"sum_{axis}") if summed else shaped
    lowered = graph.add(
        "Sub", [summed, graph.constant("offset", np.array(offset))], "and_arguments"
    )
    ands = graph.add("Sigmoid", [lowered], "ands")
    flat = graph.constant("flat", np.array([0, -1], dtype=np.int64))
    listed = graph.add("Reshape", [ands, flat], "ands_listed")
    total = graph.add("MatMul", [listed, graph.constant("weights", weights.ravel())], "total")
    bias = graph.constant("output_bias", np.array(network.output_bias))
    graph.add("Add", [total, bias], OUTPUT_NAME)
