"""The error of a network against all functions that fit a table and its Lipschitz constants.

Such a function differs from the multilinear interpolation by at most ``sum_i L_i h_i / 2``. The
interpolation is a mean of values at nodes; the network, a polynomial p and a remainder R on a block
of cells, differs from the same mean of its own values by at most ``sum_i h_i^2 / 8 sup |d_ii p| + 2
R``. So

    |f - net| <= max over nodes |f - net| + sum_i h_i^2/8 sup |d_ii p| + 2 R + sum_i L_i h_i / 2,

and only the second and third term need boxes: a few, because they are small.

Source: own derivation; interpolation error by one coordinate after the other, each operator being a
mean.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.branch_and_bound import DEGREES
from pellucid.approximation.certificate.network_models import network_model
from pellucid.approximation.certificate.rounding import rounding_bound
from pellucid.approximation.certificate.taylor_models import (
    UNIT_ROUNDOFF,
    WIDEN,
    Arithmetic,
    Floats,
    monomials,
)
from pellucid.approximation.network import SigmoidNetwork
from pellucid.approximation.tables import TableTarget

_START = {1: 8, 2: 6, 3: 3, 4: 2}
_CHUNK_ENTRIES = 2_000_000
_EVALUATED = 2**18
# Blocks are divided until they add no more than this to the bound, if time allows.
_SHARE = 0.01


@dataclass(frozen=True)
class TableBound:
    """What a table says of the error.

    Args:
        bound: The error is at most this, in real arithmetic, if the Lipschitz constants hold.
        at_nodes: Largest error at a node.
        slack: What the function may do between nodes.
        blocks: How many blocks of cells were enclosed.
    """

    bound: float
    at_nodes: float
    slack: float
    blocks: int


def table_bound(
    network: SigmoidNetwork,
    table: TableTarget,
    box: Box,
    *,
    max_seconds: float = 60.0,
    max_blocks: int = 200_000,
) -> TableBound:
    """Bound the error of a network against a table with Lipschitz constants on a box inside it."""
    begin = time.monotonic()
    first, last = _node_ranges(table, box)
    axes = [
        np.linspace(low, high, count)
        for low, high, count in zip(
            table.box.lower, table.box.upper, table.values.shape, strict=True
        )
    ]
    region = Box(
        tuple(float(line[i]) for line, i in zip(axes, first, strict=True)),
        tuple(float(line[i]) for line, i in zip(axes, last, strict=True)),
    )
    at_nodes = _largest_at_nodes(network, table, axes, first, last)
    rounding, _ = rounding_bound(network, region)
    slopes = np.array(table.lipschitz)
    # Nodes are where linspace puts them, up to rounding.
    moved = (
        4 * UNIT_ROUNDOFF * float(np.abs(np.stack([region.lower, region.upper])).max(0) @ slopes)
    )
    fixed = (at_nodes + rounding + table.slack + moved) * WIDEN
    spacing = np.array([np.diff(line).max() for line in axes])[:, None]
    low, high = _blocks(first, last, _START[box.dimension])
    worst, count = 0.0, 0
    per_box = monomials(box.dimension, DEGREES[box.dimension]).count * max(
        [1, *network.neurons_per_layer]
    )
    chunk = max(1, _CHUNK_ENTRIES // per_box)
    while len(low):
        divided = []
        for start in range(0, len(low), chunk):
            part = slice(start, start + chunk)
            extra, causes = _beyond_nodes(network, axes, low[part], high[part], spacing)
            whole = ((high[part] - low[part]) == 1).all(axis=1)
            late = count > max_blocks or time.monotonic() - begin > max_seconds
            kept = whole | (extra <= _SHARE * fixed) | late
            worst = max(worst, float(extra[kept].max(initial=0.0)))
            count += len(extra)
            divided.append(_divided(low[part][~kept], high[part][~kept], causes[~kept]))
        low = np.concatenate([pair[0] for pair in divided])
        high = np.concatenate([pair[1] for pair in divided])
    return TableBound((fixed + worst) * WIDEN, at_nodes, table.slack, count)


def nodes_within(network: SigmoidNetwork, table: TableTarget, box: Box) -> float:
    """Return the largest error at the nodes of all cells that meet a box."""
    first, last = _node_ranges(table, box)
    axes = [
        np.linspace(low, high, count)
        for low, high, count in zip(
            table.box.lower, table.box.upper, table.values.shape, strict=True
        )
    ]
    return _largest_at_nodes(network, table, axes, first, last)


def _node_ranges(table: TableTarget, box: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last node of the cells that meet the box, one more where it is close."""
    most = np.array(table.values.shape) - 1
    start = (np.array(box.lower) - table.box.lower) / table.spacing
    stop = (np.array(box.upper) - table.box.lower) / table.spacing
    first = np.clip(np.floor(start - 1e-9), 0, most - 1).astype(np.int64)
    last = np.clip(np.ceil(stop + 1e-9), first + 1, most).astype(np.int64)
    return first, last


