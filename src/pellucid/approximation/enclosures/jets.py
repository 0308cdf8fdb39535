"""Value, gradient and Hessian of a formula over boxes, by forward differentiation.

The same rules run on intervals (fast) and on balls (trusted). Derivatives are generalized: across
a kink (``abs``, ``min``, ``max``) the gradient encloses the slopes on both sides and the Hessian is
unbounded; across a jump (``where``, ``sign``) the gradient is unbounded in the coordinates that
decide the jump. So the mean value theorem holds coordinate by coordinate, and that is all that is
used: ``f(x) - f(c)`` lies in ``sum_i G_i (x_i - c_i)``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pellucid._checks import UsageError, check_choice
from pellucid.approximation.enclosures.balls import Balls, working_precision
from pellucid.approximation.enclosures.derivative_rules import Enclosure, Part, apply
from pellucid.approximation.enclosures.intervals import Intervals
from pellucid.approximation.formula_tree import Expression

#: Boxes at once: intermediate results stay in the processor's cache.
CHUNK = 4_096
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
    at_center: Part,
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


def propagate(expression: Expression, columns: list[Enclosure], order: int) -> Part:
    """Return the jet of the last step by the natural extension of every step."""
    parts: dict[int, Part] = {}
    for node in expression.steps:
        below = [parts[id(argument)] for argument in node.arguments]
        parts[id(node)] = apply(node, below, columns, order)
    return parts[id(expression.root)]
