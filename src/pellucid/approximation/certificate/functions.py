"""What Taylor models must know of a univariate function: values, bounds of derivatives, range.

Bounds of derivatives are computed in float64 and widened by a relative 10^-10, which assumes only
that ``exp``, ``log`` and the like err by less than that. Ranges are those of ``Intervals``. The
values that the polynomials are made of come from arb where balls are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import flint
import numpy as np
from scipy import special

from pellucid.approximation.certificate.taylor_models import WIDEN, Array, Floats
from pellucid.approximation.enclosures import Intervals

Derivative = Callable[[int, Floats, Floats], Floats]
Range = Callable[[Intervals], Intervals]


@dataclass(frozen=True)
class Univariate:
    """A function of one variable, smooth where :attr:`inside` says.

    Args:
        name: For messages.
        of_floats: Values in float64, at most four units in the last place off.
        of_ball: An enclosure of the values on a ball.
        bound: ``bound(n, lower, upper)``, a bound of the n-th derivative, n >= 1.
        span: The range on an interval, of the values where the function is defined.
        inside: Says on which intervals the function is smooth; None means everywhere.
    """

    name: str
    of_floats: Callable[[Array], Array]
    of_ball: Callable[[flint.arb], flint.arb]
    bound: Derivative
    span: Range
    inside: Callable[[Floats, Floats], Array] | None = None

    def values(self, points: Array, balls: bool) -> Array:
        """Return the values at float64 points or at balls."""
        if balls:
            return np.asarray(np.frompyfunc(self.of_ball, 1, 1)(points), dtype=object)
        return self.of_floats(points)

    def derivative(self, order: int, lower: Floats, upper: Floats) -> Floats:
        """Bound the absolute derivative of this order on [lower, upper]."""
        with np.errstate(all="ignore"):
            value = self.bound(order, lower, upper) * WIDEN
        return np.where(np.isnan(value), np.inf, value)

    def range(self, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
        """Enclose the values on [lower, upper]."""
        with np.errstate(all="ignore"):
            values = self.span(Intervals.from_bounds(lower, upper))
        return values.lower, values.upper


def _nearest_to_zero(lower: Floats, upper: Floats) -> Floats:
    return np.clip(0.0, lower, upper)


@lru_cache(maxsize=64)
def sigmoid_derivative_factor(order: int) -> float:
    """Bound ``|s^(n)| / (s (1 - s))`` for the logistic sigmoid s, over all arguments.

    ``s^(n)`` is ``s (1 - s) Q(s)`` with a polynomial Q of degree n - 1 with integer coefficients;
    its largest value on [0, 1] is found on 4000 Chebyshev nodes (Ehlich and Zeller 1964).
    """
    s = np.polynomial.Polynomial([0.0, 1.0])
    factor = np.polynomial.Polynomial([1.0])
    for _ in range(order - 1):
        # (s (1-s) Q)' s' = s (1-s) [(1 - 2s) Q + s (1-s) Q']
        factor = (1 - 2 * s) * factor + s * (1 - s) * factor.deriv()
    nodes = (1 + np.cos(np.pi * (2 * np.arange(4000) + 1) / 8000)) / 2
    rounding = 1e-15 * float(np.abs(factor.coef).sum())
    seen = max(float(np.abs(factor(nodes)).max()), abs(float(factor(0.0))), abs(float(factor(1.0))))
    return (seen + rounding) / math.cos(math.pi * order / 8000) * (1 + 1e-12)


def _sigmoid_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    z = _nearest_to_zero(lower, upper)
    return sigmoid_derivative_factor(order) * special.expit(z) * special.expit(-z)


def _tanh_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    return 2.0 ** (order + 1) * _sigmoid_bound(order, 2 * lower, 2 * upper)


def _erf_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    """Cramér's inequality: ``|H_m(z)| exp(-z^2/2) <= 1.0865 sqrt(2^m m!)``."""
    m = order - 1
    z = _nearest_to_zero(lower, upper)
    height = 2 / math.sqrt(math.pi) * 1.0865 * math.sqrt(2.0**m * math.factorial(m))
    return height * np.exp(-(z**2) / 2)


