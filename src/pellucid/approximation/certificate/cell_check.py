"""The structured check of networks of cells: one enclosure of the target for each widened cell.

The network is ``E F(x - Z)`` with F constant on cells. If Z stays within ``[z_low, z_high] / w``,
the cell at ``x - Z`` contains x once it is widened by that much; so at every x

    |net(x) - f(x)| <= max over cells B of sup over widened B of |F_B - f|
                       + P(Z further away) * (range of F + the same maximum).

Where f has bounded slopes there is a second bound, better for soft steps, from B as it is:
``max_B sup_B |F_B - f| + sum_i sup |d_i f| E|Z_i|``. The smaller holds. Everything is recomputed
from the weights; see docs/concepts/approximation/cells.md for the proofs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.cell_partition import (
    Cells,
    TooManyCells,
    grid_cells,
    partition,
)
from pellucid.approximation.certificate.cell_recognition import CellNetwork, recognize
from pellucid.approximation.enclosures import Intervals

__all__ = ["CellBound", "CellNetwork", "bound", "check_cells", "recognize"]

Array = NDArray[np.float64]
Arithmetic = Literal["intervals", "balls"]
_CHUNK = 2**16
#: How often a cell of which the range is overestimated is divided to enclose it better.
_DIVISIONS = 6
_LEAST_PROBABILITY = 1e-15
_MOST_PARTS = 2**20
#: How often what cannot meet the aim is halved to find where the target jumps, and how many parts
#: are halved at a time: along a slanted jump they are many.
_HALVINGS_AT_JUMPS = 40
_MOST_AT_JUMPS = 20_000


@dataclass(frozen=True)
class CellBound:
    """What the structured check proves.

    Attributes:
        bound: Of ``|net - f|`` on the box without the excluded part, rounding included.
        rounding: The part of it that a float64 evaluation may add.
        cells: How many cells were found in the weights.
        excluded_measure: At most the measure of what is left out; 0 unless exclusion was allowed.
        method: ``"widened cells"`` or ``"mean shift"``, whichever bound is smaller.
    """

    bound: float
    rounding: float
    cells: int
    excluded_measure: float
    method: str


class _Target:
    """Upper bounds of |value - f| over boxes, by enclosures or by a Lipschitz constant."""

    def __init__(self, target: Any, box: Box, arithmetic: Arithmetic) -> None:
        self.box, self.arithmetic = box, arithmetic
        self.target = target
        self.encloses = target.kind in ("expression", "table")
        if target.lipschitz is None:
            raise ValueError("a target without formula and Lipschitz constant proves nothing")
        # What is to be looked at more closely is found with intervals.
        trusted = target.kind == "expression" and arithmetic == "balls"
        self.fast: _Target = _Target(target, box, "intervals") if trusted else self

    @cached_property
    def slopes(self) -> Array:
        """Bounds of the partial derivatives, (d,); infinite where there are none."""
        return np.array(self.target.lipschitz, dtype=np.float64)

    def distance(self, lower: Array, upper: Array, values: Array, *, order: int) -> Array:
        """Bound ``sup |value - f|`` over each box cut to the domain, (n,)."""
        out = np.empty(len(lower))
        for start in range(0, len(lower), _CHUNK):
            part = slice(start, start + _CHUNK)
            low = np.clip(lower[part], self.box.lower, self.box.upper)
            high = np.clip(upper[part], self.box.lower, self.box.upper)
            least, greatest = self._range(low, high, order)
            with np.errstate(invalid="ignore"):
                further = np.maximum(greatest - values[part], values[part] - least)
            out[part] = np.nextafter(np.where(np.isnan(further), np.inf, further), np.inf)
        return out

    def _range(self, lower: Array, upper: Array, order: int) -> tuple[Array, Array]:
        if self.encloses:
            value = self.target.enclose(
                lower, upper, order=1 if order else 0, arithmetic=self.arithmetic
            ).value
            # The function that a table was made from differs from its interpolation.
            slack = self.target.slack
        else:
            middle = np.clip((lower + upper) / 2, lower, upper)
            slack = np.maximum(upper - middle, middle - lower) @ self.slopes * (1 + 1e-15)
            values = np.asarray(self.target(middle), dtype=np.float64)
            value = Intervals(values, values)
        return (
            np.nextafter(value.lower - slack, -np.inf),
            np.nextafter(value.upper + slack, np.inf),
        )


def bound(
    cells: CellNetwork,
    target: Any,
    box: Box,
    *,
    tolerance: float | None = None,
    arithmetic: Arithmetic = "balls",
) -> float:
    """Return a proved bound of ``|net - f|`` on the box; infinite where none was found.

    Args:
        cells: What :func:`recognize` read from the weights.
        target: A formula, or anything with a Lipschitz constant (the bound then depends on it).
        box: Where.
        tolerance: Where given, ranges are sharpened no further than it needs.
        arithmetic: ``"balls"`` is trusted, ``"intervals"`` fast.
    """
    return check_cells(cells, target, box, tolerance=tolerance, arithmetic=arithmetic).bound


def check_cells(
    cells: CellNetwork,
    target: Any,
    box: Box,
    *,
    tolerance: float | None = None,
    arithmetic: Arithmetic = "balls",
    exclude: bool = False,
    max_cells: int = 4_000_000,
) -> CellBound:
    """Bound the sup error of a network of cells from its weights.

    Args:
        cells: What :func:`recognize` read from the weights.
        target: A formula, or anything with a Lipschitz constant (the bound then depends on it).
        box: Where.
        tolerance: Where given, ranges are sharpened no further than it needs.
        arithmetic: ``"balls"`` is trusted, ``"intervals"`` fast.
        exclude: Leave out (parts of) cells where the tolerance cannot be shown, as across a jump of
            the target, and report their measure. Needs a tolerance.
        max_cells: Above that many cells nothing is tried and the bound is infinite.
    """
    asked = _Target(target, box, arithmetic)
    magnitude = np.maximum(np.abs(box.lower), np.abs(box.upper))
    rounding = cells.rounding(magnitude)
    widest = _reach(cells, _LEAST_PROBABILITY)
    try:
        found = _cells_within(cells, box, widest, max_cells)
    except TooManyCells:
        return CellBound(math.inf, rounding, 0, 0.0, "widened cells")
    spread = float(np.ptp(found.values)) + 2 * float(np.max(found.slack))
    # What the tails add is kept below a small part of the tolerance.
    wanted = 1e-4 * (tolerance / max(spread, 1.0) if tolerance is not None else 1e-4)
    reach = _reach(cells, min(max(wanted, _LEAST_PROBABILITY), 1e-3))
    found = _near(found, reach, box)
    far = _outside(cells, reach)
    # Further away than the widest reach F can be anything it is anywhere: that is hardly ever so,
    # unless an AND neuron is on with all its steps off.
    anywhere = _outside(cells, widest) * cells.variation
    extra = rounding + cells.value_error + far * spread + anywhere
    aim = None if tolerance is None else (tolerance - extra) / (1 + far)
    if aim is not None and not exclude and _misses(asked, found, box, aim):
        aim = None  # out of reach: the bound is then brought close to the error, no closer
    low, high = found.lower + reach[0], found.upper + reach[1]
    errors = _sup_errors(asked, low, high, found.values, found.slack, aim)
    excluded = 0.0
    if exclude and aim is not None and np.any(errors > aim):
        errors, excluded = _without_jumps(asked, found, reach, errors, aim)
    worst = float(np.max(errors, initial=0.0))
    total = worst * (1 + far) + extra
    method = "widened cells"
    if excluded == 0.0 and (tolerance is None or total > tolerance):
        other = _mean_shift_bound(asked, cells, found, box, aim) + extra
        if other < total:
            total, method = other, "mean shift"
    bounded = float(np.nextafter(total * (1 + 1e-14), np.inf))
    return CellBound(bounded, rounding, len(found.values), excluded, method)


def _misses(asked: _Target, found: Cells, box: Box, aim: float) -> bool:
    """Say whether the target is further than ``aim`` from a cell's value amid the cell."""
    middle = np.clip((found.lower + found.upper) / 2, box.lower, box.upper)
    inside = np.all((middle >= found.lower) & (middle <= found.upper), axis=1)
    seen = np.abs(np.asarray(asked.target(middle)) - found.values)
    return bool(np.any(inside & (seen > aim + found.slack)))


