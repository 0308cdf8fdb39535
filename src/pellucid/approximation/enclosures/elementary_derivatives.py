"""First and second derivatives of the functions of one argument, over any arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

#: ``Intervals`` or ``Balls``: they have the same methods.
Enclosure = Any

#: The value, and functions that return the first and second derivative.
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


def log(u: Enclosure, order: int) -> _Unary:
    """Return the rule of the logarithm, which general powers use too."""
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


#: The rule of each function of one argument.
UNARY: dict[str, Callable[[Enclosure, int], _Unary]] = {
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "exp": _exp,
    "log": log,
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


#: Where a function may have a pole or a gap inside its argument.
BROKEN: dict[str, Callable[[Enclosure], Any]] = {
    "tan": lambda u: ~u.tan().is_bounded,
    "log": lambda u: u.lower < 0,
    "sqrt": lambda u: u.lower < 0,
    "asin": lambda u: (u.lower < -1) | (u.upper > 1),
    "acos": lambda u: (u.lower < -1) | (u.upper > 1),
}
