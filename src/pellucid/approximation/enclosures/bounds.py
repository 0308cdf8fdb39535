"""Range and steepness of a formula on a box, by interval branch and bound.

Both are sound at any moment: boxes are bisected until what is proved is close to what is attained,
or until there are enough of them. Source: Moore, Kearfott, Cloud, *Introduction to Interval
Analysis*, 2009, chapter 6.
"""

from __future__ import annotations

import numpy as np

from pellucid.approximation.box import Box
from pellucid.approximation.enclosures.domains import bisect
from pellucid.approximation.enclosures.jets import Jet, enclose
from pellucid.approximation.formula_tree import Expression

#: Boxes examined altogether, and steps of the formula on them: a fraction of a second.
_MOST_BOXES = 40_000
_MOST_STEPS = 2_000_000
#: Rounds after which a slope that is still unbounded is taken to be so.
_UNBOUNDED_ROUNDS = 14
_FINEST = 2.0**-40


def value_range(expression: Expression, box: Box, *, relative: float = 0.01) -> tuple[float, float]:
    """Enclose the values of a formula on a box.

    Args:
        expression: The formula, defined on the box.
        box: Where.
        relative: Aim at ends that are off by this much of the width of the range; the ends are
            bounds in any case.

    Returns:
        A lower and an upper bound of all values.

    Example:
        >>> from pellucid.approximation.expressions import parse
        >>> low, high = value_range(parse("sin(6*x)"), Box((0.0,), (1.0,)))
        >>> -1.001 < low <= -1 and 1 <= high < 1.001
        True
    """
    lower, upper = np.array([box.lower]), np.array([box.upper])
    attained = np.array([np.inf, -np.inf])
    settled = np.array([np.inf, -np.inf])
    examined = 0
    while True:
        jet = enclose(expression, lower, upper, order=1)
        examined += len(lower)
        values = expression(np.concatenate([0.5 * (lower + upper), lower, upper]))
        values = values[np.isfinite(values)]
        if len(values):
            attained[0] = min(attained[0], values.min())
            attained[1] = max(attained[1], values.max())
        low, high = jet.value.lower, jet.value.upper
        slack = relative * max(attained[1] - attained[0], 0.0) if np.isfinite(attained).all() else 0
        slack = max(slack, 1e-12 * np.abs(attained).max(), 1e-300)
        active = ~((low >= attained[0] - slack) & (high <= attained[1] + slack))
        splits = _widest(jet, lower, upper, box)
        active &= splits >= 0
        done = ~active
        if done.any():
            settled[0] = min(settled[0], low[done].min())
            settled[1] = max(settled[1], high[done].max())
        if not active.any() or examined >= _most_boxes(expression):
            if active.any():
                settled[0] = min(settled[0], low[active].min())
                settled[1] = max(settled[1], high[active].max())
            return float(settled[0]), float(settled[1])
        lower, upper = bisect(lower[active], upper[active], splits[active])


def lipschitz_bounds(
    expression: Expression, box: Box, *, relative: float = 0.02
) -> tuple[float, ...]:
    """Bound the partial derivatives of a formula on a box.

    Args:
        expression: The formula, defined on the box.
        box: Where.
        relative: Aim at bounds that are too large by at most this share.

    Returns:
        For each coordinate a t_i with ``|f(x) - f(y)| <= sum_i t_i |x_i - y_i|``, ``inf`` where the
        slope is unbounded, or could not be bounded.

    Example:
        >>> from pellucid.approximation.expressions import parse
        >>> (slope,) = lipschitz_bounds(parse("sin(6*x)"), Box((0.0,), (1.0,)))
        >>> 6 <= slope < 6.2
        True
    """
    lower, upper = np.array([box.lower]), np.array([box.upper])
    dimension = box.dimension
    attained, settled = np.zeros(dimension), np.zeros(dimension)
    used = np.array([axis in expression.root.variables for axis in range(dimension)])
    given_up = ~used
    examined = rounds = 0
    while True:
        jet = enclose(expression, lower, upper, order=2)
        center = 0.5 * (lower + upper)
        slopes = enclose(expression, center, center, order=1).gradient
        examined, rounds = examined + len(lower), rounds + 1
        # The least absolute value in the slope's enclosure at a point is attained there.
        least = np.maximum(np.maximum(slopes.lower, -slopes.upper), 0.0)
        attained = np.maximum(attained, np.where(np.isfinite(least), least, 0.0).max(axis=0))
        bounds = jet.gradient.magnitude
        if rounds >= _UNBOUNDED_ROUNDS:
            unbounded = used & np.isinf(bounds).any(axis=0)
            given_up |= unbounded
            settled[unbounded] = np.inf
        wanted = (bounds > attained * (1 + relative) + 1e-300) & ~given_up
        splits = _steepest(jet, lower, upper, box, wanted)
        active = wanted.any(axis=1) & (splits >= 0)
        if examined >= _most_boxes(expression):
            active[:] = False
        counted = np.where(given_up, 0.0, bounds)
        if not active.all():
            settled = np.maximum(settled, counted[~active].max(axis=0))
        if not active.any():
            return tuple(float(bound) for bound in np.where(used, settled, 0.0))
        lower, upper = bisect(lower[active], upper[active], splits[active])


def _most_boxes(expression: Expression) -> int:
    # The Hessian of a norm costs about ten times that of another step.
    steps = sum(10 if node.operation == "norm" else 1 for node in expression.steps)
    return min(_MOST_BOXES, max(1_000, _MOST_STEPS // steps))


def _widest(jet: Jet, lower: np.ndarray, upper: np.ndarray, box: Box) -> np.ndarray:
    """Return the axis along which the value changes most, -1 for boxes too small to cut."""
    widths = (upper - lower) / box.sides
    change = np.minimum(jet.gradient.magnitude * (upper - lower), 1e300)
    change = np.where(np.isfinite(jet.gradient.magnitude), change, 1e300 * widths)
    # Along a coordinate without influence, or already cut fine, there is nothing to gain.
    change = np.where(widths > _FINEST, change, -1.0)
    return np.where(change.max(axis=1) > 0, change.argmax(axis=1), -1)


def _steepest(
    jet: Jet, lower: np.ndarray, upper: np.ndarray, box: Box, wanted: np.ndarray
) -> np.ndarray:
    """Return the axis along which the wanted slopes change most, -1 for boxes too small to cut."""
    widths = (upper - lower) / box.sides
    bends = np.minimum(jet.hessian.magnitude, 1e200) * (upper - lower)[:, None, :]
    change = np.where(wanted[:, :, None], bends, 0.0).sum(axis=1)
    change = np.where(widths > _FINEST, change, -1.0)
    return np.where(change.max(axis=1) > 0, change.argmax(axis=1), -1)
