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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np
from scipy import special

ELEMENTARY_ULPS = 8
LARGEST_ANGLE = 1e8
_EPSILON = 2.0**-52
_SUBNORMAL = 2.0**-1074
_NORMAL = 2.0**-1022
#: Below this, a rounding error may be larger than ``_EPSILON`` relative to the result.
_DELICATE = 1e-290
_LARGEST = np.finfo(np.float64).max
_ANGLE_ERROR = 2.0**-50
#: Where the second derivative of the logistic sigmoid is extreme: ln(2 + sqrt 3), and its value.
_SIGMOID_TURN = 1.3169578969248168
_SIGMOID_CURVATURE = 0.09622504486493764
#: Where the second derivative of tanh is extreme: artanh(1/sqrt 3), and its value 4/(3 sqrt 3).
_TANH_TURN = 0.6584789484624084
_TANH_CURVATURE = 0.7698003589195010


def _down(values: np.ndarray) -> np.ndarray:
    """Return at most the true value of what was rounded to nearest; 0 stays 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        result = values - np.abs(values) * _EPSILON
        total = result.sum()
    if not math.isfinite(total):
        # An overflow to +inf is below every real number that large.
        result = np.where(np.isnan(result), _LARGEST, result)
    return result


def _up(values: np.ndarray) -> np.ndarray:
    return -_down(-values)


def _wide_down(values: np.ndarray, ulps: int = ELEMENTARY_ULPS) -> np.ndarray:
    """Return a lower bound of the value of an elementary function."""
    with np.errstate(invalid="ignore", over="ignore"):
        result = values - (np.abs(values) * (ulps * _EPSILON) + _NORMAL)
    return np.where(np.isposinf(values), _LARGEST, result)


def _wide_up(values: np.ndarray, ulps: int = ELEMENTARY_ULPS) -> np.ndarray:
    return -_wide_down(-values, ulps)


@dataclass(frozen=True, eq=False, slots=True)
class Intervals:
    """An array of closed intervals.

    Attributes:
        lower: Lower ends, float64, below +inf.
        upper: Upper ends, the same shape, above -inf.

    Example:
        >>> x = Intervals.from_bounds([0.0], [2.0])
        >>> (x * x - x).upper >= 4
        array([ True])
    """

    lower: np.ndarray
    upper: np.ndarray

    # Making and shaping.

    @classmethod
    def from_bounds(cls, lower: Any, upper: Any) -> Self:
        """Return the intervals with these ends."""
        return cls(np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64))

    @classmethod
    def exact(cls, values: Any) -> Self:
        """Return the intervals that hold one number each."""
        values = np.asarray(values, dtype=np.float64)
        return cls(values, values)

    @classmethod
    def constant(cls, value: Fraction | str) -> Self:
        """Return an enclosure of a fraction, of ``"pi"`` or of ``"e"``, shape (1,)."""
        near = np.array([_NAMED[value] if isinstance(value, str) else float(value)])
        if not isinstance(value, str) and Fraction(float(near[0])) == value:
            return cls(near, near)
        return cls(np.nextafter(near, -np.inf), np.nextafter(near, np.inf))

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Self:
        """Return intervals that hold 0 only."""
        return cls.exact(np.zeros(shape))

    @classmethod
    def everything(cls, shape: tuple[int, ...]) -> Self:
        """Return intervals that hold all numbers."""
        return cls(np.full(shape, -np.inf), np.full(shape, np.inf))

    @classmethod
    def stack(cls, parts: Sequence[Self], axis: int = 0) -> Self:
        """Return the parts along a new axis."""
        return cls(
            np.stack([part.lower for part in parts], axis),
            np.stack([part.upper for part in parts], axis),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self], axis: int = 0) -> Self:
        """Return the parts behind one another."""
        return cls(
            np.concatenate([part.lower for part in parts], axis),
            np.concatenate([part.upper for part in parts], axis),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.lower.shape

    def __len__(self) -> int:
        return len(self.lower)

    def __getitem__(self, index: Any) -> Self:
        return type(self)(self.lower[index], self.upper[index])

    def reshape(self, *shape: int) -> Self:
        """Return the same intervals in another shape."""
        return type(self)(self.lower.reshape(*shape), self.upper.reshape(*shape))

    def broadcast_to(self, shape: tuple[int, ...]) -> Self:
        """Return the intervals repeated to ``shape``."""
        return type(self)(np.broadcast_to(self.lower, shape), np.broadcast_to(self.upper, shape))

    def transpose(self, *axes: int) -> Self:
        """Return the intervals with permuted axes."""
        return type(self)(self.lower.transpose(*axes), self.upper.transpose(*axes))

    @property
    def width(self) -> np.ndarray:
        """Upper bounds of the widths."""
        return _up(self.upper - self.lower)

    @property
    def middle(self) -> np.ndarray:
        """A number in each interval, about in the middle; 0 where it is unbounded."""
        middle = 0.5 * self.lower + 0.5 * self.upper
        middle = np.where(np.isfinite(middle), middle, 0.0)
        return np.clip(middle, self.lower, self.upper)

    @property
    def magnitude(self) -> np.ndarray:
        """Largest absolute value in each interval."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    @property
    def is_bounded(self) -> np.ndarray:
        """Whether both ends are finite."""
        return np.isfinite(self.lower) & np.isfinite(self.upper)

    # Sets.

    def hull(self, other: Self) -> Self:
        """Return the smallest intervals that hold both."""
        return type(self)(np.minimum(self.lower, other.lower), np.maximum(self.upper, other.upper))

    def intersect(self, other: Self) -> Self:
        """Return what both enclose; where that is empty (nothing is there to enclose), ``self``."""
        lower = np.maximum(self.lower, other.lower)
        upper = np.minimum(self.upper, other.upper)
        empty = lower > upper
        if empty.any():
            lower, upper = np.where(empty, self.lower, lower), np.where(empty, self.upper, upper)
        return type(self)(lower, upper)

    def choose(self, mask: np.ndarray, other: Self) -> Self:
        """Return ``self`` where ``mask`` holds and ``other`` elsewhere."""
        return type(self)(
            np.where(mask, self.lower, other.lower), np.where(mask, self.upper, other.upper)
        )

    def between(self, low: Self, high: Self) -> Self:
        """Return ``self`` without what is below ``low`` or above ``high``."""
        return self.intersect(type(self)(low.lower, high.upper))

    def with_rows(self, rows: np.ndarray, replacement: Self) -> Self:
        """Return a copy with other intervals in some rows."""
        lower, upper = self.lower.copy(), self.upper.copy()
        lower[rows], upper[rows] = replacement.lower, replacement.upper
        return type(self)(lower, upper)

    def contains(self, values: Any) -> np.ndarray:
        """Whether each interval holds the number."""
        return (self.lower <= values) & (values <= self.upper)

    # Arithmetic.

    def __neg__(self) -> Self:
        return type(self)(-self.upper, -self.lower)

    def __add__(self, other: Self | float | np.ndarray) -> Self:
        low, high = _ends(other)
        with np.errstate(over="ignore"):
            return type(self)(_down(self.lower + low), _up(self.upper + high))

    __radd__ = __add__

    def __sub__(self, other: Self | float | np.ndarray) -> Self:
        low, high = _ends(other)
        with np.errstate(over="ignore"):
            return type(self)(_down(self.lower - high), _up(self.upper - low))

    def __rsub__(self, other: float | np.ndarray) -> Self:
        return -self + other

    def __mul__(self, other: Self | float | np.ndarray) -> Self:
        low, high = _ends(other)
        return type(self)(*_product(self.lower, self.upper, low, high))

    __rmul__ = __mul__

    def __truediv__(self, other: Self | float | np.ndarray) -> Self:
        low, high = _ends(other)
        return self * type(self)(low, high).reciprocal()

    def __rtruediv__(self, other: float | np.ndarray) -> Self:
        return self.reciprocal() * other

    def reciprocal(self) -> Self:
        """Return 1/x; unbounded on the side of a 0 at an end, everything with a 0 inside."""
        with np.errstate(divide="ignore", over="ignore"):
            lower, upper = 1.0 / self.upper, 1.0 / self.lower
        lower = lower - (np.abs(lower) * _EPSILON + _SUBNORMAL)
        upper = upper + (np.abs(upper) * _EPSILON + _SUBNORMAL)
        low, high = self.lower, self.upper
        lower = np.where(low >= 0, np.maximum(lower, 0.0), lower)
        upper = np.where(high <= 0, np.minimum(upper, 0.0), upper)
        touches = (low <= 0) & (high >= 0)
        if touches.any():
            lower = np.where(touches & ~((low == 0) & (high > 0)), -np.inf, lower)
            upper = np.where(touches & ~((high == 0) & (low < 0)), np.inf, upper)
        # 1/5e-324 overflows: below every real number that large.
        return type(self)(_never_nan(lower, _LARGEST), -_never_nan(-upper, _LARGEST))

    def square(self) -> Self:
        """Return x*x, never negative."""
        least, most = self._magnitudes()
        return type(self)(
            np.maximum(_delicate_down(least * least, least > 0), 0.0),
            -_delicate_down(-(most * most), most > 0),
        )

    def _magnitudes(self) -> tuple[np.ndarray, np.ndarray]:
        least = np.maximum(np.maximum(self.lower, -self.upper), 0.0)
        return least, self.magnitude

    def __abs__(self) -> Self:
        return type(self)(*self._magnitudes())

    def minimum(self, other: Self) -> Self:
        """Return the smaller one."""
        return type(self)(np.minimum(self.lower, other.lower), np.minimum(self.upper, other.upper))

    def maximum(self, other: Self) -> Self:
        """Return the larger one."""
        return type(self)(np.maximum(self.lower, other.lower), np.maximum(self.upper, other.upper))

    def sign(self) -> Self:
        """Return -1, 0 or 1."""
        return type(self)(np.sign(self.lower), np.sign(self.upper))

    def positive(self) -> Self:
        """Return the part that is not negative; [0, 0] where there is none."""
        return type(self)(np.maximum(self.lower, 0.0), np.maximum(self.upper, 0.0))

    def direction(self, rest: Self) -> Self:
        """Return x / sqrt(x**2 + r**2), the slope of a norm: it rises with x, and |it| falls with r.

        At x = r = 0 it is taken as all of [-1, 1].
        """
        squared = rest.square()
        ends = []
        for end in (self.lower, -self.upper):
            other = np.where(end > 0, squared.upper, squared.lower)
            with np.errstate(all="ignore"):
                value = end / np.sqrt(end * end + other)
            # Squares that underflow or overflow leave only what is known of the sign.
            poor = ~(np.abs(end) > 1e-140) | ~(np.abs(end) < 1e140) | ~(other < 1e280)
            ends.append(np.where(poor, np.where(end >= 0, 0.0, -1.0), _wide_down(value)))
        lower = np.clip(ends[0], -1.0, 1.0)
        upper = np.clip(-ends[1], -1.0, 1.0)
        origin = (self.lower == 0) & (self.upper == 0) & (rest.lower <= 0) & (rest.upper >= 0)
        return type(self)(np.where(origin, -1.0, lower), np.where(origin, 1.0, upper))

    # Powers and elementary functions: by their ends where they are monotone.

    def power(self, exponent: Fraction) -> Self:
        """Return x**p for a constant p; without a whole p only x >= 0 is in the domain."""
        if exponent.denominator == 1:
            return self._whole_power(int(exponent))
        if exponent < 0:
            return self.power(-exponent).reciprocal()
        inside = np.maximum(self.lower, 0.0), np.maximum(self.upper, 0.0)
        p = float(exponent)
        rounded = 0 if Fraction(p) == exponent else _EPSILON * p
        ends = []
        for base, widen, side in ((inside[0], _wide_down, -1.0), (inside[1], _wide_up, 1.0)):
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
            lower = _wide_down(np.power(low, float(exponent)), 2 * ELEMENTARY_ULPS)
            upper = _wide_up(np.power(high, float(exponent)), 2 * ELEMENTARY_ULPS)
        return type(self)(*_sign_kept(lower, upper, low, high))

    def general_power(self, exponent: Self) -> Self:
        """Return x**y for x > 0 (x >= 0 where y > 0): extreme at the corners."""
        bases = np.maximum(self.lower, 0.0), np.maximum(self.upper, 0.0)
        with np.errstate(all="ignore"):
            corners = [
                np.power(base, end) for base in bases for end in (exponent.lower, exponent.upper)
            ]
        corners = [np.where(np.isnan(corner), np.inf, corner) for corner in corners]
        lower = _reduced(np.fmin, corners)
        upper = _reduced(np.fmax, corners)
        unsure = ~np.isfinite(corners[0] + corners[1] + corners[2] + corners[3])
        lower = np.where(unsure, 0.0, np.maximum(_wide_down(lower, 2 * ELEMENTARY_ULPS), 0.0))
        upper = np.where(unsure, np.inf, _wide_up(upper, 2 * ELEMENTARY_ULPS))
        return self._undefined(self.upper < 0, lower, upper)

    def sqrt(self) -> Self:
        """Return the root of the part that is not negative."""
        lower = _down(np.sqrt(np.maximum(self.lower, 0.0)))
        upper = _up(np.sqrt(np.maximum(self.upper, 0.0)))
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
            lower, upper = _wide_down(function(self.lower)), _wide_up(function(self.upper))
        if odd:
            lower, upper = _sign_kept(lower, upper, self.lower, self.upper)
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
        reduced = np.where(self.magnitude > 2.0, _ANGLE_ERROR, 0.0)
        lower = np.maximum(_wide_down(lower) - reduced, -1.0)
        upper = np.minimum(_wide_up(upper) + reduced, 1.0)
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
            slack = (np.abs(first) + np.abs(last) + 1.0) * (8 * _EPSILON)
            away = np.floor(first - slack) == np.floor(last + slack)
        return ~(away & (self.magnitude <= LARGEST_ANGLE))

    def tan(self) -> Self:
        """Return the tangent; everything where a pole may be inside."""
        with np.errstate(all="ignore"):
            lower, upper = np.tan(self.lower), np.tan(self.upper)
        # The argument reduction errs by less than 2**-50 absolutely, tan' = 1 + tan**2.
        reduced = np.where(self.magnitude > 1.5, _ANGLE_ERROR, 0.0)
        lower = _wide_down(lower) - reduced * (1 + lower * lower)
        upper = _wide_up(upper) + reduced * (1 + upper * upper)
        lower, upper = _sign_kept(lower, upper, self.lower, self.upper, math.pi / 2 - 1e-3)
        pole = self._meets(0.5, math.pi) | ~(lower <= upper)
        return type(self)(np.where(pole, -np.inf, lower), np.where(pole, np.inf, upper))

    def sigmoid(self) -> Self:
        """Return the logistic sigmoid 1/(1 + exp(-x))."""
        return self._increasing(special.expit, 0.0, 1.0)

    def sigmoid_slope(self) -> Self:
        """Return the first derivative s(1 - s) of the sigmoid, which falls with abs(x)."""
        least, most = self._magnitudes()
        return type(self)(
            np.maximum(_wide_down(_sigmoid_slope(most), 4 * ELEMENTARY_ULPS), 0.0),
            np.minimum(_wide_up(_sigmoid_slope(least), 4 * ELEMENTARY_ULPS), 0.25),
        )

    def sigmoid_curvature(self) -> Self:
        """Return the second derivative s(1 - s)(1 - 2s) of the sigmoid."""
        return self._odd_bump(_sigmoid_curvature, _SIGMOID_TURN, _SIGMOID_CURVATURE)

    def tanh_slope(self) -> Self:
        """Return the first derivative 1 - tanh**2, which falls with abs(x)."""
        least, most = self._magnitudes()
        return type(self)(
            np.maximum(_wide_down(_tanh_slope(most), 4 * ELEMENTARY_ULPS), 0.0),
            np.minimum(_wide_up(_tanh_slope(least), 4 * ELEMENTARY_ULPS), 1.0),
        )

    def tanh_curvature(self) -> Self:
        """Return the second derivative -2 tanh (1 - tanh**2)."""
        return self._odd_bump(_tanh_curvature, _TANH_TURN, _TANH_CURVATURE)

    def _odd_bump(self, function: Callable[..., np.ndarray], turn: float, peak: float) -> Self:
        """Return an odd function that peaks at -turn, falls to -peak at turn and goes to 0."""
        ends = function(self.lower), function(self.upper)
        lower = _wide_down(np.minimum(*ends), 4 * ELEMENTARY_ULPS)
        upper = _wide_up(np.maximum(*ends), 4 * ELEMENTARY_ULPS)
        # Around 0 the value is a difference; its error is relative to the slope's size times x.
        slack, most = 1e-15, peak * (1 + 1e-14)
        top = (self.lower <= -turn + slack) & (self.upper >= -turn - slack)
        bottom = (self.lower <= turn + slack) & (self.upper >= turn - slack)
        return type(self)(
            np.where(bottom, -most, np.maximum(lower, -most)),
            np.where(top, most, np.minimum(upper, most)),
        )

    # Linear maps.

    def affine(self, weight: Any, bias: np.ndarray | None = None) -> Self:
        """Return ``weight @ x + bias`` along the last axis, for exact weights.

        Computed by middle and radius with three products of matrices. The rounding error of a sum
        of k products is at most ``gamma * sum |w x|`` in any order of summation, with
        ``gamma = k u/(1 - k u)`` and u = 2**-53 (Higham, *Accuracy and Stability*, 2002, eq. 3.5);
        twice that is added, which also covers the rounding of the radius.

        Args:
            weight: Shape (outputs, inputs), a NumPy array or a SciPy sparse array.
            bias: Shape (outputs,).

        Returns:
            Shape (..., outputs) for intervals of shape (..., inputs).
        """
        inputs = weight.shape[1]
        flat = self.reshape(-1, inputs)
        if not (np.isfinite(flat.lower).all() and np.isfinite(flat.upper).all()):
            return self._unbounded_affine(weight, bias)
        middle = flat.lower + 0.5 * (flat.upper - flat.lower)
        radius = _up(np.maximum(flat.upper - middle, middle - flat.lower))
        gamma = 2 * (inputs + 4) * 2.0**-53
        size = radius + gamma * (np.abs(middle) + radius) + _SUBNORMAL
        center, spread = _times(weight, middle), _times(abs(weight), size)
        if bias is not None:
            center = center + bias
            spread = spread + gamma * np.abs(bias)
        spread = spread * (1 + gamma) + _EPSILON * np.abs(center) + inputs * _SUBNORMAL
        shape = (*self.shape[:-1], weight.shape[0])
        return type(self)(_down(center - spread), _up(center + spread)).reshape(*shape)

    def _unbounded_affine(self, weight: Any, bias: np.ndarray | None) -> Self:
        """Return the same where an end is infinite, which then only counts with its weight."""
        unbounded = ~(np.isfinite(self.lower) & np.isfinite(self.upper))
        finite = type(self)(
            np.where(unbounded, 0.0, self.lower), np.where(unbounded, 0.0, self.upper)
        )
        result = finite.affine(weight, bias)
        counts = unbounded.reshape(-1, weight.shape[1]).astype(np.float64)
        hit = (_times(abs(weight) > 0, counts) > 0).reshape(result.shape)
        return type(self)(np.where(hit, -np.inf, result.lower), np.where(hit, np.inf, result.upper))


