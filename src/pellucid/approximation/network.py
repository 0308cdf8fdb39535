"""A feed-forward network of logistic sigmoids whose weights are given, not trained."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from pellucid._checks import DataError, UsageError

if TYPE_CHECKING:
    import torch

Weight = NDArray[np.float64] | scipy.sparse.csr_array
FORMAT = "pellucid-sigmoid-network/1"
_CHUNK_ENTRIES = 2**22


@dataclass(frozen=True)
class NeuronGroup:
    """Neurons ``start`` to ``stop - 1`` of a layer and what they are for.

    Args:
        role: In words, such as ``"steps in x"`` or ``"product of u_0(x) and v_0(y)"``.
        start: First neuron.
        stop: One past the last.
    """

    role: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class SigmoidLayer:
    """One hidden layer, ``h = s(W v + b)`` with the logistic sigmoid s.

    Args:
        weight: W, shape (neurons, inputs), float64; sparse rows where most are zero.
        bias: b, shape (neurons,).
        groups: What the neurons are for, in order and without gaps; empty means not said.

    Raises:
        UsageError: Shapes that do not fit, values that are not finite, groups with gaps.
    """

    weight: Weight
    bias: NDArray[np.float64]
    groups: tuple[NeuronGroup, ...] = ()

    def __post_init__(self) -> None:
        if scipy.sparse.issparse(self.weight):
            weight = scipy.sparse.csr_array(self.weight, dtype=np.float64, copy=True)
            weight.sum_duplicates()
            entries = weight.data
        else:
            weight = np.array(self.weight, dtype=np.float64)
            entries = weight
        bias = np.array(self.bias, dtype=np.float64)
        shape = _shape(weight)
        if len(shape) != 2 or bias.shape != shape[:1]:
            raise UsageError(
                "weight and bias must have shapes (neurons, inputs) and (neurons,), "
                f"got {shape} and {bias.shape}."
            )
        if not (np.isfinite(entries).all() and np.isfinite(bias).all()):
            raise UsageError("weight and bias must be finite, got NaN or infinity among them.")
        ends = [0, *(group.stop for group in self.groups)]
        starts = [*(group.start for group in self.groups), len(bias)]
        if self.groups and ends != starts:
            raise UsageError(
                f"groups must cover neurons 0 to {len(bias) - 1} in order without gaps, "
                f"got {self.groups}."
            )
        entries.flags.writeable = False
        bias.flags.writeable = False
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)
        object.__setattr__(self, "groups", tuple(self.groups))

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return len(self.bias)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return _shape(self.weight)[1]

    def role(self, neuron: int) -> str:
        """Say what neuron number ``neuron`` is for; empty where the layer does not say."""
        return next((g.role for g in self.groups if g.start <= neuron < g.stop), "")

    def row(self, neuron: int) -> dict[int, float]:
        """Return the non-zero weights of one neuron by input."""
        if isinstance(self.weight, np.ndarray):
            row = self.weight[neuron]
            return {int(i): float(row[i]) for i in np.flatnonzero(row)}
        begin, end = self.weight.indptr[neuron : neuron + 2]
        entries = zip(self.weight.indices[begin:end], self.weight.data[begin:end], strict=True)
        return {int(i): float(value) for i, value in entries if value != 0}

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the activations (n, neurons) for inputs (n, inputs)."""
        return expit((self.weight @ values.T).T + self.bias)


