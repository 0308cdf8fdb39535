"""Value, gradient and Hessian of a formula over boxes, by forward differentiation.

The same rules run on intervals (fast) and on balls (trusted). Derivatives are generalized: across
a kink (``abs``, ``min``, ``max``) the gradient encloses the slopes on both sides and the Hessian is
unbounded; across a jump (``where``, ``sign``) the gradient is unbounded in the coordinates that
decide the jump. So the mean value theorem holds coordinate by coordinate, and that is all that is
used: ``f(x) - f(c)`` lies in ``sum_i G_i (x_i - c_i)``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from pellucid._checks import UsageError, check_choice
from pellucid.approximation.enclosures.balls import Balls, working_precision
from pellucid.approximation.enclosures.intervals import Intervals
from pellucid.approximation.formula_tree import Expression, Node

#: Boxes at once: intermediate results stay in the processor's cache.
CHUNK = 4_096
#: ``Intervals`` or ``Balls``: they have the same methods.
Enclosure = Any
Arithmetic = Literal["intervals", "balls"]


@dataclass(frozen=True, eq=False)
class Jet:
    """Enclosures over n boxes in d dimensions, all in the same arithmetic.

    Attributes:
        value: Shape (n,); has ``.lower`` and ``.upper``, float64 arrays.
        gradient: Shape (n, d), or ``None`` for order 0.
        hessian: Shape (n, d, d), symmetric, or ``None`` below order 2.
    """

    value: Enclosure
    gradient: Enclosure = None
    hessian: Enclosure = None


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """The jet of one step; what is missing in the dictionaries is 0 because nothing depends on it.

    The keys of ``second`` are pairs (i, j) with i <= j.
    """

    value: Enclosure
    first: dict[int, Enclosure]
    second: dict[tuple[int, int], Enclosure]


def arithmetic_named(name: str) -> type:
    """Return the class ``Intervals`` or ``Balls``."""
    check_choice("arithmetic", name, ("intervals", "balls"))
    return Intervals if name == "intervals" else Balls


@contextlib.contextmanager
def working(arithmetic: str) -> Iterator[None]:
    """Set up what an arithmetic needs: a precision for balls, silence for unbounded intervals."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        if arithmetic == "balls":
            stack.enter_context(working_precision())
        yield


def enclose(
    expression: Expression,
    lower: Any,
    upper: Any,
    *,
    order: Literal[0, 1, 2] = 0,
    arithmetic: Arithmetic = "intervals",
) -> Jet:
    """Enclose a formula, and its derivatives, on boxes.

    Order 0 is the natural extension. From order 1 the value is intersected with the mean value
    form and the monotone form, from order 2 with the second-order Taylor form too, and the gradient
    with its own mean value form. Source: Moore, Kearfott, Cloud, *Introduction to Interval
    Analysis*, 2009, chapters 5 and 6.

    Args:
        expression: The formula.
        lower: Lower ends of the boxes, shape (n, d).
        upper: Upper ends, not below.
        order: How many derivatives.
        arithmetic: ``"intervals"`` (float64, fast) or ``"balls"`` (arb, trusted).

    Returns:
        Enclosures of the values at all points of each box where the formula is defined; infinite
        where unbounded, never nan.

    Raises:
        UsageError: If the boxes have another shape.
    """
    lower, upper = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if lower.ndim != 2 or lower.shape != upper.shape or lower.shape[1] != expression.dimension:
        raise UsageError(
            f"lower and upper must both have shape (n, {expression.dimension}), "
            f"got {lower.shape} and {upper.shape}."
        )
    kind = arithmetic_named(arithmetic)
    starts = range(0, max(len(lower), 1), CHUNK)
    with working(arithmetic):
        jets = [
            _enclose_chunk(expression, kind, lower[i : i + CHUNK], upper[i : i + CHUNK], order)
            for i in starts
        ]
    if len(jets) == 1:
        return jets[0]
    return Jet(
        kind.concatenate([jet.value for jet in jets]),
        kind.concatenate([jet.gradient for jet in jets]) if order >= 1 else None,
        kind.concatenate([jet.hessian for jet in jets]) if order >= 2 else None,
    )


