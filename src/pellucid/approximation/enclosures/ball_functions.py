"""Functions of balls that Arb does not have, or does not enclose tightly for wide balls.

All are exact enclosures: monotone functions by their ends, others with their extremes. Where there
is no finite answer it is ``EVERYTHING``.
"""

from __future__ import annotations

from collections.abc import Callable

from flint import arb, fmpq

#: A ball with as many exact bits is treated as one number: the loss is in the last bits.
NARROW_BITS = 25
EVERYTHING = arb(0, arb.pos_inf())


def known(ball: arb) -> arb:
    """Return the ball, or everything where there is no finite one."""
    return ball if ball.is_finite() else EVERYTHING


def union_or_everything(low: arb, high: arb) -> arb:
    """Return a ball from the lower to the upper number."""
    return known(low.union(high))


def intersection(a: arb, b: arb) -> arb:
    """Return what both hold; where that is nothing, ``a``."""
    if not b.is_finite():
        return a
    if not a.is_finite():
        return b
    try:
        return a.intersection(b)
    except ValueError:
        return a


def increasing(ball: arb, function: Callable[[arb], arb]) -> arb:
    """Return an increasing function by its values at the ends."""
    if ball.rel_accuracy_bits() > NARROW_BITS:
        return function(ball)
    return function(ball.lower()).union(function(ball.upper()))


def bounded(ball: arb, function: Callable[[arb], arb], least: int) -> arb:
    """Return a monotone function with values between ``least`` and 1."""
    result = increasing(ball, function) if ball.is_finite() else EVERYTHING
    return result if result.is_finite() else arb(least).union(arb(1))


def absolute(ball: arb) -> arb:
    """Return the absolute value."""
    if ball > 0:
        return ball
    if ball < 0:
        return -ball
    return known(arb(0).union(ball.abs_upper()))


def positive(ball: arb) -> arb:
    """Return the part that is not negative, or 0."""
    upper = ball.upper()
    return known(arb(0).union(upper)) if upper > 0 else arb(0)


def square(ball: arb) -> arb:
    """Return the square, by the ends of the absolute value."""
    if ball.rel_accuracy_bits() > NARROW_BITS:
        return known(ball * ball)
    low, high = ball.abs_lower(), ball.abs_upper()
    return known((low * low).union(high * high))


def sqrt(ball: arb) -> arb:
    """Return the root of the part that is not negative."""
    if ball > 0:
        return known(ball.sqrt())
    upper = ball.upper()
    return known(arb(0).union(upper.sqrt())) if upper >= 0 else EVERYTHING


def fractional_power(ball: arb, exponent: fmpq) -> arb:
    """Return the power of the part that is not negative."""
    if ball > 0:
        ends = (ball.lower(), ball.upper())
        if ball.rel_accuracy_bits() > NARROW_BITS or not ends[0] > 0:
            return known(ball**exponent)
        return known((ends[0] ** exponent).union(ends[1] ** exponent))
    upper = ball.upper()
    if exponent < 0 or upper < 0:
        return EVERYTHING
    return arb(0) if upper == 0 else known(arb(0).union(upper**exponent))


def general_power(base: arb, exponent: arb) -> arb:
    """Return a power by its corners."""
    if base > 0:
        corners = [
            (exponent_end * base_end.log()).exp()
            for base_end in (base.lower(), base.upper())
            for exponent_end in (exponent.lower(), exponent.upper())
        ]
    elif exponent > 0 and base.upper() >= 0:
        top = base.upper()
        if top == 0:
            return arb(0)
        corners = [
            arb(0),
            *((end * top.log()).exp() for end in (exponent.lower(), exponent.upper())),
        ]
    else:
        return EVERYTHING
    result = corners[0]
    for corner in corners[1:]:
        result = result.union(corner)
    return known(result)


def asin(ball: arb) -> arb:
    """Return the arc sine of the part in [-1, 1]."""
    low, high = ball.lower(), ball.upper()
    if not (low <= 1 and high >= -1):
        return EVERYTHING
    low, high = low if low > -1 else arb(-1), high if high < 1 else arb(1)
    return low.asin().union(high.asin())


def direction(ball: arb, rest: arb) -> arb:
    """Return x/sqrt(x**2 + r**2): rises with x, and its size falls with abs(r)."""
    near, far = rest.abs_lower(), rest.abs_upper()
    ends = []
    for end, sign in ((ball.lower(), 1), (ball.upper(), -1)):
        # The lower end is least with the far rest if it is positive; mirrored for the upper end.
        other = far if end * sign > 0 else near
        value = end / (end * end + other * other).sqrt()
        ends.append(value if value.is_finite() else arb(0, 1))
    both = ends[0].union(ends[1])
    return intersection(both, arb(0, 1)) if both.is_finite() else arb(0, 1)


def sigmoid(ball: arb) -> arb:
    """Return 1/(1 + exp(-x))."""
    return 1 / (1 + (-ball).exp())


def sigmoid_slope(ball: arb) -> arb:
    """Return the slope at a number that is not negative."""
    decay = (-ball).exp()
    return decay / (1 + decay) ** 2


def sigmoid_curvature(ball: arb) -> arb:
    """Return the second derivative at one number."""
    decay = (-abs(ball)).exp()
    curvature = decay * (1 - decay) / (1 + decay) ** 3
    return (
        -curvature
        if ball > 0
        else curvature
        if ball < 0
        else arb(0).union(curvature).union(-curvature)
    )


def odd_bump(ball: arb, function: Callable[[arb], arb], turn: arb, peak: arb) -> arb:
    """Return an odd function that peaks at -turn, falls to -peak at turn and goes to 0."""
    if not ball.is_finite():
        return peak.union(-peak)
    result = function(ball.lower()).union(function(ball.upper()))
    if ball.overlaps(-turn):
        result = result.union(peak)
    if ball.overlaps(turn):
        result = result.union(-peak)
    return result
