"""Which cell a point is in, where no step is in a transition.

With steep steps that is nearly everywhere, and there the network is the value of the cell: one
number of its table. A coordinate is taken to a position by one multiplication and one addition.
Evenly spaced edges lie at whole numbers then, so the cell is the whole part and the fraction tells
whether an edge is near. Uneven edges have a table of short equal intervals, most of which lie in
one cell. Either way a point counts as settled only if no edge can be inside its window, rounding
and unevenness allowed for; the caller evaluates the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.certificate.cell_recognition import CellNetwork

Array = NDArray[Any]
#: Points at once, so that scratch stays in the cache.
_CHUNK = 2**14
#: Positions are off by rounding by at most this share of the magnitudes that are added.
_ROUNDING = 2.0**-50
#: Edges may be off their even places by this many widths of a transition, or this share of a cell.
_UNEVEN_WIDTHS, _UNEVEN_SHARE = 0.5, 1e-3
#: Of the table of uneven edges, and from how many on they get two an edge.
_INTERVALS_PER_EDGE, _MOST_INTERVALS = 32, 2**17


@dataclass(frozen=True, eq=False)
class _EvenEdges:
    """An axis with edges at the places 1, 2, ... of ``scale * x + offset``, moved by the window.

    Transitions end at whole numbers: a settled position is at most ``settled`` above one.
    """

    scale: float
    offset: float
    count: int
    settled: float

    def find(self, positions: Array, cells: Array, scratch: Array, certain: Array) -> None:
        """Write the cells of positions in [0, count], and which of them are certain."""
        np.floor(positions, out=cells)
        np.subtract(positions, cells, out=scratch)
        # False for what is not a number.
        np.less_equal(scratch, self.settled, out=certain)


@dataclass(frozen=True, eq=False)
class _UnevenEdges:
    """An axis with a table of equal intervals: the cell of each, -1 where an edge may be near."""

    scale: float
    offset: float
    table: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Greatest position: the last interval is all that is beyond the edges."""
        return len(self.table) - 1

    def find(self, positions: Array, cells: Array, scratch: Array, certain: Array) -> None:
        """Write the cells of positions in [0, count], and which of them are certain."""
        number = scratch.view(np.int64)
        np.copyto(number, positions, casting="unsafe")
        np.take(self.table, number, out=cells, mode="clip")
        # What is not a number stays so, and is not certain.
        np.multiply(positions, 0.0, out=scratch)
        np.add(cells, scratch, out=cells)
        np.greater_equal(cells, 0.0, out=certain)