def _enclose_chunk(
    expression: Expression, kind: Any, lower: np.ndarray, upper: np.ndarray, order: int
) -> Jet:
    count, dimension = lower.shape
    columns = [kind.from_bounds(lower[:, i], upper[:, i]) for i in range(dimension)]
    part = propagate(expression, columns, order)
    value = part.value.broadcast_to((count,))
    if order == 0:
        return Jet(value)
    first = {i: entry.broadcast_to((count,)) for i, entry in part.first.items()}
    second = {pair: entry.broadcast_to((count,)) for pair, entry in part.second.items()}
    center = np.clip(0.5 * lower + 0.5 * upper, lower, upper)
    points = [kind.exact(center[:, i]) for i in range(dimension)]
    offsets = {i: columns[i] - points[i] for i in part.first}
    at_center = propagate(expression, points, order - 1)
    if order >= 2:
        first, taylor = _taylor(at_center, first, second, offsets)
        value = value.intersect(taylor.broadcast_to((count,)))
    mean = at_center.value
    for i, slope in first.items():
        mean = mean + slope * offsets[i]
    value = value.intersect(mean.broadcast_to((count,)))
    value = _monotone(expression, kind, lower, upper, value, first)
    zero = kind.zeros((count,))
    gradient = kind.stack([first.get(i, zero) for i in range(dimension)], axis=1)
    if order == 1:
        return Jet(value, gradient)
    rows = [
        kind.stack([second.get((min(i, j), max(i, j)), zero) for j in range(dimension)], axis=1)
        for i in range(dimension)
    ]
    return Jet(value, gradient, kind.stack(rows, axis=1))


def _taylor(
    at_center: _Part,
    first: dict[int, Enclosure],
    second: dict[tuple[int, int], Enclosure],
    offsets: dict[int, Enclosure],
) -> tuple[dict[int, Enclosure], Enclosure]:
    """Return the gradients sharpened by the Hessian, and the second-order Taylor form."""
    value = at_center.value
    sharper = dict(at_center.first)
    for (i, j), entry in second.items():
        if i == j:
            value = value + entry * offsets[i].square() * 0.5
            sharper[i] = sharper[i] + entry * offsets[i]
        else:
            value = value + entry * (offsets[i] * offsets[j])
            sharper[i] = sharper[i] + entry * offsets[j]
            sharper[j] = sharper[j] + entry * offsets[i]
    for i, slope in at_center.first.items():
        value = value + slope * offsets[i]
    return {
        i: slope.intersect(sharper[i].broadcast_to(slope.shape)) for i, slope in first.items()
    }, value


def _monotone(
    expression: Expression,
    kind: Any,
    lower: np.ndarray,
    upper: np.ndarray,
    value: Enclosure,
    first: dict[int, Enclosure],
) -> Enclosure:
    """Intersect with the values on the two faces between which the formula rises."""
    low, high = [], []
    for i in range(lower.shape[1]):
        rises = falls = np.ones(len(lower), dtype=bool)
        if i in first:
            rises, falls = first[i].lower >= 0, first[i].upper <= 0
        low.append(
            np.stack(
                [
                    np.where(falls, upper[:, i], lower[:, i]),
                    np.where(rises, lower[:, i], upper[:, i]),
                ]
            )
        )
        high.append(
            np.stack(
                [
                    np.where(rises, upper[:, i], lower[:, i]),
                    np.where(falls, lower[:, i], upper[:, i]),
                ]
            )
        )
    some = np.any([(first[i].lower >= 0) | (first[i].upper <= 0) for i in first], axis=0)
    rows = np.flatnonzero(np.broadcast_to(some, (len(lower),)))
    if not len(rows):
        return value
    columns = [
        kind.from_bounds(*np.concatenate([least[:, rows], most[:, rows]], axis=1))
        for least, most in zip(low, high, strict=True)
    ]
    both = propagate(expression, columns, 0).value.broadcast_to((2 * len(rows),))
    sharper = value[rows].between(both[: len(rows)], both[len(rows) :])
    return value.with_rows(rows, sharper)


