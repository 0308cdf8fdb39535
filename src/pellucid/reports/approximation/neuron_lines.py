"""Tolerance against neurons: what each way of building costs, by formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.approximation.box import Box
from pellucid.approximation.neuron_counts import PACKINGS
from pellucid.reports.approximation.cell_splits import CellSplits
from pellucid.reports.approximation.contents import (
    Floats,
    ShownApproximation,
    ShownCandidate,
    ShownTarget,
)


@dataclass(frozen=True)
class Steepness:
    """How fast the function changes, on the box scaled to a unit cube.

    Args:
        slopes: Bound on each partial derivative times the side of that variable.
        is_known: A bound the target gives; otherwise estimated from samples.
    """

    slopes: tuple[float, ...]
    is_known: bool

    @property
    def largest(self) -> float:
        """The textbook's t: one bound for all variables."""
        return max(self.slopes)


def find_steepness(target: ShownTarget, box: Box) -> Steepness:
    """Return the target's own Lipschitz constants, or estimates from differences of samples."""
    known = getattr(target, "lipschitz", None)
    if known is not None:
        constants = np.broadcast_to(np.asarray(known, dtype=np.float64), (box.dimension,))
        if np.isfinite(constants).all():
            return Steepness(tuple((constants * box.sides).tolist()), True)
    count = {1: 4097, 2: 257, 3: 41, 4: 17}[box.dimension]
    values = np.asarray(target(box.grid(count)), dtype=np.float64).reshape((count,) * box.dimension)
    slopes = [
        float(np.abs(np.diff(values, axis=axis)).max()) * (count - 1)
        for axis in range(box.dimension)
    ]
    return Steepness(tuple(slopes), False)


def reference_neurons(t: float, tolerance: float, dimension: int) -> float:
    """Return the neurons of the textbook tiling: bumps of two, towers of ``2 d + 1``.

    Cells have sides tolerance/t in one and two dimensions, as the textbook has it, and
    ``2 tolerance / (d t)`` beyond, which keeps half the sum of side times slope at the tolerance.
    The holes at the corners are not counted against it.

    Source: spec of the reference, ``N = (t / tolerance)^2``; 1-D bumps by the same rule.
    """
    if dimension <= 2:
        cells = max(1.0, t / tolerance) ** dimension
    else:
        cells = max(1.0, dimension * t / (2 * tolerance)) ** dimension
    return cells * (2 if dimension == 1 else 2 * dimension + 1)


def grid_neurons(slopes: Sequence[float], tolerance: float) -> float:
    """Return the neurons of a shared grid with steep steps: ``Σ (k_i - 1) + Π k_i - 1``.

    ``k_i = d t_i / (2 tolerance)``, the whole tolerance spent on the cells; in one dimension the
    steps are the network, ``k - 1``.
    """
    d = len(slopes)
    counts = [max(1.0, d * t / (2 * tolerance)) for t in slopes]
    return math.prod(counts) - 1 + (sum(k - 1 for k in counts) if d > 1 else 0)


def lower_bound(t: float, tolerance: float, dimension: int) -> float:
    """Return how many parameters any method needs for all functions with slopes up to t.

    A packing argument: functions that are pyramids of height just above the tolerance over
    disjoint diamonds ``|x - c|_1 <= tolerance / t`` can be told apart only by as many parameters
    that depend continuously on the function. A diamond has volume ``(2 tolerance / t)^d / d!``, and
    shifted copies fill the space for d = 1, 2, 18/19 of it for d = 3 (Minkowski's lattice) and
    27/35 for d = 4 (the lattice of whole x with x_1 + 7 x_2 + 25 x_3 + 29 x_4 divisible by 70, in
    which diamonds of radius 3 do not overlap).

    Source: DeVore, Howard, Micchelli 1989. For one particular function fewer can do.
    """
    radius, modulus, _ = PACKINGS[dimension]
    return (radius * t / tolerance) ** dimension / modulus