def _atan_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    """The n-th derivative is ``(n-1)! cos^n(u) sin(n (u + pi/2))`` with u = atan(z)."""
    z = _nearest_to_zero(lower, upper)
    return math.factorial(order - 1) / (1 + z**2) ** (order / 2)


def _asin_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    """Leibniz on ``(1 - z)^(-1/2) (1 + z)^(-1/2)``."""
    m = order - 1
    left, right = 1 - upper, 1 + lower
    total = np.zeros(np.shape(lower))
    for j in range(m + 1):
        weight = math.comb(m, j) * float(special.poch(0.5, j) * special.poch(0.5, m - j))
        total = total + weight * left ** (-0.5 - j) * right ** (-0.5 - m + j)
    return total


def _between_ones(lower: Floats, upper: Floats) -> Array:
    return (lower > -1) & (upper < 1)


def _positive(lower: Floats, upper: Floats) -> Array:
    return lower > 0


def _one(order: int, lower: Floats, upper: Floats) -> Floats:
    return np.ones(np.shape(lower))


def _log_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    return math.factorial(order - 1) / lower**order


def _exp_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    return np.exp(upper)


def _hyperbolic_bound(order: int, lower: Floats, upper: Floats) -> Floats:
    return np.cosh(np.maximum(-lower, upper))


SIGMOID = Univariate(
    "sigmoid",
    special.expit,
    lambda z: 1 / (1 + (-z).exp()),
    _sigmoid_bound,
    Intervals.sigmoid,
)

FUNCTIONS: dict[str, Univariate] = {
    each.name: each
    for each in (
        SIGMOID,
        Univariate("sin", np.sin, lambda z: z.sin(), _one, Intervals.sin),
        Univariate("cos", np.cos, lambda z: z.cos(), _one, Intervals.cos),
        Univariate("exp", np.exp, lambda z: z.exp(), _exp_bound, Intervals.exp),
        Univariate("log", np.log, lambda z: z.log(), _log_bound, Intervals.log, _positive),
        Univariate("tanh", np.tanh, lambda z: z.tanh(), _tanh_bound, Intervals.tanh),
        Univariate("erf", special.erf, lambda z: z.erf(), _erf_bound, Intervals.erf),
        Univariate("atan", np.arctan, lambda z: z.atan(), _atan_bound, Intervals.atan),
        Univariate("sinh", np.sinh, lambda z: z.sinh(), _hyperbolic_bound, Intervals.sinh),
        Univariate("cosh", np.cosh, lambda z: z.cosh(), _hyperbolic_bound, Intervals.cosh),
        Univariate(
            "asin", np.arcsin, lambda z: z.asin(), _asin_bound, Intervals.asin, _between_ones
        ),
        Univariate(
            "acos", np.arccos, lambda z: z.acos(), _asin_bound, Intervals.acos, _between_ones
        ),
    )
}


@lru_cache(maxsize=256)
def power_function(exponent: Fraction) -> Univariate:
    """Return ``z ** exponent``: on z > 0, or on z < 0 too where the exponent is an integer."""
    p = float(exponent)
    integer = exponent.denominator == 1
    exact = flint.fmpq(exponent.numerator, exponent.denominator)

    def of_ball(z: flint.arb) -> flint.arb:
        if exponent == Fraction(1, 2):
            return z.sqrt()
        return z ** (int(exponent) if integer else flint.arb(exact))

    def bound(order: int, lower: Floats, upper: Floats) -> Floats:
        falling = abs(math.prod(p - j for j in range(order)))
        near = np.where(lower > 0, lower, -upper)
        far = np.where(lower > 0, upper, -lower)
        return falling * np.maximum(near ** (p - order), far ** (p - order))

    def inside(lower: Floats, upper: Floats) -> Array:
        return ((lower > 0) | (upper < 0)) if integer else lower > 0

    return Univariate(
        f"power {exponent}",
        lambda z: np.sqrt(z) if p == 0.5 else np.power(z, p),
        of_ball,
        bound,
        lambda values: values.power(exponent),
        inside,
    )