def propagate(expression: Expression, columns: list[Enclosure], order: int) -> _Part:
    """Return the jet of the last step by the natural extension of every step."""
    parts: dict[int, _Part] = {}
    kind = type(columns[0])
    for node in expression.steps:
        arguments = [parts[id(argument)] for argument in node.arguments]
        if node.operation == "variable":
            index = node.value
            one = {index: kind.exact(np.ones(1))} if order else {}
            parts[id(node)] = _Part(columns[index], one, {})
        elif node.operation == "constant":
            parts[id(node)] = _Part(kind.constant(node.value), {}, {})
        else:
            parts[id(node)] = apply(node, arguments, order)
    return parts[id(expression.root)]


def apply(node: Node, arguments: list[Any], order: int) -> Any:
    """Return the jet of one operation; of a condition, (certainly true, certainly false)."""
    rule = _RULES.get(node.operation)
    if rule is not None:
        return rule(node, arguments, order)
    return _chain(arguments[0], *_UNARY[node.operation](arguments[0].value, order), order)


def _chain(part: _Part, value: Enclosure, slope: Any, curvature: Any, order: int) -> _Part:
    """Return f(u): f' u_i, and f'' u_i u_j + f' u_ij; the derivatives are computed if needed."""
    if order == 0 or not part.first:
        return _Part(value, {}, {})
    slope = slope()
    first = {i: slope * entry for i, entry in part.first.items()}
    if order == 1:
        return _Part(value, first, {})
    curvature = curvature()
    second = {pair: slope * entry for pair, entry in part.second.items()}
    if curvature is not None:
        for i, a in part.first.items():
            for j, b in part.first.items():
                if i <= j:
                    _accumulate(second, (i, j), curvature * (a.square() if i == j else a * b))
    return _Part(value, first, second)


def _accumulate(entries: dict[Any, Enclosure], key: Any, entry: Enclosure) -> None:
    entries[key] = entries[key] + entry if key in entries else entry


def _pairs(a: dict[int, Enclosure], b: dict[int, Enclosure]) -> list[tuple[int, int]]:
    keys = sorted({*a, *b})
    return [(i, j) for i in keys for j in keys if i <= j]


# Rules of one argument: value, and functions that return first and second derivative.

_Unary = tuple[Enclosure, Callable[[], Enclosure], Callable[[], Enclosure]]


def _sin(u: Enclosure, order: int) -> _Unary:
    value = u.sin()
    return value, u.cos, lambda: -value


def _cos(u: Enclosure, order: int) -> _Unary:
    value = u.cos()
    return value, lambda: -u.sin(), lambda: -value


def _tan(u: Enclosure, order: int) -> _Unary:
    value = u.tan()
    return value, lambda: value.square() + 1.0, lambda: value * (value.square() + 1.0) * 2.0


def _exp(u: Enclosure, order: int) -> _Unary:
    value = u.exp()
    return value, lambda: value, lambda: value


def _log(u: Enclosure, order: int) -> _Unary:
    inside = u.positive()
    return u.log(), inside.reciprocal, lambda: -inside.square().reciprocal()


def _sqrt(u: Enclosure, order: int) -> _Unary:
    value = u.sqrt()
    return (
        value,
        lambda: value.positive().reciprocal() * 0.5,
        lambda: value.positive().power(Fraction(-3)) * -0.25,
    )


def _tanh(u: Enclosure, order: int) -> _Unary:
    return u.tanh(), u.tanh_slope, u.tanh_curvature


def _sigmoid(u: Enclosure, order: int) -> _Unary:
    return u.sigmoid(), u.sigmoid_slope, u.sigmoid_curvature


def _sinh(u: Enclosure, order: int) -> _Unary:
    value = u.sinh()
    return value, u.cosh, lambda: value


