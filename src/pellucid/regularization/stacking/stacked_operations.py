"""What each operation of a network becomes when many networks do it at once."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.regularization.stacking.stack_layout import (
    CannotStack,
    FanOut,
    Pass,
    Program,
    Step,
    Value,
)

MAX_POOLS = {F.max_pool2d, torch.max_pool2d}
_ELEMENTWISE_MODULES = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Tanhshrink,
)
_POOL_MODULES = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_ELEMENTWISE_FUNCTIONS = {
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish, F.tanh),
    *(F.sigmoid, F.logsigmoid, F.softplus, F.softsign, F.hardtanh, F.hardswish, F.hardsigmoid),
    *(torch.relu, torch.tanh, torch.sigmoid, torch.abs, torch.exp, torch.square, operator.neg),
}
_ELEMENTWISE_METHODS = {"relu", "tanh", "sigmoid", "abs", "exp", "square", "contiguous"}
_POOL_FUNCTIONS = {*MAX_POOLS, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
_ARITHMETIC = {
    **{operator.add: torch.add, torch.add: torch.add, "add": torch.add},
    **{operator.sub: torch.sub, torch.sub: torch.sub, "sub": torch.sub},
    **{operator.mul: torch.mul, torch.mul: torch.mul, "mul": torch.mul},
    operator.truediv: torch.div,
}
_RESHAPES = {torch.flatten, torch.reshape, "flatten", "view", "reshape"}
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_CONCATENATIONS = {torch.cat, torch.concat, torch.concatenate}

# What never gives its input or a view of it; dropout does in evaluation.
NEW_MEMORY_MODULES = {
    *_ELEMENTWISE_MODULES,
    *_POOL_MODULES,
    *_BATCH_NORMS,
    *(nn.Linear, nn.Conv2d, nn.GroupNorm),
}
NEW_MEMORY_FUNCTIONS = {
    *_ELEMENTWISE_FUNCTIONS,
    *_POOL_FUNCTIONS,
    *_CONCATENATIONS,
    *(target for target in _ARITHMETIC if not isinstance(target, str)),
    torch.mean,
}
NEW_MEMORY_METHODS = {
    *(_ELEMENTWISE_METHODS - {"contiguous"}),
    *(target for target in _ARITHMETIC if isinstance(target, str)),
    "mean",
}


class Builder:
    """Translates a traced network, node by node, into a `Program`.

    Args:
        traced: The network, with the shapes of all values known and nothing done in place.
        fan: Which network gets which images.
        dropout: Before every linear layer but the first.
        training: The mode that was traced.
    """

    def __init__(
        self, traced: torch.fx.GraphModule, fan: FanOut, dropout: float, *, training: bool
    ) -> None:
        self._traced = traced
        self._fan = fan
        self._dropout = dropout
        self._training = training
        self._program = Program(fan)
        self._slot: dict[torch.fx.Node, int] = {}
        self._linear_layers = 0
        # Tied parameters have one name of their own and others that lead to it.
        self._name = {id(p): name for name, p in traced.named_parameters()}

    def finish(self) -> Program:
        """Return the program, in which values are dropped as soon as nothing needs them."""
        seen = {self._program.output}
        steps = []
        for step, inputs, output, _ in reversed(self._program.steps):
            last = tuple({slot for slot in inputs if slot not in seen})
            seen.update(inputs)
            steps.append((step, inputs, output, last))
        self._program.steps = steps[::-1]
        return self._program

    def add(self, node: torch.fx.Node) -> None:
        """Translate one node."""
        if node.op == "placeholder":
            if self._slot:
                raise CannotStack(str(node), "forward has more than one input")
            self._slot[node] = 0
        elif node.op == "output":
            self._finish_output(node)
        elif node.op == "get_attr":
            raise CannotStack(str(node), "a parameter is used outside of a layer")
        elif not isinstance(_shape(node), tuple):
            self._check_number(node)
        elif node.op == "call_module":
            self._module(node, self._traced.get_submodule(str(node.target)))
        else:
            self._function(node)

    def _finish_output(self, node: torch.fx.Node) -> None:
        result = node.args[0]
        if not isinstance(result, torch.fx.Node) or len(_shape(result) or ()) != 2:
            raise CannotStack(str(node), "forward must give logits of shape (batch, classes)")
        self._program.output = self._slot[result]

    def _check_number(self, node: torch.fx.Node) -> None:
        """Sizes may be asked for, but only to reshape: the layout follows from the shapes."""
        for user in node.users:
            reshapes = user.op == "call_method" and user.target in _RESHAPES
            reshapes |= user.op == "call_function" and user.target in _RESHAPES
            if not reshapes and isinstance(_shape(user), tuple):
                raise CannotStack(str(node), f"{user} computes with a size")

    def _emit(self, node: torch.fx.Node, step: Step, *inputs: torch.fx.Node) -> None:
        self._slot[node] = self._program.slots
        self._program.slots += 1
        slots = tuple(self._slot[value] for value in inputs)
        self._program.steps.append((step, slots, self._slot[node], ()))

    def _alias(self, node: torch.fx.Node, source: torch.fx.Node) -> None:
        self._slot[node] = self._slot[source]

    def _input(self, node: torch.fx.Node, *ranks: int) -> torch.fx.Node:
        """Return the one input, a value of one of these ranks."""
        source = node.args[0] if node.args else node.kwargs.get("input")
        if not isinstance(source, torch.fx.Node) or source not in self._slot:
            raise CannotStack(str(node), "its first argument must be a value of the network")
        rank = len(_shape(source) or ())
        if rank not in ranks:
            allowed = " or ".join(map(str, ranks))
            raise CannotStack(str(node), f"its input has {rank} dimensions instead of {allowed}")
        return source

    def _options(self, node: torch.fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments after the first, which must be constants."""
        options = {name: value for name, value in node.kwargs.items() if name != "input"}
        rest = node.args[1:] if node.args else ()
        found: list[torch.fx.Node] = []
        torch.fx.map_arg((rest, options), found.append)
        if found:
            raise CannotStack(str(node), f"its option {found[0]} is computed")
        options.pop("inplace", None)
        return tuple(rest), options

    def _module(self, node: torch.fx.Node, module: nn.Module) -> None:
        kind = type(module)  # a subclass may do something else
        if isinstance(module, nn.Dropout) and kind is nn.Dropout and self._training and module.p:
            self._drop(node, float(module.p))
        elif kind in (nn.Identity, nn.Dropout):
            self._alias(node, self._input(node, 2, 4))
        elif kind in _ELEMENTWISE_MODULES:
            self._emit(node, lambda state, v: (module(v[0][0]), v[0][1]), self._input(node, 2, 4))
        elif kind in _POOL_MODULES:
            if getattr(module, "return_indices", False):
                raise CannotStack(str(node), "pooling that returns indices")
            self._emit(node, lambda state, v: (module(v[0][0]), v[0][1]), self._input(node, 4))
        elif kind is nn.Flatten:
            self._reshape(node)
        elif isinstance(module, nn.Linear) and kind is nn.Linear:
            self._linear(node, module)
        elif isinstance(module, nn.Conv2d) and kind is nn.Conv2d:
            self._convolution(node, module)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and kind in _BATCH_NORMS:
            self._batch_norm(node, module)
        elif isinstance(module, nn.GroupNorm) and kind is nn.GroupNorm:
            self._group_norm(node, module)
        else:
            raise CannotStack(str(node.target), f"{kind.__name__} layers are not known")

    def _function(self, node: torch.fx.Node) -> None:
        target: Any = node.target
        is_method = node.op == "call_method"
        if is_method and target in _ELEMENTWISE_METHODS:
            if target == "contiguous":
                self._alias(node, self._input(node, 2, 4))
                return
            function = getattr(torch, target)
            self._emit(node, lambda state, v: (function(v[0][0]), v[0][1]), self._input(node, 2, 4))
        elif not is_method and (target in _ELEMENTWISE_FUNCTIONS or target in _POOL_FUNCTIONS):
            ranks = (4,) if target in _POOL_FUNCTIONS else (2, 4)
            rest, options = self._options(node)
            if options.pop("return_indices", False):
                raise CannotStack(str(node), "pooling that returns indices")
            self._emit(
                node,
                lambda state, v: (target(v[0][0], *rest, **options), v[0][1]),
                self._input(node, *ranks),
            )
        elif target in _ARITHMETIC:
            self._arithmetic(node, _ARITHMETIC[target])
        elif target in _RESHAPES:
            self._reshape(node)
        elif target in _CONCATENATIONS:
            self._concatenate(node)
        elif target in (torch.mean, "mean"):
            self._mean(node)
        elif target is F.dropout:
            rest, options = self._options(node)
            settings = dict(zip(("p", "training", "inplace"), rest, strict=False)) | options
            share = float(settings.get("p", 0.5)) if settings.get("training", True) else 0.0
            if share:
                self._drop(node, share)
            else:
                self._alias(node, self._input(node, 2, 4))
        else:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise CannotStack(str(node), f"{name} is not known")

    def _linear(self, node: torch.fx.Node, module: nn.Linear) -> None:
        source = self._input(node, 2)
        self._linear_layers += 1
        if self._dropout and self._training and self._linear_layers > 1:
            dropped = self._dropped(source, self._dropout)
        else:
            dropped = None
        weight_name = self._name[id(module.weight)]
        bias_name = None if module.bias is None else self._name[id(module.bias)]
        deep = self._fan.deep

        def step(state: Pass, values: list[Value]) -> Value:
            inputs = deep(*(values[0] if dropped is None else dropped(state, values)))
            weight = state.parameters[weight_name].transpose(1, 2)
            if bias_name is None:
                answer = torch.bmm(inputs, weight)
            else:
                answer = torch.baddbmm(state.parameters[bias_name].unsqueeze(1), inputs, weight)
            return answer, len(weight)

        self._emit(node, step, source)

    def _convolution(self, node: torch.fx.Node, module: nn.Conv2d) -> None:
        if module.padding_mode != "zeros":
            raise CannotStack(str(node.target), f"padding_mode={module.padding_mode!r}")
        weight_name = self._name[id(module.weight)]
        bias_name = None if module.bias is None else self._name[id(module.bias)]
        fan, groups = self._fan, module.groups
        stride, padding, dilation = module.stride, module.padding, module.dilation

        def step(state: Pass, values: list[Value]) -> Value:
            images, count = values[0]
            if count != fan.networks and (groups > 1 or (count > 1 and not fan.even)):
                images, count = fan.wide(images, count), fan.networks
            weight = state.parameters[weight_name].flatten(0, 1)
            bias = None if bias_name is None else state.parameters[bias_name].flatten()
            answer = F.conv2d(images, weight, bias, stride, padding, dilation, count * groups)
            return answer, fan.networks

        self._emit(node, step, self._input(node, 4))

    def _batch_norm(self, node: torch.fx.Node, module: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        is_wide = isinstance(module, nn.BatchNorm2d)
        fan, prefix, epsilon = self._fan, str(node.target), module.eps
        names = (
            (self._name[id(module.weight)], self._name[id(module.bias)]) if module.affine else None
        )
        tracks, momentum = module.track_running_stats, module.momentum
        by_batch = self._training or not tracks

        def step(state: Pass, values: list[Value]) -> Value:
            value, count = values[0]
            value = fan.wide(value, count) if is_wide else fan.deep(value, count)
            flat = value if is_wide else value.transpose(0, 1).flatten(1)
            mean = variance = weight = bias = None
            factor = 0.0
            if tracks:
                mean = state.buffers[f"{prefix}.running_mean"].flatten()
                variance = state.buffers[f"{prefix}.running_var"].flatten()
                if by_batch:
                    batches = state.buffers[f"{prefix}.num_batches_tracked"].add_(1)
                    factor = 1 / float(batches.flatten()[0]) if momentum is None else momentum
            if names is not None:
                weight, bias = (state.parameters[name].flatten() for name in names)
                if mean is not None and weight.dtype != mean.dtype:  # low precision beside float32
                    weight, bias = weight.to(mean.dtype), bias.to(mean.dtype)
            answer = F.batch_norm(flat, mean, variance, weight, bias, by_batch, factor, epsilon)
            if not is_wide:
                answer = answer.unflatten(1, (fan.networks, -1)).transpose(0, 1)
            return answer, fan.networks

        # BatchNorm1d on (batch, channels, length) would have three dimensions and is refused.
        self._emit(node, step, self._input(node, 4 if is_wide else 2))

    def _group_norm(self, node: torch.fx.Node, module: nn.GroupNorm) -> None:
        fan, groups, epsilon = self._fan, module.num_groups, module.eps
        names = (
            (self._name[id(module.weight)], self._name[id(module.bias)]) if module.affine else None
        )

        def step(state: Pass, values: list[Value]) -> Value:
            value = fan.wide(*values[0])
            weight, bias = (
                (None, None)
                if names is None
                else (state.parameters[name].flatten() for name in names)
            )
            return F.group_norm(value, fan.networks * groups, weight, bias, epsilon), fan.networks

        self._emit(node, step, self._input(node, 4))

    def _dropped(self, source: torch.fx.Node, share: float) -> Step:
        shape = _shape(source) or ()
        is_wide = len(shape) == 4
        fan = self._fan

        def step(state: Pass, values: list[Value]) -> Value:
            value, count = values[0]
            if state.draw is None:
                return value, count
            # One mask a seed, so that all arms of a seed lose the same activations.
            batch = value.shape[0] if is_wide else value.shape[1]
            masks = state.draw((batch, *shape[1:]), share).to(value.dtype)
            index = fan.index(masks.device) if count == fan.networks else slice(None)
            masks = masks[index]
            if is_wide:
                masks = masks.permute(1, 3, 4, 0, 2).flatten(3).permute(0, 3, 1, 2)
            return value * masks, count

        return step

    def _drop(self, node: torch.fx.Node, share: float) -> None:
        source = self._input(node, 2, 4)
        self._emit(node, self._dropped(source, share), source)

    def _reshape(self, node: torch.fx.Node) -> None:
        source = self._input(node, 2, 4)
        before, after = _shape(source) or (), _shape(node) or ()
        if before == after:
            self._alias(node, source)
        elif len(before) == 4 and after == (before[0], before[1] * before[2] * before[3]):
            self._emit(node, _flatten, source)
        else:
            raise CannotStack(
                str(node), f"only (batch, everything else) can be reshaped to, not {after}"
            )

    def _mean(self, node: torch.fx.Node) -> None:
        source = self._input(node, 4)
        rest, options = self._options(node)
        settings = dict(zip(("dim", "keepdim"), rest, strict=False)) | options
        axes = settings.get("dim")
        if not isinstance(axes, list | tuple) or {axis % 4 for axis in axes} != {2, 3}:
            raise CannotStack(str(node), "a mean must be over height and width")
        flat = not settings.get("keepdim", False)

        def step(state: Pass, values: list[Value]) -> Value:
            average = values[0][0].mean((2, 3), keepdim=True), values[0][1]
            return _flatten(state, [average]) if flat else average

        self._emit(node, step, source)

    def _arithmetic(self, node: torch.fx.Node, function: Callable[..., Tensor]) -> None:
        operands = node.args[:2]
        nodes = [value for value in operands if isinstance(value, torch.fx.Node)]
        if len(operands) != 2 or node.kwargs or any(value not in self._slot for value in nodes):
            raise CannotStack(str(node), "arithmetic must be between values of the network")
        if len(nodes) == 1:
            constant = next(value for value in operands if value is not nodes[0])
            if not isinstance(constant, int | float):
                raise CannotStack(str(node), f"{constant!r} is not a number")
            if operands[0] is nodes[0]:
                step: Step = lambda state, v: (function(v[0][0], constant), v[0][1])  # noqa: E731
            else:
                step = lambda state, v: (  # noqa: E731
                    function(torch.as_tensor(constant, dtype=v[0][0].dtype), v[0][0]),
                    v[0][1],
                )
            self._emit(node, step, nodes[0])
            return
        shapes = [_shape(value) or () for value in nodes]
        ranks = {len(shape) for shape in shapes}
        # Height and width may be spread, as where a channel is scaled; channels may not.
        if ranks not in ({2}, {4}) or len({shape[:2] for shape in shapes}) != 1:
            raise CannotStack(str(node), f"values of shapes {shapes[0]} and {shapes[1]}")
        spread = self._fan.wide if ranks == {4} else self._fan.deep
        networks = self._fan.networks

        def both(state: Pass, values: list[Value]) -> Value:
            (left, count), (right, other) = values
            if count != other:
                left, right, count = spread(left, count), spread(right, other), networks
            return function(left, right), count

        self._emit(node, both, *nodes)

    def _concatenate(self, node: torch.fx.Node) -> None:
        rest, options = node.args[1:], dict(node.kwargs)
        values = node.args[0] if node.args else options.get("tensors")
        axis = rest[0] if rest else options.get("dim", 0)
        rank = len(_shape(node) or ())
        if not isinstance(values, list | tuple) or any(v not in self._slot for v in values):
            raise CannotStack(str(node), "only values of the network can be put together")
        if rank not in (2, 4) or not isinstance(axis, int) or axis % rank != 1:
            raise CannotStack(str(node), "values can be put together along channels only")
        fan = self._fan

        def step(state: Pass, found: list[Value]) -> Value:
            counts = {count for _, count in found}
            count = counts.pop() if len(counts) == 1 else fan.networks
            if rank == 2:
                parts = [v if c == count else fan.deep(v, c) for v, c in found]
                return torch.cat(parts, 2), count
            parts = [v if c == count else fan.wide(v, c) for v, c in found]
            last = [v.permute(0, 2, 3, 1).unflatten(3, (count, -1)) for v in parts]
            return torch.cat(last, 4).flatten(3).permute(0, 3, 1, 2), count

        self._emit(node, step, *values)  # type: ignore[arg-type]


def _flatten(state: Pass, values: list[Value]) -> Value:
    value, count = values[0]
    batch, _, height, width = value.shape
    if count == 1:
        return value.reshape(1, batch, -1), 1
    split = value.view(batch, count, -1, height, width)
    return split.transpose(0, 1).reshape(count, batch, -1), count


def _shape(node: torch.fx.Node) -> tuple[int, ...] | None:
    """Return the value's shape for one network, or None where it is no tensor."""
    found = node.meta.get("tensor_meta")
    shape = getattr(found, "shape", None)
    return None if shape is None else tuple(shape)
