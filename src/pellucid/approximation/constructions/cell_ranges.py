"""How far a target ranges over cells: enclosures of a formula, or a Lipschitz constant.

This is the builders' view; `certificate.cell_check` finds its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box

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

    Attributes:
        lipschitz: Constants by axis that hold everywhere, (d,); ``None`` with a formula.
        sampled: The constants are guesses from samples, so that nothing is proved by them.
    """

    target: Any
    box: Box
    lipschitz: Array | None
    sampled: bool

    @classmethod
    def of(cls, target: Any, box: Box) -> CellRanges:
        """Choose how the ranges of a target are found."""
        if target.kind == "expression":
            return cls(target, box, None, sampled=False)
        if target.lipschitz is not None:
            constants = np.broadcast_to(np.asarray(target.lipschitz, float), (box.dimension,))
            return cls(target, box, constants.copy(), sampled=False)
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
            from pellucid.approximation.enclosures import enclose

            jet = enclose(self.target.expression, lower, upper, order=1 if tight else 0)
            return jet.value.lower, jet.value.upper
        # The mid-point is rounded: half a side measured from there, a little more.
        middle = np.clip((lower + upper) / 2, lower, upper)
        reach = np.maximum(upper - middle, middle - lower) @ self.lipschitz
        value = self.target(middle)
        return value - reach, value + reach

    def radius(self, lower: Array, upper: Array, *, tight: bool = False) -> tuple[Array, Array]:
        """Return the middle of the range over boxes and how far it reaches from there, (n,) each.

        Where no bound was found the middle is the target's value in the middle of the box.
        """
        low, high = self(lower, upper, tight=tight)
        found = np.isfinite(low) & np.isfinite(high)
        with np.errstate(invalid="ignore", over="ignore"):
            middle = low + (high - low) / 2
            reach = np.maximum(high - middle, middle - low)
        if not found.all():
            points = (np.maximum(lower, self.box.lower) + np.minimum(upper, self.box.upper)) / 2
            middle[~found] = self.target(points[~found])
            reach[~found] = np.inf
        return middle, reach

    def slope_bounds(self) -> Array:
        """Return constants that bound the partial derivatives on the whole box (d,), or infinity.

        Of a formula they are enclosed on 4096 boxes, which overestimates them a little.
        """
        if self.lipschitz is not None:
            return self.lipschitz
        from pellucid.approximation.enclosures import enclose

        d = self.box.dimension
        count = round(4096 ** (1 / d))
        ends = [
            np.linspace(low, high, count + 1)
            for low, high in zip(self.box.lower, self.box.upper, strict=True)
        ]
        lower = np.stack([m.ravel() for m in np.meshgrid(*(e[:-1] for e in ends))], axis=1)
        upper = np.stack([m.ravel() for m in np.meshgrid(*(e[1:] for e in ends))], axis=1)
        gradient = enclose(self.target.expression, lower, upper, order=1).gradient
        return np.maximum(np.abs(gradient.lower), np.abs(gradient.upper)).max(axis=0)

    def slopes(self) -> Array:
        """Return typical greatest slopes by axis (d,), only to choose the shape of cells."""
        if self.lipschitz is not None:
            return self.lipschitz
        return _sampled_slopes(self.target, self.box)


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
