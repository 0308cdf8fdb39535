"""Vectorised intervals of float64 with outward rounding: fast, and sound under stated assumptions.

What is assumed of the machine:

- ``+ - * / sqrt`` round to nearest as IEEE 754 demands; the result is then moved outward by at
  least one unit in the last place (ulp), and by the smallest subnormal where a product underflows.
- ``exp log pow tan tanh sinh cosh asin acos atan erf expit`` of NumPy and SciPy err by at most
  ``ELEMENTARY_ULPS`` = 8 ulps plus the smallest normal number (NumPy states at most 4, its authors
  and glibc measure below 2; the tests measure ours against 200-bit arithmetic).
- ``sin cos tan`` do so for arguments up to ``LARGEST_ANGLE`` in magnitude; sine and cosine get
  2**-50 on top beyond 2 radians, where arguments are reduced. Beyond the largest angle the answer
  is the whole range.

An end may be infinite: the interval is then unbounded, and 0 times it is 0 (every point of it is a
real number). Results are never nan and never empty. Where a function is defined on a part of its
argument only, the result encloses the values on that part; where it is nowhere defined, the result
is everything. Whether a formula is defined is for ``domains.check_defined`` to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from scipy import special

from pellucid.approximation.enclosures.interval_arrays import IntervalArray
from pellucid.approximation.enclosures.rounding import (
    ELEMENTARY_ULPS,
    EPSILON,
    down,
    reduced,
    sign_kept,
    up,
    wide_down,
    wide_up,
)

LARGEST_ANGLE = 1e8
_ANGLE_ERROR = 2.0**-50
#: Where the second derivative of the logistic sigmoid is extreme: ln(2 + sqrt 3), and its value.
_SIGMOID_TURN = 1.3169578969248168
_SIGMOID_CURVATURE = 0.09622504486493764
#: Where the second derivative of tanh is extreme: artanh(1/sqrt 3), and its value 4/(3 sqrt 3).
_TANH_TURN = 0.6584789484624084
_TANH_CURVATURE = 0.7698003589195010


@dataclass(frozen=True, eq=False, slots=True)
class Intervals(IntervalArray):
    """An array of closed intervals with the elementary functions.

    Attributes:
        lower: Lower ends, float64, below +inf.
        upper: Upper ends, the same shape, above -inf.

    Example:
        >>> x = Intervals.from_bounds([0.0], [2.0])
        >>> (x * x - x).upper >= 4
        array([ True])
    """

    def power(self, exponent: Fraction) -> Self:
        """Return x**p for a constant p; without a whole p only x >= 0 is in the domain."""
        if exponent.denominator == 1:
            return self._whole_power(int(exponent))
        if exponent < 0:
            return self.power(-exponent).reciprocal()
        inside = np.maximum(self.lower, 0.0), np.maximum(self.upper, 0.0)
        p = float(exponent)
        rounded = 0 if Fraction(p) == exponent else EPSILON * p
        ends = []
        for base, widen, side in ((inside[0], wide_down, -1.0), (inside[1], wide_up, 1.0)):
            with np.errstate(over="ignore", under="ignore"):
                value = np.power(base, p)
                if rounded:
                    # x**(p(1+eps)) = x**p * x**(p eps), and |x**h - 1| <= 2 |h log x| when small.
                    logarithm = np.log(np.where((base > 0) & (base < np.inf), base, 1.0))
                    value = value + side * value * (2 * rounded * np.abs(logarithm))
            ends.append(widen(value, 2 * ELEMENTARY_ULPS))
        lower = np.maximum(np.where(inside[0] == 0, 0.0, ends[0]), 0.0)
        upper = np.where(inside[1] == 0, 0.0, ends[1])
        return self._undefined(self.upper < 0, lower, upper)

    def _whole_power(self, exponent: int) -> Self:
        if exponent < 0:
            return self._whole_power(-exponent).reciprocal()
        if exponent == 0:
            return type(self).exact(np.ones(self.shape))
        if exponent == 1:
            return self
        if exponent == 2:
            return self.square()
        even = exponent % 2 == 0
        low, high = self._magnitudes() if even else (self.lower, self.upper)
        with np.errstate(over="ignore", under="ignore"):
            lower = wide_down(np.power(low, float(exponent)), 2 * ELEMENTARY_ULPS)
            upper = wide_up(np.power(high, float(exponent)), 2 * ELEMENTARY_ULPS)
        return type(self)(*sign_kept(lower, upper, low, high))

    def general_power(self, exponent: Self) -> Self:
        """Return x**y for x > 0 (x >= 0 where y > 0): extreme at the corners."""
        bases = np.maximum(self.lower, 0.0), np.maximum(self.upper, 0.0)
        with np.errstate(all="ignore"):
            corners = [
                np.power(base, end) for base in bases for end in (exponent.lower, exponent.upper)
            ]
        corners = [np.where(np.isnan(corner), np.inf, corner) for corner in corners]
        lower = reduced(np.fmin, corners)
        upper = reduced(np.fmax, corners)
        unsure = ~np.isfinite(corners[0] + corners[1] + corners[2] + corners[3])
        lower = np.where(unsure, 0.0, np.maximum(wide_down(lower, 2 * ELEMENTARY_ULPS), 0.0))
        upper = np.where(unsure, np.inf, wide_up(upper, 2 * ELEMENTARY_ULPS))
        return self._undefined(self.upper < 0, lower, upper)

    def sqrt(self) -> Self:
        """Return the root of the part that is not negative."""
        lower = down(np.sqrt(np.maximum(self.lower, 0.0)))
        upper = up(np.sqrt(np.maximum(self.upper, 0.0)))
        return self._undefined(self.upper < 0, lower, upper)

    def _undefined(self, mask: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Self:
        if mask.any():
            lower, upper = np.where(mask, -np.inf, lower), np.where(mask, np.inf, upper)
        return type(self)(lower, upper)

    def _increasing(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        least: float = -math.inf,
        most: float = math.inf,
        *,
        odd: bool = False,
    ) -> Self:
        with np.errstate(all="ignore"):
            lower, upper = wide_down(function(self.lower)), wide_up(function(self.upper))
        if odd:
            lower, upper = sign_kept(lower, upper, self.lower, self.upper)
        if least > -math.inf or most < math.inf:
            lower, upper = np.clip(lower, least, most), np.clip(upper, least, most)
        return type(self)(lower, upper)

    def exp(self) -> Self:
        """Return e**x."""
        return self._increasing(np.exp, least=0.0)

    def log(self) -> Self:
        """Return the logarithm of the part that is positive."""
        inside = type(self)(np.maximum(self.lower, 0.0), np.maximum(self.upper, 0.0))
        result = inside._increasing(np.log)
        lower = np.where(inside.lower == 0, -np.inf, result.lower)
        lower = np.where(self.lower >= 1, np.maximum(lower, 0.0), lower)
        upper = np.where(self.upper <= 1, np.minimum(result.upper, 0.0), result.upper)
        return self._undefined(self.upper <= 0, lower, upper)

    def tanh(self) -> Self:
        """Return the hyperbolic tangent."""
        return self._increasing(np.tanh, -1.0, 1.0, odd=True)

    def sinh(self) -> Self:
        """Return the hyperbolic sine."""
        return self._increasing(np.sinh, odd=True)

    def cosh(self) -> Self:
        """Return the hyperbolic cosine."""
        least, most = self._magnitudes()
        return type(self)(least, most)._increasing(np.cosh, least=1.0)

    def atan(self) -> Self:
        """Return the arc tangent."""
        return self._increasing(np.arctan, odd=True)

    def erf(self) -> Self:
        """Return the error function."""
        return self._increasing(special.erf, -1.0, 1.0, odd=True)

    def asin(self) -> Self:
        """Return the arc sine of the part in [-1, 1]."""
        inside = type(self)(np.clip(self.lower, -1, 1), np.clip(self.upper, -1, 1))
        result = inside._increasing(np.arcsin, odd=True)
        return self._undefined((self.upper < -1) | (self.lower > 1), result.lower, result.upper)

    def acos(self) -> Self:
        """Return the arc cosine of the part in [-1, 1]."""
        inside = type(self)(-np.clip(self.upper, -1, 1), -np.clip(self.lower, -1, 1))
        result = inside._increasing(lambda values: np.arccos(-values), least=0.0)
        return self._undefined((self.upper < -1) | (self.lower > 1), result.lower, result.upper)

    def sin(self) -> Self:
        """Return the sine."""
        return self._wave(np.sin, 0.25, -0.25)

    def cos(self) -> Self:
        """Return the cosine."""
        return self._wave(np.cos, 0.0, 0.5)

    def _wave(self, function: Callable[..., np.ndarray], top: float, bottom: float) -> Self:
        """Return a wave with its tops and bottoms at these turns (1 turn = 2 pi)."""
        with np.errstate(all="ignore"):
            ends = function(self.lower), function(self.upper)
            lower, upper = np.fmin(*ends), np.fmax(*ends)
        blur = np.where(self.magnitude > 2.0, _ANGLE_ERROR, 0.0)
        lower = np.maximum(wide_down(lower) - blur, -1.0)
        upper = np.minimum(wide_up(upper) + blur, 1.0)
        if function is np.sin:
            # Between 0 and pi the sine is not negative; 0 belongs to both signs.
            lower = np.where(
                (self.lower >= 0) & (self.upper <= math.pi), np.maximum(lower, 0), lower
            )
            upper = np.where(
                (self.upper <= 0) & (self.lower >= -math.pi), np.minimum(upper, 0), upper
            )
        upper = np.where(self._meets(top), 1.0, upper)
        return type(self)(np.where(self._meets(bottom), -1.0, lower), upper)

    def _meets(self, turn: float, period: float = 2 * math.pi) -> np.ndarray:
        """Whether an interval may hold (turn + k) periods for a whole k; errs towards yes."""
        with np.errstate(invalid="ignore"):
            first, last = self.lower / period - turn, self.upper / period - turn
            slack = (np.abs(first) + np.abs(last) + 1.0) * (8 * EPSILON)
            away = np.floor(first - slack) == np.floor(last + slack)
        return ~(away & (self.magnitude <= LARGEST_ANGLE))

    def tan(self) -> Self:
        """Return the tangent; everything where a pole may be inside."""
        with np.errstate(all="ignore"):
            lower, upper = np.tan(self.lower), np.tan(self.upper)
        # The argument reduction errs by less than 2**-50 absolutely, tan' = 1 + tan**2.
        blur = np.where(self.magnitude > 1.5, _ANGLE_ERROR, 0.0)
        lower = wide_down(lower) - blur * (1 + lower * lower)
        upper = wide_up(upper) + blur * (1 + upper * upper)
        lower, upper = sign_kept(lower, upper, self.lower, self.upper, math.pi / 2 - 1e-3)
        pole = self._meets(0.5, math.pi) | ~(lower <= upper)
        return type(self)(np.where(pole, -np.inf, lower), np.where(pole, np.inf, upper))

    def sigmoid(self) -> Self:
        """Return the logistic sigmoid 1/(1 + exp(-x))."""
        return self._increasing(special.expit, 0.0, 1.0)

    def sigmoid_slope(self) -> Self:
        """Return the first derivative s(1 - s) of the sigmoid, which falls with abs(x)."""
        least, most = self._magnitudes()
        return type(self)(
            np.maximum(wide_down(_sigmoid_slope(most), 4 * ELEMENTARY_ULPS), 0.0),
            np.minimum(wide_up(_sigmoid_slope(least), 4 * ELEMENTARY_ULPS), 0.25),
        )

    def sigmoid_curvature(self) -> Self:
        """Return the second derivative s(1 - s)(1 - 2s) of the sigmoid."""
        return self._odd_bump(_sigmoid_curvature, _SIGMOID_TURN, _SIGMOID_CURVATURE)

    def tanh_slope(self) -> Self:
        """Return the first derivative 1 - tanh**2, which falls with abs(x)."""
        least, most = self._magnitudes()
        return type(self)(
            np.maximum(wide_down(_tanh_slope(most), 4 * ELEMENTARY_ULPS), 0.0),
            np.minimum(wide_up(_tanh_slope(least), 4 * ELEMENTARY_ULPS), 1.0),
        )

    def tanh_curvature(self) -> Self:
        """Return the second derivative -2 tanh (1 - tanh**2)."""
        return self._odd_bump(_tanh_curvature, _TANH_TURN, _TANH_CURVATURE)

    def _odd_bump(self, function: Callable[..., np.ndarray], turn: float, peak: float) -> Self:
        """Return an odd function that peaks at -turn, falls to -peak at turn and goes to 0."""
        ends = function(self.lower), function(self.upper)
        lower = wide_down(np.minimum(*ends), 4 * ELEMENTARY_ULPS)
        upper = wide_up(np.maximum(*ends), 4 * ELEMENTARY_ULPS)
        # Around 0 the value is a difference; its error is relative to the slope's size times x.
        slack, most = 1e-15, peak * (1 + 1e-14)
        top = (self.lower <= -turn + slack) & (self.upper >= -turn - slack)
        bottom = (self.lower <= turn + slack) & (self.upper >= turn - slack)
        return type(self)(
            np.where(bottom, -most, np.maximum(lower, -most)),
            np.where(top, most, np.minimum(upper, most)),
        )


def _sigmoid_slope(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return special.expit(values) * special.expit(-values)


def _sigmoid_curvature(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return -_sigmoid_slope(values) * np.tanh(0.5 * values)


def _tanh_slope(values: np.ndarray) -> np.ndarray:
    return 4.0 * _sigmoid_slope(2.0 * values)


def _tanh_curvature(values: np.ndarray) -> np.ndarray:
    return -2.0 * _tanh_slope(values) * np.tanh(values)