_NAMED = {"pi": math.pi, "e": math.e}


def _reduced(function: Callable[..., np.ndarray], arrays: list[np.ndarray]) -> np.ndarray:
    result = arrays[0]
    for array in arrays[1:]:
        result = function(result, array)
    return result


def _ends(value: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(value, Intervals):
        return value.lower, value.upper
    value = np.asarray(value, dtype=np.float64)
    return value, value


def _never_nan(values: np.ndarray, instead: float) -> np.ndarray:
    return np.where(np.isnan(values), instead, values)


def _delicate_down(values: np.ndarray, inexact: np.ndarray) -> np.ndarray:
    """Return a lower bound where underflow may have happened; exact zeros stay."""
    result = _down(values)
    small = np.abs(values) < _DELICATE
    if small.any():
        result = np.where(small & inexact, result - _SUBNORMAL, result)
    return result


def _product(
    a_low: np.ndarray, a_high: np.ndarray, b_low: np.ndarray, b_high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the product of two intervals."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        if b_low is b_high:
            first, second = a_low * b_low, a_high * b_low
            low, high = np.minimum(first, second), np.maximum(first, second)
            products = (first, second)
        else:
            products = (a_low * b_low, a_low * b_high, a_high * b_low, a_high * b_high)
            low = np.minimum(
                np.minimum(products[0], products[1]), np.minimum(products[2], products[3])
            )
            high = np.maximum(
                np.maximum(products[0], products[1]), np.maximum(products[2], products[3])
            )
        if np.isnan(low.sum() + high.sum()):
            # 0 times an unbounded end (or a sum of opposite infinities, for which it is harmless).
            cleaned = [_never_nan(product, 0.0) for product in products]
            low = _reduced(np.minimum, cleaned)
            high = _reduced(np.maximum, cleaned)
    lower, upper = _down(low), _up(high)
    delicate = (np.abs(low) < _DELICATE) | (np.abs(high) < _DELICATE)
    if delicate.any():
        # Products may have underflowed. A sign that is certain stays.
        zero = ((a_low == 0) & (a_high == 0)) | ((b_low == 0) & (b_high == 0))
        same = ((a_low >= 0) & (b_low >= 0)) | ((a_high <= 0) & (b_high <= 0))
        opposite = ((a_low >= 0) & (b_high <= 0)) | ((a_high <= 0) & (b_low >= 0))
        lower = np.where(delicate, lower - _SUBNORMAL, lower)
        upper = np.where(delicate, upper + _SUBNORMAL, upper)
        lower = np.where(delicate & (same | zero), np.maximum(lower, 0.0), lower)
        upper = np.where(delicate & (opposite | zero), np.minimum(upper, 0.0), upper)
    return lower, upper


def _sign_kept(
    lower: np.ndarray,
    upper: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    most: float = math.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """Clip at 0 the bounds of a function with the sign of its argument (up to ``most``)."""
    lower = np.where((low >= 0) & (high <= most), np.maximum(lower, 0.0), lower)
    upper = np.where((high <= 0) & (low >= -most), np.minimum(upper, 0.0), upper)
    return lower, upper


def _times(weight: Any, rows: np.ndarray) -> np.ndarray:
    return np.asarray(weight @ rows.T).T


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