@dataclass(frozen=True, eq=False)
class NeuronLines:
    """The log-log figure, and the counts at the tolerance asked for."""

    lines: tuple[dict[str, Any], ...]
    points: tuple[dict[str, Any], ...]
    tolerance: float
    at_tolerance: tuple[tuple[str, float, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return what the page reads, with the ranges of both axes."""
        tolerances = [*self.lines[0]["tolerances"], *(p["tolerance"] for p in self.points)]
        neurons = [n for line in self.lines for n in line["neurons"]]
        neurons += [point["neurons"] for point in self.points]
        positive = [n for n in neurons if n > 0]
        return {
            "lines": self.lines,
            "points": self.points,
            "tolerance": self.tolerance,
            "tolerances": [min(tolerances) / 1.6, max(tolerances) * 1.6],
            "neurons": [max(0.5, min(positive) / 2), max(positive) * 2],
        }


def draw_lines(
    approximation: ShownApproximation, steepness: Steepness, cells: CellSplits
) -> NeuronLines:
    """Compute all lines and points around the tolerance and the bounds that were reached."""
    d = approximation.box.dimension
    tolerance = approximation.tolerance
    points = _points(approximation)
    reached = [tolerance, *(point["tolerance"] for point in points)]
    tolerances = np.geomspace(min(reached) / 8, max(reached) * 30, 60)
    t, slopes = steepness.largest, steepness.slopes
    name = "bumps of two neurons" if d == 1 else f"towers of {2 * d + 1} neurons"
    formulas = [
        (f"textbook: {name}", "a2", lambda e: reference_neurons(t, e, d)),
        ("shared staircase" if d == 1 else "shared grid", "a1", lambda e: grid_neurons(slopes, e)),
        (
            "parameters any method needs for all functions this steep",
            "a0 dashed",
            lambda e: lower_bound(t, e, d),
        ),
    ]
    lines = [_line(text, style, tolerances, formula) for text, style, formula in formulas]
    at_tolerance = [(text, formula(tolerance), style) for text, style, formula in formulas]
    adaptive = [(radius, count) for radius, count in cells.neurons if radius > 0 and count > 0]
    if d <= 2 and len(adaptive) > 1:
        lines.append(
            {
                "name": "cells that follow the function (on samples)",
                "style": "a3",
                "tolerances": [radius for radius, _ in adaptive],
                "neurons": [count for _, count in adaptive],
            }
        )
    return NeuronLines(tuple(lines), tuple(points), tolerance, tuple(at_tolerance))


def _line(text: str, style: str, tolerances: Floats, formula: Any) -> dict[str, Any]:
    pairs = [(float(e), float(formula(e))) for e in tolerances]
    pairs = [(e, n) for e, n in pairs if n >= 0.5] or [(float(tolerances[0]), 1.0)]
    return {
        "name": text,
        "style": style,
        "tolerances": [e for e, _ in pairs],
        "neurons": [n for _, n in pairs],
    }


def _points(approximation: ShownApproximation) -> list[dict[str, Any]]:
    """Return this network and the other candidates, each at the bound that it reached."""
    network, bound = approximation.network, approximation.certificate.bound
    points = []
    if math.isfinite(bound) and bound > 0:
        points.append(_point(approximation.scheme, bound, network.hidden_neurons, True))
    for candidate in approximation.candidates:
        if _is_chosen(candidate, approximation) or candidate.hidden_neurons is None:
            continue
        if candidate.bound is not None and math.isfinite(candidate.bound) and candidate.bound > 0:
            points.append(
                _point(candidate.scheme, candidate.bound, candidate.hidden_neurons, False)
            )
    return points


def _is_chosen(candidate: ShownCandidate, approximation: ShownApproximation) -> bool:
    return (
        candidate.scheme == approximation.scheme
        and candidate.hidden_neurons == approximation.network.hidden_neurons
    )


def _point(name: str, tolerance: float, neurons: int, chosen: bool) -> dict[str, Any]:
    return {
        "name": name,
        "tolerance": tolerance,
        "neurons": max(1, neurons),
        "chosen": chosen,
    }
