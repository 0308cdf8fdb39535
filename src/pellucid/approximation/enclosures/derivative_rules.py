"""The rules of differentiation, one for each operation of a formula, over any arithmetic.

What nothing depends on is not stored, so a function of one coordinate costs one slope. Derivatives
are generalized, see ``jets``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from pellucid.approximation.enclosures.elementary_derivatives import (
    BROKEN,
    UNARY,
    Enclosure,
    log,
)
from pellucid.approximation.enclosures.intervals import Intervals
from pellucid.approximation.formula_tree import Node


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """The jet of one step; what is missing in the dictionaries is 0 because nothing depends on it.

    The keys of ``second`` are pairs (i, j) with i <= j.
    """

    value: Enclosure
    first: dict[int, Enclosure]
    second: dict[tuple[int, int], Enclosure]


def apply(node: Node, arguments: list[Any], columns: list[Enclosure], order: int) -> Any:
    """Return the jet of one operation; of a condition, (certainly true, certainly false).

    Args:
        node: The operation.
        arguments: What this returned for its arguments.
        columns: Enclosures of the coordinates; without any, of a constant, in intervals.
        order: How many derivatives.
    """
    if node.operation == "variable":
        column = columns[node.value]  # type: ignore[call-overload]
        one = {node.value: type(column).exact(np.ones(1))} if order else {}
        return Part(column, one, {})  # type: ignore[arg-type]
    if node.operation == "constant":
        kind: Any = type(columns[0]) if columns else Intervals
        return Part(kind.constant(node.value), {}, {})
    rule = _RULES.get(node.operation)
    if rule is not None:
        return rule(node, arguments, order)
    u = arguments[0]
    broken = BROKEN[node.operation](u.value) if order and node.operation in BROKEN else False
    return _chain(u, *UNARY[node.operation](u.value, order), order, broken)


def _chain(
    part: Part,
    value: Enclosure,
    slope: Callable[[], Enclosure],
    curvature: Callable[[], Enclosure],
    order: int,
    broken: Any = False,
) -> Part:
    """Return f(u): f' u_i, and f'' u_i u_j + f' u_ij; the derivatives are computed if needed.

    Where a pole or a gap of the domain may be inside (``broken``), they are taken as unbounded, for
    the mean value theorem does not reach across.
    """
    if order == 0 or not part.first:
        return Part(value, {}, {})
    slope = _cut(slope(), broken)
    first = {i: slope * entry for i, entry in part.first.items()}
    if order == 1:
        return Part(value, first, {})
    curvature = _cut(curvature(), broken)
    second = {pair: slope * entry for pair, entry in part.second.items()}
    if curvature is not None:
        for i, a in part.first.items():
            for j, b in part.first.items():
                if i <= j:
                    _accumulate(second, (i, j), curvature * (a.square() if i == j else a * b))
    return Part(value, first, second)


def _cut(derivative: Enclosure, broken: Any) -> Enclosure:
    if derivative is None or not np.any(broken):
        return derivative
    return type(derivative).everything((1,)).choose(broken, derivative)


def _accumulate(entries: dict[Any, Enclosure], key: Any, entry: Enclosure) -> None:
    entries[key] = entries[key] + entry if key in entries else entry


def _pairs(a: dict[int, Enclosure], b: dict[int, Enclosure]) -> list[tuple[int, int]]:
    keys = sorted({*a, *b})
    return [(i, j) for i in keys for j in keys if i <= j]


# Rules of several arguments.


def _add(node: Node, arguments: list[Part], order: int) -> Part:
    a, b = arguments
    first, second = dict(a.first), dict(a.second)
    for i, entry in b.first.items():
        _accumulate(first, i, entry)
    for pair, entry in b.second.items():
        _accumulate(second, pair, entry)
    return Part(a.value + b.value, first, second)


def _negate(node: Node, arguments: list[Part], order: int) -> Part:
    (a,) = arguments
    return Part(
        -a.value,
        {i: -entry for i, entry in a.first.items()},
        {pair: -entry for pair, entry in a.second.items()},
    )


def _subtract(node: Node, arguments: list[Part], order: int) -> Part:
    a, b = arguments
    return _add(node, [a, _negate(node, [b], order)], order)


def _multiply(node: Node, arguments: list[Part], order: int) -> Part:
    a, b = arguments
    first = {i: entry * b.value for i, entry in a.first.items()}
    for i, entry in b.first.items():
        _accumulate(first, i, entry * a.value)
    second = {pair: entry * b.value for pair, entry in a.second.items()}
    for pair, entry in b.second.items():
        _accumulate(second, pair, entry * a.value)
    if order >= 2:
        for i, j in _pairs(a.first, b.first):
            if i in a.first and j in b.first:
                _accumulate(second, (i, j), a.first[i] * b.first[j] * (2.0 if i == j else 1.0))
            if i != j and j in a.first and i in b.first:
                _accumulate(second, (i, j), a.first[j] * b.first[i])
    return Part(a.value * b.value, first, second)


def _divide(node: Node, arguments: list[Part], order: int) -> Part:
    a, b = arguments
    inverse = b.value.reciprocal()
    part = _chain(
        b,
        inverse,
        lambda: -b.value.square().reciprocal(),
        lambda: b.value.power(Fraction(-3)) * 2.0,
        order,
        bool(order) and (b.value.lower < 0) & (b.value.upper > 0),
    )
    return _multiply(node, [a, part], order)


def _power(node: Node, arguments: list[Part], order: int) -> Part:
    (u,) = arguments
    p = node.value
    assert isinstance(p, Fraction)

    def scaled(factor: Fraction, exponent: Fraction) -> Enclosure:
        if factor == 0:
            return None
        power = u.value.power(exponent)
        return power if factor == 1 else power * type(u.value).constant(factor)

    broken: Any = False
    if order and (p < 0 or p.denominator > 1):
        broken = (u.value.lower < 0) & ((p.denominator > 1) | (u.value.upper > 0))
    return _chain(
        u,
        u.value.power(p),
        lambda: scaled(p, p - 1) if p else type(u.value).zeros((1,)),
        lambda: scaled(p * (p - 1), p - 2),
        order,
        broken,
    )


def _general_power(node: Node, arguments: list[Part], order: int) -> Part:
    """Return u**v as exp(v log u); with a constant exponent by the power rule, finite at u = 0."""
    u, v = arguments
    value = u.value.general_power(v.value)
    if order == 0:
        return Part(value, {}, {})
    broken = (u.value.lower < 0) | ((u.value.lower <= 0) & (v.value.lower <= 0))
    if not v.first:
        less = v.value - 1.0
        return _chain(
            u,
            value,
            lambda: u.value.general_power(less) * v.value,
            lambda: u.value.general_power(less - 1.0) * (v.value * less),
            order,
            broken,
        )
    logarithm = _chain(u, *log(u.value, order), order, broken)
    exponent = _multiply(node, [v, logarithm], order)
    return _chain(exponent, value, lambda: value, lambda: value, order, broken)


def _norm(node: Node, arguments: list[Part], order: int) -> Part:
    """Return the Euclidean norm: slope u_k/n in [-1, 1], curvature (1 - u_k**2/n**2)/n ...."""
    squares = [part.value.square() for part in arguments]
    value = _total(squares).sqrt()
    if order == 0:
        return Part(value, {}, {})
    slopes = [
        part.value.direction(_total(squares[:k] + squares[k + 1 :]).sqrt())
        for k, part in enumerate(arguments)
    ]
    first: dict[int, Enclosure] = {}
    second: dict[tuple[int, int], Enclosure] = {}
    for part, slope in zip(arguments, slopes, strict=True):
        for i, entry in part.first.items():
            _accumulate(first, i, slope * entry)
        for pair, entry in part.second.items():
            _accumulate(second, pair, slope * entry)
    if order >= 2:
        inverse = value.positive().reciprocal()
        for k, a in enumerate(arguments):
            for m, b in enumerate(arguments):
                bend = 1.0 - slopes[k].square() if k == m else -(slopes[k] * slopes[m])
                bend = (bend.positive() if k == m else bend) * inverse
                for i, left in a.first.items():
                    for j, right in b.first.items():
                        if i <= j:
                            square = k == m and i == j
                            product = left.square() if square else left * right
                            _accumulate(second, (i, j), bend * product)
    return Part(value, first, second)


def _total(parts: list[Enclosure]) -> Enclosure:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _smaller(node: Node, arguments: list[Part], order: int) -> Part:
    a, b = arguments
    value = a.value.minimum(b.value)
    if order == 0:
        return Part(value, {}, {})
    return _either(
        a.value.upper <= b.value.lower, b.value.upper <= a.value.lower, a, b, value, order
    )


def _larger(node: Node, arguments: list[Part], order: int) -> Part:
    a, b = arguments
    value = a.value.maximum(b.value)
    if order == 0:
        return Part(value, {}, {})
    return _either(
        a.value.lower >= b.value.upper, b.value.lower >= a.value.upper, a, b, value, order
    )


def _where(node: Node, arguments: list[Any], order: int) -> Part:
    (true, false), a, b = arguments
    value = a.value.choose(true, b.value.choose(false, a.value.hull(b.value)))
    jumps = node.arguments[0].variables
    return _either(true, false, a, b, value, order, jumps)


def _either(
    true: np.ndarray,
    false: np.ndarray,
    a: Part,
    b: Part,
    value: Enclosure,
    order: int,
    jumps: frozenset[int] = frozenset(),
) -> Part:
    """Return ``a`` or ``b``; where it is not known which, what encloses both, and the kink.

    A ``jumps`` coordinate decides which of the two holds, so the value may jump along it.
    """
    if order == 0:
        return Part(value, {}, {})
    kind = type(value)
    zero, everything = kind.zeros((1,)), kind.everything((1,))
    first, second = {}, {}
    keys = sorted({*a.first, *b.first, *jumps})
    for i in keys:
        left, right = a.first.get(i, zero), b.first.get(i, zero)
        unknown = everything if i in jumps else left.hull(right)
        first[i] = left.choose(true, right.choose(false, unknown))
    for i, j in [(i, j) for i in keys for j in keys if i <= j] if order >= 2 else []:
        left, right = a.second.get((i, j), zero), b.second.get((i, j), zero)
        smooth = jumps and i not in jumps and j not in jumps
        unknown = left.hull(right) if smooth else everything
        second[i, j] = left.choose(true, right.choose(false, unknown))
    return Part(value, first, second)


# Conditions: (certainly true, certainly false), two boolean arrays.


def _less(node: Node, arguments: list[Part], order: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (argument.value for argument in arguments)
    return a.upper < b.lower, a.lower >= b.upper


def _less_equal(node: Node, arguments: list[Part], order: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (argument.value for argument in arguments)
    return a.upper <= b.lower, a.lower > b.upper


def _equal(node: Node, arguments: list[Part], order: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (argument.value for argument in arguments)
    same = (a.lower == a.upper) & (b.lower == b.upper) & (a.lower == b.lower)
    return same, (a.upper < b.lower) | (a.lower > b.upper)


def _not(node: Node, arguments: list[Any], order: int) -> tuple[np.ndarray, np.ndarray]:
    ((true, false),) = arguments
    return false, true


def _not_equal(node: Node, arguments: list[Part], order: int) -> tuple[np.ndarray, np.ndarray]:
    return _not(node, [_equal(node, arguments, order)], order)


def _and(node: Node, arguments: list[Any], order: int) -> tuple[np.ndarray, np.ndarray]:
    (a_true, a_false), (b_true, b_false) = arguments
    return a_true & b_true, a_false | b_false


def _or(node: Node, arguments: list[Any], order: int) -> tuple[np.ndarray, np.ndarray]:
    (a_true, a_false), (b_true, b_false) = arguments
    return a_true | b_true, a_false & b_false


def _true(node: Node, arguments: list[Any], order: int) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(1, dtype=bool), np.zeros(1, dtype=bool)


_RULES: dict[str, Callable[[Node, list[Any], int], Any]] = {
    "add": _add,
    "subtract": _subtract,
    "negate": _negate,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "general_power": _general_power,
    "norm": _norm,
    "min": _smaller,
    "max": _larger,
    "where": _where,
    "less": _less,
    "less_equal": _less_equal,
    "equal": _equal,
    "not_equal": _not_equal,
    "and": _and,
    "or": _or,
    "not": _not,
    "true": _true,
}
