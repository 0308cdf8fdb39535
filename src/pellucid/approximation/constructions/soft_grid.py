"""Construction C: a grid with soft steps, which is exact to second order.

Steps about as wide as a cell average the values of neighboring cells. With a shift Z of mean 0 the
average of the cells' middles is nearly the point itself, so that the first-order error all but
vanishes; what is left is a curvature term. With ``side_i`` the sides, t_i and M_ij bounds of first
and second derivatives,

    |net - f| <= sum_i t_i B side_i + 1/2 sum_ij M_ij side_i side_j V,

where ``B = sup |E(middle - x)| / side`` and ``V = sup E(middle - x)^2 / side^2`` depend only on
c = steepness times side. For the logistic law B is ``(1/pi) y / sinh y`` with ``y = 2 pi^2 / c``
(the first term of a Fourier series) and V is about ``pi^2 / (3 c^2) + 1/12``.

Near its ends the box needs cells beyond it. There the target itself is used where it is a formula
that is defined there; elsewhere it is continued by ``2 f(end) - f(reflected)`` along each axis,
which keeps slopes but may make curvatures up to 3^(d - 1) times as large.

Source: derived in docs/concepts/approximation/cells.md; the method is a quasi-interpolation, see
Costarelli, Spigler 2013 (Neural Networks 44).
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid._checks import UsageError, check_integer, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import Construction, NotApplicable, OverBudget
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import build_grid
from pellucid.approximation.constructions.staircase import build_staircase
from pellucid.approximation.enclosures.domains import check_defined
from pellucid.approximation.network import SigmoidNetwork

Array = NDArray[np.float64]
_MOST_DIMENSIONS = 3
#: Values of c that are tried: softer steps smooth too much, steeper ones hardly at all.
SHARPNESSES = tuple(np.arange(1.6, 6.05, 0.1).round(2))
#: Boxes on which second derivatives are enclosed.
_BOXES = 4096


@dataclass(frozen=True)
class Softness:
    """What soft steps do to the middles of cells.

    Attributes:
        sharpness: c, steepness times side.
        bias: B, how far the mean of the middles may be from x, in sides.
        spread: V, mean square distance of the middles from x, in sides squared.
    """

    sharpness: float
    bias: float
    spread: float


def softness(gate: AndGate, sharpness: float) -> Softness:
    """Measure B and V of a gate, centred so that the mean shift is 0.

    The maximum over a cell is taken on 200 positions; both are trigonometric polynomials of low
    degree but for terms far below, so a thousandth more covers what lies between.
    """
    mean, _ = gate.moments()
    positions = np.linspace(0.0, 1.0, 200, endpoint=False)
    reach = math.ceil(45 / sharpness) + 2
    edges = np.arange(-reach, reach + 1)
    passed = gate.marginal(sharpness * (positions[:, None] - edges) + mean)
    weights = passed[:, :-1] - passed[:, 1:]
    away = edges[:-1] + 0.5 - positions[:, None]
    bias = float(np.max(np.abs((weights * away).sum(axis=1))))
    spread = float(np.max((weights * away**2).sum(axis=1)))
    return Softness(sharpness, 1.001 * bias + 1e-12, 1.001 * spread)


def soft_bound(slopes: Array, curvatures: Array, sides: Array, soft: Softness) -> float:
    """Return ``sum t_i B side_i + 1/2 sum M_ij side_i side_j V``.

    Args:
        slopes: t, (d,).
        curvatures: M, (d, d).
        sides: (d,).
        soft: B and V.
    """
    first = soft.bias * float(slopes @ sides)
    return first + soft.spread / 2 * float(sides @ curvatures @ sides)


def ghost_cells(gate: AndGate, sharpness: float, *, share: float = 1e-6) -> int:
    """Return how many cells beyond the box are needed on each side.

    Args:
        gate: The AND neuron.
        sharpness: c, steepness times side.
        share: Probability left for the shift to reach further, on either side.
    """
    low, high = gate.tails(share)
    return math.ceil(max(-low, high) / sharpness) + 1


def build_soft_grid(
    target: Any, box: Box, counts: tuple[int, ...], sharpness: float, *, ghosts: int, beyond: bool
) -> SigmoidNetwork:
    """Return the network of a soft grid.

    Args:
        target: Called with points (n, d).
        box: Where.
        counts: Cells by axis inside the box.
        sharpness: c, steepness times side.
        ghosts: Cells beyond the box on each side of each axis.
        beyond: Use the target itself outside the box, not its continuation.
    """
    gate = AndGate.of(box.dimension)
    mean, _ = gate.moments()
    sides = box.sides / counts
    numbers = [np.arange(-ghosts, count + ghosts) for count in counts]
    middles = [
        low + side * (n + 0.5) for low, side, n in zip(box.lower, sides, numbers, strict=True)
    ]
    mesh = np.stack([m.ravel() for m in np.meshgrid(*middles, indexing="ij")], axis=1)
    values = np.asarray(target(mesh)) if beyond else continued(target, box, mesh)
    edges = [low + side * n[1:] for low, side, n in zip(box.lower, sides, numbers, strict=True)]
    shape = tuple(len(n) for n in numbers)
    steepness = [float(w) for w in sharpness / sides]
    if box.dimension == 1:
        return build_staircase(edges[0], values, steepness[0], scheme="soft_grid")
    return build_grid(
        edges,
        values.reshape(shape),
        steepness,
        gate=gate,
        centre=gate.centre + mean,
        scheme="soft_grid",
    )


def continued(target: Any, box: Box, points: Array) -> Array:
    """Return the target continued oddly about the faces of the box, ``2 f(face) - f(reflected)``.

    Args:
        target: Called with points in the box only.
        box: Where it is known.
        points: (n, d), at most one side of the box outside it.
    """
    lower, upper = np.array(box.lower), np.array(box.upper)
    face = np.clip(points, lower, upper)
    outside = points != face
    reflected = np.clip(2 * face - points, lower, upper)
    total = np.zeros(len(points))
    for pick in itertools.product((False, True), repeat=box.dimension):
        # Outside: 2 at the face, -1 at the reflection; inside: 1 at the point and nothing else.
        chosen = np.array(pick)
        factor = np.where(outside, np.where(chosen, -1.0, 2.0), np.where(chosen, 0.0, 1.0))
        weight = factor.prod(axis=1)
        used = weight != 0
        where = np.where(chosen, reflected, face)[used]
        if used.any():
            total[used] += weight[used] * np.asarray(target(where))
    return total


def soft_grid(
    target: Any,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = 1_000_000,
    max_seconds: float = 30.0,
) -> Construction:
    """Approximate by soft steps, with as few cells as the second-order bound allows.

    Args:
        target: A formula of 1 to 3 variables with bounded second derivatives.
        box: Where.
        tolerance: Sup error asked for, > 0; where it takes too many neurons the finest grid within
            the budget is returned.
        max_neurons: Hidden neurons allowed.
        max_seconds: Time allowed, roughly.

    Returns:
        The network; ``details`` has ``cells`` (inside the box), ``ghosts``, ``sharpness``,
        ``continued``: whether the target was continued beyond the box by reflection.

    Raises:
        NotApplicable: Four variables, no formula, unbounded second derivatives, or not even one
            cell within the budget.
        UsageError: A number outside its range.
    """
    check_number("tolerance", tolerance, low=0.0, open_low=True)
    check_integer("max_neurons", max_neurons, low=0)
    d = box.dimension
    if d > _MOST_DIMENSIONS:
        raise NotApplicable(f"the soft grid is for at most {_MOST_DIMENSIONS} variables, not {d}")
    if target.kind != "expression":
        raise NotApplicable("the soft grid needs a formula, for its second derivatives")
    deadline = time.monotonic() + max_seconds
    gate = AndGate.of(d)
    slopes, curvatures = _derivatives(target, box)
    if not (np.isfinite(slopes).all() and np.isfinite(curvatures).all()):
        raise NotApplicable("the soft grid needs bounded second derivatives")
    wider = _derivatives_beyond(target, box)
    beyond = wider is not None and bool(np.all(wider <= 1.5 * curvatures + 1e-300))
    if wider is not None and beyond:
        curvatures = np.maximum(curvatures, wider)
    reach = float(slopes @ box.sides)
    share = 1e-4 * tolerance / max(reach, tolerance)
    choices = [softness(gate, float(c)) for c in SHARPNESSES]
    shape = np.sqrt(np.diag(curvatures)) * box.sides
    # An axis without curvature has a slope still.
    shape = np.maximum(shape / shape.max(), 0.1) if shape.max() > 0 else np.ones(d)

    def cells(size: int) -> tuple[int, ...]:
        return tuple(int(n) for n in np.maximum(1, np.ceil(size * shape)))

    def best(size: int) -> tuple[float, Softness]:
        # Beyond the ghost cells a value may be off by the range of the continued target.
        sides = box.sides / cells(size)
        rest = 2 * d * share * 3 * reach
        bounds = [soft_bound(slopes, curvatures, sides, soft) + rest for soft in choices]
        number = int(np.argmin(bounds))
        return bounds[number], choices[number]

    def needed(size: int) -> int:
        ghosts = ghost_cells(gate, best(size)[1].sharpness, share=share)
        inside = [n + 2 * ghosts for n in cells(size)]
        return sum(inside) - d + (math.prod(inside) - 1 if d > 1 else 0)

    low, high = 0, 1
    while best(high)[0] > tolerance and needed(high) <= max_neurons:
        low, high = high, 2 * high
    fits = best(high)[0] <= tolerance
    while high - low > 1:
        middle = (low + high) // 2
        enough = best(middle)[0] <= tolerance if fits else needed(middle) > max_neurons
        low, high = (low, middle) if enough else (middle, high)
    size = high if fits and needed(high) <= max_neurons else low
    if size == 0 or time.monotonic() > deadline:
        raise OverBudget(f"no soft grid fits {max_neurons} neurons")
    bound, soft = best(size)
    ghosts = ghost_cells(gate, soft.sharpness, share=share)
    # A reflection must stay within the box, and the formula is known within a quarter beyond.
    counts = tuple(max(n, ghosts if not beyond else 4 * ghosts) for n in cells(size))
    network = build_soft_grid(target, box, counts, soft.sharpness, ghosts=ghosts, beyond=beyond)
    remark = (
        f"{' x '.join(map(str, counts))} cells and {ghosts} beyond each end, "
        f"steps of steepness {soft.sharpness:g} over a cell"
    )
    if bound > tolerance:
        remark += f"; the budget allows no finer grid, so the tolerance {tolerance:g} is not met"
    if not beyond:
        # Only next to two faces at once do curvatures of the continuation grow.
        bound *= 3.0 ** (d - 1)
        remark += "; continued beyond the box by reflection"
    details = {
        "cells": list(counts),
        "ghosts": ghosts,
        "sharpness": soft.sharpness,
        "bias": soft.bias,
        "spread": soft.spread,
        "continued": not beyond,
    }
    return Construction(network, bound, remark, details)


def _derivatives(target: Any, box: Box) -> tuple[Array, Array]:
    """Bound first and second derivatives on a box, (d,) and (d, d)."""
    d = box.dimension
    count = round(_BOXES ** (1 / d))
    ends = [
        np.linspace(low, high, count + 1) for low, high in zip(box.lower, box.upper, strict=True)
    ]
    lower = np.stack([m.ravel() for m in np.meshgrid(*(e[:-1] for e in ends))], axis=1)
    upper = np.stack([m.ravel() for m in np.meshgrid(*(e[1:] for e in ends))], axis=1)
    jet = target.enclose(lower, upper, order=2)
    slopes = np.maximum(np.abs(jet.gradient.lower), np.abs(jet.gradient.upper)).max(axis=0)
    hessian = np.maximum(np.abs(jet.hessian.lower), np.abs(jet.hessian.upper)).max(axis=0)
    return slopes, hessian


def _derivatives_beyond(target: Any, box: Box) -> Array | None:
    """Bound second derivatives up to a quarter beyond the box; ``None`` where it is undefined."""
    lower = np.array(box.lower) - box.sides / 4
    upper = np.array(box.upper) + box.sides / 4
    wider = Box(tuple(lower), tuple(upper))
    try:
        check_defined(target.expression, wider)
    except UsageError:
        return None
    _, curvatures = _derivatives(target, wider)
    return curvatures if np.isfinite(curvatures).all() else None
