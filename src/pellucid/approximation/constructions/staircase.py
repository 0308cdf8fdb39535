"""Construction A: a staircase of sigmoid steps for one variable, one hidden layer.

``net(x) = f_1 + sum (f_(i+1) - f_i) s(w (x - a_i))`` over the interior edges: the weights of the
cell values are differences of neighboring steps and add up to 1 everywhere. N cells need N - 1
neurons, where the text-book bumps need 2 N.

Source: bounds derived in docs/concepts/approximation/cells.md; free knots by equal variation:
DeVore, Nonlinear approximation, 1998, section 3 (piecewise constants).
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid._checks import UsageError, check_integer, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import Construction, NotApplicable
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.cell_ranges import CellRanges
from pellucid.approximation.constructions.grid import mixed_differences, rounded_values, step_layer
from pellucid.approximation.network import SigmoidNetwork

Array = NDArray[np.float64]
#: Steepness times the narrowest cell; the steps then take about 1/300 of the tolerance.
STEEPNESS_TIMES_SIDE = 4096.0
#: The range is known on pieces that move it by at most this share of the tolerance.
_PIECE_SHARE = 1 / 64
_PIECES = 2**21
#: Pieces are not divided below this share of the box: a jump stays inside one.
_NARROWEST = 2.0**-40
_FEWEST_PIECES = 256


def uniform_error_factor(sharpness: float) -> float:
    """Return kappa(c) of ``|net - f| <= L side kappa(c)`` for equal cells.

    ``kappa(c) = 1/2 + 2 sum_(j >= 1) 1/(1 + e^(c j))``: the mean distance from an edge to the
    middle of the cell chosen, in sides; 0.5007 at c = 8.

    Args:
        sharpness: c, steepness times side, > 0.
    """
    terms = np.arange(1, 2 + math.ceil(745.0 / sharpness))
    return 0.5 + 2 * float(np.sum(np.exp(-np.logaddexp(0.0, sharpness * terms))))


def build_staircase(
    edges: Array, values: Array, steepness: float, *, scheme: str = "staircase"
) -> SigmoidNetwork:
    """Return the network of a staircase.

    Args:
        edges: Interior edges, increasing, (k - 1,).
        values: Value of each cell, (k,).
        steepness: w, 1/unit of x.
        scheme: What the network calls itself.

    Returns:
        k - 1 neurons; no layer at all for one cell.

    Raises:
        UsageError: Numbers of edges and values that do not fit.
    """
    values = rounded_values(np.asarray(values, dtype=np.float64))
    if len(edges) + 1 != len(values):
        raise UsageError(
            "values must have one cell more than edges, "
            f"got {len(values)} values and {len(edges)} edges."
        )
    differences = mixed_differences(values)
    if len(values) == 1:
        return SigmoidNetwork((), np.empty(0), float(values[0]), scheme=scheme, input_dimension=1)
    layer = step_layer([np.asarray(edges)], [steepness], 0.0, ["steps in x"])
    return SigmoidNetwork((layer,), differences[1:], float(differences[0]), scheme=scheme)


def uniform_staircase(
    target: Any,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = 1_000_000,
    sharpness: float = 8.0,
) -> Construction:
    """Approximate by equal cells with the target's values in their middles.

    Args:
        target: Of one variable, with a Lipschitz constant or a formula with bounded derivative.
        box: Where.
        tolerance: Sup error asked for, > 0; where it takes too many neurons the finest staircase
            within the budget is returned.
        max_neurons: Hidden neurons allowed.
        sharpness: c, steepness times side of a cell.

    Returns:
        ``ceil(L length kappa(c) / tolerance)`` cells, with the bound ``L side kappa(c)``.

    Raises:
        NotApplicable: More than one variable, or no bound on the derivative.
        UsageError: A number outside its range.
    """
    check_number("tolerance", tolerance, low=0.0, open_low=True)
    check_number("sharpness", sharpness, low=0.0, open_low=True)
    check_integer("max_neurons", max_neurons, low=0)
    if box.dimension != 1:
        raise NotApplicable("the staircase is for one variable")
    ranges = CellRanges.of(target, box)
    constant = float(ranges.slope_bounds()[0])
    if not math.isfinite(constant):
        raise NotApplicable("equal cells need a bounded derivative; free knots do not")
    factor = uniform_error_factor(sharpness)
    length = float(box.sides[0])
    wanted = max(1, math.ceil(constant * length * factor / tolerance * (1 - 1e-12)))
    count = min(wanted, max_neurons + 1)
    ends = np.linspace(box.lower[0], box.upper[0], count + 1)
    values = np.asarray(target(((ends[:-1] + ends[1:]) / 2)[:, None]))
    side = length / count
    network = build_staircase(ends[1:-1], values, sharpness / side)
    remark = f"{count} equal cells"
    if count < wanted:
        remark += f"; the tolerance {tolerance:g} needs {wanted}, more than the budget allows"
    details = {"cells": [count], "steepness": [sharpness / side], "kappa": factor}
    bound = None if ranges.sampled else constant * side * factor
    return Construction(network, bound, remark, details)


def staircase(
    target: Any,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = 1_000_000,
    max_seconds: float = 60.0,
    sharpness: float = STEEPNESS_TIMES_SIDE,
) -> Construction:
    """Approximate by the fewest cells: each as wide as the range of the target over it allows.

    A monotone stretch of variation V takes ``V / (2 tolerance)`` cells, however steep it is. A jump
    of a formula gets a cell of its own, about 1e-12 of the box wide, and is reported.

    Args:
        target: Of one variable: a formula, or anything with a Lipschitz constant (guessed from
            samples for a black box, which proves nothing).
        box: Where.
        tolerance: Sup error asked for, > 0; where it takes too many neurons the tolerance is
            doubled until the staircase fits the budget.
        max_neurons: Hidden neurons allowed.
        max_seconds: Time allowed, roughly.
        sharpness: Steepness of the steps times the narrowest cell (jumps not counted), at least.

    Returns:
        The network; ``details`` has ``cells``, ``edges``, ``steepness``, ``jumps``.

    Raises:
        NotApplicable: More than one variable.
        UsageError: A number outside its range.
    """
    check_number("tolerance", tolerance, low=0.0, open_low=True)
    check_integer("max_neurons", max_neurons, low=0)
    if box.dimension != 1:
        raise NotApplicable("the staircase is for one variable")
    ranges = CellRanges.of(target, box)
    deadline = time.monotonic() + max_seconds
    # A staircase of n values is at best (max - min) / (2 n) away: nothing finer need be tried.
    seen = np.asarray(target(box.grid(_FEWEST_PIECES + 1)))
    reached = max(tolerance, float(np.ptp(seen[np.isfinite(seen)])) / (2 * (max_neurons + 1)))
    while True:
        ends, low, high = _pieces(ranges, reached, deadline)
        knots, jumps = _knots(low, high, 2 * reached * (1 - _PIECE_SHARE / 4), max_neurons)
        if len(knots) <= max_neurons:
            break
        reached *= 2
    edges = ends[knots]
    steepness, values, bound = _steps(ranges, ends, low, high, knots, jumps, reached, sharpness)
    network = build_staircase(edges, values, steepness)
    remark = f"{len(values)} cells of equal range"
    if reached > tolerance:
        remark += f"; the budget allows no fewer than {reached:g} instead of {tolerance:g}"
    if jumps.any():
        remark += f"; {int(jumps.sum())} too narrow to resolve, left out of the bound"
    if ranges.sampled:
        remark += "; sized by slopes seen at samples, which proves nothing"
    details = {
        "cells": [len(values)],
        "edges": edges,
        "steepness": [steepness],
        "jumps": [[float(ends[i]), float(ends[i + 1])] for i in np.flatnonzero(jumps)[:100]],
    }
    return Construction(network, None if ranges.sampled else bound, remark, details)


def _pieces(ranges: CellRanges, tolerance: float, deadline: float) -> tuple[Array, Array, Array]:
    """Divide the box until the range over each piece is a small share of the tolerance.

    Returns:
        Ends (n + 1,), least and greatest value over each piece (n,).
    """
    begin, end = ranges.box.lower[0], ranges.box.upper[0]
    ends = np.linspace(begin, end, _FEWEST_PIECES + 1)
    low, high = ranges(ends[:-1, None], ends[1:, None])
    narrowest = _NARROWEST * (end - begin)
    share = _PIECE_SHARE
    while time.monotonic() < deadline:
        if len(low) > _PIECES // 2:
            share = max(share, 1 / 8)
        if len(low) > _PIECES:
            break
        divide = ~(high - low <= 2 * share * tolerance) & (np.diff(ends) > narrowest)
        if not divide.any():
            break
        middles = (ends[:-1][divide] + ends[1:][divide]) / 2
        halves = np.stack([ends[:-1][divide], middles, ends[1:][divide]], axis=1)
        lower, upper = halves[:, :2].reshape(-1, 1), halves[:, 1:].reshape(-1, 1)
        fine_low, fine_high = ranges(lower, upper)
        # Over a piece not yet fine the form with slopes may already do.
        loose = ~(fine_high - fine_low <= 2 * share * tolerance)
        if loose.any():
            tight = ranges(lower[loose], upper[loose], tight=True)
            fine_low[loose], fine_high[loose] = tight
        at = np.flatnonzero(divide)
        low, high = low.copy(), high.copy()
        low[at], high[at] = fine_low[0::2], fine_high[0::2]
        low = np.insert(low, at + 1, fine_low[1::2])
        high = np.insert(high, at + 1, fine_high[1::2])
        ends = np.insert(ends, at + 1, middles)
    return ends, low, high


def _knots(
    low: Array, high: Array, width: float, max_neurons: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Join pieces from the left as long as their common range is at most `width`.

    Greedy is optimal: no cell of another staircase can reach further from the same start.

    Returns:
        The pieces that begin a new cell but for the first, and which pieces are jumps: of a range
        above `width` by themselves.
    """
    jumps = ~(high - low <= width)
    starts = []
    start, reach = 0, 64
    while start < len(low) and len(starts) <= max_neurons + 1:
        starts.append(start)
        if jumps[start]:
            start += 1
            continue
        length = 0
        least, greatest = np.inf, -np.inf
        while True:
            part = slice(start + length, start + length + reach)
            lows = np.minimum(np.minimum.accumulate(low[part]), least)
            highs = np.maximum(np.maximum.accumulate(high[part]), greatest)
            with np.errstate(invalid="ignore"):
                fits = highs - lows <= width
            kept = len(fits) if fits.all() else int(np.argmin(fits))
            length += kept
            if kept < len(fits) or start + length >= len(low):
                break
            least, greatest = lows[-1], highs[-1]
            reach *= 2
        start += length
        reach = max(64, length + length // 4)
    return np.array(starts[1:], dtype=np.int64), jumps


def _steps(
    ranges: CellRanges,
    ends: Array,
    low: Array,
    high: Array,
    knots: NDArray[np.int64],
    jumps: NDArray[np.bool_],
    tolerance: float,
    sharpness: float,
) -> tuple[float, Array, float]:
    """Choose the steepness, then values as middles of the ranges over cells widened by the steps.

    Returns:
        Steepness, values (k,), and the bound over all cells that are no jump.
    """
    gate = AndGate.of(1)
    begins = np.concatenate([[0], knots])
    stops = np.concatenate([knots, [len(low)]])
    jump_cell = jumps[begins]
    left, right = ends[begins], ends[stops]
    widths = right - left
    narrowest = float(np.min(widths[~jump_cell], initial=ends[-1] - ends[0]))
    # Steps steeper than 2^40 a box would lose digits of their places.
    steepest = 2.0**40 / float(ends[-1] - ends[0])
    steepness = min(sharpness / narrowest, steepest)
    # The points within reach of a jump's steps are left out with it: no neighbor is widened there.
    after_jump = np.concatenate([[False], jump_cell[:-1]])
    before_jump = np.concatenate([jump_cell[1:], [False]])
    # Bounded values stand in for an unbounded range.
    finite_low, finite_high = (np.where(np.isfinite(v), v, 0.0) for v in (low, high))
    spread = float(np.ptp(np.concatenate([finite_low, finite_high])))
    probability = max(1e-16, 1e-4 * tolerance / max(1.0, spread))
    least, greatest = _joined(low, high, begins)
    while True:
        z_low, z_high = gate.tails(probability)
        # What the steps let in from beyond the edges is narrow: its range is asked for anew.
        margins = [
            (np.where(after_jump, left, left + z_low / steepness), left),
            (right, np.where(before_jump, right, right + z_high / steepness)),
        ]
        around = [ranges(lower[:, None], upper[:, None]) for lower, upper in margins]
        wide_least = np.minimum(least, np.minimum(around[0][0], around[1][0]))
        wide_greatest = np.maximum(greatest, np.maximum(around[0][1], around[1][1]))
        with np.errstate(invalid="ignore"):
            middle = wide_least / 2 + wide_greatest / 2
            radius = np.maximum(wide_greatest - middle, middle - wide_least)
        bound = float(np.max(radius, where=~jump_cell, initial=0.0))
        bound += 2 * probability * (spread + tolerance)
        if bound <= tolerance or steepness >= steepest:
            break
        steepness = min(4 * steepness, steepest)
    unknown = ~np.isfinite(middle)
    middle[unknown] = ranges.target(((left + right) / 2)[unknown, None])
    return steepness, middle, bound


def _joined(low: Array, high: Array, begins: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the least and the greatest value over the pieces of each cell."""
    return np.minimum.reduceat(low, begins), np.maximum.reduceat(high, begins)