def _reach(cells: CellNetwork, probability: float) -> tuple[Array, Array]:
    """Return how far Z is followed on both sides of each axis, (d,) each."""
    z_low, z_high = cells.law.reach(probability)
    # Places of steps are known to a few units in the last place.
    slop = np.array([4e-16 * np.max(np.abs(places), initial=0.0) for places in cells.edges])
    return z_low / cells.steepness - slop, z_high / cells.steepness + slop


def _near(found: Cells, reach: tuple[Array, Array], box: Box) -> Cells:
    """Return the cells that meet the box once they are widened."""
    meets = np.all(found.lower + reach[0] <= box.upper, axis=1)
    meets &= np.all(found.upper + reach[1] >= box.lower, axis=1)
    parts = (found.lower, found.upper, found.values, found.slack)
    return Cells(*(part[meets] for part in parts))


def _outside(cells: CellNetwork, reach: tuple[Array, Array]) -> float:
    """Bound the probability that Z is further away than followed, on any axis with steps."""
    total = 0.0
    for axis, places in enumerate(cells.edges):
        if len(places):
            below = cells.law.below(float(reach[0][axis] * cells.steepness[axis]))
            total += below + cells.law.above(float(reach[1][axis] * cells.steepness[axis]))
    return total * (1 + 1e-9)


