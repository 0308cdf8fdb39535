"""Surgery on a traced network: taking units out of a layer and out of all that reads them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from pellucid._checks import UsageError
from pellucid.regularization.compaction.unit_flow import (
    Flow,
    Layer,
    LayerUnits,
    Shape,
    flattened,
    follow_units,
    is_depthwise,
    is_norm_with_activation,
    is_zero_padded,
)

_RESHAPES = {"flatten", "reshape", "squeeze", "view"}
_RESHAPE_FUNCTIONS: set[Any] = {torch.flatten, torch.reshape, torch.squeeze}


class CannotCompact(UsageError):
    """The network cannot be made smaller safely; the message says why."""


@dataclass(frozen=True)
class CompactedLayer:
    """One convolution or linear layer before and after.

    Attributes:
        name: As in the network, such as ``"conv1"``.
        units_before: Filters or neurons.
        units_after: Those that are left.
        constant_kept: Units left although their value is always the same, because it is read with
            zero padding, which makes a border of it; where there were several, one for all.
        left_alone: Why no unit could be removed; empty if they could.
    """

    name: str
    units_before: int
    units_after: int
    constant_kept: int
    left_alone: str


def trace_network(network: nn.Module, example: Tensor) -> tuple[fx.GraphModule, dict[str, Shape]]:
    """Return a copy of the network as a graph that flattens by `torch.flatten` only, and shapes.

    Args:
        network: Is not changed.
        example: Input batch, (batch, ...).

    Returns:
        The graph, in evaluation mode, and the shape of the tensor at each node, by its name.

    Raises:
        CannotCompact: `torch.fx` cannot trace it.
    """
    copied = copy.deepcopy(network).eval()
    try:
        graph = _Tracer().trace(copied)
        graph_module = fx.GraphModule(copied, graph, class_name=type(network).__name__)
        watch = _Watch(graph_module)
        watch.run(example)
    except Exception as error:  # whatever the user's forward does to a proxy
        raise CannotCompact(
            f"network must be traceable by torch.fx, got {type(error).__name__}: {error} "
            "Avoid conditions on the values or the shape of tensors in forward."
        ) from error
    for node in graph.nodes:
        is_reshape = (node.op == "call_method" and node.target in _RESHAPES) or (
            node.op == "call_function" and node.target in _RESHAPE_FUNCTIONS
        )
        before = watch.shapes.get(node.args[0].name) if is_reshape else None
        if before and watch.shapes.get(node.name) == flattened(before):
            # A reshape spells out sizes that will change.
            node.op, node.target = "call_function", torch.flatten
            node.args, node.kwargs = (node.args[0], 1), {}
    graph.eliminate_dead_code()
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()
    return graph_module, watch.shapes


class _Tracer(fx.Tracer):
    """Keeps timm's normalization layers whole, as PyTorch's are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_norm_with_activation(m) or super().is_leaf_module(m, module_qualified_name)


class _Watch(fx.Interpreter):
    """Runs a graph and notes the shape of the tensor at each node, by the node's name."""

    def __init__(self, graph_module: fx.GraphModule):
        super().__init__(graph_module)
        self.shapes: dict[str, Shape] = {}

    def run_node(self, n: fx.Node) -> Any:
        with torch.no_grad():
            result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n.name] = tuple(result.shape)
        return result