def _cosh(u: Enclosure, order: int) -> _Unary:
    value = u.cosh()
    return value, u.sinh, lambda: value


def _atan(u: Enclosure, order: int) -> _Unary:
    def slope() -> Enclosure:
        return (u.square() + 1.0).reciprocal()

    return u.atan(), slope, lambda: u * slope().square() * -2.0


def _asin(u: Enclosure, order: int) -> _Unary:
    def slope() -> Enclosure:
        return (1.0 - u.square()).sqrt().positive().reciprocal()

    return u.asin(), slope, lambda: u * slope().power(Fraction(3))


def _acos(u: Enclosure, order: int) -> _Unary:
    _, slope, curvature = _asin(u, order)
    return u.acos(), lambda: -slope(), lambda: -curvature()


def _erf(u: Enclosure, order: int) -> _Unary:
    def slope() -> Enclosure:
        factor = type(u).constant("pi").sqrt().reciprocal() * 2.0
        return (-u.square()).exp() * factor

    return u.erf(), slope, lambda: slope() * u * -2.0


def _abs(u: Enclosure, order: int) -> _Unary:
    def slope() -> Enclosure:
        lower, upper = u.lower, u.upper
        either = ((lower < 0) & (upper > 0)) | ((lower == 0) & (upper == 0))
        return type(u).from_bounds(
            np.where(either | (upper <= 0), -1.0, 1.0), np.where(either | (lower >= 0), 1.0, -1.0)
        )

    def curvature() -> Enclosure:
        lower, upper = u.lower, u.upper
        return _nothing_unless(u, ((lower < 0) & (upper > 0)) | ((lower == 0) & (upper == 0)))

    return abs(u), slope, curvature


def _sign(u: Enclosure, order: int) -> _Unary:
    def slope() -> Enclosure:
        return _nothing_unless(u, ~((u.lower > 0) | (u.upper < 0)))

    return u.sign(), slope, slope


def _nothing_unless(u: Enclosure, mask: np.ndarray) -> Enclosure:
    """Return everything where ``mask`` holds, 0 elsewhere."""
    return type(u).from_bounds(np.where(mask, -np.inf, 0.0), np.where(mask, np.inf, 0.0))


_UNARY: dict[str, Callable[[Enclosure, int], _Unary]] = {
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "exp": _exp,
    "log": _log,
    "sqrt": _sqrt,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "sinh": _sinh,
    "cosh": _cosh,
    "atan": _atan,
    "asin": _asin,
    "acos": _acos,
    "erf": _erf,
    "abs": _abs,
    "sign": _sign,
}


# Rules of several arguments.


def _add(node: Node, arguments: list[_Part], order: int) -> _Part:
    a, b = arguments
    first, second = dict(a.first), dict(a.second)
    for i, entry in b.first.items():
        _accumulate(first, i, entry)
    for pair, entry in b.second.items():
        _accumulate(second, pair, entry)
    return _Part(a.value + b.value, first, second)


def _negate(node: Node, arguments: list[_Part], order: int) -> _Part:
    (a,) = arguments
    return _Part(
        -a.value,
        {i: -entry for i, entry in a.first.items()},
        {pair: -entry for pair, entry in a.second.items()},
    )


def _subtract(node: Node, arguments: list[_Part], order: int) -> _Part:
    a, b = arguments
    return _add(node, [a, _negate(node, [b], order)], order)


def _multiply(node: Node, arguments: list[_Part], order: int) -> _Part:
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
    return _Part(a.value * b.value, first, second)


def _divide(node: Node, arguments: list[_Part], order: int) -> _Part:
    a, b = arguments
    inverse = b.value.reciprocal()
    part = _chain(
        b,
        inverse,
        lambda: -b.value.square().reciprocal(),
        lambda: b.value.power(Fraction(-3)) * 2.0,
        order,
    )
    return _multiply(node, [a, part], order)