def _cells_within(cells: CellNetwork, box: Box, reach: tuple[Array, Array], limit: int) -> Cells:
    """Return the cells that ``x - Z`` can be in for x in the box."""
    ends, kept, moved = [], np.ones(len(cells.jumps), dtype=bool), cells.vertices.copy()
    for axis, places in enumerate(cells.edges):
        begin = box.lower[axis] - reach[1][axis]
        end = box.upper[axis] - reach[0][axis]
        before = int(np.searchsorted(places, begin, side="right"))
        inside = int(np.searchsorted(places, end, side="left")) - before
        ends.append(np.concatenate([[begin], places[before : before + inside], [end]]))
        moved[:, axis] = np.maximum(moved[:, axis] - before, 0)
        kept &= moved[:, axis] <= inside
    moved, jumps = moved[kept], cells.jumps[kept]
    shape = tuple(len(part) - 1 for part in ends)
    full = math.prod(shape)
    if full > limit and cells.dimension == 1:
        raise TooManyCells
    if cells.dimension == 1 or full <= 1.5 * len(jumps) + 64:
        if full > limit:
            raise TooManyCells
        table = np.zeros(shape)
        np.add.at(table, tuple(moved.T), jumps)
        table.flat[0] += cells.base
        for axis in range(cells.dimension):
            np.cumsum(table, axis=axis, out=table)
        return grid_cells(ends, table)
    return partition(ends, moved, jumps, cells.base, limit=min(limit, 40 * len(jumps) + 1000))


def _sup_errors(
    asked: _Target, lower: Array, upper: Array, values: Array, slack: Array, aim: float | None
) -> Array:
    """Bound ``sup |value - f|`` over boxes, sharpening only where it matters.

    How far each box must be divided is found with intervals; where balls are asked for, they have
    the last word on those parts.
    """
    errors = asked.fast.distance(lower, upper, values, order=0) + slack
    depth = np.zeros(len(lower), dtype=np.int64)
    d = lower.shape[1]
    hopeful = errors > _goal(errors, aim)
    for level in range(_DIVISIONS + 1):
        loose = np.flatnonzero(hopeful & (errors > _goal(errors, aim)))
        if not len(loose) or len(loose) * 2 ** (d * level) > _MOST_PARTS:
            break
        sharper = _in_parts(asked.fast, lower[loose], upper[loose], values[loose], level)
        sharper += slack[loose]
        with np.errstate(invalid="ignore"):
            gained = sharper < 0.97 * errors[loose]
        better = loose[sharper < errors[loose]]
        errors[loose] = np.minimum(errors[loose], sharper)
        depth[better] = level
        # Where dividing gains nothing, as across a jump, no more of it will.
        hopeful[loose] = gained | (level == 0)
    if asked.fast is asked:
        return errors
    # Balls know no monotone pieces: where their range is wider, the parts are made smaller.
    enough = aim if aim is not None else 1.01 * float(np.max(errors, initial=0.0))
    reachable = errors <= enough
    exact = asked.distance(lower, upper, values, order=0) + slack
    for more in range(5):
        left = exact > (enough if more else np.where(reachable, enough, errors))
        left &= reachable | (more == 0)
        for level in np.unique(depth[left]):
            part = np.flatnonzero(left & (depth == level))
            finer = _in_parts(asked, lower[part], upper[part], values[part], int(level) + more)
            exact[part] = np.minimum(exact[part], finer + slack[part])
    return exact


