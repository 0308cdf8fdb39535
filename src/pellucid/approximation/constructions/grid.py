"""Construction B: a grid of cells in any dimension, two hidden layers, no holes.

Source: derived in docs/concepts/approximation/cells.md, where the bounds are proved. The text-book
tiling by towers (Nielsen, Neural Networks and Deep Learning, chapter 4) is the starting point: it
needs 5 neurons a cell and has a hole at every corner.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from pellucid._checks import UsageError, check_integer, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import Construction, NotApplicable
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.cell_ranges import CellRanges, widened
from pellucid.approximation.network import (
    NeuronGroup,
    SigmoidLayer,
    SigmoidNetwork,
    variable_names,
)

Array = NDArray[np.float64]
#: Steepness times side of a cell. The steps then take 2 C / 16384, about 1e-4 of the tolerance,
#: which costs less than a cell a side, and few points lie in a transition, which makes local
#: evaluation fast. Rounding grows with steepness, but is far below that (1e-11 for 1000 cells).
STEEPNESS_TIMES_SIDE = 16384.0
#: Cell values keep this many binary digits, so that their mixed differences are exact.
VALUE_BITS = 44


def rounded_values(values: Array) -> Array:
    """Round values to multiples of 2^-44 of the greatest, whose sums and differences are exact."""
    greatest = float(np.max(np.abs(values), initial=0.0))
    if greatest == 0.0:
        return np.array(values, dtype=np.float64)
    unit = math.ldexp(1.0, math.frexp(greatest)[1] - VALUE_BITS)
    return np.round(np.asarray(values) / unit) * unit


def mixed_differences(values: Array) -> Array:
    """Return the differences along all axes, the values before the first cell counted as 0."""
    differences = np.asarray(values, dtype=np.float64)
    for axis in range(differences.ndim):
        differences = np.diff(differences, axis=axis, prepend=0.0)
    return differences


def step_layer(
    edges: Sequence[Array], steepness: Sequence[float], centre: float, roles: Sequence[str]
) -> SigmoidLayer:
    """Return the first layer: a step ``s(w (x_axis - edge) + centre)`` for each edge of each axis.

    Args:
        edges: For each axis the places of its steps, in order.
        steepness: w for each axis.
        centre: As in :class:`AndGate`.
        roles: What the steps of each axis are for.
    """
    counts = [len(part) for part in edges]
    ends = np.cumsum([0, *counts])
    weight = np.zeros((ends[-1], len(edges)))
    bias = np.empty(ends[-1])
    groups = []
    for axis, places in enumerate(edges):
        rows = slice(ends[axis], ends[axis + 1])
        weight[rows, axis] = steepness[axis]
        bias[rows] = centre - steepness[axis] * np.asarray(places)
        if counts[axis]:
            groups.append(NeuronGroup(roles[axis], int(ends[axis]), int(ends[axis + 1])))
    return SigmoidLayer(weight, bias, tuple(groups))


def build_grid(
    edges: Sequence[Array],
    values: Array,
    steepness: Sequence[float],
    *,
    gate: AndGate,
    centre: float | None = None,
    scheme: str = "grid",
) -> SigmoidNetwork:
    """Return the network of a grid of cells.

    Args:
        edges: For each axis the interior edges, increasing, (k_i - 1,).
        values: Value of each cell, (k_1, ..., k_d).
        steepness: w for each axis, 1/unit of the axis.
        gate: The AND neuron.
        centre: Added to each step instead of the gate's own.
        scheme: What the network calls itself.

    Returns:
        ``sum(k_i - 1)`` steps and ``prod(k_i) - 1`` AND neurons; no layer at all for one cell.

    Raises:
        UsageError: Numbers of edges and values that do not fit.

    Example:
        >>> values = np.array([[0.0, 1.0], [2.0, 3.0]])
        >>> half = [np.array([0.5]), np.array([0.5])]
        >>> network = build_grid(half, values, [1e3, 1e3], gate=AndGate.of(2))
        >>> network.hidden_neurons, network([[0.2, 0.8]]).round(12)
        (5, array([1.]))
    """
    values = rounded_values(values)
    counts = np.array(values.shape)
    if [len(part) + 1 for part in edges] != list(counts):
        raise UsageError(
            f"values must have one cell more than edges on each axis, got shape {values.shape} "
            f"and {[len(part) for part in edges]} edges."
        )
    d = len(counts)
    if values.size == 1:
        constant = float(values.ravel()[0])
        return SigmoidNetwork((), np.empty(0), constant, scheme=scheme, input_dimension=d)
    names = variable_names(d)
    shift = gate.centre if centre is None else centre
    steps = step_layer(edges, steepness, shift, [f"steps in {name}" for name in names])
    # Neuron of cell (i_1, ..., i_d): step i_a - 1 of each axis with i_a > 0, in C order.
    cells = np.stack(np.unravel_index(np.arange(1, values.size), values.shape), axis=1)
    offsets = np.cumsum([0, *(counts[:-1] - 1)])
    present = cells > 0
    columns = (cells - 1 + offsets)[present]
    rows_end = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    entries = np.full(len(columns), gate.gain)
    weight = scipy.sparse.csr_array(
        (entries, columns, rows_end), shape=(values.size - 1, steps.neurons)
    )
    bias = -gate.gain * present.sum(axis=1) - gate.offset
    role = f"AND of steps in {' and '.join(names)}"
    ands = SigmoidLayer(weight, bias, (NeuronGroup(role, 0, values.size - 1),))
    differences = mixed_differences(values).ravel()
    return SigmoidNetwork(
        (steps, ands), differences[1:] / gate.height, float(differences[0]), scheme=scheme
    )


def sup_bound(
    lipschitz: Array, sides: Array, steepness: Array, *, mean_shift: float
) -> tuple[float, float]:
    """Return the a-priori bound ``sum t_i side_i / 2 + sum t_i C / w_i`` in its two parts.

    Args:
        lipschitz: t, a bound on each partial derivative, (d,).
        sides: Sides of the cells, whose values are the target's in the middle, (d,).
        steepness: w, (d,).
        mean_shift: C of the gate.
    """
    return float(lipschitz @ sides / 2), float(np.sum(lipschitz * mean_shift / steepness))


def cells_needed(
    lipschitz: Array, sides: Array, tolerance: float, *, mean_shift: float, sharpness: float
) -> NDArray[np.int64]:
    """Return the fewest cells by axis for which the a-priori bound is at most the tolerance.

    The share theta of the tolerance that the steps take is ``2 C / (2 C + c)`` for a steepness of c
    over a side; cells are ``(1 - theta)^-d`` times as many as with steps of no width. So theta
    should be as small as rounding permits, and it is given by c.

    Args:
        lipschitz: t, (d,).
        sides: Sides of the whole box, (d,).
        tolerance: eps.
        mean_shift: C of the gate.
        sharpness: c, steepness times side of a cell.
    """
    spans = lipschitz * sides
    active = spans > 0
    counts = np.ones(len(spans), dtype=np.int64)
    share = tolerance / (0.5 + mean_shift / sharpness)
    if spans.sum() <= share or not active.any():
        return counts
    exact = spans * active.sum() / share
    counts = np.maximum(1, np.ceil(exact * (1 - 1e-12))).astype(np.int64)
    # Rounding up left some slack; give it back on the axes with the most cells first.
    for axis in np.argsort(-exact):
        others = float(np.sum(np.delete(spans / counts, axis)))
        if active[axis] and others < share:
            counts[axis] = min(counts[axis], max(1, math.ceil(spans[axis] / (share - others))))
    return counts


def grid(
    target: Any,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = 2_000_000,
    max_seconds: float = 60.0,
    sharpness: float = STEEPNESS_TIMES_SIDE,
) -> Construction:
    """Approximate by equal cells, each with the middle of the target's range over it.

    Args:
        target: What is approximated, of 2 to 4 variables. With a formula the cells are sized by
            enclosures of its range, otherwise by the Lipschitz constants (guessed from samples for
            a black box, which proves nothing).
        box: Where.
        tolerance: Sup error asked for, > 0. Where it takes more neurons or time than allowed, the
            finest grid within the budget is returned and the remark says so.
        max_neurons: Hidden neurons allowed.
        max_seconds: Time allowed, roughly.
        sharpness: Steepness of the steps times the side of a cell.

    Returns:
        The network; ``details`` has ``cells``, ``sides``, ``steepness``.

    Raises:
        NotApplicable: One variable (the staircase needs one layer less), or not even one step fits
            the budget.
        UsageError: A tolerance or budget that is no positive number.
    """
    check_number("tolerance", tolerance, low=0.0, open_low=True)
    check_integer("max_neurons", max_neurons, low=0)
    if box.dimension == 1:
        raise NotApplicable("the grid needs two variables or more; use the staircase for one")
    deadline = time.monotonic() + max_seconds
    gate = AndGate.of(box.dimension)
    ranges = CellRanges.of(target, box)
    slopes = ranges.slopes()
    counts = cells_needed(
        slopes, box.sides, tolerance, mean_shift=gate.mean_shift, sharpness=sharpness
    )
    cut = False
    if ranges.lipschitz is None:
        counts, cut = _fit_to_ranges(
            ranges, counts, tolerance, sharpness, gate, max_neurons, deadline
        )
    elif neurons(counts) > max_neurons:
        counts, cut = _within(counts, max_neurons), True
    return _built(ranges, counts, tolerance, sharpness, gate, cut)


def neurons(counts: Array | NDArray[np.int64]) -> int:
    """Return the hidden neurons of a grid: sum(k_i - 1) + prod(k_i) - 1."""
    return int(np.sum(counts - 1)) + math.prod(int(count) for count in counts) - 1


def _within(counts: NDArray[np.int64], max_neurons: int) -> NDArray[np.int64]:
    """Shrink a grid in proportion until it has at most so many neurons."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        fits = neurons(np.maximum(1, np.floor(counts * middle)).astype(np.int64)) <= max_neurons
        low, high = (middle, high) if fits else (low, middle)
    return np.maximum(1, np.floor(counts * low)).astype(np.int64)


