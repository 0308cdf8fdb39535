"""Repeated halving of a box until the range of a target over each cell fits a tolerance.

Deviation from kd trees for points (Bentley 1975): the axis is the one without which the range is
least, tried on slices, because slopes may be infinite.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.cell_ranges import CellRanges, widened

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
#: Each of the equal parts that an axis begins with is 2^27 units of corners.
_BITS = 27
#: Numbers of parts an axis may begin with; halving multiplies them by powers of two.
_PARTS = (4, 5, 6, 7)
#: No further number of parts is tried once the trials have made so many cells together.
_CELLS_TO_TRY = 300_000
#: A part is halved at most so often along an axis; a jump of the target stays in such a cell.
_NARROWEST = 1 << (_BITS - 18)
#: Cells that so many halvings in a row did not improve, and of which all together are at most this
#: share of the box, lie across a jump. They are halved no more once they are so many: a jump along
#: an axis needs few, another one more the finer they are.
_STUCK_HALVINGS = 6
_STUCK_SHARE = 2.0**-9
_STUCK_CELLS = 2048
#: Steepness times the narrowest cell.
SHARPNESS = 4096.0
#: Steepest step over the side of the box: the reach of a step is then 2e-7 of it.
STEEPEST = 2.0**26


@dataclass(frozen=True, eq=False)
class KdCells:
    """Disjoint boxes that cover a box, with corners in whole units.

    Attributes:
        extent: Units of each side of the box, (d,).
        lower: Lower corners, (n, d).
        upper: Upper corners, (n, d).
        values: Value of each, (n,).
        errors: Bound of the error of each by itself, (n,); infinite where none was found.
        complete: Neither neurons nor time ran out.
    """

    extent: Indices
    lower: Indices
    upper: Indices
    values: Array
    errors: Array
    complete: bool

    @property
    def shares(self) -> Array:
        """Volume of each cell as a share of the box, (n,)."""
        return np.prod((self.upper - self.lower) / self.extent, axis=1)

    def corners(self, box: Box) -> tuple[Array, Array]:
        """Return lower and upper corners in the coordinates of the box, (n, d) each."""
        return in_box(box, self.extent, self.lower), in_box(box, self.extent, self.upper)


def in_box(box: Box, extent: Indices, units: Indices) -> Array:
    """Return points given in units in the coordinates of the box, (n, d)."""
    return np.array(box.lower) + units * (box.sides / extent)


def fewest_cells(
    ranges: CellRanges,
    tolerance: float,
    gate: AndGate,
    *,
    count: Callable[[KdCells], int],
    max_neurons: int,
    deadline: float,
) -> KdCells:
    """Halve from several numbers of parts, and keep what takes the fewest neurons.

    Halving alone would make cells up to twice too small on an axis.

    Args:
        ranges: Of the target.
        tolerance: What the error of a cell, widened by the steps, must meet.
        gate: The AND neuron.
        count: How many neurons cells take.
        max_neurons: At which to stop, roughly.
        deadline: At which to stop, as of ``time.monotonic``.
    """
    d = ranges.box.dimension
    first: tuple[int, ...] = (_PARTS[0],) * d
    best, best_parts = (
        halve_repeatedly(ranges, tolerance, gate, first, max_neurons, deadline),
        first,
    )
    fewest, made = count(best), len(best.errors)
    tried: set[tuple[int, ...]] = {first}

    def attempt(parts: tuple[int, ...]) -> None:
        nonlocal best, best_parts, fewest, made
        # Counted in cells, not in seconds: the network must not depend on how busy a machine is.
        if parts in tried or not best.complete or made > _CELLS_TO_TRY:
            return
        tried.add(parts)
        cells = halve_repeatedly(ranges, tolerance, gate, parts, max_neurons, deadline)
        made += len(cells.errors)
        if cells.complete and (number := count(cells)) < fewest:
            best, best_parts, fewest = cells, parts, number

    for part in _PARTS[1:]:
        attempt((part,) * d)
    for axis, part in itertools.product(range(d), _PARTS):
        attempt((*best_parts[:axis], part, *best_parts[axis + 1 :]))
    return best


@dataclass(frozen=True, eq=False)
class _Level:
    """Cells of one depth that do not meet the tolerance yet.

    ``stuck`` counts the halvings in a row that did not lower the error: across a jump nothing does.
    """

    lower: Indices
    upper: Indices
    values: Array
    errors: Array
    stuck: Indices

    def __getitem__(self, which: Any) -> _Level:
        return _Level(
            self.lower[which],
            self.upper[which],
            self.values[which],
            self.errors[which],
            self.stuck[which],
        )

    def __len__(self) -> int:
        return len(self.errors)


class _CellErrors:
    """Value and error of cells, widened as by steps of the usual steepness over each."""

    def __init__(
        self, ranges: CellRanges, tolerance: float, gate: AndGate, extent: Indices
    ) -> None:
        self._ranges, self._tolerance, self._gate = ranges, tolerance, gate
        self._extent = extent

    def __call__(self, lower: Indices, upper: Indices) -> tuple[Array, Array]:
        box = self._ranges.box
        steepness = SHARPNESS / ((upper - lower) * (box.sides / self._extent))
        values, errors, tail = widened(
            self._ranges,
            in_box(box, self._extent, lower),
            in_box(box, self._extent, upper),
            np.minimum(steepness, STEEPEST / box.sides),
            self._tolerance,
            self._gate,
        )
        return values, errors + tail

    def without(self, axis: int, lower: Indices, upper: Indices) -> Array:
        """Return how far the target ranges over slices of cells across an axis, added up, (n,)."""
        box = self._ranges.box
        low, high = in_box(box, self._extent, lower), in_box(box, self._extent, upper)
        total = np.zeros(len(lower))
        for share in (0.25, 0.75):
            slice_low, slice_high = low.copy(), high.copy()
            place = (1 - share) * low[:, axis] + share * high[:, axis]
            slice_low[:, axis] = slice_high[:, axis] = place
            least, greatest = self._ranges(slice_low, slice_high)
            with np.errstate(invalid="ignore"):
                total += np.nan_to_num(greatest - least, nan=1e300, posinf=1e300)
        return total


def halve_repeatedly(
    ranges: CellRanges,
    tolerance: float,
    gate: AndGate,
    parts: tuple[int, ...],
    max_neurons: int,
    deadline: float,
) -> KdCells:
    """Halve until all cells fit, or are too narrow, or neurons or time are used up.

    Args:
        ranges: Of the target.
        tolerance: What the error of a cell, widened by the steps, must meet.
        gate: The AND neuron.
        parts: Equal parts of each axis to begin with.
        max_neurons: At which to stop, roughly.
        deadline: At which to stop, as of ``time.monotonic``.
    """
    extent = np.array(parts, dtype=np.int64) << _BITS
    cell_errors = _CellErrors(ranges, tolerance, gate, extent)
    lower = np.stack(np.unravel_index(np.arange(np.prod(parts)), parts), axis=1) << _BITS
    upper = lower + (1 << _BITS)
    level = _Level(lower, upper, *cell_errors(lower, upper), np.zeros(len(lower), dtype=np.int64))
    done: list[_Level] = []
    found, complete = 0, True
    while len(level):
        # A little is left for rounding.
        stop = level.errors <= tolerance * (1 - 1e-6)
        stop |= np.any(level.upper - level.lower <= _NARROWEST, axis=1)
        stuck = level.stuck >= _STUCK_HALVINGS
        share = float(np.prod((level.upper - level.lower) / extent, axis=1)[stuck].sum())
        if stuck.sum() >= _STUCK_CELLS and share <= _STUCK_SHARE:
            stop |= stuck
        done.append(level[stop])
        found += int(stop.sum())
        level = level[~stop]
        # Vertices are about as many as cells on a grid, twice as many in a brick pattern.
        room = max(0, max_neurons // 2 - found - len(level))
        late = time.monotonic() > deadline
        if len(level) and (late or room < len(level)):
            complete = False
            order = np.argsort(-level.errors, kind="stable")
            halved = 0 if late else room
            done.append(level[order[halved:]])
            found += len(level) - halved
            level = level[order[:halved]]
        if len(level):
            level = _halve(level, cell_errors)
    lower, upper, values, errors = (
        np.concatenate([getattr(part, name) for part in done])
        for name in ("lower", "upper", "values", "errors")
    )
    return KdCells(extent, lower, upper, values, errors, complete)


def _halve(level: _Level, cell_errors: _CellErrors) -> _Level:
    """Halve each cell along the axis that the error depends on most.

    That is the axis without which least is left: the target's range over two slices of the cell in
    which the axis is fixed. Errors of the halves themselves, the obvious choice, mislead where
    neither axis alone helps, as around a saddle: then cells become needlessly thin.
    """
    n, d = level.lower.shape
    best = np.full(n, np.inf)
    axes = np.zeros(n, dtype=np.int64)
    sides = level.upper - level.lower
    longest = sides.max(axis=1)
    for axis in range(d):
        left = cell_errors.without(axis, level.lower, level.upper)
        # Of about equally good axes the longer side: steps are then shared by more cells.
        left = left * (1 + 0.05 * (sides[:, axis] < longest)) + 1e-300 * (sides[:, axis] < longest)
        better = left < best
        best[better], axes[better] = left[better], axis
    lower, upper = _halves(level, axes)
    values, errors = cell_errors(lower, upper)
    stuck = np.concatenate([level.stuck, level.stuck]) + 1
    stuck[errors < 0.98 * np.concatenate([level.errors, level.errors])] = 0
    return _Level(lower, upper, values, errors, stuck)


def _halves(level: _Level, axes: Indices) -> tuple[Indices, Indices]:
    """Return lower and upper corners of all lower halves, then of all upper halves."""
    rows = np.arange(len(level))
    middle = (level.lower[rows, axes] + level.upper[rows, axes]) // 2
    cut_lower, cut_upper = level.lower.copy(), level.upper.copy()
    cut_lower[rows, axes] = middle
    cut_upper[rows, axes] = middle
    return np.concatenate([level.lower, cut_lower]), np.concatenate([cut_upper, level.upper])