def remove_until_fixed(
    network: nn.Module, example: Tensor, tolerance: float
) -> tuple[fx.GraphModule, tuple[CompactedLayer, ...]]:
    """Remove units layer by layer until no more can go.

    One removal makes others possible, in both directions: a folded constant leaves the next layer's
    unit without incoming weights, a removed reader leaves the units it read without outgoing ones.

    Args:
        network: Is not changed.
        example: Input batch.
        tolerance: Units all of whose incoming, or all of whose outgoing weights are at most this
            are taken for dead; 0 removes only what leaves the answers as they are.

    Raises:
        CannotCompact: The network cannot be traced.
    """
    graph_module, shapes = trace_network(network, example)

    def follow() -> dict[str, LayerUnits]:
        return {units.name: units for units in follow_units(graph_module, shapes)}

    all_units = follow()
    before = {name: _count_units(units.layer) for name, units in all_units.items()}
    changed = True
    while changed:
        changed = False
        if tolerance:
            for name in before:
                _zero_small(all_units[name], tolerance)
            all_units = follow()
        for name in before:
            if _shrink(all_units[name]):
                changed = True
                all_units = follow()
    layers = tuple(
        CompactedLayer(
            name=name,
            units_before=before[name],
            units_after=_count_units(all_units[name].layer),
            constant_kept=_count_constants(all_units[name]),
            left_alone=all_units[name].left_alone,
        )
        # A depth-wise convolution of which one channel is left looks like any other layer by now.
        for name in before
    )
    return graph_module, layers


def _zero_small(units: LayerUnits, tolerance: float) -> None:
    """Zero rows and columns of one layer's units in which no weight exceeds the tolerance."""
    if units.left_alone:
        return
    with torch.no_grad():
        rows = (units.layer.weight.abs() <= tolerance).flatten(1).all(dim=1)
        units.layer.weight[rows] = 0
        for _, reader, flow in units.readers:
            unread = (_columns(reader, flow).abs() <= tolerance).all(dim=2).all(dim=0)
            reader.weight[:, unread.repeat_interleave(flow.block)] = 0


def _count_units(layer: Layer) -> int:
    return layer.weight.shape[0]


def _columns(reader: Layer, flow: Flow) -> Tensor:
    """Return a reader's weights as float64 (outputs, units, entries of one unit)."""
    return reader.weight.detach().double().reshape(_count_units(reader), len(flow.constant), -1)


def _folds(reader: Layer, flow: Flow) -> Tensor:
    """Return which units are constants that the reader's bias can hold, bool (units,)."""
    constant = flow.constant
    return constant == 0 if is_zero_padded(reader) else constant.isfinite()


def _removable(units: LayerUnits) -> Tensor:
    """Return which units every reader ignores or reads as a constant it can hold itself."""
    removable = torch.ones(_count_units(units.layer), dtype=torch.bool)
    if units.left_alone:
        return ~removable
    for _, reader, flow in units.readers:
        ignored = (_columns(reader, flow) == 0).all(dim=2).all(dim=0)
        removable &= ignored | _folds(reader, flow)
    return removable


def _count_constants(units: LayerUnits) -> int:
    """Count the units that stay only because a constant has borders in a padded map."""
    return int((_constant_units(units) & ~_removable(units)).sum())


def _shrink(units: LayerUnits) -> bool:
    """Remove the units of one layer that can go; return whether anything changed."""
    removable = _removable(units)
    if not bool(removable.any()):
        return _silence(units) or _merge_constants(units)
    keep = ~removable
    switch_off = not bool(keep.any())
    if switch_off:
        if len(keep) == 1 and _is_off(units):
            return False
        keep[0] = True
    for _, reader, flow in units.readers:
        _fold(reader, flow, removable)
        if switch_off:
            with torch.no_grad():
                reader.weight.zero_()
        _keep_inputs(reader, flow, keep)
    for carrier in units.carriers.values():
        _keep_entries(carrier, keep)
    _keep_entries(units.layer, keep)
    if switch_off:
        with torch.no_grad():
            units.layer.weight.zero_()
            if units.layer.bias is not None:
                units.layer.bias.zero_()
    return True


def _silence(units: LayerUnits) -> bool:
    """Zero the incoming weights of units that stay although they are constant anyway.

    A normalization that scales by 0 makes a constant of any unit. Where a padded reader keeps it,
    at least the units that it reads itself need not stay.
    """
    weight = units.layer.weight
    fed = (weight.detach() != 0).flatten(1).any(dim=1) & _constant_units(units)
    with torch.no_grad():
        weight[fed] = 0
    return bool(fed.any())


