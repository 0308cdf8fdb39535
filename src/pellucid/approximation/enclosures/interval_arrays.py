"""Arrays of intervals: making and shaping them, sets, the four operations, linear maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np

from pellucid.approximation.enclosures.rounding import (
    EPSILON,
    LARGEST,
    SUBNORMAL,
    delicate_down,
    down,
    never_nan,
    product,
    up,
    wide_down,
)

_NAMED = {"pi": math.pi, "e": math.e}


@dataclass(frozen=True, eq=False, slots=True)
class IntervalArray:
    """An array of closed intervals, without the elementary functions.

    Attributes:
        lower: Lower ends, float64, below +inf.
        upper: Upper ends, the same shape, above -inf.

    """

    lower: np.ndarray
    upper: np.ndarray
    #: Arrays leave ``array + intervals`` to the intervals.
    __array_ufunc__: ClassVar[None] = None

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
        return up(self.upper - self.lower)

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
            return type(self)(down(self.lower + low), up(self.upper + high))

    __radd__ = __add__

    def __sub__(self, other: Self | float | np.ndarray) -> Self:
        low, high = _ends(other)
        with np.errstate(over="ignore"):
            return type(self)(down(self.lower - high), up(self.upper - low))

    def __rsub__(self, other: float | np.ndarray) -> Self:
        return -self + other

    def __mul__(self, other: Self | float | np.ndarray) -> Self:
        low, high = _ends(other)
        return type(self)(*product(self.lower, self.upper, low, high))

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
        lower = lower - (np.abs(lower) * EPSILON + SUBNORMAL)
        upper = upper + (np.abs(upper) * EPSILON + SUBNORMAL)
        low, high = self.lower, self.upper
        lower = np.where(low >= 0, np.maximum(lower, 0.0), lower)
        upper = np.where(high <= 0, np.minimum(upper, 0.0), upper)
        touches = (low <= 0) & (high >= 0)
        if touches.any():
            lower = np.where(touches & ~((low == 0) & (high > 0)), -np.inf, lower)
            upper = np.where(touches & ~((high == 0) & (low < 0)), np.inf, upper)
        # 1/5e-324 overflows: below every real number that large.
        return type(self)(never_nan(lower, LARGEST), -never_nan(-upper, LARGEST))

    def square(self) -> Self:
        """Return x*x, never negative."""
        least, most = self._magnitudes()
        return type(self)(
            np.maximum(delicate_down(least * least, least > 0), 0.0),
            -delicate_down(-(most * most), most > 0),
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
        """Return x / sqrt(x**2 + r**2), the slope of a norm; all of [-1, 1] at the origin.

        It rises with x, and its size falls with abs(r).
        """
        squared = rest.square()
        ends = []
        for end in (self.lower, -self.upper):
            other = np.where(end > 0, squared.upper, squared.lower)
            with np.errstate(all="ignore"):
                value = end / np.sqrt(end * end + other)
            # Squares that underflow or overflow leave only what is known of the sign.
            poor = ~(np.abs(end) > 1e-140) | ~(np.abs(end) < 1e140) | ~(other < 1e280)
            ends.append(np.where(poor, np.where(end >= 0, 0.0, -1.0), wide_down(value)))
        lower = np.clip(ends[0], -1.0, 1.0)
        upper = np.clip(-ends[1], -1.0, 1.0)
        origin = (self.lower == 0) & (self.upper == 0) & (rest.lower <= 0) & (rest.upper >= 0)
        return type(self)(np.where(origin, -1.0, lower), np.where(origin, 1.0, upper))

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
        radius = up(np.maximum(flat.upper - middle, middle - flat.lower))
        gamma = 2 * (inputs + 4) * 2.0**-53
        size = radius + gamma * (np.abs(middle) + radius) + SUBNORMAL
        center, spread = _times(weight, middle), _times(abs(weight), size)
        if bias is not None:
            center = center + bias
            spread = spread + gamma * np.abs(bias)
        spread = spread * (1 + gamma) + EPSILON * np.abs(center) + inputs * SUBNORMAL
        shape = (*self.shape[:-1], weight.shape[0])
        return type(self)(down(center - spread), up(center + spread)).reshape(*shape)

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


def _ends(value: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(value, IntervalArray):
        return value.lower, value.upper
    value = np.asarray(value, dtype=np.float64)
    return value, value


def _times(weight: Any, rows: np.ndarray) -> np.ndarray:
    return np.asarray(weight @ rows.T).T
