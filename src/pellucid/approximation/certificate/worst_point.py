"""Where a network errs most, as far as a search finds: the adversary of every certificate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from pellucid._progress import Progress
from pellucid.approximation.box import Box
from pellucid.approximation.certificate.taylor_models import Floats
from pellucid.approximation.network import SigmoidNetwork

Function = Callable[[Floats], Floats]
_CHUNK = 2**15


def worst_point(
    network: SigmoidNetwork,
    target: Function,
    box: Box,
    *,
    points: int = 1_000_000,
    seed: int = 0,
    starts: int = 64,
    quiet: bool = True,
) -> tuple[Floats, float]:
    """Search for the point of a box with the largest absolute error.

    A third of the points is uniform, a third near the places where first-layer neurons turn, the
    rest on faces, edges and vertices of the box and near its middle planes. From the worst of each
    chunk an ascent follows the gradient and the axes.

    Args:
        network: The network.
        target: What it approximates: points (n, dimension) to values (n,).
        box: Where.
        points: How many points are tried before the ascent.
        seed: Of the random numbers.
        starts: How many points the ascent starts from.
        quiet: Show no progress.

    Returns:
        The point, shape (dimension,), and the absolute error there; both evaluated in float64.
    """
    generator = np.random.default_rng(seed)
    found, errors = np.empty((0, box.dimension)), np.empty(0)
    with Progress(points, "point", "searching", quiet=quiet, leave=False) as progress:
        for batch in _batches(network, box, points, generator):
            error = _error(network, target, batch)
            kept = np.argsort(error)[-starts:]
            found = np.concatenate([found, batch[kept]])
            errors = np.concatenate([errors, error[kept]])
            best = np.argsort(errors)[-4 * starts :]
            found, errors = found[best], errors[best]
            progress.update(len(batch))
    # Neighbors climb the same hill: take points that lie apart from the better ones.
    order = _apart(found, errors, box, starts)
    found, errors = _ascend(network, target, box, found[order], errors[order], generator)
    place = int(np.argmax(errors))
    return found[place], float(errors[place])


def _error(network: SigmoidNetwork, target: Function, points: Floats) -> Floats:
    error = np.abs(np.asarray(target(points)) - network(points))
    return np.where(np.isfinite(error), error, -1.0)


def _batches(
    network: SigmoidNetwork, box: Box, points: int, generator: np.random.Generator
) -> Iterator[Floats]:
    low, high = np.array(box.lower), np.array(box.upper)
    yield np.concatenate([box.vertices, (low + high)[None] / 2])
    given = 0
    for turn in itertools.count():
        if given >= points:
            return
        count = min(_CHUNK, points - given)
        given += count
        batch = box.sample(count, generator)
        kind = turn % 3
        if kind == 1:
            batch = _near_transitions(network, batch, generator)
        elif kind == 2:
            # Each coordinate at an end with probability one half: faces, edges, vertices.
            on_face = generator.random(batch.shape) < 0.5
            ends = np.where(generator.random(batch.shape) < 0.5, low, high)
            batch = np.where(on_face, ends, batch)
        yield np.clip(batch, low, high)


def _near_transitions(
    network: SigmoidNetwork, points: Floats, generator: np.random.Generator
) -> Floats:
    """Move points to where one first-layer neuron is between its two values."""
    if not network.hidden:
        return points
    layer = network.hidden[0]
    chosen = generator.integers(layer.neurons, size=len(points))
    weight = layer.weight[chosen]
    weight = weight if isinstance(weight, np.ndarray) else weight.toarray()
    squared = np.maximum((weight**2).sum(axis=1), 1e-300)
    at = (weight * points).sum(axis=1) + layer.bias[chosen]
    wanted = generator.normal(scale=3.0, size=len(points))
    return points + weight * ((wanted - at) / squared)[:, None]


def _apart(points: Floats, errors: Floats, box: Box, count: int) -> list[int]:
    order = np.argsort(errors)[::-1]
    chosen: list[int] = []
    for place in order:
        gaps = np.abs(points[chosen] - points[place]) / box.sides
        if not len(chosen) or (gaps.max(axis=1) > 0.01).all():
            chosen.append(int(place))
        if len(chosen) == count:
            break
    return chosen


def _ascend(
    network: SigmoidNetwork,
    target: Function,
    box: Box,
    points: Floats,
    errors: Floats,
    generator: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Climb from all points at once: along the axes, the gradient and random directions."""
    low, high, sides = np.array(box.lower), np.array(box.upper), box.sides
    n, d = points.shape
    step = np.full(n, 0.02)
    axes = np.concatenate([np.eye(d), -np.eye(d)])
    for _ in range(120):
        rough = generator.normal(size=(2, n, d))
        rough /= np.maximum(np.abs(rough).max(axis=2, keepdims=True), 1e-12)
        moves = np.concatenate([np.broadcast_to(axes[:, None], (2 * d, n, d)), rough])
        trial = np.clip(points + moves * step[:, None] * sides, low, high)
        values = _error(network, target, trial.reshape((-1, d))).reshape((-1, n))
        slope = (values[:d] - values[d : 2 * d]).T
        slope /= np.maximum(np.abs(slope).max(axis=1, keepdims=True), 1e-300)
        uphill = np.clip(points + slope * step[:, None] * sides, low, high)
        trial = np.concatenate([trial, uphill[None]])
        values = np.concatenate([values, _error(network, target, uphill)[None]])
        best = values.argmax(axis=0)
        value, every = values[best, np.arange(n)], np.arange(n)
        better = value > errors
        points = np.where(better[:, None], trial[best, every], points)
        errors = np.where(better, value, errors)
        step = np.where(better, np.minimum(step * 1.5, 0.05), step / 2)
        if step.max() < 1e-12:
            break
    return points, errors
