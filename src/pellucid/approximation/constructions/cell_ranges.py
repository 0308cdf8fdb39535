"""How far a target ranges over cells: enclosures of a formula or table, or a Lipschitz constant.

This is the builders' view; `certificate.cell_check` finds its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box
from pellucid.approximation.constructions.and_gate import AndGate

Array = NDArray[np.float64]
_CHUNK = 2**16
#: Points a side at which a target without formula and Lipschitz constant is sampled.
_SAMPLES = {1: 2001, 2: 129, 3: 33, 4: 15}


@dataclass(frozen=True, eq=False)
class CellRanges:
    """Bounds on the values of a target over many boxes at once.

    Args:
        target: Expression-backed, table, callable or black box.
        box: Where it may be asked; boxes are cut to it.
        lipschitz: Constants by axis where ranges come from them, (d,); ``None`` where the target
            encloses its range itself.
        sampled: Something is a guess from samples, so that nothing is proved by the ranges.
    """

    target: Any
    box: Box
    lipschitz: Array | None
    sampled: bool

    @classmethod
    def of(cls, target: Any, box: Box) -> CellRanges:
        """Choose how the ranges of a target are found."""
        if target.kind in ("expression", "table"):
            return cls(target, box, None, sampled=target.lipschitz is None)
        if target.lipschitz is not None:
            return cls(target, box, np.array(target.lipschitz, dtype=np.float64), sampled=False)
        return cls(target, box, _sampled_slopes(target, box), sampled=True)

    def __call__(self, lower: Array, upper: Array, *, tight: bool = False) -> tuple[Array, Array]:
        """Return bounds on the least and the greatest value over boxes.

        Args:
            lower: Lower corners, (n, d).
            upper: Upper corners, (n, d).
            tight: Take the mean-value form too, at about four times the work.

        Returns:
            Two arrays (n,); infinite where no bound was found.
        """
        lower = np.maximum(lower, self.box.lower)
        upper = np.minimum(upper, self.box.upper)
        low, high = np.empty(len(lower)), np.empty(len(lower))
        for start in range(0, len(lower), _CHUNK):
            part = slice(start, start + _CHUNK)
            low[part], high[part] = self._range(lower[part], upper[part], tight)
        return low, high

    def _range(self, lower: Array, upper: Array, tight: bool) -> tuple[Array, Array]:
        if self.lipschitz is None:
            value = self.target.enclose(lower, upper, order=1 if tight else 0).value
            # The function that a table was made from differs from its interpolation.
            slack = 0.0 if self.sampled else self.target.slack
            return value.lower - slack, value.upper + slack
        # The mid-point is rounded: half a side measured from there, a little more.
        middle = np.clip((lower + upper) / 2, lower, upper)
        reach = np.maximum(upper - middle, middle - lower) @ self.lipschitz
        value = self.target(middle)
        return value - reach, value + reach

    def middles(self, low: Array, high: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Return the middles of ranges over boxes and how far they reach from there, (n,) each.

        Where no bound was found the middle is the target's value in the middle of the box.
        """
        found = np.isfinite(low) & np.isfinite(high)
        with np.errstate(invalid="ignore", over="ignore"):
            middle = low + (high - low) / 2
            reach = np.maximum(high - middle, middle - low)
        if not found.all():
            points = (np.maximum(lower, self.box.lower) + np.minimum(upper, self.box.upper)) / 2
            middle[~found] = self.target(points[~found])
            reach[~found] = np.inf
        return middle, reach

    @cached_property
    def spread(self) -> float:
        """How far the target ranges over the whole box: enclosed, or seen where it is infinite."""
        low, high = self(np.array([self.box.lower]), np.array([self.box.upper]), tight=True)
        if np.isfinite(high[0] - low[0]):
            return float(high[0] - low[0])
        count = _SAMPLES[self.box.dimension]
        seen = np.asarray(self.target(self.box.grid(count)))
        return float(np.ptp(seen[np.isfinite(seen)]))

    def slope_bounds(self) -> Array:
        """Return constants that bound the partial derivatives on the whole box (d,), or infinity.

        Guesses from samples where :attr:`sampled`.
        """
        if self.lipschitz is not None:
            return self.lipschitz
        if self.target.lipschitz is None:
            return _sampled_slopes(self.target, self.box)
        return np.array(self.target.lipschitz, dtype=np.float64)

    def slopes(self) -> Array:
        """Return typical greatest slopes by axis (d,), only to choose the shape of cells."""
        if self.lipschitz is not None:
            return self.lipschitz
        return _sampled_slopes(self.target, self.box)


def widened(
    ranges: CellRanges,
    lower: Array,
    upper: Array,
    steepness: Array,
    tolerance: float,
    gate: AndGate,
) -> tuple[Array, Array, float]:
    """Bound the error of cells by the target's range over them, widened by the shift Z.

    The cell at ``x - Z`` has x in itself, widened by the reach of Z, but for a small probability.

    Args:
        ranges: Of the target.
        lower: Lower corners, (n, d).
        upper: Upper corners, (n, d).
        steepness: w, (d,) or one for each cell (n, d).
        tolerance: Ranges are sharpened where they exceed it, but not by much.
        gate: The AND neuron.

    Returns:
        The middle of each range (n,), how far it reaches from there (n,), and what the tails of Z
        may add.
    """
    probability = 1e-4 * tolerance / max(1.0, ranges.spread)
    z_low, z_high = gate.tails(min(max(probability, 1e-16), 0.1))
    wide = lower + z_low / steepness, upper + z_high / steepness
    low, high = ranges(*wide)
    with np.errstate(invalid="ignore"):
        off = (high - low) / 2
        loose = (off > tolerance) & (off < 8 * tolerance) | ~np.isfinite(off)
    if loose.any():
        low[loose], high[loose] = ranges(wide[0][loose], wide[1][loose], tight=True)
    values, errors = ranges.middles(low, high, lower, upper)
    # The cell far away is off by the range of all values, and of the target.
    tail = 2 * ranges.box.dimension * max(probability, 1e-16) * (ranges.spread + 2 * tolerance)
    return values, errors, tail


def _sampled_slopes(target: Any, box: Box) -> Array:
    """Return the greatest difference quotients between neighbors on a regular grid, (d,)."""
    d = box.dimension
    count = _SAMPLES[d]
    # Off the boundary, where a slope may be infinite.
    inner = Box(tuple(box.lower + 1e-3 * box.sides), tuple(box.upper - 1e-3 * box.sides))
    values = np.asarray(target(inner.grid(count))).reshape((count,) * d)
    steps = inner.sides / (count - 1)
    with np.errstate(invalid="ignore"):
        quotients = [np.abs(np.diff(values, axis=axis)) / steps[axis] for axis in range(d)]
    return np.array([np.max(q, initial=0.0, where=np.isfinite(q)) for q in quotients])