@dataclass(frozen=True, eq=False)
class SigmoidNetwork:
    """``y = v · h_L + c`` with ``h_l = s(W_l h_(l-1) + b_l)`` and ``h_0 = x``.

    Args:
        hidden: The hidden layers, first to last; none makes the network a constant.
        output_weight: v, shape (neurons of the last hidden layer,).
        output_bias: c.
        scheme: Which construction wrote the weights, such as ``"grid"``.
        input_dimension: Number of variables; needed only where there is no hidden layer.

    Raises:
        UsageError: Shapes that do not fit or values that are not finite.

    Example:
        >>> step = SigmoidLayer(np.array([[500.0]]), np.array([-200.0]))
        >>> network = SigmoidNetwork((step,), np.array([1.0]), 0.0, scheme="step")
        >>> network(np.array([[0.4]]))
        array([0.5])
    """

    hidden: tuple[SigmoidLayer, ...]
    output_weight: NDArray[np.float64]
    output_bias: float
    scheme: str
    input_dimension: int = 0

    def __post_init__(self) -> None:
        hidden = tuple(self.hidden)
        weight = np.array(self.output_weight, dtype=np.float64)
        for number, (before, after) in enumerate(itertools.pairwise(hidden), start=2):
            if after.inputs != before.neurons:
                raise UsageError(
                    f"hidden layer {number} must take the {before.neurons} neurons before it, "
                    f"got weights for {after.inputs}."
                )
        expected = hidden[-1].neurons if hidden else 0
        if weight.shape != (expected,):
            raise UsageError(f"output_weight must have shape ({expected},), got {weight.shape}.")
        if not (np.isfinite(weight).all() and np.isfinite(self.output_bias)):
            raise UsageError("output_weight and output_bias must be finite, got NaN or infinity.")
        dimension = hidden[0].inputs if hidden else int(self.input_dimension)
        if dimension < 1 or self.input_dimension not in (0, dimension):
            raise UsageError(
                f"input_dimension must be the number of inputs of the first layer, "
                f"got {self.input_dimension}."
            )
        weight.flags.writeable = False
        object.__setattr__(self, "hidden", hidden)
        object.__setattr__(self, "output_weight", weight)
        object.__setattr__(self, "output_bias", float(self.output_bias))
        object.__setattr__(self, "input_dimension", dimension)

    @property
    def neurons_per_layer(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        return tuple(layer.neurons for layer in self.hidden)

    @property
    def hidden_neurons(self) -> int:
        """Neurons of all hidden layers together."""
        return sum(self.neurons_per_layer)

    @cached_property
    def parameters(self) -> int:
        """Weights that are not zero, and all biases, of the hidden layers and the output."""
        weights = sum(
            int(np.count_nonzero(layer.weight))
            if isinstance(layer.weight, np.ndarray)
            else int(np.count_nonzero(layer.weight.data))
            for layer in self.hidden
        )
        return weights + self.hidden_neurons + int(np.count_nonzero(self.output_weight)) + 1

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """Evaluate densely in float64, a few thousand points at a time.

        Args:
            points: Shape (n, input_dimension).

        Returns:
            Shape (n,). Every neuron of every layer is computed; see ``local_evaluation`` for large
            grids.

        Raises:
            UsageError: ``points`` has another shape.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.input_dimension:
            raise UsageError(
                f"points must have shape (n, {self.input_dimension}), got {points.shape}."
            )
        values = np.full(len(points), self.output_bias)
        chunk = max(1, _CHUNK_ENTRIES // max([1, *self.neurons_per_layer]))
        for start in range(0, len(points) if self.hidden else 0, chunk):
            activations = points[start : start + chunk]
            for layer in self.hidden:
                activations = layer(activations)
            values[start : start + chunk] += activations @ self.output_weight
        return values

    def describe(self, layer: int, neuron: int) -> str:
        """Say in one line what a neuron is for, and where its step is if it has one.

        Args:
            layer: Hidden layer, from 0.
            neuron: Neuron within the layer, from 0.
        """
        hidden = self.hidden[layer]
        role = hidden.role(neuron) or "no role given"
        row, bias = hidden.row(neuron), float(hidden.bias[neuron])
        if layer == 0 and len(row) == 1:
            ((axis, weight),) = row.items()
            direction = "up" if weight > 0 else "down"
            name = variable_names(self.input_dimension)[axis]
            return (
                f"{role}: {direction} at {name} = {-bias / weight:.6g}, steepness {abs(weight):.6g}"
            )
        return f"{role}: {len(row)} inputs, bias {bias:.6g}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shapes and weights, as hexadecimal; roles and scheme do not count."""
        parts = hashlib.sha256(FORMAT.encode())
        for layer in self.hidden:
            weight = scipy.sparse.coo_array(layer.weight)
            # Dense and sparse storage of one matrix are one network.
            kept = weight.data != 0
            rows, columns = weight.coords[0][kept], weight.coords[1][kept]
            order = np.lexsort((columns, rows))
            parts.update(np.array([layer.neurons, layer.inputs], dtype="<i8").tobytes())
            parts.update(rows[order].astype("<i8").tobytes())
            parts.update(columns[order].astype("<i8").tobytes())
            parts.update(weight.data[kept][order].astype("<f8").tobytes())
            parts.update(layer.bias.astype("<f8").tobytes())
        parts.update(self.output_weight.astype("<f8").tobytes())
        parts.update(np.array([self.output_bias, self.input_dimension], dtype="<f8").tobytes())
        return parts.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file: weights as tensors, structure as JSON in its metadata."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {"output_weight": self.output_weight}
        tensors["output_bias"] = np.array([self.output_bias])
        layers = []
        for number, layer in enumerate(self.hidden):
            tensors[f"hidden_{number}.bias"] = layer.bias
            if isinstance(layer.weight, np.ndarray):
                tensors[f"hidden_{number}.weight"] = layer.weight
            else:
                tensors[f"hidden_{number}.values"] = layer.weight.data
                tensors[f"hidden_{number}.columns"] = layer.weight.indices.astype(np.int64)
                tensors[f"hidden_{number}.row_starts"] = layer.weight.indptr.astype(np.int64)
            groups = [[group.role, group.start, group.stop] for group in layer.groups]
            layers.append({"shape": [layer.neurons, layer.inputs], "groups": groups})
        structure = {
            "format": FORMAT,
            "scheme": self.scheme,
            "input_dimension": self.input_dimension,
            "activation": "logistic sigmoid",
            "hidden": layers,
        }
        path = Path(path)
        # `save` copies nothing that is not contiguous, and writes strides it was not told of.
        contiguous = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(save(contiguous, metadata={"pellucid": json.dumps(structure)}))
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> SigmoidNetwork:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: No such file, not a safetensors file, or not a sigmoid network.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise DataError(f"network must be a safetensors file, got {str(path)!r}: no such file.")
        try:
            with safe_open(path, framework="numpy") as file:
                structure = json.loads((file.metadata() or {}).get("pellucid", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if structure.get("format") != FORMAT:
                raise DataError(
                    f"network must be a file in the format {FORMAT!r}, got {str(path)!r} with "
                    f"{structure.get('format')!r}. Use the network.safetensors that "
                    "`pellucid approximate` wrote."
                )
            hidden = [
                _read_layer(tensors, number, layer)
                for number, layer in enumerate(structure["hidden"])
            ]
            return cls(
                tuple(hidden),
                tensors["output_weight"],
                float(tensors["output_bias"][0]),
                scheme=str(structure["scheme"]),
                input_dimension=int(structure["input_dimension"]),
            )
        except DataError:
            raise
        except (
            SafetensorError,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise DataError(
                f"network must be a readable sigmoid network, got {str(path)!r}: {error}."
            ) from error

    def to_torch(self) -> torch.nn.Sequential:
        """Return the network as a torch module in float64: (n, d) to (n, 1).

        Layers are dense there; a grid of 10^4 cells needs gigabytes.
        """
        import torch

        modules: list[torch.nn.Module] = []

        def linear(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> torch.nn.Linear:
            module = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(np.array(weight)))
                module.bias.copy_(torch.from_numpy(np.array(bias)))
            return module

        for layer in self.hidden:
            modules += [linear(dense(layer.weight), layer.bias), torch.nn.Sigmoid()]
        if not self.hidden:
            last = np.zeros((1, self.input_dimension))
        else:
            last = self.output_weight[None]
        modules.append(linear(last, np.array([self.output_bias])))
        return torch.nn.Sequential(*modules)


def variable_names(dimension: int) -> tuple[str, ...]:
    """Return the names of the variables: x, y, z, t, as far as needed."""
    return ("x", "y", "z", "t")[:dimension]


def _shape(weight: Weight) -> tuple[int, ...]:
    return tuple(int(size) for size in weight.shape or ())


def dense(weight: Weight) -> NDArray[np.float64]:
    """Return a weight as an ordinary matrix."""
    return weight if isinstance(weight, np.ndarray) else weight.toarray()


def _read_layer(
    tensors: dict[str, NDArray[Any]], number: int, layer: dict[str, Any]
) -> SigmoidLayer:
    groups = tuple(NeuronGroup(str(role), int(a), int(b)) for role, a, b in layer["groups"])
    bias = tensors[f"hidden_{number}.bias"]
    rows, columns = (int(size) for size in layer["shape"])
    if f"hidden_{number}.weight" in tensors:
        return SigmoidLayer(tensors[f"hidden_{number}.weight"], bias, groups)
    parts: Sequence[NDArray[Any]] = [
        tensors[f"hidden_{number}.{part}"] for part in ("values", "columns", "row_starts")
    ]
    # Built by hand, csr_array does not check that the indices lie in the matrix.
    values, indices, starts = parts
    if len(starts) != rows + 1 or np.any(np.diff(starts) < 0) or starts[-1] != len(values):
        raise DataError(f"hidden layer {number} has row starts that fit no {rows} rows.")
    if len(indices) != len(values) or np.any((indices < 0) | (indices >= columns)):
        raise DataError(f"hidden layer {number} has columns outside [0, {columns}).")
    weight = scipy.sparse.csr_array((values, indices, starts), shape=(rows, columns))
    return SigmoidLayer(weight, bias, groups)
