"""Which layers read the units of which layer, and which units are constant on the way there.

A *unit* is a filter of a convolution or a neuron of a linear layer. Its values pass channel-wise
operations (activations, batch normalization, pooling, flattening) until other layers read them. A
layer whose units reach anything else (an addition, a concatenation, the output) is left alone.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

Shape = tuple[int, ...]
Layer = nn.Conv2d | nn.Linear
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

_POINTWISE_MODULES: set[type[nn.Module]] = {
    nn.CELU,
    nn.Dropout,
    nn.Dropout2d,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
}
_POINTWISE_FUNCTIONS: set[Any] = {
    F.celu,
    F.elu,
    F.gelu,
    F.hardsigmoid,
    F.hardswish,
    F.hardtanh,
    F.leaky_relu,
    F.logsigmoid,
    F.mish,
    F.relu,
    F.relu6,
    F.selu,
    F.sigmoid,
    F.silu,
    F.softplus,
    F.tanh,
    operator.add,
    operator.mul,
    operator.sub,
    operator.truediv,
    torch.abs,
    torch.relu,
    torch.sigmoid,
    torch.tanh,
}
_POINTWISE_METHODS = {"abs", "contiguous", "relu", "relu_", "sigmoid", "tanh"}
_DROPOUT_FUNCTIONS: set[Any] = {F.dropout, F.dropout2d}
# The mean or the largest of equal values is that value.
_POOL_MODULES: set[type[nn.Module]] = {
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.AvgPool2d,
    nn.MaxPool2d,
}
_POOL_FUNCTIONS: set[Any] = {
    F.adaptive_avg_pool2d,
    F.adaptive_max_pool2d,
    F.avg_pool2d,
    F.max_pool2d,
}
_AVERAGE_POOL_ARGUMENTS = (
    "input",
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)

_SHARED = "shares or computes its weights, or has hooks"


@dataclass(frozen=True)
class Flow:
    """The units of one layer at one node of the graph.

    Attributes:
        layer: Name of the layer.
        constant: Per unit, float64 (units,): the value it has for every image at every position, or
            NaN where it varies.
        block: Consecutive entries of the unit axis that belong to one unit; more than 1 after a
            feature map was flattened.
        last_axis: The units lie along the last axis, as a linear layer leaves them, and not along
            axis 1.
    """

    layer: str
    constant: Tensor
    block: int = 1
    last_axis: bool = False

    def along(self, axis: int, dimensions: int) -> bool:
        """Return whether the units lie along ``axis`` of a tensor of so many ``dimensions``."""
        return (dimensions - 1 if self.last_axis else 1) == axis % dimensions


@dataclass
class LayerUnits:
    """The units of one layer and everything that has to change with them.

    Attributes:
        name: Of the layer.
        layer: It.
        carriers: Modules on the way with parameters for each unit: batch normalization, depth-wise
            convolutions, PReLU; with their names.
        readers: Layers that read the units: name, layer and how the units arrive there.
        left_alone: Why no unit may be removed; empty if units may be.
    """

    name: str
    layer: Layer
    carriers: dict[str, nn.Module] = field(default_factory=dict)
    readers: list[tuple[str, Layer, Flow]] = field(default_factory=list)
    left_alone: str = ""


def is_zero_padded(layer: nn.Module) -> bool:
    """Return whether the layer pads its input with zeros, so that a constant has borders."""
    if not isinstance(layer, nn.Conv2d) or layer.padding_mode != "zeros":
        return False
    if isinstance(layer.padding, str):
        return layer.padding == "same" and any(size > 1 for size in layer.kernel_size)
    return any(layer.padding)


def is_depthwise(module: nn.Module) -> bool:
    """Return whether each output channel depends on the input channel of the same index only."""
    return (
        type(module) is nn.Conv2d
        and module.groups > 1
        and module.groups == module.in_channels == module.out_channels
    )


def is_norm_with_activation(module: nn.Module) -> bool:
    """Return whether it is timm's batch normalization with the activation inside.

    Known by name, because loading timm takes seconds.
    """
    kind = type(module)
    return kind.__name__ == "BatchNormAct2d" and kind.__module__.startswith("timm.")


def follow_units(graph_module: fx.GraphModule, shapes: Mapping[str, Shape]) -> list[LayerUnits]:
    """Follow the units of every convolution and linear layer to the layers that read them.

    Args:
        graph_module: A traced network in evaluation mode.
        shapes: Of the tensor at each node, by the node's name; of its units' axis only that it is
            one is used, so that shapes measured before units were removed will do.

    Returns:
        In the order of the graph. Grouped convolutions other than depth-wise ones and layers that
        are called twice or share their weights come as left alone.
    """
    walk = _Walk(graph_module, shapes)
    for node in graph_module.graph.nodes:
        walk.step(node)
    return list(walk.units.values())


class _Walk:
    """One pass along the graph in its order."""

    def __init__(self, graph_module: fx.GraphModule, shapes: Mapping[str, Shape]):
        self.shapes = shapes
        self.modules = dict(graph_module.named_modules())
        self.flows: dict[fx.Node, Flow] = {}
        self.units: dict[str, LayerUnits] = {}
        self.shared = _shared_modules(graph_module)

    def step(self, node: fx.Node) -> None:
        if node.op == "call_module":
            flow = self._module(node)
        elif node.op in ("call_function", "call_method"):
            flow = self._function(node)
        else:
            flow = None
            if node.op == "output":
                self._leave_alone(node, "its units are the network's output")
        if flow is not None:
            self.flows[node] = flow

    def _leave_alone(self, node: fx.Node, reason: str) -> None:
        """Leave alone all layers whose units reach ``node``."""
        for source in node.all_input_nodes:
            if source in self.flows:
                units = self.units[self.flows[source].layer]
                units.left_alone = units.left_alone or reason

    def _module(self, node: fx.Node) -> Flow | None:
        name = str(node.target)
        module = self.modules[name]
        if type(module) in (nn.Conv2d, nn.Linear) and not is_depthwise(module):
            return self._layer(node, name, module)  # type: ignore[arg-type]
        flow = self._carry(node, name, module)
        if flow is None:
            self._leave_alone(node, f"its units go into {name} ({type(module).__name__})")
        return flow

    def _layer(self, node: fx.Node, name: str, layer: Layer) -> Flow | None:
        units = self.units.setdefault(name, LayerUnits(name, layer))
        ordinary = name not in self.shared and getattr(layer, "groups", 1) == 1
        flow = self._input(node)
        if not ordinary or (flow is not None and not self._readable(node, layer, flow)):
            reason = _SHARED if name in self.shared else "reads in groups or along another axis"
            self._leave_alone(node, f"its units go into {name}, which {reason}")
        elif flow is not None:
            self.units[flow.layer].readers.append((name, layer, flow))
        if not ordinary:
            units.left_alone = f"it {_SHARED if name in self.shared else 'convolves in groups'}"
            return None
        return Flow(name, _born_constant(layer), last_axis=isinstance(layer, nn.Linear))

    def _readable(self, node: fx.Node, layer: Layer, flow: Flow) -> bool:
        dimensions = len(self._shape_in(node))
        if isinstance(layer, nn.Conv2d):
            return dimensions == 4 and flow.block == 1 and flow.along(1, 4)
        return flow.along(-1, dimensions)

    def _input(self, node: fx.Node) -> Flow | None:
        """Return the flow into a node that reads one tensor."""
        sources = node.all_input_nodes
        return self.flows.get(sources[0]) if len(sources) == 1 else None

    def _shape_in(self, node: fx.Node) -> Shape:
        return self.shapes.get(node.all_input_nodes[0].name, ())

    def _carry(self, node: fx.Node, name: str, module: nn.Module) -> Flow | None:
        """Return the flow behind a channel-wise module, None behind any other."""
        flow = self._input(node)
        if flow is None or _overwrites_shared(node, module):
            return None
        shape = self._shape_in(node)
        along_channels = flow.along(1, len(shape)) and flow.block == 1
        constant = None
        if type(module) in _POINTWISE_MODULES:
            return replace(flow, constant=_through(module, flow.constant, _precision(self, flow)))
        if type(module) is nn.Flatten:
            return self._flatten(node, flow)
        if type(module) in _POOL_MODULES and len(shape) == 4 and along_channels:
            if getattr(module, "return_indices", False):
                return None
            keeps = type(module) is not nn.AvgPool2d or _averages_only_pixels(vars(module))
            return replace(flow, constant=_kept(flow.constant, keeps))
        if name in self.shared or not along_channels:
            return None
        if isinstance(module, BatchNorm) and type(module).__module__.startswith("torch.nn"):
            constant = _through_batch_norm(module, flow.constant)
        elif is_norm_with_activation(module) and _is_pointwise(module.drop, module.act):
            constant = _through_batch_norm(module, flow.constant)  # type: ignore[arg-type]
            if constant is not None:
                constant = _through(module.act, constant, _precision(self, flow))
        elif is_depthwise(module):
            constant = _through_depthwise(module, flow.constant)  # type: ignore[arg-type]
        elif type(module) is nn.PReLU:
            slope = module.weight.detach().double()
            constant = torch.where(flow.constant < 0, slope * flow.constant, flow.constant)
            if len(slope) == 1:
                return replace(flow, constant=constant)  # one slope for all: nothing to remove
        if constant is None:
            return None
        self.units[flow.layer].carriers[name] = module
        return replace(flow, constant=constant)

    def _function(self, node: fx.Node) -> Flow | None:
        flow = self._input(node)
        carried = None
        if flow is not None and not _overwrites_shared(node, None):
            carried = self._carry_function(node, flow)
        if carried is None:
            self._leave_alone(node, f"its units go into {_operation(node)}")
        return carried

    def _carry_function(self, node: fx.Node, flow: Flow) -> Flow | None:
        target, shape = node.target, self._shape_in(node)
        if target in _DROPOUT_FUNCTIONS:
            training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
            return None if training else flow
        pointwise = _POINTWISE_METHODS if node.op == "call_method" else _POINTWISE_FUNCTIONS
        # Not x + x: that is two inputs, though one node.
        if target in pointwise and _reads_once(node):
            constant = _through(_applied(node), flow.constant, _precision(self, flow))
            return replace(flow, constant=constant)
        if target is torch.flatten:
            return self._flatten(node, flow)
        if len(shape) != 4 or flow.block != 1 or not flow.along(1, 4):
            return None
        if target in _POOL_FUNCTIONS:
            arguments = dict(zip(_AVERAGE_POOL_ARGUMENTS, node.args, strict=False)) | node.kwargs
            keeps = target is not F.avg_pool2d or _averages_only_pixels(arguments)
            if arguments.get("return_indices"):
                return None
            return replace(flow, constant=_kept(flow.constant, keeps))
        if target == "mean" or target is torch.mean:
            axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
            if isinstance(axes, Sequence) and {a % 4 for a in axes} == {2, 3}:  # type: ignore[operator]
                return flow
        return None

    def _flatten(self, node: fx.Node, flow: Flow) -> Flow | None:
        """Each unit of a (batch, units, height, width) map becomes height * width columns."""
        before, after = self._shape_in(node), self.shapes.get(node.name, ())
        if not flow.along(1, len(before)) or after != flattened(before):
            return None
        spatial = 1
        for length in before[2:]:
            spatial *= length
        return replace(flow, block=flow.block * spatial, last_axis=True)


def flattened(shape: Shape) -> Shape:
    """Return the shape with all axes but the first made one."""
    length = 1
    for size in shape[1:]:
        length *= size
    return (*shape[:1], length)


def _shared_modules(graph_module: fx.GraphModule) -> set[str]:
    """Return the names of modules called more than once or that share a parameter.

    So does a module whose parameter the graph reads directly, or one that computes its weights.
    """
    calls = Counter(str(n.target) for n in graph_module.graph.nodes if n.op == "call_module")
    shared = {name for name, count in calls.items() if count > 1}
    owners: dict[int, set[str]] = {}
    for name, module in graph_module.named_modules(remove_duplicate=False):
        if any(True for _ in _hooked(module)):
            shared.add(name)
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(name)
    shared.update(*(names for names in owners.values() if len(names) > 1))
    read = [str(n.target) for n in graph_module.graph.nodes if n.op == "get_attr"]
    return shared | {name.rpartition(".")[0] for name in read}


def _is_pointwise(*modules: Any) -> bool:
    return all(type(module) in _POINTWISE_MODULES for module in modules)


def _hooked(module: nn.Module) -> Iterator[object]:
    """Yield what makes a module more than its class says: parametrizations, weight norm, hooks."""
    if torch.nn.utils.parametrize.is_parametrized(module):
        yield module
    yield from module._forward_pre_hooks.values()
    yield from module._forward_hooks.values()


def _born_constant(layer: Layer) -> Tensor:
    """A unit all of whose incoming weights are 0 has the value of its bias."""
    dead = (layer.weight.detach() == 0).flatten(1).all(dim=1)
    value = torch.zeros(len(dead), dtype=torch.float64, device=dead.device)
    if layer.bias is not None:
        value = layer.bias.detach().double()
    return torch.where(dead, value, torch.nan)


def _kept(constant: Tensor, keeps: bool) -> Tensor:
    """Return the constants behind an operation that keeps all of them, or 0 only."""
    return constant if keeps else torch.where(constant == 0, constant, torch.nan)


def _averages_only_pixels(arguments: Mapping[str, Any]) -> bool:
    """Return whether an average pool divides by the number of pixels it has summed."""
    padding = arguments.get("padding", 0)
    padded = any(padding) if isinstance(padding, Sequence) else bool(padding)
    counts_zeros = padded and arguments.get("count_include_pad", True)
    return not counts_zeros and arguments.get("divisor_override") is None


def _precision(walk: _Walk, flow: Flow) -> torch.dtype:
    return walk.units[flow.layer].layer.weight.dtype


def _through(function: Any, constant: Tensor, dtype: torch.dtype) -> Tensor:
    """Apply a point-wise operation to the constants, in the network's own precision."""
    known = ~constant.isnan()
    # Some operations (a threshold) turn NaN into a number.
    with torch.no_grad():
        values = function(torch.where(known, constant, 0).to(dtype).view(1, -1, 1, 1))
    return torch.where(known, values.flatten().double(), torch.nan)