@dataclass(frozen=True, eq=False)
class CellLookup:
    """Finds the cells of points.

    Attributes:
        axes: Of the axes that have edges, the number and how cells are found.
        strides: How far apart neighbors on each axis are in the flat table of values.
        ends: Where a transition begins and ends around its edge, in units of x, (d, 2).
        edges: Of each axis, increasing.
    """

    axes: tuple[tuple[int, _EvenEdges | _UnevenEdges], ...]
    strides: tuple[int, ...]
    ends: NDArray[np.float64]
    edges: tuple[NDArray[np.float64], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tables of uneven edges."""
        return sum(way.table.nbytes for _, way in self.axes if isinstance(way, _UnevenEdges))

    @classmethod
    def of(cls, cells: CellNetwork, ends: tuple[float, float]) -> CellLookup:
        """Prepare the lookup.

        Args:
            cells: Edges and steepness.
            ends: Argument of a step from which on it is not off, and from which on it is on.
        """
        strides = np.cumprod((1, *cells.shape[:0:-1]))[::-1].tolist()
        widths = np.array(ends) / cells.steepness[:, None]
        axes = tuple(
            (axis, _even_edges(edges, *widths[axis]) or _uneven_edges(edges, *widths[axis]))
            for axis, edges in enumerate(cells.edges)
            if len(edges)
        )
        return cls(axes, tuple(strides), widths, cells.edges)

    def evaluate(self, values: Array, points: NDArray[np.float64], out: Array) -> NDArray[np.int64]:
        """Write the values of all points that are settled, and return which are not.

        Args:
            values: The complete table, C-contiguous.
            points: Shape (n, d).
            out: Shape (n,), of the type of the values. What is written for the points returned
                means nothing.
        """
        n, table = len(points), values.reshape(-1)
        size = min(n, _CHUNK)
        floats, flags = np.empty((4, size)), np.empty((2, size), dtype=bool)
        open_points = []
        # Coordinates may be infinite, or not numbers.
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, n, _CHUNK):
                part = points[start : start + _CHUNK]
                positions, cells, total, scratch = floats[:, : len(part)]
                certain, all_certain = flags[:, : len(part)]
                total[:] = 0.0
                all_certain[:] = True
                for axis, way in self.axes:
                    np.multiply(part[:, axis], way.scale, out=positions)
                    np.add(positions, way.offset, out=positions)
                    # No edge before the first or beyond the last: there the cell is the nearest.
                    np.maximum(positions, 0.0, out=positions)
                    np.minimum(positions, way.count, out=positions)
                    way.find(positions, cells, scratch, certain)
                    np.logical_and(all_certain, certain, out=all_certain)
                    if self.strides[axis] != 1:
                        np.multiply(cells, self.strides[axis], out=cells)
                    np.add(total, cells, out=total)
                number = scratch.view(np.int64)
                np.copyto(number, total, casting="unsafe")
                np.take(table, number, out=out[start : start + len(part)], mode="clip")
                np.logical_not(all_certain, out=certain)
                open_points.append(np.flatnonzero(certain) + start)
        left = np.concatenate(open_points) if open_points else np.empty(0, dtype=np.int64)
        if any(isinstance(way, _UnevenEdges) for _, way in self.axes):
            left = left[~self._search(table, points, left, out)]
        return left

    def _search(
        self, table: Array, points: NDArray[np.float64], chosen: NDArray[np.int64], out: Array
    ) -> NDArray[np.bool_]:
        """Search the edges for the chosen points; return which are settled by that."""
        cell = np.zeros(len(chosen), dtype=np.int64)
        settled = np.ones(len(chosen), dtype=bool)
        for axis, _ in self.axes:
            x = points[chosen, axis]
            begin, end = self.ends[axis]
            edges = self.edges[axis]
            on = np.searchsorted(edges, x - end, side="right")
            # The next edge is off, or there is none.
            following = edges[np.minimum(on, len(edges) - 1)]
            settled &= ((following >= x - begin) | (on == len(edges))) & ~np.isnan(x)
            cell += on * self.strides[axis]
        out[chosen[settled]] = table[cell[settled]]
        return settled


def _even_edges(edges: NDArray[np.float64], begin: float, end: float) -> _EvenEdges | None:
    """Return the axis as evenly spaced, ``None`` if it is not nearly so."""
    count = len(edges)
    side = (edges[-1] - edges[0]) / (count - 1) if count > 1 else 4 * (end - begin)
    if side < 1e-9 * (end - begin):
        return None
    uneven = float(np.max(np.abs(edges - (edges[0] + side * np.arange(count)))))
    if uneven > max(_UNEVEN_WIDTHS * (end - begin), _UNEVEN_SHARE * side):
        return None
    offset = 1 - edges[0] / side
    margin = uneven / side + _ROUNDING * (count + 2 + 2 * abs(offset))
    return _EvenEdges(
        float(1 / side),
        float(offset - end / side - margin),
        count,
        float(1 - (end - begin) / side - 2 * margin),
    )


def _uneven_edges(edges: NDArray[np.float64], begin: float, end: float) -> _UnevenEdges:
    """Return the axis as a table of intervals, from the first transition to the last."""
    low, high = edges[0] + begin, edges[-1] + end
    inner = min(_INTERVALS_PER_EDGE * len(edges), max(2 * len(edges), _MOST_INTERVALS))
    scale = inner / (high - low)
    offset = 1 - low * scale
    margin = (_ROUNDING * (inner + 2 + 2 * abs(offset))) / scale
    # Interval 0 is all before the first edge, the last all after the last.
    starts = np.concatenate([[-math.inf], low + np.arange(inner + 1) / scale])
    stops = np.concatenate([starts[1:], [math.inf]])
    on = np.searchsorted(edges, starts - margin - end, side="right")
    not_off = np.searchsorted(edges, stops + margin - begin, side="left")
    table = np.where(on == not_off, on, -1).astype(np.float64)
    return _UnevenEdges(float(scale), float(offset), table)
