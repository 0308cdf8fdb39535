"""First layers by rule: where the sigmoids of a dictionary stand and how steep they are.

A dictionary along a direction n is the set ``s(w_i (n·x - a_i))``. Its knots a_i and steepnesses
w_i follow a rule with a few numbers; what is fitted is linear in the weights that come after it.
All coordinates here are those of the box scaled to [-1, 1] in every variable.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pellucid._checks import UsageError

Floats = NDArray[np.float64]


def uniform_knots(count: int, *, sharpness: float, overhang: float) -> tuple[Floats, Floats]:
    """Place knots at equal distances on [-1 - overhang, 1 + overhang].

    Args:
        count: Knots, at least 1; a single one stands in the middle.
        sharpness: c = steepness times distance; around 1 to 3 neighbors overlap well.
        overhang: How far the outer knots stand outside [-1, 1] (negative: inside), above -1.

    Returns:
        Knots (count,) and steepnesses (count,).
    """
    if count < 1 or sharpness <= 0 or overhang <= -1:
        raise UsageError(
            "knots need count >= 1, sharpness > 0 and overhang > -1, "
            f"got {count}, {sharpness} and {overhang}."
        )
    if count == 1:
        # Not exactly the middle: odd and even targets would leave a symmetric start no way out.
        return np.array([0.05]), np.array([sharpness])
    knots = np.linspace(-1 - overhang, 1 + overhang, count)
    return knots, np.full(count, sharpness / (knots[1] - knots[0]))


def graded_knots(
    density: Floats, points: Floats, count: int, *, sharpness: float
) -> tuple[Floats, Floats]:
    """Place knots so that each gap holds the same share of a density, steeper where it is higher.

    Args:
        density: Positive values at ``points``, shape (m,).
        points: Increasing, in [-1, 1], shape (m,).
        count: Knots, at least 1.
        sharpness: c = steepness times the local distance of the knots.

    Returns:
        Knots (count,) and steepnesses (count,). The knots stand at the middles of ``count`` equal
        shares, so the outer ones stay inside.
    """
    share = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(points))])
    share = share / share[-1]
    middles = (np.arange(count) + 0.5) / count
    knots = np.interp(middles, share, points)
    edges = np.interp(np.arange(count + 1) / count, share, points)
    return knots, sharpness / np.maximum(np.diff(edges), 1e-9)


def curvature_density(values: Floats, points: Floats, *, power: float) -> Floats:
    """Return ``|f''|**power`` plus a floor, smoothed: where knots are wanted.

    Piecewise linear interpolation of f with error e needs gaps proportional to ``|f''|**(-1/2)``;
    a higher power crowds the knots at kinks and infinite gradients.

    Args:
        values: f at ``points``, shape (m,).
        points: Increasing, shape (m,).
        power: 1/2 for equal errors of linear pieces, up to 1.
    """
    slope = np.diff(values) / np.diff(points)
    centers = (points[1:] + points[:-1]) / 2
    curvature = np.interp(points[1:-1], points[1:-1], np.abs(np.diff(slope) / np.diff(centers)))
    curvature = np.concatenate([curvature[:1], curvature, curvature[-1:]])
    density = curvature**power
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
    density = np.convolve(np.pad(density, 2, mode="edge"), kernel, mode="valid")
    mean = np.trapezoid(density, points) / (points[-1] - points[0])
    return density + 0.1 * mean + 1e-12


def kink_density(values: Floats, points: Floats, *, width: float) -> Floats | None:
    """Return ``1/(|x - k| + width)`` summed over the kinks k: geometric progressions towards them.

    A kink is a point of curvature far above the typical one; up to four are taken.

    Args:
        values: f at ``points``, shape (m,).
        points: Increasing, shape (m,).
        width: Where the progression ends, about the tolerance over the jump of the slope.

    Returns:
        The density (m,), or ``None`` where no point stands out.
    """
    curvature = curvature_density(values, points, power=1.0)
    typical = float(np.quantile(curvature, 0.7))
    left = curvature.copy()
    total = np.zeros(len(points))
    for _ in range(4):
        peak = int(np.argmax(left))
        if left[peak] < 8 * typical:
            break
        total += np.minimum(left[peak] / curvature.max(), 1) / (
            np.abs(points - points[peak]) + width
        )
        left[max(0, peak - 12) : peak + 13] = 0
    return total + 0.1 if total.any() else None


def monotone_pieces(values: Floats, points: Floats) -> tuple[Floats, Floats]:
    """Place one sigmoid at the middle of each monotone piece of f, as steep as the piece is short.

    Args:
        values: f at ``points``, shape (m,).
        points: Increasing, shape (m,).

    Returns:
        Knots and steepnesses, one for each piece.
    """
    steps = np.diff(values)
    solid = np.abs(steps) > 1e-9 * max(float(np.abs(steps).max()), 1e-300)
    signs = np.where(solid, np.sign(steps), 0)
    for index in range(1, len(signs)):
        signs[index] = signs[index] or signs[index - 1]
    turns = np.flatnonzero(signs[1:] * signs[:-1] < 0) + 1
    ends = np.concatenate([[0], turns, [len(values) - 1]])
    knots = []
    for begin, end in itertools.pairwise(ends):
        half = (values[begin] + values[end]) / 2
        piece = np.argmin(np.abs(values[begin : end + 1] - half))
        knots.append(points[begin + piece])
    return np.array(knots), 5.0 / np.maximum(np.diff(points[ends]), 1e-9)


def dictionary(coordinates: Floats, knots: Floats, steepness: Floats) -> Floats:
    """Return ``s(w_i (u - a_i))`` for coordinates (m,), shape (m, knots)."""
    return expit(steepness * (coordinates[:, None] - knots))


def fit_damped(basis: Floats, values: Floats, *, damping: float = 1e-12) -> Floats:
    """Solve ``basis @ c = values`` by normal equations with a little damping: fast, moderate c.

    Args:
        basis: Shape (m, k).
        values: Shape (m,).
        damping: Added to the diagonal of the normal equations scaled to ones.

    Returns:
        Weights (k,); accurate to about the square root of ``damping``.
    """
    normal = basis.T @ basis
    size = np.sqrt(np.diag(normal)) + 1e-300
    normal = normal / np.outer(size, size) + damping * np.eye(len(size))
    return np.linalg.solve(normal, basis.T @ values / size) / size


def fit_outer_weights(
    basis: Floats, values: Floats, *, iterations: int = 30, rcond: float = 1e-12
) -> tuple[Floats, float]:
    """Fit ``basis @ c`` to values with the least largest error, by Lawson's iteration.

    Args:
        basis: Shape (m, k), a column of ones included where a constant is wanted.
        values: Shape (m,).
        iterations: Weighted least-squares fits; the first is unweighted.
        rcond: Relative size of the singular values that are dropped, which keeps the weights
            moderate where sigmoids overlap strongly.

    Returns:
        Weights (k,) and the largest error on the m points.

    Source: Lawson 1961, as in Rice and Usow, "The Lawson algorithm and extensions" (Math. Comp.
    22, 1968). Deviation: a floor of a thousandth under the residuals, so that no point dies.
    """
    emphasis = np.full(len(values), 1.0 / len(values))
    best_weights, best_error = np.zeros(basis.shape[1]), float(np.abs(values).max())
    for _ in range(iterations):
        root = np.sqrt(emphasis)
        weights = np.linalg.lstsq(basis * root[:, None], values * root, rcond=rcond)[0]
        residual = np.abs(basis @ weights - values)
        error = float(residual.max())
        if error < best_error:
            best_weights, best_error = weights, error
        if error == 0:
            break
        emphasis = emphasis * (residual + 1e-3 * error)
        emphasis /= emphasis.sum()
    return np.asarray(best_weights, dtype=np.float64), best_error