def _largest_at_nodes(
    network: SigmoidNetwork,
    table: TableTarget,
    axes: list[Floats],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> float:
    lines = [line[a : b + 1] for line, a, b in zip(axes, first, last, strict=True)]
    values = table.values[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))]
    rest = np.stack([m.ravel() for m in np.meshgrid(*lines[1:], indexing="ij")] or [np.zeros(1)], 1)
    rest = rest if len(lines) > 1 else np.zeros((1, 0))
    flat, worst = values.reshape((len(lines[0]), -1)), 0.0
    step = max(1, _EVALUATED // len(rest))
    for start in range(0, len(lines[0]), step):
        line = lines[0][start : start + step]
        points = np.concatenate(
            [np.repeat(line, len(rest))[:, None], np.tile(rest, (len(line), 1))], axis=1
        )
        gap = np.abs(network(points) - flat[start : start + step].ravel())
        worst = max(worst, float(gap.max()))
    return worst * (1 + 4 * UNIT_ROUNDOFF)


def _blocks(
    first: NDArray[np.int64], last: NDArray[np.int64], parts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last nodes (n, d) of blocks of cells."""
    cuts = [
        np.unique(np.linspace(a, b, min(parts, b - a) + 1).astype(np.int64))
        for a, b in zip(first, last, strict=True)
    ]
    low = np.meshgrid(*(cut[:-1] for cut in cuts), indexing="ij")
    high = np.meshgrid(*(cut[1:] for cut in cuts), indexing="ij")
    return (
        np.stack([part.ravel() for part in low], axis=1),
        np.stack([part.ravel() for part in high], axis=1),
    )


def _beyond_nodes(
    network: SigmoidNetwork,
    axes: list[Floats],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    spacing: Floats,
) -> tuple[Floats, Floats]:
    """Bound what the network adds between nodes, and say which directions it comes from."""
    lower = np.stack([line[low[:, i]] for i, line in enumerate(axes)], axis=1)
    upper = np.stack([line[high[:, i]] for i, line in enumerate(axes)], axis=1)
    on = Arithmetic(lower, upper, degree=DEGREES[len(axes)])
    coefficients, remainder = on.to_floats(network_model(network, on))
    exponents = on.monomials.exponents.T
    bend = (exponents * (exponents - 1)) @ np.abs(coefficients)
    causes = bend * (spacing / on.radius) ** 2 / 8 + 2 * remainder[:-1]
    extra = (causes.sum(axis=0) + 2 * remainder[-1]) * WIDEN * WIDEN
    return np.where(np.isnan(extra), np.inf, extra), causes.T


def _divided(
    low: NDArray[np.int64], high: NDArray[np.int64], causes: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Halve blocks in the direction that adds most, among those with more than one cell."""
    rows = np.arange(len(low))
    axis = np.argmax(np.where(high - low > 1, causes, -1.0), axis=1)
    middle = (low[rows, axis] + high[rows, axis]) // 2
    left, right = high.copy(), low.copy()
    left[rows, axis] = middle
    right[rows, axis] = middle
    return np.concatenate([low, right]), np.concatenate([left, high])