def _cells(box: Box, counts: NDArray[np.int64]) -> tuple[list[Array], Array, Array]:
    """Return the edges with both ends by axis, and the corners of all cells in C order."""
    ends = [
        np.linspace(low, high, count + 1)
        for low, high, count in zip(box.lower, box.upper, counts, strict=True)
    ]
    lower = np.stack([m.ravel() for m in np.meshgrid(*(e[:-1] for e in ends), indexing="ij")], 1)
    upper = np.stack([m.ravel() for m in np.meshgrid(*(e[1:] for e in ends), indexing="ij")], 1)
    return ends, lower, upper


def _worst(
    ranges: CellRanges, counts: NDArray[np.int64], tolerance: float, sharpness: float, gate: AndGate
) -> tuple[float, Array]:
    """Return the greatest radius over widened cells, tails added, and the middles of the ranges."""
    _, lower, upper = _cells(ranges.box, counts)
    steepness = sharpness * counts / ranges.box.sides
    middle, radius, tail = widened(ranges, lower, upper, steepness, tolerance, gate)
    return float(radius.max()) + tail, middle


def _fit_to_ranges(
    ranges: CellRanges,
    counts: NDArray[np.int64],
    tolerance: float,
    sharpness: float,
    gate: AndGate,
    max_neurons: int,
    deadline: float,
) -> tuple[NDArray[np.int64], bool]:
    """Scale a first guess until the enclosed ranges just fit the tolerance."""
    shape = counts / np.max(counts)

    def scaled(size: float) -> NDArray[np.int64]:
        return np.maximum(1, np.ceil(shape * size - 1e-9)).astype(np.int64)

    def fits(size: float) -> bool:
        return _worst(ranges, scaled(size), tolerance, sharpness, gate)[0] <= tolerance

    limit = float(np.max(_within(scaled(1e6), max_neurons)))
    low, high = 0.0, min(float(np.max(counts)), limit)
    while not fits(high):
        if high >= limit or time.monotonic() > deadline:
            return _within(scaled(high), max_neurons), True
        low, high = high, min(1.3 * high + 1, limit)
    # Cells of about a thousandth more a side are not worth another round.
    while high - low > max(0.5, 2e-3 * high) and time.monotonic() < deadline:
        # Near the end of the search a size in proportion to the error is the better guess.
        middle = (low + high) / 2 if low > 0 else 0.75 * high
        low, high = (low, middle) if fits(middle) else (middle, high)
    return scaled(high), False


