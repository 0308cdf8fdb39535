"""Finding the cells on which a sum of steps at vertices is constant, without building them all.

A function ``F(y) = base + sum_v jump_v [y >= v]`` of n vertices is constant on boxes; the complete
grid through all vertices may have n^d of them. Here a region is cut along one of its steps as long
as any jump is left inside, all regions of one depth at once. Jumps that lie at or below a region in
every coordinate are part of its value; those that coincide there are added up, and vanish where
they cancel. For cells that arose from such cuts the work is about n log n, d = 2 to 4 alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """Disjoint boxes that cover a region, with the value of F on each.

    Attributes:
        lower: Lower corners, (n, d).
        upper: Upper corners, (n, d).
        values: F on each, (n,).
        slack: What was taken for zero where jumps cancel, added up, (n,).
    """

    lower: Array
    upper: Array
    values: Array
    slack: Array


class TooManyCells(Exception):
    """The steps cut the region into more boxes than allowed."""


def grid_cells(ends: Sequence[Array], values: Array) -> Cells:
    """Return all cells of a complete grid.

    Args:
        ends: For each axis the ends of its cells, (k_i + 1,).
        values: Shape (k_1, ..., k_d).
    """
    lower = np.stack([m.ravel() for m in np.meshgrid(*(e[:-1] for e in ends), indexing="ij")], 1)
    upper = np.stack([m.ravel() for m in np.meshgrid(*(e[1:] for e in ends), indexing="ij")], 1)
    return Cells(lower, upper, values.ravel(), np.zeros(values.size))


def partition(
    ends: Sequence[Array], vertices: Indices, jumps: Array, base: float, *, limit: int
) -> Cells:
    """Cut a region into boxes on which the sum of jumps is constant.

    Args:
        ends: For each axis its lower end, the places of its steps in order, its upper end.
        vertices: Positions of each jump in `ends`, (n, d): 0 for the lower end.
        jumps: (n,).
        base: Value before all jumps.
        limit: Boxes allowed.

    Raises:
        TooManyCells: More than `limit`.
    """
    dimension = len(ends)
    # A sum of jumps that cancel is at most this in floating point.
    negligible = 2.0**-49 * float(np.sum(np.abs(jumps)))
    low = np.zeros((1, dimension), dtype=np.int64)
    high = np.array([[len(part) - 1 for part in ends]], dtype=np.int64)
    value, slack = np.array([base]), np.zeros(1)
    node = np.zeros(len(jumps), dtype=np.int64)
    corner, jump = vertices.astype(np.int64), np.asarray(jumps, dtype=np.float64)
    done: list[tuple[Indices, Indices, Array, Array]] = []
    found = 0
    while len(low):
        node, corner, jump, value, slack = _settle(
            node, corner, jump, low, value, slack, negligible
        )
        open_nodes = np.bincount(node, minlength=len(low)) > 0
        closed = ~open_nodes
        done.append((low[closed], high[closed], value[closed], slack[closed]))
        found += int(closed.sum())
        if found + int(open_nodes.sum()) > limit:
            raise TooManyCells
        new_number = np.cumsum(open_nodes) - 1
        low, high = low[open_nodes], high[open_nodes]
        value, slack = value[open_nodes], slack[open_nodes]
        node = new_number[node]
        if not len(low):
            break
        axis, place = _choose_cuts(ends, node, corner, low, high)
        left_high, right_low = high.copy(), low.copy()
        rows = np.arange(len(low))
        left_high[rows, axis] = place
        right_low[rows, axis] = place
        items = np.arange(len(node))
        at, cut = axis[node], place[node]
        left = corner[items, at] < cut
        right_corner = corner.copy()
        right_corner[items, at] = np.maximum(corner[items, at], cut)
        node = np.concatenate([node[left], node + len(low)])
        corner = np.concatenate([corner[left], right_corner])
        jump = np.concatenate([jump[left], jump])
        low, high = np.concatenate([low, right_low]), np.concatenate([left_high, high])
        value, slack = np.concatenate([value, value]), np.concatenate([slack, slack])
    low = np.concatenate([part[0] for part in done])
    high = np.concatenate([part[1] for part in done])
    value = np.concatenate([part[2] for part in done])
    slack = np.concatenate([part[3] for part in done])
    return Cells(
        np.stack([ends[axis][low[:, axis]] for axis in range(dimension)], axis=1),
        np.stack([ends[axis][high[:, axis]] for axis in range(dimension)], axis=1),
        value,
        slack,
    )


def _settle(
    node: Indices,
    corner: Indices,
    jump: Array,
    low: Indices,
    value: Array,
    slack: Array,
    negligible: float,
) -> tuple[Indices, Indices, Array, Array, Array]:
    """Add up jumps of one place, add those at a node's corner to its value, drop what cancels."""
    order, starts = _runs(node, corner)
    if len(starts):
        jump = np.add.reduceat(jump[order], starts)
        node, corner = node[order[starts]], corner[order[starts]]
    constant = np.all(corner == low[node], axis=1)
    value = value + np.bincount(node[constant], weights=jump[constant], minlength=len(low))
    node, corner, jump = node[~constant], corner[~constant], jump[~constant]
    cancelled = np.abs(jump) <= negligible
    slack = slack + np.bincount(
        node[cancelled], weights=np.abs(jump[cancelled]), minlength=len(low)
    )
    kept = ~cancelled
    return node[kept], corner[kept], jump[kept], value, slack


