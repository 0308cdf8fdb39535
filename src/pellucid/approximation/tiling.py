"""The text-book's proof: a function on a box as towers side by side, and what is wrong with it.

It is kept exactly as it is taught, holes included; `audit` says where they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid._checks import UsageError, check_integer, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.formula_tree import Expression
from pellucid.approximation.shape_designs import GATE, STEEPNESS
from pellucid.approximation.tiling_audit import TilingAudit, audit
from pellucid.approximation.tower_sum import Target, Tiling

__all__ = ["MAXIMUM_TOWERS", "Tiling", "TilingAudit", "audit", "cells_for", "tile"]

MAXIMUM_TOWERS = 5_000_000


def tile(
    target: Target,
    box: Box,
    tolerance: float | None = None,
    *,
    lipschitz: float | Sequence[float] | None = None,
    cells: int | Sequence[int] | None = None,
    steepness: float = STEEPNESS,
    gate: float = GATE,
    shifts: int = 1,
) -> Tiling:
    """Cover a box with towers as high as the target at their centers.

    With all partial derivatives bounded by t, the value at the center is right within
    ``½ Σ side_i t``, so sides of ``2 tolerance / (d t)`` are enough wherever one tower is 1 and all
    others are 0: ``(t / tolerance)²`` squares on the unit square. That is not everywhere: see
    `audit`.

    Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapter 4, including the averaging
    of shifted tilings. Deviation: one dimension has bumps of two neurons, without gates.

    Args:
        target: Points (n, d) to values (n,).
        box: To be covered.
        tolerance: For which the towers' sides are chosen.
        lipschitz: t, or one bound for each partial derivative; by default what ``target.lipschitz``
            says, or what follows from a formula.
        cells: Towers along each axis (or one number for all), instead of what follows from the
            tolerance.
        steepness: w of every step; fixed, as in the text-book.
        gate: K, the steepness of the second layer.
        shifts: Average so many tilings, each shifted along the diagonal.

    Raises:
        UsageError: An argument is out of range, neither a tolerance with a Lipschitz bound nor
            cells are given, there would be more than five million towers, or the target does not
            return one finite number for each point.

    Example:
        >>> one = tile(lambda points: np.ones(len(points)), Box((0, 0), (1, 1)), cells=10)
        >>> one(np.array([[0.55, 0.55], [0.5, 0.55], [0.5, 0.5]])).round(6)
        array([1., 1., 0.])
    """
    steepness = check_number("steepness", steepness, low=0, open_low=True)
    gate = check_number("gate", gate, low=0, open_low=True)
    shifts = check_integer("shifts", shifts, low=1, high=100)
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance, low=0, open_low=True)
    if isinstance(target, Expression):
        from pellucid.approximation.enclosures.domains import check_defined

        check_defined(target, box)
    bounds = _read_lipschitz(lipschitz, target, box, computed=cells is None)
    if cells is not None:
        given = (cells,) * box.dimension if isinstance(cells, int) else tuple(cells)
        if len(given) != box.dimension:
            raise UsageError(
                f"cells must be one number, or one for each of {box.dimension} axes, got {cells!r}."
            )
        counts = tuple(check_integer("cells", count, low=1) for count in given)
    elif tolerance is None or bounds is None:
        raise UsageError(
            "tile needs a tolerance and a Lipschitz bound, or the number of cells, got "
            f"tolerance={tolerance!r} and lipschitz={bounds!r}. Use cells=10 to look at an example."
        )
    else:
        counts = cells_for(tolerance, bounds, box.sides)
    towers = math.prod(counts) + (shifts - 1) * math.prod(count + 1 for count in counts)
    if towers > MAXIMUM_TOWERS:
        raise UsageError(
            f"tolerance must leave at most {MAXIMUM_TOWERS} towers, got {towers:.4g} "
            f"({' × '.join(str(count) for count in counts)} cells, shifts={shifts}). "
            "Use a larger tolerance, or `neuron_count` if the number is all you need."
        )
    made = Tiling(target, box, counts, steepness, gate, shifts, tolerance, bounds, ())
    heights = tuple(_sample_centers(made, shift) / shifts for shift in range(shifts))
    return Tiling(target, box, counts, steepness, gate, shifts, tolerance, bounds, heights)


def cells_for(tolerance: float, lipschitz: Sequence[float], sides: ArrayLike) -> tuple[int, ...]:
    """Return how many cells along each axis make ``½ Σ side_i t_i`` at most the tolerance."""
    dimension = len(lipschitz)
    counts = []
    for bound, side in zip(lipschitz, np.asarray(sides, dtype=np.float64), strict=True):
        wanted = dimension * bound * side / (2 * tolerance)
        if not wanted < 1e15:
            raise UsageError(f"tolerance must leave fewer than 1e15 cells, got {tolerance!r}.")
        # 1.1 / 0.1 is 11.000000000000002: that is rounding, not a twelfth cell.
        counts.append(max(1, math.ceil(wanted * (1 - 1e-12))))
    return tuple(counts)


def _read_lipschitz(
    given: float | Sequence[float] | None, target: Target, box: Box, *, computed: bool
) -> tuple[float, ...] | None:
    dimension = box.dimension
    if given is None:
        given = getattr(target, "lipschitz", None)
    if given is None and computed and isinstance(target, Expression):
        from pellucid.approximation.enclosures.bounds import lipschitz_bounds

        given = lipschitz_bounds(target, box, relative=1e-3)
        if not all(math.isfinite(bound) for bound in given):
            raise UsageError(
                f"target must have bounded partial derivatives for a tiling, got {target} with "
                f"bounds {given}. Give cells instead of a tolerance, or a lipschitz of your own."
            )
    if given is None:
        return None
    bounds = tuple(given) if isinstance(given, Sequence | np.ndarray) else (given,) * dimension
    if len(bounds) != dimension:
        raise UsageError(
            f"lipschitz must be one number, or one for each of {dimension} variables, "
            f"got {given!r}."
        )
    return tuple(check_number("lipschitz", bound, low=0) for bound in bounds)


def _sample_centers(tiling: Tiling, shift: int) -> NDArray[np.float64]:
    extra = 1 if shift else 0
    counts = [count + extra for count in tiling.cells]
    axes = []
    for axis, count in enumerate(counts):
        centers = tiling.origin(shift)[axis] + tiling.sides[axis] * (np.arange(count) + 0.5)
        # The outer towers of a shifted tiling stick out; the target may end with the box.
        axes.append(np.clip(centers, tiling.box.lower[axis], tiling.box.upper[axis]))
    mesh = np.meshgrid(*axes, indexing="ij")
    points = np.stack([part.ravel() for part in mesh], axis=1)
    values = np.asarray(tiling.target(points), dtype=np.float64)
    if values.shape != (len(points),):
        raise UsageError(
            f"target must return shape ({len(points)},) for points of shape {points.shape}, "
            f"got {values.shape}."
        )
    if not np.isfinite(values).all():
        where = points[np.flatnonzero(~np.isfinite(values))[0]].tolist()
        raise UsageError(f"target must be finite on the box, got {values.min()} near {where}.")
    return values.reshape(counts)