def _through_batch_norm(norm: BatchNorm, constant: Tensor) -> Tensor | None:
    if norm.running_mean is None or norm.running_var is None:
        return None  # normalized by the batch: not a constant, and not one unit at a time
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = torch.zeros_like(scale)
    if norm.affine:
        scale = scale * norm.weight.detach().double()
        shift = norm.bias.detach().double()
    moved = (constant - norm.running_mean.double()) * scale + shift
    return torch.where(scale == 0, shift, moved)


def _through_depthwise(layer: nn.Conv2d, constant: Tensor) -> Tensor:
    weight = layer.weight.detach().double()
    bias = torch.zeros_like(constant) if layer.bias is None else layer.bias.detach().double()
    moved = _kept(constant, not is_zero_padded(layer)) * weight.sum((1, 2, 3)) + bias
    return torch.where((weight == 0).flatten(1).all(dim=1), bias, moved)


def _reads_once(node: fx.Node) -> bool:
    reads = [a for a in [*node.args, *node.kwargs.values()] if isinstance(a, fx.Node)]
    scalars = [a for a in node.args if not isinstance(a, fx.Node)]
    return len(reads) == 1 and all(isinstance(a, bool | int | float | str) for a in scalars)


def _applied(node: fx.Node) -> Any:
    """Return the node's operation as a function of the one tensor it reads."""

    def apply(values: Tensor) -> Tensor:
        args = map_arg(node.args, lambda _: values)
        kwargs = map_arg(node.kwargs, lambda _: values)
        if node.op == "call_method":
            return getattr(values, str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    return apply


def _operation(node: fx.Node) -> str:
    """Return the name of a function or method as a person would write it, such as "add"."""
    if isinstance(node.target, str):
        return node.target
    return str(getattr(node.target, "__name__", node.name))


def _overwrites_shared(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether the operation changes in place what another node reads too."""
    in_place = getattr(module, "inplace", False) or node.kwargs.get("inplace", False)
    in_place = in_place or (node.op == "call_method" and str(node.target).endswith("_"))
    return bool(in_place) and len(node.all_input_nodes[0].users) > 1
