"""Evaluating a steep, evenly spaced grid of cells of two variables in single precision.

A point is in a transition only where an edge is within about 14/w; with steps of steepness 4096
over a cell that is one point in 300 for each axis. So the value of the nearest cell is looked up
for all points by one nearest-neighbor sampling, the few points in a transition are found from the
fractional part of their position, and for these alone the steps and the AND neuron are computed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.certificate.cell_recognition import CellNetwork

#: Points at once, so that scratch stays in the cache; a multiple of four.
_CHUNK = 100_000
#: What ``torch.grid_sampler_2d`` calls nearest neighbor, and points outside on the border.
_NEAREST, _BORDER = 1, 1
#: Half a unit of float32, as a share of the greatest value.
_NEGLIGIBLE = 2.0**-25
#: Positions in units of cells are off by rounding by at most this share of a unit for each cell.
_POSITION_ERROR = 1.6 * 2.0**-23


@dataclass(frozen=True, eq=False)
class EvenGrid:
    """The evaluation form.

    Attributes:
        values: As a torch tensor (1, 1, k_2, k_1): the second variable is the row.
        origin: Where the first cell begins, (2,).
        sides: Sides of a cell, (2,).
        sharpness: Steepness times side, (2,).
        shift: How far past an edge its transition ends, in cells, (2,).
        width: How wide a transition is, in cells, the wider of both axes.
        law: Of the steps and the AND neuron.
    """

    values: Any
    origin: NDArray[np.float64]
    sides: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    shift: NDArray[np.float64]
    width: float
    law: Any

    @classmethod
    def of(cls, cells: CellNetwork, values: NDArray[np.float32]) -> EvenGrid | None:
        """Return the form of a network of cells, ``None`` where steps are uneven or too soft."""
        import torch

        if cells.law.gain is None:
            return None
        scale = float(np.max(np.abs(values), initial=0.0))
        origin, sides, sharpness = np.zeros(2), np.ones(2), np.ones(2)
        shift, widths = np.zeros(2), np.zeros(2)
        for axis, edges in enumerate(cells.edges):
            if not len(edges):
                # One cell: any position in it, away from where an edge would be.
                origin[axis], sides[axis] = -0.5e30, 1e30
                continue
            # What a step that is not quite on or off may be off by, in units of a jump.
            jump = float(np.max(np.abs(np.diff(values, axis=axis))))
            tail = min(1e-2, _NEGLIGIBLE * scale / max(jump, 1e-300))
            z_low, z_high = cells.law.reach(max(tail, _NEGLIGIBLE / 4))
            w = cells.steepness[axis]
            if len(edges) == 1:
                side = 4 * (z_high - z_low) / w
            else:
                side = (edges[-1] - edges[0]) / (len(edges) - 1)
            even = edges[0] + side * np.arange(len(edges))
            if np.max(np.abs(edges - even)) > 1e-3 / w:
                return None
            error = _POSITION_ERROR * (len(edges) + 1)
            origin[axis], sides[axis] = edges[0] - side, side
            sharpness[axis] = w * side
            shift[axis] = z_high / sharpness[axis] + error
            widths[axis] = (z_high - z_low) / sharpness[axis] + 2 * error
            if widths[axis] > 0.5:
                return None
        table = torch.from_numpy(np.ascontiguousarray(values.T))[None, None]
        return cls(table, origin, sides, sharpness, shift, float(widths.max()), cells.law)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evaluate at float32 points (n, 2), C-contiguous."""
        import torch

        n = len(points)
        out = np.empty(n, dtype=np.float32)
        if n == 0:
            return out
        flat, result = torch.from_numpy(points).view(-1), torch.from_numpy(out)
        scratch, moving, either = _scratch()
        threshold = np.float32(1 - self.width)
        hits, coordinates, flagged = [], [], []
        with torch.inference_mode():
            for start in range(0, n, _CHUNK):
                count = min(_CHUNK, n - start)
                part = flat[2 * start : 2 * (start + count)]
                places, flags = scratch[: 2 * count], moving[: 2 * count]
                _affine(part, self._sampling, places)
                result[start : start + count] = torch.grid_sampler_2d(
                    self.values, places.view(1, 1, count, 2), _NEAREST, _BORDER, False
                ).view(-1)
                _affine(part, self._ending, places)
                torch.frac(places, out=places)
                np.greater(places.numpy(), threshold, out=flags)
                found = _flagged_points(moving, count, either)
                # Taken while they are in the cache.
                flagged.append(flags.reshape(-1, 2)[found])
                hits.append(found + start)
                coordinates.append(points[hits[-1]])
        self._correct(
            np.concatenate(hits), np.concatenate(coordinates), np.concatenate(flagged), out
        )
        return out

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        rows, columns = self.values.shape[2:]
        return np.array([columns, rows])

    @cached_property
    def _sampling(self) -> tuple[Any, Any]:
        """Positions as grid_sample takes them: -1 to 1 over all cells."""
        scale = 2 / (self.sides * self._counts)
        return _tiled(scale, -self.origin * scale - 1)

    @cached_property
    def _ending(self) -> tuple[Any, Any]:
        """Positions in cells, moved so that a transition ends where a cell does."""
        return _tiled(1 / self.sides, -self.origin / self.sides - self.shift)

    def _correct(
        self,
        hits: NDArray[np.int64],
        points: NDArray[np.float32],
        flags: NDArray[np.bool_],
        out: NDArray[np.float32],
    ) -> None:
        """Evaluate anew the points of which an axis (flags), or both, are in a transition."""
        for axis in (0, 1):
            chosen = flags[:, axis]
            near = points[chosen]
            out[hits[chosen]] = self._along(axis, near[:, axis], near[:, 1 - axis])
        both = flags[:, 0] & flags[:, 1]
        if both.any():
            out[hits[both]] = self._in_transition(points[both])

    def _along(
        self, axis: int, coordinates: NDArray[np.float32], others: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Evaluate where one axis is in a transition and the other is not, (m,) each."""
        law, counts, other = self.law, self._counts, 1 - axis
        strides = (1, int(counts[0]))
        # In float64: between two float32 positions a step may go half its way.
        position = coordinates.astype(np.float64)
        position -= self.origin[axis] + self.shift[axis] * self.sides[axis]
        position *= 1 / self.sides[axis]
        base = np.floor(position)
        position -= base + (1 - self.shift[axis])
        position *= self.sharpness[axis]
        u = self._marginal((position + law.centre).astype(np.float32))
        # Rounding may have hidden that the other axis is at the very end of a transition: its cell
        # changes at the edge, amid one.
        elsewhere = others.astype(np.float64)
        elsewhere -= self.origin[other]
        elsewhere *= 1 / self.sides[other]
        row = np.minimum(np.maximum(np.floor(elsewhere), 0), counts[other] - 1)
        # No edge before the first cell or after the last: there the cell is the nearest.
        before = np.minimum(np.maximum(base, 0), counts[axis] - 1)
        base += 1
        after = np.minimum(np.maximum(base, 0), counts[axis] - 1)
        table = self.values.view(-1).numpy()
        row *= strides[other]
        low = table.take((before * strides[axis] + row).astype(np.int64))
        high = table.take((after * strides[axis] + row).astype(np.int64))
        return (low + (high - low) * u).astype(np.float32)

    def _marginal(self, argument: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return u, how far an AND neuron is on that depends on one step of this argument."""
        offset = np.float32(self.law.offset)
        grown = np.float32(1 + np.exp(self.law.offset))
        with np.errstate(over="ignore"):
            off = np.float32(self.law.gain) / (1 + np.exp(argument))
            return (grown / (1 + np.exp(off + offset))).astype(np.float32, copy=False)

    def _in_transition(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evaluate with steps and AND neuron, one edge on each axis, (m, 2) to (m,)."""
        law = self.law
        position = (points - self.origin) / self.sides - self.shift
        base = np.floor(position)
        z = (position - base - (1 - self.shift)) * self.sharpness + law.centre
        # No edge before the first cell or after the last: there the cell is the nearest.
        exists = (base >= 0) & (base <= self._counts - 2)
        with np.errstate(over="ignore"):
            off = np.float32(law.gain) / (1 + np.exp(z.astype(np.float32)))
        off[~exists] = np.inf
        first = np.clip(base, 0, self._counts - 1).astype(np.int64)
        along = exists * np.array([1, self._counts[0]])
        cell = first[:, 0] + first[:, 1] * self._counts[0]
        right, above = cell + along[:, 0], cell + along[:, 1]
        table = self.values.view(-1).numpy()
        v00, v10, v01, v11 = (
            table.take(index) for index in (cell, right, above, right + along[:, 1])
        )
        grown = np.float32(1 + np.exp(law.offset))
        both = off[:, 0] + off[:, 1]
        with np.errstate(over="ignore"):
            u, v = (grown / (1 + np.exp(off + np.float32(law.offset)))).T
            c = grown / (1 + np.exp(both + np.float32(law.offset)))
        mixed = v00 + (v10 - v00) * u + (v01 - v00) * v + (v11 - v10 - v01 + v00) * c
        return mixed.astype(np.float32)


_BUFFERS = threading.local()


def _scratch() -> tuple[Any, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return this thread's buffers for one chunk: coordinates, their flags, flags of groups."""
    import torch

    if not hasattr(_BUFFERS, "all"):
        _BUFFERS.all = (
            torch.empty(2 * _CHUNK),
            np.empty(2 * _CHUNK, dtype=bool),
            np.empty(_CHUNK // 4, dtype=bool),
        )
    return _BUFFERS.all


def _flagged_points(
    flags: NDArray[np.bool_], count: int, groups: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return which of the first points have a flag, two flags each, by looking at four at once."""
    used = -(-count // 4)
    flags[2 * count : 8 * used] = False
    eights = flags[: 8 * used]
    np.not_equal(eights.view(np.uint64), 0, out=groups[:used])
    near = np.flatnonzero(groups[:used])
    which = np.flatnonzero(eights.view(np.uint16).reshape(-1, 4)[near])
    return 4 * near[which // 4] + which % 4


def _tiled(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> tuple[Any, Any]:
    """Return scale and offset repeated for interleaved coordinates; one number if they agree."""
    import torch

    scales, offsets = (torch.tensor(part, dtype=torch.float32) for part in (scale, offset))
    if scale[0] != scale[1]:
        return scales.repeat(_CHUNK), offsets.repeat(_CHUNK)
    if offset[0] != offset[1]:
        return float(scale[0]), offsets.repeat(_CHUNK)
    return float(scale[0]), offsets[0]


def _affine(coordinates: Any, factors: tuple[Any, Any], out: Any) -> None:
    """Write ``scale * x + offset`` for interleaved coordinates."""
    import torch

    scale, offset = factors
    if isinstance(scale, float):
        torch.add(offset[: len(out)] if offset.ndim else offset, coordinates, alpha=scale, out=out)
    else:
        torch.addcmul(offset[: len(out)], coordinates, scale[: len(out)], out=out)
