"""Construction G: adaptive cells by repeated halving, written with their distinct vertices only.

A box is halved until the range of the target over it, widened by the reach of the steps, fits the
tolerance; a cell's value is the middle of that range. The indicator of a box is an alternating sum
over its corners of ``[x >= corner]``, so the piecewise constant function is a sum over vertices,
and a vertex costs an AND neuron only where the alternating sum of the cells that meet there is not
zero. One steepness for each axis keeps the cell weights a probability.

Source: derived in docs/concepts/approximation/cells.md.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from pellucid._checks import check_integer, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import Construction, OverBudget
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.cell_ranges import CellRanges
from pellucid.approximation.constructions.grid import VALUE_BITS, rounded_values, step_layer
from pellucid.approximation.constructions.kd_refinement import (
    SHARPNESS,
    STEEPEST,
    KdCells,
    fewest_cells,
)
from pellucid.approximation.network import (
    NeuronGroup,
    SigmoidLayer,
    SigmoidNetwork,
    variable_names,
)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def kd_cells(
    target: Any,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = 500_000,
    max_seconds: float = 30.0,
) -> Construction:
    """Approximate by cells that are small only where the target changes fast.

    Args:
        target: Of 1 to 4 variables: a formula, or anything with a Lipschitz constant (guessed from
            samples for a black box, which proves nothing).
        box: Where.
        tolerance: Sup error asked for, > 0. Cells that cannot meet it, as across a jump, are
            halved to about 2^-20 of the box a side, or until they are some thousands, then kept;
            where neurons or time run out all cells are kept as they are. The remark says so.
        max_neurons: Hidden neurons allowed.
        max_seconds: Time allowed, roughly.

    Returns:
        The network; ``details`` has ``cells``, ``lower`` and ``upper`` (their corners, for
        drawing), ``steepness``, and ``unresolved``: the measure of cells that do not meet the
        tolerance.

    Raises:
        NotApplicable: Even the coarsest cells take more neurons than allowed.
        UsageError: A number outside its range.
    """
    check_number("tolerance", tolerance, low=0.0, open_low=True)
    check_integer("max_neurons", max_neurons, low=0)
    deadline = time.monotonic() + max_seconds
    gate = AndGate.of(box.dimension)
    ranges = CellRanges.of(target, box)
    cells = fewest_cells(
        ranges, tolerance, gate, count=count_neurons, max_neurons=max_neurons, deadline=deadline
    )
    needed = count_neurons(cells)
    if needed > max_neurons:
        raise OverBudget(f"the cells take {needed} neurons, {max_neurons} are allowed")
    steepness = _steepness(box, cells)
    network = build_kd(box, cells, steepness, gate=gate)
    missed = ~(cells.errors <= tolerance)
    unresolved = float(np.sum(cells.shares[missed]))
    remark = f"{len(cells.values)} cells by repeated halving"
    if missed.any():
        reason = "too narrow to halve again" if cells.complete else "with neurons or time used up"
        remark += (
            f", of which {int(missed.sum())} with {unresolved:.2g} of the volume do not meet "
            f"{tolerance:g}, {reason}"
        )
    if ranges.sampled:
        remark += "; sized by slopes seen at samples, which proves nothing"
    lower, upper = cells.corners(box)
    details = {
        "cells": len(cells.values),
        "lower": lower,
        "upper": upper,
        "steepness": [float(w) for w in steepness],
        "unresolved": unresolved * box.volume,
    }
    promised = None if ranges.sampled or missed.any() else float(np.max(cells.errors))
    return Construction(network, promised, remark, details)


def build_kd(box: Box, cells: KdCells, steepness: Array, *, gate: AndGate) -> SigmoidNetwork:
    """Return the network of disjoint boxes that cover the box.

    Args:
        box: The box they cover.
        cells: The boxes and their values.
        steepness: w for each axis, (d,).
        gate: The AND neuron; for one variable there is only the layer of steps.

    Returns:
        A step for each distinct coordinate and an AND neuron for each vertex that is needed.
    """
    d = box.dimension
    vertices, jumps = _vertices(cells)
    at_corner = np.all(vertices == 0, axis=1)
    base = float(jumps[at_corner].sum())
    vertices, jumps = vertices[~at_corner], jumps[~at_corner]
    if not len(jumps):
        return SigmoidNetwork((), np.empty(0), base, scheme="kd", input_dimension=d)
    coordinates = _coordinates(vertices)
    names = variable_names(d)
    places = [
        box.lower[axis] + units * (box.sides[axis] / cells.extent[axis])
        for axis, units in enumerate(coordinates)
    ]
    roles = [f"steps in {name}" for name in names]
    steps = step_layer(places, [float(w) for w in steepness], gate.centre, roles)
    if d == 1:
        return SigmoidNetwork((steps,), jumps, base, scheme="kd")
    present = vertices > 0
    offsets = np.cumsum([0, *(len(units) for units in coordinates[:-1])])
    numbers = np.stack(
        [np.searchsorted(units, vertices[:, axis]) for axis, units in enumerate(coordinates)], 1
    )
    columns = (numbers + offsets)[present]
    ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    weight = scipy.sparse.csr_array(
        (np.full(len(columns), gate.gain), columns, ends), shape=(len(jumps), steps.neurons)
    )
    bias = -gate.gain * present.sum(axis=1) - gate.offset
    role = f"AND of steps in {' and '.join(names)} at a vertex"
    ands = SigmoidLayer(weight, bias, (NeuronGroup(role, 0, len(jumps)),))
    return SigmoidNetwork((steps, ands), jumps / gate.height, base, scheme="kd")


def count_neurons(cells: KdCells) -> int:
    """Return the hidden neurons of the network of some cells, without writing it."""
    vertices, _ = _vertices(cells)
    steps = sum(len(units) for units in _coordinates(vertices))
    if vertices.shape[1] == 1:
        return steps
    return steps + int(np.any(vertices > 0, axis=1).sum())


def _vertices(cells: KdCells) -> tuple[Indices, Array]:
    return alternating_sums(cells.extent, cells.lower, cells.upper, rounded_values(cells.values))


def _coordinates(vertices: Indices) -> list[Indices]:
    """Return the distinct coordinates by axis that need a step."""
    return [np.unique(column[column > 0]) for column in vertices.T]


def alternating_sums(
    extent: Indices, lower: Indices, upper: Indices, values: Array
) -> tuple[Indices, Array]:
    """Return the vertices at which the cells' values do not cancel, and what is left there.

    ``sum_B f_B [y in B] = sum_v jump_v [y >= v]`` inside the box, with ``jump_v`` the sum of the
    values of the cells with a corner at v, negative for an odd number of upper ends. Corners on the
    upper boundary are never passed and left out.

    Args:
        extent: Units of each side of the box, (d,).
        lower: Lower corners of the cells in units, (n, d).
        upper: Upper corners, (n, d).
        values: As :func:`rounded_values` returns them, so that sums are exact, (n,). Sums up to 8
            units of that rounding count as zero: a function that is linear there has no other.

    Returns:
        Vertices (m, d) in lexicographic order, jumps (m,).
    """
    n, d = lower.shape
    corners = np.empty((2**d, n, d), dtype=np.int64)
    signed = np.empty((2**d, n))
    for number, pick in enumerate(np.ndindex(*(2,) * d)):
        corners[number] = np.where(np.array(pick, dtype=bool), upper, lower)
        signed[number] = (-1) ** sum(pick) * values
    flat, jumps = corners.reshape(-1, d), signed.ravel()
    inside = np.all(flat < extent, axis=1)
    flat, jumps = flat[inside], jumps[inside]
    order = np.lexsort(flat.T[::-1])
    flat, jumps = flat[order], jumps[order]
    starts = np.flatnonzero(np.any(np.diff(flat, axis=0, prepend=-1) != 0, axis=1))
    sums = np.add.reduceat(jumps, starts)
    kept = np.abs(sums) > 8 * 2.0**-VALUE_BITS * float(np.max(np.abs(values), initial=0.0))
    return flat[starts][kept], sums[kept]


def _steepness(box: Box, cells: KdCells) -> Array:
    """Return one steepness for each axis, that of 4096 over the narrowest cell where allowed.

    No cell is widened more by it than it was when its error was bounded.
    """
    narrowest = (cells.upper - cells.lower).min(axis=0) * (box.sides / cells.extent)
    return np.minimum(SHARPNESS / narrowest, STEEPEST / box.sides)