def _in_parts(asked: _Target, lower: Array, upper: Array, values: Array, level: int) -> Array:
    """Bound ``sup |value - f|`` over boxes from ``2**level`` parts along each axis, (n,)."""
    parts = 2 ** (lower.shape[1] * level)
    fine = _divided(lower, upper, 2**level)
    return asked.distance(*fine, np.repeat(values, parts), order=1).reshape(-1, parts).max(axis=1)


def _goal(errors: Array, aim: float | None) -> float:
    """Return what an error need not be sharpened below."""
    if aim is not None:
        return aim
    # The greatest of most cells: what reaches beyond is worth sharpening.
    return 0.98 * float(np.max(errors, initial=0.0))


def _divided(lower: Array, upper: Array, parts: int) -> tuple[Array, Array]:
    """Divide each box into ``parts`` equal pieces along each axis, (n * parts**d, d)."""
    n, d = lower.shape
    position = np.stack(np.unravel_index(np.arange(parts**d), (parts,) * d), axis=1)
    side = (upper - lower)[:, None, :] / parts
    low = lower[:, None, :] + position * side
    # Neighbors share their ends exactly, and the last ends where the box does.
    high = lower[:, None, :] + (position + 1) * side
    high = np.where(position + 1 == parts, upper[:, None, :], high)
    return low.reshape(n * parts**d, d), high.reshape(n * parts**d, d)


def _without_jumps(
    asked: _Target, found: Cells, reach: tuple[Array, Array], errors: Array, aim: float
) -> tuple[Array, float]:
    """Leave out what cannot meet the aim of widened cells, halved towards where the jump is."""
    errors = errors.copy()
    bad = np.flatnonzero(errors > aim)
    box_low, box_high = np.array(asked.box.lower), np.array(asked.box.upper)
    lower = np.clip(found.lower[bad] + reach[0], box_low, box_high)
    upper = np.clip(found.upper[bad] + reach[1], box_low, box_high)
    owner, worst, excluded = np.arange(len(bad)), np.zeros(len(bad)), 0.0
    for halving in range(_HALVINGS_AT_JUMPS + 1):
        values, slack = found.values[bad][owner], found.slack[bad][owner]
        piece = asked.distance(lower, upper, values, order=1) + slack
        kept = piece <= aim
        np.maximum.at(worst, owner[kept], piece[kept])
        lower, upper, owner = lower[~kept], upper[~kept], owner[~kept]
        if halving == _HALVINGS_AT_JUMPS or not 0 < len(owner) <= _MOST_AT_JUMPS:
            break
        lower, upper = _halved(lower, upper, (upper - lower) / asked.box.sides)
        owner = np.repeat(owner, 2)
    # A little more for the rounding of sides.
    excluded = float(np.sum(np.prod(upper - lower, axis=1))) * (1 + 1e-12)
    errors[bad] = worst
    return errors, min(excluded, asked.box.volume)


def _halved(lower: Array, upper: Array, extent: Array) -> tuple[Array, Array]:
    """Halve each box across its longest side, (2 n, d); halves of one box stand together."""
    axis = np.argmax(extent, axis=1)
    rows = np.arange(len(lower))
    middle = (lower[rows, axis] + upper[rows, axis]) / 2
    low, high = np.repeat(lower, 2, axis=0), np.repeat(upper, 2, axis=0)
    high[2 * rows, axis] = middle
    low[2 * rows + 1, axis] = middle
    return low, high


def _mean_shift_bound(
    asked: _Target, cells: CellNetwork, found: Cells, box: Box, aim: float | None
) -> float:
    """Return ``max_B sup_B |F_B - f| + sum_i sup |d_i f| E|Z_i|``."""
    lower = np.clip(found.lower, box.lower, box.upper)
    upper = np.clip(found.upper, box.lower, box.upper)
    slopes = asked.slopes
    stepped = np.array([len(places) > 0 for places in cells.edges])
    if not np.all(np.isfinite(slopes[stepped])):
        return math.inf
    shift = float(np.sum((slopes / cells.steepness)[stepped])) * cells.law.mean * (1 + 1e-12)
    rest = None if aim is None or aim <= shift else aim - shift
    core = _sup_errors(asked, lower, upper, found.values, found.slack, rest)
    return float(np.max(core, initial=0.0)) + shift