def _merge_constants(units: LayerUnits) -> bool:
    """Let one of several constant units speak for all of them to readers that pad with zeros.

    Such a reader sees ``constant * border`` from each, the same border of zeros around ones, so the
    sum over units is one unit's constant times one kernel. The others are then read by nobody.
    """
    constant = _constant_units(units) & ~_removable(units)
    padded = [(reader, flow) for _, reader, flow in units.readers if is_zero_padded(reader)]
    if int(constant.sum()) < 2 or not padded:
        return False
    # The speaker must be other than 0 everywhere; the largest constants divide best.
    sizes = torch.stack([flow.constant.abs() for _, flow in padded]).amin(dim=0)
    sizes = torch.where(constant, sizes, 0)
    speaker = int(sizes.argmax())
    if not bool(sizes[speaker] > 0):
        return False
    others = constant.clone()
    others[speaker] = False
    for reader, flow in padded:
        weight = reader.weight.detach().double()
        shares = flow.constant[others] / flow.constant[speaker]
        weight[:, speaker] += torch.einsum("ouhw,u->ohw", weight[:, others], shares)
        weight[:, others] = 0
        assign(reader, "weight", weight.to(reader.weight.dtype))
    return True


def _constant_units(units: LayerUnits) -> Tensor:
    """Return which units arrive as constants wherever they are read, bool (units,)."""
    if units.left_alone or not units.readers:
        return torch.zeros(_count_units(units.layer), dtype=torch.bool)
    return torch.stack([flow.constant.isfinite() for _, _, flow in units.readers]).all(dim=0)


def _is_off(units: LayerUnits) -> bool:
    """Return whether nothing goes into the units and nothing out of them."""
    tensors = [units.layer.weight, *(reader.weight for _, reader, _ in units.readers)]
    if units.layer.bias is not None:
        tensors.append(units.layer.bias)
    return not any(bool(tensor.any()) for tensor in tensors)


def _fold(reader: Layer, flow: Flow, removed: Tensor) -> None:
    """Move the constants of removed units into the reader's bias."""
    constants = torch.where(removed & _folds(reader, flow), flow.constant, 0)
    moved = _columns(reader, flow).sum(dim=2) @ constants
    if not bool(moved.any()):
        return
    weight = reader.weight
    bias = moved if reader.bias is None else reader.bias.detach().double() + moved
    assign(reader, "bias", bias.to(weight.dtype), like=weight)


def _keep_inputs(reader: Layer, flow: Flow, keep: Tensor) -> None:
    columns = keep.repeat_interleave(flow.block)
    assign(reader, "weight", reader.weight.detach()[:, columns])
    correct_sizes(reader)


def _keep_entries(module: nn.Module, keep: Tensor) -> None:
    """Keep some units of a layer or of a module with parameters for each unit."""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for name, tensor in own:
        if tensor.dim():  # not the count of batches of a normalization layer
            assign(module, name, tensor.detach()[keep])
    correct_sizes(module)


def assign(module: nn.Module, name: str, value: Tensor, *, like: Tensor | None = None) -> None:
    """Set a parameter or buffer of another size; a new parameter is trainable as `like` is."""
    value = value.detach().clone(memory_format=torch.contiguous_format)
    if name in dict(module.named_buffers(recurse=False)):
        setattr(module, name, value)
        return
    old = like if like is not None else getattr(module, name)
    setattr(module, name, nn.Parameter(value, requires_grad=old.requires_grad))


def correct_sizes(module: nn.Module) -> None:
    """Make what a module prints and checks agree with its tensors."""
    if isinstance(module, nn.Conv2d):
        if is_depthwise(module):
            module.groups = module.weight.shape[0]
        module.out_channels = module.weight.shape[0]
        module.in_channels = module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        module.num_features = len(next(v for v in _vectors(module) if v.dim()))
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)


def _vectors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]
