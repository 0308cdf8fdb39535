"""Operations that change a value in place: seen when a network is traced, then done out of place.

The two are the same function as long as nothing reads the changed memory by another name later on.
Where something does, the networks cannot be stacked.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from pellucid.regularization.stacking.stack_layout import CannotStack
from pellucid.regularization.stacking.stacked_operations import (
    NEW_MEMORY_FUNCTIONS,
    NEW_MEMORY_METHODS,
    NEW_MEMORY_MODULES,
)

_OPERATORS: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
    operator.ipow: operator.pow,
}
_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.relu_: F.relu,
    F.leaky_relu_: F.leaky_relu,
    F.celu_: F.celu,
    F.selu_: F.selu,
    F.hardtanh_: F.hardtanh,
    torch.tanh_: torch.tanh,
    torch.sigmoid_: torch.sigmoid,
}


class _Proxy(torch.fx.Proxy):
    """PyTorch's own has no ``+=``, so that Python calls ``+`` and the trace hides the change."""

    def _change(self, function: Callable[..., Any], other: Any) -> torch.fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    def __iadd__(self, other: Any) -> torch.fx.Proxy:
        return self._change(operator.iadd, other)

    def __isub__(self, other: Any) -> torch.fx.Proxy:
        return self._change(operator.isub, other)

    def __imul__(self, other: Any) -> torch.fx.Proxy:
        return self._change(operator.imul, other)

    def __itruediv__(self, other: Any) -> torch.fx.Proxy:
        return self._change(operator.itruediv, other)

    def __ifloordiv__(self, other: Any) -> torch.fx.Proxy:
        return self._change(operator.ifloordiv, other)

    def __imod__(self, other: Any) -> torch.fx.Proxy:
        return self._change(operator.imod, other)

    def __ipow__(self, other: Any) -> torch.fx.Proxy:
        return self._change(operator.ipow, other)


class _Tracer(torch.fx.Tracer):
    def proxy(self, node: torch.fx.Node) -> torch.fx.Proxy:
        return _Proxy(node, self)


def trace(network: nn.Module) -> torch.fx.GraphModule:
    """Record a network's operations as `torch.fx.symbolic_trace` does, and ``+=`` as itself."""
    tracer = _Tracer()
    graph = tracer.trace(network)
    return torch.fx.GraphModule(tracer.root, graph, type(network).__name__)


def make_out_of_place(traced: torch.fx.GraphModule) -> None:
    """Replace what changes a value in place by what gives a new one.

    Args:
        traced: With the shapes of all values known.

    Raises:
        CannotStack: what is changed is used afterwards, by this or by another name; it is taken to
            have another name wherever an operation might give its input or a view of it.
    """
    nodes = list(traced.graph.nodes)
    position = {node: number for number, node in enumerate(nodes)}
    names: dict[torch.fx.Node, set[torch.fx.Node]] = {}  # that may share a node's memory
    changing = []
    for node in nodes:
        if isinstance(node.kwargs.get("out"), torch.fx.Node):
            raise CannotStack(str(node), "it writes its result into another value")
        sources = [source for source in node.all_input_nodes if _holds_tensors(source)]
        if sources and _is_in_place(traced, node):
            for name in names[sources[0]]:
                for user in name.users:
                    reads = _holds_tensors(user) or user.op == "output"
                    if reads and position[user] > position[node]:
                        raise CannotStack(
                            str(node), f"it changes in place what {user} may use afterwards"
                        )
            changing.append(node)
        elif _gives_new_memory(traced, node):
            sources = []
        shared = {node}.union(*(names[source] for source in sources))
        for name in shared:
            names[name] = shared
    for node in changing:
        _replace(traced, node)


def _holds_tensors(node: torch.fx.Node) -> bool:
    return node.meta.get("tensor_meta") is not None


def _is_in_place(traced: torch.fx.GraphModule, node: torch.fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(traced.get_submodule(str(node.target)), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    name = _name(node)
    return (
        node.target in _OPERATORS
        or name.startswith("__i")
        or (name.endswith("_") and not name.startswith("_"))
        or bool(_inplace_option(node))
    )


def _name(node: torch.fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _inplace_place(node: torch.fx.Node) -> int | None:
    """Return where among its positional arguments a function takes ``inplace``."""
    if node.op != "call_function" or not inspect.isfunction(node.target):
        return None
    names = list(inspect.signature(node.target).parameters)
    return names.index("inplace") if "inplace" in names else None


def _inplace_option(node: torch.fx.Node) -> Any:
    place = _inplace_place(node)
    if place is not None and place < len(node.args):
        return node.args[place]
    return node.kwargs.get("inplace", False)


def _gives_new_memory(traced: torch.fx.GraphModule, node: torch.fx.Node) -> bool:
    if node.op == "call_module":
        return type(traced.get_submodule(str(node.target))) in NEW_MEMORY_MODULES
    if node.op == "call_method":
        return node.target in NEW_MEMORY_METHODS
    return node.op == "call_function" and node.target in NEW_MEMORY_FUNCTIONS


def _replace(traced: torch.fx.GraphModule, node: torch.fx.Node) -> None:
    if node.op == "call_module":
        traced.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]
        return
    target: Any = node.target
    place = _inplace_place(node)
    if place is not None and place < len(node.args):
        node.args = (*node.args[:place], False, *node.args[place + 1 :])
    node.kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}
    if node.op == "call_method":
        node.target = target if target.startswith("_") else target.removesuffix("_")
    else:  # what is in neither table stays, to be refused like any other unknown function
        node.target = _OPERATORS.get(target) or _FUNCTIONS.get(target) or target