def _built(
    ranges: CellRanges,
    counts: NDArray[np.int64],
    tolerance: float,
    sharpness: float,
    gate: AndGate,
    cut: bool,
) -> Construction:
    box = ranges.box
    ends, lower, upper = _cells(box, counts)
    sides = box.sides / counts
    steepness = sharpness / sides
    if ranges.lipschitz is None:
        bound, middle = _worst(ranges, counts, tolerance, sharpness, gate)
    else:
        middle = np.asarray(ranges.target((lower + upper) / 2), dtype=np.float64)
        bound = sum(sup_bound(ranges.lipschitz, sides, steepness, mean_shift=gate.mean_shift))
    values = middle.reshape(tuple(counts))
    network = build_grid([e[1:-1] for e in ends], values, list(steepness), gate=gate)
    shape = " x ".join(str(count) for count in counts)
    remark = f"{shape} cells, steps of steepness {sharpness:g} over a cell"
    if cut:
        remark += f"; the budget allows no finer grid, so the tolerance {tolerance:g} is not met"
    if ranges.sampled:
        remark += "; sized by slopes seen at samples, which proves nothing"
    details = {
        "cells": [int(count) for count in counts],
        "sides": [float(side) for side in sides],
        "steepness": [float(w) for w in steepness],
        "steps_share": float(2 * gate.mean_shift / (2 * gate.mean_shift + sharpness)),
        "gain": gate.gain,
        "offset": gate.offset,
    }
    promised = None if ranges.sampled or not math.isfinite(bound) else bound
    return Construction(network, promised, remark, details)