def _runs(node: Indices, corner: Indices) -> tuple[Indices, Indices]:
    """Return an order that puts equal places of one node together, and where each run begins."""
    sizes = [int(corner[:, axis].max(initial=0)) + 1 for axis in range(corner.shape[1])]
    if math.prod(sizes) * (int(node.max(initial=0)) + 1) < 2**62:
        number = node
        for axis, size in enumerate(sizes):
            number = number * size + corner[:, axis]
        order = np.argsort(number, kind="stable")
        return order, np.flatnonzero(np.diff(number[order], prepend=-1))
    order = np.lexsort((*corner.T, node))
    ordered = np.concatenate([node[order, None], corner[order]], axis=1)
    changed = np.any(np.diff(ordered, axis=0, prepend=-1) != 0, axis=1)
    return order, np.flatnonzero(changed)


def _choose_cuts(
    ends: Sequence[Array], node: Indices, corner: Indices, low: Indices, high: Indices
) -> tuple[Indices, Indices]:
    """Choose for each node an axis and a step to cut along.

    A cut that the cells themselves have runs through the whole region, so it begins on the
    region's lower side; of these the one nearest to the middle, which cells from repeated halving
    have first. Where none begins there any step does.
    """
    best = np.full(len(low), np.inf)
    best_axis = np.zeros(len(low), dtype=np.int64)
    best_place = np.zeros(len(low), dtype=np.int64)
    above = corner > low[node]
    inside = above.sum(axis=1)
    for axis, places in enumerate(ends):
        begin, end = places[low[:, axis]], places[high[:, axis]]
        mine = np.flatnonzero(above[:, axis])
        nodes, steps = node[mine], corner[mine, axis]
        # From 0 in the middle to 1 at the sides; 2 more where it does not begin on a lower side.
        span = end[nodes] - begin[nodes]
        score = np.abs(2 * (places[steps] - begin[nodes]) / span - 1) + 2.0 * (inside[mine] > 1)
        order = np.lexsort((score, nodes))
        firsts = order[np.flatnonzero(np.diff(nodes[order], prepend=-1))]
        better = score[firsts] < best[nodes[firsts]]
        chosen = firsts[better]
        best[nodes[chosen]] = score[chosen]
        best_axis[nodes[chosen]] = axis
        best_place[nodes[chosen]] = steps[chosen]
    return best_axis, best_place
