"""Cells that follow the function: halving the worst cell again and again, on sampled values."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.reports.approximation.contents import Floats

_MOST_CELLS = {1: 256, 2: 600}

Cell = tuple[tuple[int, int], ...]  # first and last sample on each axis


@dataclass(frozen=True)
class CellSplits:
    """A bisection, step by step, and how well its cells hold the function.

    Args:
        start: Value (middle of the range) and radius (half the range) of the whole.
        splits: Which cell was halved, along which axis, and value and radius of both halves: the
            lower half keeps the number, the upper half gets the next one.
        largest: Radius of the worst cell with 1, 2, 3, ... cells.
        neurons: Pairs (radius of the worst cell, neurons that encode the cells), one for each time
            the radius has fallen by a tenth.
        equal: Pairs (number of equal cells, radius of the worst of them).
    """

    dimension: int
    start: tuple[float, float]
    splits: tuple[tuple[int, int, float, float, float, float], ...]
    largest: tuple[float, ...]
    neurons: tuple[tuple[float, int], ...]
    equal: tuple[tuple[int, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return what the page reads; coordinates are shares of the sides."""
        value, radius = self.start
        return {
            "start": {
                "low": [0] * self.dimension,
                "high": [1] * self.dimension,
                "value": value,
                "radius": radius,
            },
            "splits": [[*split[:2], *(_short(v) for v in split[2:])] for split in self.splits],
            "largest": [_short(radius) for radius in self.largest],
            "equal": [[count, _short(radius)] for count, radius in self.equal],
        }


def split_cells(values: Floats, tolerance: float) -> CellSplits:
    """Halve the cell with the largest range until all are within the tolerance or many.

    This is an illustration on samples, without a certificate: the range over a cell is that of the
    samples in it. A cell is halved along the axis on which the function varies more: the range
    along a line, averaged over the lines; the longer side when both do the same. To look one step
    ahead instead, and take the axis whose worse half is better, fails at a peak on an edge: both
    halves of the useful axis contain it.

    Args:
        values: Samples on an even grid, 2^m + 1 on each axis, in one or two dimensions.
        tolerance: Half the range that is good enough.
    """
    whole: Cell = tuple((0, count - 1) for count in values.shape)
    start = _value_and_radius(values, whole)
    cells: list[Cell] = [whole]
    held = [start[0]]
    queue = [(-start[1], 0)]
    splits, largest = [], [start[1]]
    neurons = [(start[1], 0)]
    while queue and len(cells) < _MOST_CELLS[values.ndim]:
        radius, number = queue[0]
        if -radius <= tolerance or -radius <= 0:
            break
        heapq.heappop(queue)
        chosen = _choose_axis(values, cells[number])
        if chosen is None:  # a cell between neighboring samples: it stays the worst
            break
        axis, (lower, upper) = chosen
        halves = [_value_and_radius(values, half) for half in (lower, upper)]
        splits.append((number, axis, *halves[0], *halves[1]))
        cells[number], held[number] = lower, halves[0][0]
        cells.append(upper)
        held.append(halves[1][0])
        heapq.heappush(queue, (-halves[0][1], number))
        heapq.heappush(queue, (-halves[1][1], len(cells) - 1))
        largest.append(-queue[0][0])
        if largest[-1] <= 0.9 * neurons[-1][0]:
            neurons.append((largest[-1], count_neurons(cells, held, whole)))
    if largest[-1] < neurons[-1][0]:
        neurons.append((largest[-1], count_neurons(cells, held, whole)))
    return CellSplits(
        values.ndim, start, tuple(splits), tuple(largest), tuple(neurons), _equal_cells(values)
    )


def count_neurons(cells: list[Cell], values: list[float], whole: Cell) -> int:
    """Return how many neurons encode a piecewise constant function on cells, in two layers.

    One neuron for each distinct inner edge and axis, and one for each vertex whose alternating sum
    of cell values is not zero; the lowest vertex is the output bias. Vertices on an upper boundary
    of the box are never passed and are dropped. In one dimension the edges do it alone. Equal
    cells, k on each side, give ``2 (k - 1) + k^2 - 1``.
    """
    steps: dict[tuple[int, ...], float] = {}
    for cell, value in zip(cells, values, strict=True):
        for corner in itertools.product((0, 1), repeat=len(cell)):
            vertex = tuple(ends[side] for ends, side in zip(cell, corner, strict=True))
            if any(at == ends[1] for at, ends in zip(vertex, whole, strict=True)):
                continue
            steps[vertex] = steps.get(vertex, 0.0) + (-1) ** sum(corner) * value
    size = max(abs(value) for value in values)
    kept = [vertex for vertex, step in steps.items() if abs(step) > 1e-12 * size]
    lowest = tuple(ends[0] for ends in whole)
    gates = sum(vertex != lowest for vertex in kept)
    if len(whole) == 1:
        return gates
    edges = {(axis, at) for vertex in kept for axis, at in enumerate(vertex)}
    return gates + sum(at != whole[axis][0] for axis, at in edges)


def _value_and_radius(values: Floats, cell: Cell) -> tuple[float, float]:
    part = values[tuple(slice(first, last + 1) for first, last in cell)]
    low, high = float(part.min()), float(part.max())
    return (low + high) / 2, (high - low) / 2


def _choose_axis(values: Floats, cell: Cell) -> tuple[int, tuple[Cell, Cell]] | None:
    part = values[tuple(slice(first, last + 1) for first, last in cell)]
    best: tuple[tuple[float, int], int, tuple[Cell, Cell]] | None = None
    for axis, (first, last) in enumerate(cell):
        if last - first < 2:
            continue
        middle = (first + last) // 2
        lower: Cell = (*cell[:axis], (first, middle), *cell[axis + 1 :])
        upper: Cell = (*cell[:axis], (middle, last), *cell[axis + 1 :])
        key = (-float(np.ptp(part, axis=axis).mean()), first - last)
        if best is None or key < best[0]:
            best = (key, axis, (lower, upper))
    return None if best is None else (best[1], best[2])


def _equal_cells(values: Floats) -> tuple[tuple[int, float], ...]:
    """Return the worst radius over 1, 2^d, 4^d, ... equal cells, down to two samples a side."""
    result = []
    k = 1
    while k <= (values.shape[0] - 1) // 2:
        step = (values.shape[0] - 1) // k
        low = high = values
        for axis in range(values.ndim):
            slices = [
                np.take(low, range(i, i + k * step - step + 1, step), axis) for i in range(step + 1)
            ]
            low = np.minimum.reduce(slices)
            slices = [
                np.take(high, range(i, i + k * step - step + 1, step), axis)
                for i in range(step + 1)
            ]
            high = np.maximum.reduce(slices)
        result.append((k**values.ndim, float((high - low).max()) / 2))
        k *= 2
    return tuple(result)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
