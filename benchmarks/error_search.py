"""The largest error of any approximation, sought as an adversary would and not on a plain grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]
_CHUNK = 20_000
_STEPS = 40
#: Points that a climb looks at for each of ``starts``, with about five kinds of points.
CLIMB_POINTS = 5 * 8 * _STEPS


def worst_error(
    approximation: Function,
    target: Function,
    box: Box,
    *,
    lines: Sequence[Floats] = (),
    points: int = 200_000,
    starts: int = 64,
    seed: int = 0,
) -> tuple[float, Floats]:
    """Return the largest |approximation - target| that was found, and where.

    Looked at are all vertices of the box, its faces, uniform points, and the crossings and middles
    of the lines that the approximation itself has (knots, edges of cells), where errors of
    piecewise constructions peak. The worst of each kind then climb: eight directions at a time, a
    step that halves where none is uphill.

    Args:
        approximation: Points (n, d) to values (n,).
        target: Likewise.
        box: Where.
        lines: Coordinates of the approximation's own lines, one array for each axis, if any.
        points: How many are looked at before the climb.
        starts: How many climb, of each kind of points.
        seed: Of what is drawn.
    """
    generator = np.random.default_rng(seed)
    kinds = [
        box.vertices,
        sample_faces(box, points // 4, generator),
        box.sample(points // 2, generator),
    ]
    if len(lines):
        kinds += _at_lines(box, lines, points // 4, generator)
    best, kept = 0.0, box.vertices[0]
    climbers, steps = [], []
    for kind in kinds:
        errors = _errors(approximation, target, kind)
        worst = np.argsort(errors)[-starts:]
        climbers.append(kind[worst])
        # As far apart as points of this kind are; closer where lines are close.
        spacing = box.sides / max(2.0, len(kind)) ** (1 / box.dimension)
        steps.append(np.tile(spacing, (len(worst), 1)))
        if errors.max() > best:
            best, kept = float(errors.max()), kind[errors.argmax()]
    place, step = np.concatenate(climbers), np.concatenate(steps)
    height = _errors(approximation, target, place)
    for _ in range(_STEPS):
        moves = generator.standard_normal((8, *place.shape))
        moves /= np.abs(moves).max(axis=2, keepdims=True)
        tried = np.clip(place + moves * step, box.lower, box.upper)
        errors = _errors(approximation, target, tried.reshape(-1, box.dimension)).reshape(8, -1)
        chosen = errors.argmax(axis=0)
        uphill = errors.max(axis=0) > height
        place = np.where(uphill[:, None], tried[chosen, np.arange(len(place))], place)
        height = np.where(uphill, errors.max(axis=0), height)
        step = np.where(uphill[:, None], step, step / 2)
    if height.max() > best:
        best, kept = float(height.max()), place[height.argmax()]
    return best, kept


def _errors(approximation: Function, target: Function, points: Floats) -> Floats:
    errors = np.empty(len(points))
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK]
        values = np.asarray(approximation(part), dtype=np.float64)
        errors[start : start + _CHUNK] = np.abs(values - target(part))
    # What is not a number is as wrong as can be.
    return np.where(np.isnan(errors), np.inf, errors)


def sample_faces(box: Box, count: int, generator: np.random.Generator) -> Floats:
    """Return points with some coordinates at an end of the box, the others anywhere."""
    points = box.sample(count, generator)
    at_end = generator.random(points.shape) < 0.5
    at_end[np.arange(count), generator.integers(box.dimension, size=count)] = True
    ends = np.where(generator.random(points.shape) < 0.5, box.lower, box.upper)
    return np.where(at_end, ends, points)


def _at_lines(
    box: Box, lines: Sequence[Floats], count: int, generator: np.random.Generator
) -> list[Floats]:
    """Return crossings, middles of edges and centers of cells; some if there are too many."""
    axes = [
        np.unique(np.clip(line, *ends)) for line, ends in zip(lines, box.to_json(), strict=True)
    ]
    middles = [(line[1:] + line[:-1]) / 2 for line in axes]
    kinds = []
    for choice in itertools.product((0, 1), repeat=box.dimension):
        parts = [(axes, middles)[which][axis] for axis, which in enumerate(choice)]
        if not all(len(part) for part in parts):
            continue
        if np.prod([float(len(part)) for part in parts]) <= count:
            mesh = np.meshgrid(*parts, indexing="ij")
            kinds.append(np.stack([part.ravel() for part in mesh], axis=1))
        else:
            drawn = [part[generator.integers(len(part), size=count)] for part in parts]
            kinds.append(np.stack(drawn, axis=1))
    return kinds
