"""Balls of arbitrary precision (Arb, through python-flint): the trusted arithmetic.

A ball is a midpoint of some bits and a radius of 30 bits; every operation of Arb encloses the true
result (Johansson 2017, *Arb: efficient arbitrary-precision midpoint-radius interval arithmetic*).
The methods are those of ``Intervals``, so that formulas and networks run on either. What differs: a
wide ball overestimates its ends by up to 2**-29 of its width; it cannot be unbounded on one side
only, so ``[1, inf]`` becomes everything; 0 times everything is everything.

The working precision of python-flint belongs to the whole process. ``working_precision`` sets it
under a lock; if another thread changes it all the same, balls become wider and stay sound.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, Self

import flint
import numpy as np
from flint import arb, arb_mat, fmpq

from pellucid.approximation.enclosures.ball_functions import (
    EVERYTHING,
    absolute,
    asin,
    bounded,
    direction,
    fractional_power,
    general_power,
    increasing,
    intersection,
    known,
    odd_bump,
    positive,
    sigmoid,
    sigmoid_curvature,
    sigmoid_slope,
    sqrt,
    square,
    union_or_everything,
)

#: Bits of the midpoints in ``enclose``; 64 leave 11 more than float64 has.
PRECISION_BITS = 64
_LARGEST = float(np.finfo(np.float64).max)
_LOCK = threading.RLock()


@contextlib.contextmanager
def working_precision(bits: int = PRECISION_BITS) -> Iterator[None]:
    """Compute with midpoints of ``bits`` bits; one thread at a time."""
    with _LOCK, flint.ctx.workprec(bits):
        yield


class Balls:
    """An array of balls.

    Attributes:
        balls: NumPy array of ``flint.arb``, any shape.

    Example:
        >>> x = Balls.from_bounds([0.0], [2.0])
        >>> (x * x - x).upper >= 4
        array([ True])
    """

    __array_ufunc__ = None
    __slots__ = ("_lower", "_upper", "balls")

    def __init__(self, balls: np.ndarray) -> None:
        self.balls = balls
        self._lower: np.ndarray | None = None
        self._upper: np.ndarray | None = None

    # Making and shaping.

    @classmethod
    def _of(cls, balls: list[arb], shape: tuple[int, ...]) -> Self:
        array = np.empty(len(balls), dtype=object)
        array[:] = balls
        return cls(array.reshape(shape))

    @classmethod
    def from_bounds(cls, lower: Any, upper: Any) -> Self:
        """Return balls that hold the intervals with these ends."""
        lower, upper = np.broadcast_arrays(
            np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        )
        ends = zip(lower.ravel().tolist(), upper.ravel().tolist(), strict=True)
        return cls._of([_ball(low, high) for low, high in ends], lower.shape)

    @classmethod
    def exact(cls, values: Any) -> Self:
        """Return the balls that hold one number each."""
        values = np.asarray(values, dtype=np.float64)
        return cls._of([arb(value) for value in values.ravel().tolist()], values.shape)

    @classmethod
    def constant(cls, value: Fraction | str) -> Self:
        """Return an enclosure of a fraction, of ``"pi"`` or of ``"e"``, shape (1,)."""
        if value == "pi":
            return cls._of([arb.pi()], (1,))
        if value == "e":
            return cls._of([arb.const_e()], (1,))
        assert isinstance(value, Fraction)
        return cls._of([arb(fmpq(value.numerator, value.denominator))], (1,))

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Self:
        """Return balls that hold 0 only."""
        return cls.exact(np.zeros(shape))

    @classmethod
    def everything(cls, shape: tuple[int, ...]) -> Self:
        """Return balls that hold all numbers."""
        return cls._of([EVERYTHING] * int(np.prod(shape)), shape)

    @classmethod
    def stack(cls, parts: Sequence[Self], axis: int = 0) -> Self:
        """Return the parts along a new axis."""
        return cls(np.stack([part.balls for part in parts], axis))

    @classmethod
    def concatenate(cls, parts: Sequence[Self], axis: int = 0) -> Self:
        """Return the parts behind one another."""
        return cls(np.concatenate([part.balls for part in parts], axis))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.balls.shape

    def __len__(self) -> int:
        return len(self.balls)

    def __getitem__(self, index: Any) -> Self:
        part = self.balls[index]
        return type(self)(part if isinstance(part, np.ndarray) else np.array(part, dtype=object))

    def reshape(self, *shape: int) -> Self:
        """Return the same balls in another shape."""
        return type(self)(self.balls.reshape(*shape))

    def broadcast_to(self, shape: tuple[int, ...]) -> Self:
        """Return the balls repeated to ``shape``."""
        return self if self.shape == shape else type(self)(np.broadcast_to(self.balls, shape))

    def transpose(self, *axes: int) -> Self:
        """Return the balls with permuted axes."""
        return type(self)(self.balls.transpose(*axes))

    # Float bounds.

    @property
    def lower(self) -> np.ndarray:
        """Float64 numbers not above the lower ends."""
        if self._lower is None:
            self._lower = self._floats(arb.lower)
        return self._lower

    @property
    def upper(self) -> np.ndarray:
        """Float64 numbers not below the upper ends."""
        if self._upper is None:
            self._upper = -type(self)(-self.balls)._floats(arb.lower)
        return self._upper

    def _floats(self, end: Callable[[arb], arb]) -> np.ndarray:
        with working_precision(53):  # so that the end is rounded down to a float64
            ends = [end(ball) for ball in self.balls.ravel().tolist()]
            floats = np.array([float(value) for value in ends], dtype=np.float64)
            for index in np.flatnonzero(~(np.abs(floats) >= 1e-307)):
                # Subnormal (or zero) as a float: rounded to nearest, unless exact.
                if not ends[index] >= arb(floats[index]):
                    floats[index] = np.nextafter(floats[index], -np.inf)
        floats = np.where(np.isnan(floats), -np.inf, floats)
        return np.where(floats == np.inf, _LARGEST, floats).reshape(self.shape)

    @property
    def width(self) -> np.ndarray:
        """Upper bounds of the widths."""
        return np.nextafter(self.upper - self.lower, np.inf)

    @property
    def middle(self) -> np.ndarray:
        """A number in each ball, about in the middle; 0 where it is unbounded."""
        middle = 0.5 * self.lower + 0.5 * self.upper
        return np.where(np.isfinite(middle), middle, 0.0)

    @property
    def magnitude(self) -> np.ndarray:
        """Largest absolute value in each ball."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    @property
    def is_bounded(self) -> np.ndarray:
        """Whether the float64 ends are finite."""
        return np.isfinite(self.lower) & np.isfinite(self.upper)

    # Sets.

    def _each(self, function: Callable[[arb], arb]) -> Self:
        return self._of([function(ball) for ball in self.balls.ravel().tolist()], self.shape)

    def _each_pair(self, other: Self, function: Callable[[arb, arb], arb]) -> Self:
        a, b = np.broadcast_arrays(self.balls, other.balls)
        pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        return self._of([function(x, y) for x, y in pairs], a.shape)

    def hull(self, other: Self) -> Self:
        """Return balls that hold both."""
        return self._each_pair(other, arb.union)

    def intersect(self, other: Self) -> Self:
        """Return what both enclose; where that is empty (nothing is there to enclose), ``self``."""
        return self._each_pair(other, intersection)

    def between(self, low: Self, high: Self) -> Self:
        """Return ``self`` without what is below ``low`` or above ``high``."""
        return self.intersect(
            low._each_pair(high, lambda a, b: union_or_everything(a.lower(), b.upper()))
        )

    def with_rows(self, rows: np.ndarray, replacement: Self) -> Self:
        """Return a copy with other balls in some rows."""
        balls = self.balls.copy()
        balls[rows] = replacement.balls
        return type(self)(balls)

    def choose(self, mask: np.ndarray, other: Self) -> Self:
        """Return ``self`` where ``mask`` holds and ``other`` elsewhere."""
        return type(self)(np.where(mask, self.balls, other.balls))

    def contains(self, values: Any) -> np.ndarray:
        """Whether each ball, rounded outward to float64, holds the number."""
        return (self.lower <= values) & (values <= self.upper)

    # Arithmetic.

    def __neg__(self) -> Self:
        return type(self)(-self.balls)

    def __add__(self, other: Self | float | np.ndarray) -> Self:
        return type(self)(np.asarray(self.balls + _operand(other), dtype=object))

    __radd__ = __add__

    def __sub__(self, other: Self | float | np.ndarray) -> Self:
        return type(self)(np.asarray(self.balls - _operand(other), dtype=object))

    def __rsub__(self, other: float | np.ndarray) -> Self:
        return -self + other

    def __mul__(self, other: Self | float | np.ndarray) -> Self:
        return type(self)(np.asarray(self.balls * _operand(other), dtype=object))

    __rmul__ = __mul__

    def __truediv__(self, other: Self | float | np.ndarray) -> Self:
        divisor = other if isinstance(other, Balls) else Balls.exact(other)
        return self._each_pair(divisor, lambda a, b: known(a / b))  # type: ignore[arg-type]

    def __rtruediv__(self, other: float | np.ndarray) -> Self:
        return self.reciprocal() * other

    def reciprocal(self) -> Self:
        """Return 1/x; everything where 0 is inside."""
        return self._each(lambda ball: known(1 / ball))

    def square(self) -> Self:
        """Return x*x, never negative."""
        return self._each(square)

    def __abs__(self) -> Self:
        return self._each(absolute)

    def minimum(self, other: Self) -> Self:
        """Return the smaller one."""
        return self._each_pair(other, lambda a, b: known(a.min(b)))

    def maximum(self, other: Self) -> Self:
        """Return the larger one."""
        return self._each_pair(other, lambda a, b: known(a.max(b)))

    def sign(self) -> Self:
        """Return -1, 0 or 1."""
        return self._each(lambda ball: known(ball.sgn()))

    def positive(self) -> Self:
        """Return the part that is not negative; 0 where there is none."""
        return self._each(lambda ball: ball if ball > 0 else positive(ball))

    def direction(self, rest: Self) -> Self:
        """Return x / sqrt(x**2 + r**2), the slope of a norm; all of [-1, 1] at the origin."""
        return self._each_pair(rest, direction)

    # Powers and elementary functions.

    def power(self, exponent: Fraction) -> Self:
        """Return x**p for a constant p; without a whole p only x >= 0 is in the domain."""
        if exponent.denominator != 1:
            p = fmpq(exponent.numerator, exponent.denominator)
            return self._each(lambda ball: fractional_power(ball, p))
        whole = int(exponent)
        if whole == 2:
            return self.square()
        if whole == -1:
            return self.reciprocal()
        if whole < 0:
            return self.power(-exponent).reciprocal()
        if whole % 2:
            return self._each(lambda ball: known(increasing(ball, lambda end: end**whole)))
        return self._each(lambda ball: known(increasing(absolute(ball), lambda end: end**whole)))

    def general_power(self, exponent: Self) -> Self:
        """Return x**y for x > 0 (x >= 0 where y > 0): extreme at the corners."""
        return self._each_pair(exponent, general_power)

    def exp(self) -> Self:
        """Return e**x."""
        return self._each(lambda ball: known(ball.exp()))

    def log(self) -> Self:
        """Return the logarithm; everything where 0 is inside."""
        return self._each(lambda ball: known(ball.log()))

    def sqrt(self) -> Self:
        """Return the root of the part that is not negative."""
        return self._each(sqrt)

    def sin(self) -> Self:
        """Return the sine."""
        return self._each(arb.sin)

    def cos(self) -> Self:
        """Return the cosine."""
        return self._each(arb.cos)

    def tan(self) -> Self:
        """Return the tangent; everything where a pole may be inside."""
        return self._each(lambda ball: known(ball.tan()))

    def tanh(self) -> Self:
        """Return the hyperbolic tangent."""
        return self._each(lambda ball: bounded(ball, arb.tanh, -1))

    def sinh(self) -> Self:
        """Return the hyperbolic sine."""
        return self._each(lambda ball: known(ball.sinh()))

    def cosh(self) -> Self:
        """Return the hyperbolic cosine."""
        return self._each(lambda ball: known(ball.cosh()))

    def atan(self) -> Self:
        """Return the arc tangent."""
        return self._each(arb.atan)

    def erf(self) -> Self:
        """Return the error function."""
        return self._each(lambda ball: bounded(ball, arb.erf, -1))

    def asin(self) -> Self:
        """Return the arc sine of the part in [-1, 1]."""
        return self._each(asin)

    def acos(self) -> Self:
        """Return the arc cosine of the part in [-1, 1]."""
        return self._each(lambda ball: known(arb.pi() / 2 - asin(ball)))

    def sigmoid(self) -> Self:
        """Return the logistic sigmoid 1/(1 + exp(-x))."""
        return self._each(lambda ball: bounded(ball, sigmoid, 0))

    def sigmoid_slope(self) -> Self:
        """Return the first derivative s(1 - s) of the sigmoid, which falls with abs(x)."""
        return self._each(lambda ball: bounded(absolute(ball), sigmoid_slope, 0))

    def sigmoid_curvature(self) -> Self:
        """Return the second derivative s(1 - s)(1 - 2s) of the sigmoid."""
        # Extreme at ln(2 + sqrt 3), where it is 1/(6 sqrt 3).
        turn, peak = (2 + arb(3).sqrt()).log(), 1 / (6 * arb(3).sqrt())
        return self._each(lambda ball: odd_bump(ball, sigmoid_curvature, turn, peak))

    def tanh_slope(self) -> Self:
        """Return the first derivative 1 - tanh**2, which falls with abs(x)."""
        return (self * 2.0).sigmoid_slope() * 4.0

    def tanh_curvature(self) -> Self:
        """Return the second derivative -2 tanh (1 - tanh**2)."""
        return (self * 2.0).sigmoid_curvature() * 8.0

    # Linear maps.

    def affine(self, weight: Any, bias: np.ndarray | None = None) -> Self:
        """Return ``weight @ x + bias`` along the last axis, for exact weights.

        Args:
            weight: Shape (outputs, inputs), a NumPy array or a SciPy sparse array.
            bias: Shape (outputs,).

        Returns:
            Shape (..., outputs) for balls of shape (..., inputs).
        """
        outputs, inputs = weight.shape
        rows = self.balls.reshape(-1, inputs)
        shape = (*self.shape[:-1], outputs)
        if not isinstance(weight, np.ndarray):
            return self._sparse_affine(weight.tocsr(), bias, rows).reshape(*shape)
        matrix = arb_mat(inputs, outputs, [arb(value) for value in weight.T.ravel().tolist()])
        product = arb_mat(len(rows), inputs, rows.ravel().tolist()) * matrix
        result = self._of([known(entry) for entry in product.entries()], (len(rows), outputs))
        return (result if bias is None else result + np.asarray(bias)).reshape(*shape)

    def _sparse_affine(self, weight: Any, bias: np.ndarray | None, rows: np.ndarray) -> Self:
        columns = rows.T
        sums = np.empty((weight.shape[0], len(rows)), dtype=object)
        for output in range(weight.shape[0]):
            total: Any = np.full(len(rows), arb(0 if bias is None else float(bias[output])))
            for entry in range(weight.indptr[output], weight.indptr[output + 1]):
                factor = arb(float(weight.data[entry]))
                total = total + columns[weight.indices[entry]] * factor
            sums[output] = total
        return type(self)(np.ascontiguousarray(sums.T))


def _operand(value: Any) -> Any:
    if isinstance(value, Balls):
        return value.balls
    if isinstance(value, float | int):
        return arb(value)
    return Balls.exact(value).balls


def _ball(low: float, high: float) -> arb:
    if low == high:
        return arb(low)
    return known(arb(low).union(arb(high)))
