"""Taylor models: a polynomial on a box plus a bound of what the polynomial leaves out.

On the box ``m + diag(r) [-1, 1]^d`` a function is enclosed by a polynomial of total degree at
most K in ``t = (x - m) / r`` and a remainder. Sums of terms with huge canceling coefficients
cancel in the polynomial, where an interval extension would add their widths; only the remainders,
of order ``r^(K + 1)``, are added up.

All boxes, and all neurons of a layer, are one array: the coefficients have shape (monomials,
\\*shape), in float64 or as arb balls. In float64 the rounding errors of the coefficients go into
the remainder; balls carry them themselves. Remainders are magnitudes in float64, widened by a
factor that exceeds every rounding error of a sum of positive numbers.

Source: Makino, Berz, Taylor models and other validated functional inclusion methods, 2003;
Revol, Makino, Berz, Taylor models and floating-point arithmetic, 2005 (rounding into the
remainder). Deviation: univariate functions enter by Chebyshev interpolation, whose remainder is
2^K times smaller than that of the Taylor expansion; the remainder is kept apart by the direction
it comes from, so that branch and bound knows which side to halve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import flint
import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.certificate.interpolation import (
    UNIT_ROUNDOFF,
    WIDEN,
    Array,
    Floats,
    chebyshev,
    contract,
    lagrange,
)
from pellucid.approximation.certificate.monomials import monomials, raised

# Products that vanish in float64 are at most this, all terms of one operation together.
UNDERFLOW = 1e-290


class Function(Protocol):
    """A univariate function that :meth:`Arithmetic.compose` can use."""

    def values(self, points: Array, balls: bool) -> Array:
        """Return the values at float64 points or at balls."""
        ...

    def derivative(self, order: int, lower: Floats, upper: Floats) -> Floats:
        """Bound the absolute ``order``-th derivative on [lower, upper]; inf where unbounded."""
        ...


@dataclass(frozen=True)
class Model:
    """Functions on boxes: polynomials with remainders.

    Args:
        coefficients: Shape (monomials, \\*shape), float64 or balls.
        remainder: Shape (dimension + 1, \\*shape), not negative; by the direction that causes it,
            the last for what halving a box does not make smaller. Its sum bounds the difference
            between function and polynomial.
        lower: A bound of the function from below, shape ``shape``.
        upper: A bound from above.
    """

    coefficients: Array
    remainder: Floats
    lower: Floats
    upper: Floats

    @property
    def total(self) -> Floats:
        """The remainder, all directions together."""
        return self.remainder.sum(axis=0) * WIDEN


_magnitude_of_ball = np.frompyfunc(lambda ball: float(ball.abs_upper()), 1, 1)
_middle_of_ball = np.frompyfunc(float, 1, 1)
_to_ball = np.frompyfunc(flint.arb, 1, 1)


def _round_ball(ball: flint.arb) -> tuple[float, float]:
    middle = float(ball)
    return middle, float((ball - middle).abs_upper())


_rounded = np.frompyfunc(_round_ball, 1, 2)


class Arithmetic:
    """Taylor models of one degree on given boxes, in float64 or in balls.

    Args:
        lower: Lower ends of the boxes, shape (n, dimension).
        upper: Upper ends.
        degree: K, total degree of the polynomials.
        balls: Coefficients as arb balls.
    """

    def __init__(self, lower: Floats, upper: Floats, *, degree: int, balls: bool = False) -> None:
        self.lower, self.upper = lower.T, upper.T
        self.dimension, self.count = self.lower.shape
        self.degree, self.balls = degree, balls
        self.monomials = monomials(self.dimension, degree)
        middle = self.lower + (self.upper - self.lower) / 2
        # The polynomial lives on a box that contains the given one in spite of rounding.
        radius = np.maximum(self.upper - middle, middle - self.lower) * (1 + 4 * UNIT_ROUNDOFF)
        self.middle, self.radius = middle, radius
        self.unit = 0.0 if balls else UNIT_ROUNDOFF

    def exact(self, values: Array | float) -> Array:
        """Return float64 values in the arithmetic of the coefficients."""
        values = np.asarray(values, dtype=np.float64)
        return np.asarray(_to_ball(values), dtype=object) if self.balls else values

    def magnitude(self, values: Array) -> Floats:
        """Return upper bounds of absolute values, float64."""
        if self.balls:
            return np.asarray(_magnitude_of_ball(values), dtype=np.float64) * WIDEN
        return np.abs(values)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Return coefficients that are all zero."""
        if self.balls:
            return np.full((self.monomials.count, *shape), flint.arb(0), dtype=object)
        return np.zeros((self.monomials.count, *shape))

    def constant(self, value: Array | float | flint.arb) -> Model:
        """Return a constant, the same in every box: a float64, or a ball where it is none."""
        coefficients = self.zeros((self.count,))
        remainder = np.zeros((self.dimension + 1, self.count))
        if isinstance(value, flint.arb):
            nearest, error = _round_ball(value)
            if self.balls:
                coefficients[0] = value
            else:
                coefficients[0] = nearest
                remainder[-1] = error * WIDEN
            bounds = np.nextafter(nearest - error, -np.inf), np.nextafter(nearest + error, np.inf)
        else:
            coefficients[0] = self.exact(float(value))
            bounds = (float(value), float(value))
        ends = (np.full(self.count, bound) for bound in bounds)
        return Model(coefficients, remainder, *ends)

    def variable(self, axis: int) -> Model:
        """Return the variable number ``axis``."""
        coefficients = self.zeros((self.count,))
        coefficients[0] = self.exact(self.middle[axis])
        coefficients[1 + axis] = self.exact(self.radius[axis])
        remainder = np.zeros((self.dimension + 1, self.count))
        return Model(coefficients, remainder, self.lower[axis], self.upper[axis])

    def interval(self, lower: Floats, upper: Floats, share: Floats) -> Model:
        """Return the constant polynomial in the middle of an interval, all else remainder.

        Args:
            lower: Shape (\\*shape); an infinite end gives an infinite remainder.
            upper: The same.
            share: How much each direction contributes, (dimension + 1, \\*shape).
        """
        coefficients = self.zeros(lower.shape)
        finite = np.isfinite(lower) & np.isfinite(upper)
        low, high = np.where(finite, lower, 0.0), np.where(finite, upper, 0.0)
        middle = low / 2 + high / 2
        radius = np.maximum(high - middle, middle - low) * WIDEN + 1e-300
        coefficients[0] = self.exact(middle)
        share = self.whole(share) * WIDEN
        with np.errstate(invalid="ignore"):
            remainder = np.where(finite, radius, np.inf) * share
        return Model(coefficients, np.where(share > 0, remainder, 0.0), lower, upper)

    def bound(self, coefficients: Array, total: Floats) -> tuple[Floats, Floats]:
        """Return a simple range of polynomial and remainder: t^even lies in [0, 1]."""
        if self.balls:
            middle, spread = (np.asarray(p, dtype=np.float64) for p in _rounded(coefficients))
        else:
            middle, spread = coefficients, np.zeros(())
        even = ~np.any(self.monomials.exponents % 2, axis=1)
        even[0] = False
        odd = ~even
        odd[0] = False
        swing = np.abs(middle[odd]).sum(axis=0) + np.sum(spread, axis=0)
        slack = (swing + total) * WIDEN
        up = np.maximum(middle[even], 0.0).sum(axis=0) * WIDEN
        down = np.minimum(middle[even], 0.0).sum(axis=0) * WIDEN
        tiny = 4 * UNIT_ROUNDOFF * np.abs(middle[0]) + 1e-300
        with np.errstate(invalid="ignore", over="ignore"):
            return (
                middle[0] + down - (slack - down * 1e-10 + tiny) * WIDEN,
                middle[0] + up + (slack + up * 1e-10 + tiny) * WIDEN,
            )

    def finish(self, coefficients: Array, remainder: Floats, lower: Array, upper: Array) -> Model:
        """Make a model whose range is the intersection of the given one and the polynomial's."""
        remainder = remainder.copy()
        remainder[-1] += UNDERFLOW
        bad = ~np.isfinite(remainder).all(axis=0)
        magnitude = np.isfinite(self.magnitude(coefficients)).all(axis=0)
        bad = bad | ~magnitude
        if bad.any():
            coefficients = coefficients.copy()
            coefficients[:, bad] = self.exact(0.0)
            remainder[:, bad] = np.inf
            known = bad & np.isfinite(lower) & np.isfinite(upper)
            if known.any():
                least, most = lower[known], upper[known]
                middle = least / 2 + most / 2
                radius = np.maximum(most - middle, middle - least) * WIDEN + 1e-300
                coefficients[0, known] = self.exact(middle)
                remainder[:-1, known] = radius / self.dimension * WIDEN
                remainder[-1, known] = 0.0
        low, high = self.bound(coefficients, remainder.sum(axis=0))
        low, high = np.fmax(lower, low), np.fmin(upper, high)
        empty = low > high  # only where the function is nowhere defined
        low, high = np.where(empty, -np.inf, low), np.where(empty, np.inf, high)
        return Model(coefficients, remainder, low, high)

    # --- ring operations -----------------------------------------------------------------

    def add(self, a: Model, b: Model, *, subtract: bool = False) -> Model:
        """Return a + b, or a - b."""
        if subtract:
            coefficients = a.coefficients - b.coefficients
            lower, upper = a.lower - b.upper, a.upper - b.lower
        else:
            coefficients = a.coefficients + b.coefficients
            lower, upper = a.lower + b.lower, a.upper + b.upper
        remainder = (a.remainder + b.remainder) * WIDEN
        if not self.balls:
            remainder[-1] += 2 * self.unit * np.abs(coefficients).sum(axis=0)
        return self.finish(coefficients, remainder, *widened(lower, upper))

    def negative(self, a: Model) -> Model:
        """Return -a."""
        return Model(-a.coefficients, a.remainder, -a.upper, -a.lower)

    def scale(self, a: Model, factor: float) -> Model:
        """Return ``factor`` times a."""
        coefficients = a.coefficients * (flint.arb(factor) if self.balls else factor)
        remainder = a.remainder * (abs(factor) * WIDEN)
        if not self.balls:
            remainder[-1] += 2 * self.unit * np.abs(coefficients).sum(axis=0)
        ends = a.lower * factor, a.upper * factor
        return self.finish(coefficients, remainder, *widened(np.fmin(*ends), np.fmax(*ends)))

    def multiply(self, a: Model, b: Model) -> Model:
        """Return a b, truncated after degree K."""
        m = self.monomials
        size_a, size_b = self.magnitude(a.coefficients), self.magnitude(b.coefficients)
        norm_a, norm_b = size_a.sum(axis=0), size_b.sum(axis=0)
        product = self._product(a.coefficients, b.coefficients, self.degree)
        with np.errstate(invalid="ignore", over="ignore"):
            remainder = a.remainder * (norm_b + b.total / 2) + b.remainder * (norm_a + a.total / 2)
            by_a, by_b = (np.add.reduceat(s, m.starts, axis=0) for s in (size_a, size_b))
            share = self.share(size_a) * norm_a + self.share(size_b) * norm_b
            share = share / np.maximum(norm_a + norm_b, 1e-300)
            cut = np.zeros(norm_a.shape)
            tail = np.zeros(norm_a.shape)  # sum of by_b over degrees above K - k
            for k in range(1, self.degree + 1):
                tail = tail + by_b[self.degree + 1 - k]
                cut += by_a[k] * tail
            remainder = (remainder + share * cut) * WIDEN
            remainder[-1] += 64 * self.unit * norm_a * norm_b
            ends = np.stack([a.lower * b.lower, a.lower * b.upper,
                             a.upper * b.lower, a.upper * b.upper])  # fmt: skip
        ends = np.where(np.isnan(ends), 0.0, ends)  # 0 times an infinite end
        return self.finish(product, remainder, *widened(np.min(ends, axis=0), np.max(ends, axis=0)))

    def square(self, a: Model) -> Model:
        """Return a^2, whose range is not negative."""
        model = self.multiply(a, a)
        crosses = (a.lower <= 0) & (a.upper >= 0)
        least = np.where(crosses, 0.0, np.minimum(np.abs(a.lower), np.abs(a.upper)) ** 2)
        return Model(
            model.coefficients,
            model.remainder,
            np.maximum(model.lower, least * (1 - 1e-13)),
            np.fmin(model.upper, np.maximum(a.lower**2, a.upper**2) * (1 + 1e-13) + UNDERFLOW),
        )

    def _product(self, a: Array, b: Array, limit: int) -> Array:
        """Multiply coefficients up to total degree ``limit``."""
        left, right, begins, _ = self.monomials.factors[limit]
        return np.add.reduceat(a[left] * b[right], begins, axis=0)

    def share(self, size: Floats) -> Floats:
        """Say how much each direction contributes to a polynomial, (dimension + 1, \\*shape)."""
        parts = np.tensordot(self.monomials.shares, size, axes=1)
        return self.whole(np.concatenate([parts, np.zeros((1, *parts.shape[1:]))]))

    def whole(self, parts: Floats) -> Floats:
        """Scale parts (dimension + 1, \\*shape) to sum 1; all zero is what no direction causes."""
        total = parts.sum(axis=0)
        scaled = parts / np.where(total > 0, total, 1.0)
        scaled[-1] = np.where(total > 0, scaled[-1], 1.0)
        return scaled

    def cause(self, a: Model) -> Floats:
        """Say how much each direction contributes to the width of a model."""
        size = self.magnitude(a.coefficients)
        size[0] = 0.0
        known = np.isfinite(a.remainder).all(axis=0)
        parts = self.share(size) * size.sum(axis=0) + np.where(known, a.remainder, 0.0)
        # Where nothing is known every direction may be to blame.
        parts[:-1] = np.where(known, parts[:-1], 1.0)
        parts[-1] = np.where(known, parts[-1], 0.0)
        return self.whole(parts)

    # --- univariate functions ------------------------------------------------------------

    def interpolate(
        self, function: Function, center: Array, radius: Floats, degree: int
    ) -> tuple[Array, Floats]:
        """Interpolate a univariate function around ``center``.

        Args:
            function: The function.
            center: Shape (\\*shape), in the arithmetic of the coefficients.
            radius: Half the length of the interval, float64, positive.
            degree: Of the polynomial.

        Returns:
            Coefficients of the powers of ``(z - center) / radius``, shape (degree + 1, \\*shape),
            and a bound of their rounding error, 0 for balls. The remainder of the interpolation is
            not included: ``radius^n / (n! 2^degree)`` times the derivative of order n = degree + 1.
        """
        nodes, fit, powers = chebyshev(degree, self.balls)
        scale = self.exact(radius)
        column = nodes.reshape((-1, *[1] * radius.ndim))
        if self.balls:
            points = center + scale * column
            values = function.values(points, True)
            series = contract(fit, values)
            return contract(powers, series), np.zeros(radius.shape)
        points = center + scale * column
        values = function.values(points, False)
        series = contract(fit, values)
        slope = function.derivative(1, points.min(axis=0), points.max(axis=0))
        largest = np.abs(values).max(axis=0)
        at_node = self.unit * (8 * largest + 8 * slope * (np.abs(center) + radius))
        # The interpolation operator has norm < 4 at Chebyshev nodes; the sums have `count` terms.
        count = degree + 1
        error = 4 * at_node + 4 * count * count * self.unit * largest
        sizes = np.abs(powers).sum(axis=0).reshape(column.shape)
        error = error + 2 * count * self.unit * (sizes * np.abs(series)).sum(axis=0)
        return contract(powers, series), error * WIDEN

    def compose(
        self,
        function: Function,
        a: Model,
        lower: Floats,
        upper: Floats,
        *,
        inside: Callable[[Floats, Floats], NDArray[np.bool_]] | None = None,
    ) -> Model:
        """Return a smooth univariate function of a model.

        Args:
            function: The function.
            a: Its argument.
            lower: A bound of the function's values from below, which also serves where the
                polynomial is worse than the middle of the bounds.
            upper: From above.
            inside: Says on which intervals the function is smooth; None means everywhere.
        """
        m = self.monomials
        size = self.magnitude(a.coefficients)
        swing = size[1:].sum(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            radius = (swing + a.total) * WIDEN * WIDEN + 1e-290
        middle = np.asarray(a.coefficients[0])
        near = np.asarray(_middle_of_ball(middle), dtype=np.float64) if self.balls else middle
        usable = np.isfinite(radius) & np.isfinite(near)
        low, high = near - radius, near + radius
        margin = 1e-15 * np.abs(near)
        if self.balls:
            margin = margin + self.magnitude(middle - self.exact(near))
        low, high = low - margin, high + margin
        if inside is not None:
            usable &= inside(low, high)
        constant = self.interval(lower, upper, self.cause(a))
        if not usable.any():
            return constant
        choice = np.flatnonzero(usable.ravel())
        everything = len(choice) == usable.size

        def pick(values: Array) -> Array:
            flat = values.reshape((*values.shape[: values.ndim - usable.ndim], -1))
            return flat if everything else flat[..., choice]

        radius, low, high = pick(radius), pick(low), pick(high)
        derivative = function.derivative(m.degree + 1, low, high)
        with np.errstate(over="ignore", invalid="ignore"):
            cut = derivative * lagrange(radius, m.degree)
        b, rounding = self.interpolate(function, pick(middle), radius, m.degree)
        tau = pick(a.coefficients) / self.exact(radius)
        tau[0] = self.exact(0.0)
        size_tau = pick(size) / radius
        by_tau = np.add.reduceat(size_tau, m.starts, axis=0)
        by_tau[0] = 0.0
        # Horner from the highest power: before the last K - j multiplications by tau, which has
        # no constant term, only the degrees up to j can matter.
        result = b[m.degree][None]
        for j in range(1, m.degree + 1):
            size_r = self.magnitude(result)
            by_r = np.add.reduceat(size_r, m.starts[:j], axis=0)
            tail = np.cumsum(by_tau[::-1], axis=0)[::-1]  # tail[l] = sum of degrees >= l
            for k in range(j):
                if j + 1 - k <= m.degree:
                    cut = cut + by_r[k] * tail[j + 1 - k]
            rounding = rounding + 64 * self.unit * size_r.sum(axis=0) * by_tau.sum(axis=0)
            result = self._raise(result, tau, j)
            result[0] = result[0] + b[m.degree - j]
        slope = function.derivative(1, low, high) * WIDEN
        remainder = pick(a.remainder) * slope
        rounding = rounding + 4 * self.unit * slope * pick(swing)  # of the division by radius
        with np.errstate(over="ignore", invalid="ignore"):
            share = self.share(size_tau)
            remainder = (remainder + share * cut) * WIDEN
            remainder[-1] += rounding * WIDEN
            better = remainder.sum(axis=0) <= pick(constant.remainder).sum(axis=0)
        coefficients = constant.coefficients.reshape((m.count, -1)).copy()
        parts = constant.remainder.reshape((self.dimension + 1, -1)).copy()
        where = choice[better]
        coefficients[:, where] = result[:, better]
        parts[:, where] = remainder[:, better]
        return self.finish(
            coefficients.reshape(a.coefficients.shape),
            parts.reshape(a.remainder.shape),
            lower,
            upper,
        )

    def _raise(self, result: Array, tau: Array, limit: int) -> Array:
        """Multiply coefficients of degree < limit by tau, up to degree ``limit``."""
        left, right, begins, into = raised(self.dimension, self.degree, limit)
        product = np.add.reduceat(result[left] * tau[right], begins, axis=0)
        total = int(np.searchsorted(self.monomials.degrees, limit, side="right"))
        if self.balls:
            full = np.full((total, *product.shape[1:]), flint.arb(0), dtype=object)
        else:
            full = np.zeros((total, *product.shape[1:]))
        full[into[begins]] = product
        return full

    def combine(self, weight: Floats, bias: Floats, a: Model) -> Model:
        """Return ``weight @ a + bias`` for a model of shape (inputs, n): shape (outputs, n)."""
        outputs, inputs = weight.shape
        flat = np.moveaxis(a.coefficients, 1, 0).reshape((inputs, -1))
        if self.balls:
            left = flint.arb_mat(outputs, inputs, weight.ravel().tolist())
            right = flint.arb_mat(inputs, flat.shape[1], flat.ravel().tolist())
            product = np.array((left * right).entries(), dtype=object).reshape((outputs, -1))
        else:
            product = weight @ flat
        count = a.coefficients.shape[-1]
        coefficients = np.moveaxis(product.reshape((outputs, -1, count)), 0, 1).copy()
        coefficients[0] = coefficients[0] + self.exact(bias)[:, None]
        spread = np.abs(weight)
        with np.errstate(over="ignore", invalid="ignore"):
            remainder = np.einsum("oi,din->don", spread, a.remainder) * WIDEN
            if not self.balls:
                norm = spread @ np.abs(a.coefficients).sum(axis=0) + np.abs(bias)[:, None]
                remainder[-1] += 2 * (inputs + 2) * self.unit * norm
        infinite = np.full((outputs, count), np.inf)
        return self.finish(coefficients, remainder, -infinite, infinite)

    def to_floats(self, a: Model) -> tuple[Floats, Floats]:
        """Return float64 coefficients (monomials, n) and the remainder (dimension + 1, n)."""
        if not self.balls:
            return a.coefficients, a.remainder
        middle, spread = (np.asarray(p, dtype=np.float64) for p in _rounded(a.coefficients))
        remainder = a.remainder.copy()
        remainder[-1] += spread.sum(axis=0) * WIDEN
        return middle, remainder


def widened(lower: Array, upper: Array) -> tuple[Floats, Floats]:
    """Move bounds outward by 10^-13 of themselves, far more than rounding and libm can err."""
    slack = 1e-13
    with np.errstate(invalid="ignore"):
        low = lower - slack * np.abs(lower) - 1e-300
        high = upper + slack * np.abs(upper) + 1e-300
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
