"""What the user typed as a formula: a tree of plain nodes, its text, its values at points.

A tree is a record of operations and holds no code; reading text is in ``expressions.py``. The same
tree is walked with NumPy floats here and with intervals or balls in ``enclosures``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import special

from pellucid._checks import UsageError

#: Coordinates a formula may have; one network input each.
MAXIMAL_DIMENSION = 4
#: Points evaluated at once, so that intermediate results stay in the processor's cache.
_CHUNK = 16_384

#: Operations with a truth value; they only stand in the condition of ``where``.
CONDITIONS = frozenset({"less", "less_equal", "equal", "not_equal", "and", "or", "not", "true"})
#: Operations across which a formula may jump.
JUMPS = frozenset({"where", "sign"})


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Node:
    """One operation of a formula; equal sub-expressions of one formula are one node.

    Attributes:
        operation: ``"constant"``, ``"variable"``, ``"add"``, ``"power"``, ``"sin"``, ...
        arguments: What it is applied to.
        value: The exact value of a constant (a ``Fraction``, or ``"pi"`` or ``"e"``), the index of
            a variable, the exponent of a ``"power"`` (a ``Fraction``); ``None`` otherwise.
        span: First character and the one after the last in the text of the formula.
        variables: Indices of the variables it depends on.
    """

    operation: str
    arguments: tuple[Node, ...] = ()
    value: Fraction | int | str | None = None
    span: tuple[int, int] = (0, 0)
    variables: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        detail = "" if self.value is None else f"={self.value}"
        return f"Node({self.operation}{detail}, {len(self.arguments)} arguments)"


@dataclass(frozen=True, eq=False)
class Expression:
    """A formula in 1 to 4 variables; call it with points.

    Attributes:
        text: The formula; ``parse(text, dimension)`` gives it back.
        dimension: How many coordinates a point has.
        root: The operation done last.

    Example:
        >>> from pellucid.approximation.expressions import parse
        >>> parse("x**2 + y")([[3.0, 1.0]])
        array([10.])
    """

    text: str
    dimension: int
    root: Node
    steps: tuple[Node, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(in_order(self.root)))

    def __str__(self) -> str:
        return self.text

    @property
    def continuous(self) -> bool | None:
        """True if the formula is continuous wherever it is defined, None if that is not known.

        Only ``where`` and ``sign`` can jump; a pole is a place where the formula is undefined.
        """
        return None if any(node.operation in JUMPS for node in self.steps) else True

    def text_of(self, node: Node) -> str:
        """Return the part of the text that ``node`` was read from."""
        return self.text[node.span[0] : node.span[1]].strip() or self.text

    def __call__(self, points: Any) -> np.ndarray:
        """Return the values at ``points``, shape (n, dimension), as shape (n,) of float64.

        Where the formula is undefined the value is nan or infinite, without a warning.

        Raises:
            UsageError: If ``points`` has another shape.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise UsageError(
                f"points must have shape (n, {self.dimension}), got {points.shape}. "
                f"The formula {shorten(self.text)!r} has {self.dimension} variable(s)."
            )
        values = np.empty(len(points))
        for start in range(0, len(points), _CHUNK):
            columns = np.ascontiguousarray(points[start : start + _CHUNK].T)
            values[start : start + _CHUNK] = evaluate(self.steps, columns)[-1]
        return values


def shorten(text: str, length: int = 60) -> str:
    """Return ``text`` cut to ``length`` characters."""
    return text if len(text) <= length else text[: length - 3] + "..."


def in_order(
    root: Node, *, enter_branches: bool = True, taken: Mapping[int, Any] | None = None
) -> Iterator[Node]:
    """Yield every node once, arguments before what uses them; no recursion, trees may be deep.

    Args:
        root: Where to begin.
        enter_branches: If not, a ``where`` comes after its condition only.
        taken: Values of all nodes by ``id``; then only the branch that is taken is entered.
    """
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            below = node.arguments
            if node.operation == "where" and not enter_branches:
                below = below[:1]
            elif node.operation == "where" and taken is not None:
                below = (below[0], below[1] if taken[id(below[0])] else below[2])
            stack.extend((argument, False) for argument in reversed(below))


def evaluate(steps: tuple[Node, ...], columns: np.ndarray) -> list[np.ndarray]:
    """Return the value of every step at the points ``columns``, shape (dimension, n), as floats."""
    results: dict[int, Any] = {}
    with np.errstate(all="ignore"):
        for node in steps:
            if node.operation == "variable":
                assert isinstance(node.value, int)
                results[id(node)] = columns[node.value]
                continue
            arguments = [results[id(argument)] for argument in node.arguments]
            if node.operation == "constant":
                results[id(node)] = np.float64(constant_value(node))
            elif node.operation == "power":
                results[id(node)] = _power(arguments[0], node.value)
            else:
                results[id(node)] = NUMPY[node.operation](*arguments)
    return [results[id(node)] for node in steps]


def constant_value(node: Node) -> float:
    """Return the float64 nearest a constant."""
    if isinstance(node.value, str):
        return math.pi if node.value == "pi" else math.e
    assert isinstance(node.value, Fraction)
    return float(node.value)


def _power(base: np.ndarray, exponent: Any) -> np.ndarray:
    if exponent == 2:
        return base * base
    if exponent == 3:
        return base * base * base
    if exponent == -1:
        return 1.0 / base
    return np.power(base, float(exponent))


def _norm(*arguments: np.ndarray) -> np.ndarray:
    return functools.reduce(np.hypot, arguments)


#: How each operation but the leaves and ``power`` is computed in floating point.
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negate": np.negative,
    "general_power": np.power,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "sigmoid": special.expit,
    "erf": special.erf,
    "min": np.minimum,
    "max": np.maximum,
    "norm": _norm,
    "where": np.where,
    "less": np.less,
    "less_equal": np.less_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "true": lambda: np.True_,
}