def _power(node: Node, arguments: list[_Part], order: int) -> _Part:
    (u,) = arguments
    p = node.value
    assert isinstance(p, Fraction)

    def scaled(factor: Fraction, exponent: Fraction) -> Enclosure:
        if factor == 0:
            return None
        power = u.value.power(exponent)
        return power if factor == 1 else power * type(u.value).constant(factor)

    return _chain(
        u,
        u.value.power(p),
        lambda: scaled(p, p - 1) if p else type(u.value).zeros((1,)),
        lambda: scaled(p * (p - 1), p - 2),
        order,
    )


def _general_power(node: Node, arguments: list[_Part], order: int) -> _Part:
    """Return u**v as exp(v log u); with a constant exponent by the power rule, finite at u = 0."""
    u, v = arguments
    value = u.value.general_power(v.value)
    if order == 0:
        return _Part(value, {}, {})
    if not v.first:
        less = v.value - 1.0
        return _chain(
            u,
            value,
            lambda: u.value.general_power(less) * v.value,
            lambda: u.value.general_power(less - 1.0) * (v.value * less),
            order,
        )
    logarithm = _chain(u, *_log(u.value, order), order)
    exponent = _multiply(node, [v, logarithm], order)
    return _chain(exponent, value, lambda: value, lambda: value, order)


def _norm(node: Node, arguments: list[_Part], order: int) -> _Part:
    """Return the Euclidean norm: slope u_k/n in [-1, 1], curvature (1 - u_k**2/n**2)/n ...."""
    squares = [part.value.square() for part in arguments]
    value = _total(squares).sqrt()
    if order == 0:
        return _Part(value, {}, {})
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
    return _Part(value, first, second)


def _total(parts: list[Enclosure]) -> Enclosure:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _smaller(node: Node, arguments: list[_Part], order: int) -> _Part:
    a, b = arguments
    value = a.value.minimum(b.value)
    if order == 0:
        return _Part(value, {}, {})
    return _either(
        a.value.upper <= b.value.lower, b.value.upper <= a.value.lower, a, b, value, order
    )


def _larger(node: Node, arguments: list[_Part], order: int) -> _Part:
    a, b = arguments
    value = a.value.maximum(b.value)
    if order == 0:
        return _Part(value, {}, {})
    return _either(
        a.value.lower >= b.value.upper, b.value.lower >= a.value.upper, a, b, value, order
    )


def _where(node: Node, arguments: list[Any], order: int) -> _Part:
    (true, false), a, b = arguments
    value = a.value.choose(true, b.value.choose(false, a.value.hull(b.value)))
    jumps = node.arguments[0].variables
    return _either(true, false, a, b, value, order, jumps)


def _either(
    true: np.ndarray,
    false: np.ndarray,
    a: _Part,
    b: _Part,
    value: Enclosure,
    order: int,
    jumps: frozenset[int] = frozenset(),
) -> _Part:
    """Return ``a`` or ``b``; where it is not known which, what encloses both, and the kink.

    A ``jumps`` coordinate decides which of the two holds, so the value may jump along it.
    """
    if order == 0:
        return _Part(value, {}, {})
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
    return _Part(value, first, second)


# Conditions: (certainly true, certainly false), two boolean arrays.


def _less(node: Node, arguments: list[_Part], order: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (argument.value for argument in arguments)
    return a.upper < b.lower, a.lower >= b.upper


def _less_equal(node: Node, arguments: list[_Part], order: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (argument.value for argument in arguments)
    return a.upper <= b.lower, a.lower > b.upper


def _equal(node: Node, arguments: list[_Part], order: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (argument.value for argument in arguments)
    same = (a.lower == a.upper) & (b.lower == b.upper) & (a.lower == b.lower)
    return same, (a.upper < b.lower) | (a.lower > b.upper)


def _not(node: Node, arguments: list[Any], order: int) -> tuple[np.ndarray, np.ndarray]:
    ((true, false),) = arguments
    return false, true


def _not_equal(node: Node, arguments: list[_Part], order: int) -> tuple[np.ndarray, np.ndarray]:
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
