"""Values of the function and of the network on an even grid, for the page to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.approximation.box import Box
from pellucid.approximation.network import SigmoidNetwork
from pellucid.reports.approximation.contents import Floats, ShownTarget
from pellucid.reports.approximation.embedding import encode_array
from pellucid.reports.approximation.statements import write_value

# Points on an axis, finest first, by dimension; the finest that the network allows is taken.
# Powers of two plus one, so that halved cells end on points; about 1 MB in base64 at most.
_POINTS = {1: (2049, 1025, 513), 2: (257, 129, 65, 33), 3: (41, 33, 25, 17), 4: (17, 13, 9, 7)}
_OPERATIONS = 4e8  # weights times points: a few seconds
_PLANE_POINTS = {1: 4097, 2: 257}


@dataclass(frozen=True, eq=False)
class Samples:
    """Function and error on an even grid of the box, first axis slowest.

    Args:
        shape: Points on each axis.
        target: f, shape (n,).
        error: Network minus f, shape (n,).
        worst_point: Where the error is largest among the grid and a search around its worst, (d,).
        worst_error: Network minus f there.
    """

    box: Box
    names: tuple[str, ...]
    shape: tuple[int, ...]
    target: Floats
    error: Floats
    worst_point: Floats
    worst_error: float

    @property
    def worst_index(self) -> list[int]:
        """The grid point nearest to the worst point."""
        share = (self.worst_point - self.box.lower) / self.box.sides
        return [round(float(s) * (n - 1)) for s, n in zip(share, self.shape, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """Return what the page reads: values in single precision."""
        return {
            "shape": self.shape,
            "lower": self.box.lower,
            "upper": self.box.upper,
            "names": self.names,
            "target": encode_array(self.target, "<f4"),
            "error": encode_array(self.error, "<f4"),
            "worst": {
                "point": self.worst_point.tolist(),
                "index": self.worst_index,
                "signed": self.worst_error,
                "error": abs(self.worst_error),
            },
        }


def work_per_point(network: SigmoidNetwork) -> int:
    """Return how many multiplications and sigmoids one evaluation takes."""
    return network.parameters + 20 * network.hidden_neurons


def sample(
    network: SigmoidNetwork, target: ShownTarget, box: Box, names: tuple[str, ...]
) -> Samples:
    """Evaluate both on as fine a grid as the network's size allows, and look around the worst."""
    dimension = box.dimension
    counts = _POINTS[dimension]
    allowed = _OPERATIONS / work_per_point(network)
    count = next((n for n in counts if n**dimension <= allowed), counts[-1])
    points = box.grid(count)
    values = np.asarray(target(points), dtype=np.float64)
    error = network(points) - values
    worst = points[np.argmax(np.abs(error))]
    worst, worst_error = _search_around(
        network, target, box, worst, box.sides / (count - 1), max(8, int(min(256, allowed / 20)))
    )
    return Samples(box, names, (count,) * dimension, values, error, worst, worst_error)


def _search_around(
    network: SigmoidNetwork,
    target: ShownTarget,
    box: Box,
    point: Floats,
    reach: Floats,
    tries: int,
) -> tuple[Floats, float]:
    """Return the worst of random points around ``point``, closing in; with its signed error."""
    generator = np.random.default_rng(0)
    best = point
    best_error = float((network(point[None]) - target(point[None]))[0])
    for _ in range(12):
        step = generator.uniform(-1, 1, (tries, box.dimension)) * reach
        near = np.clip(best + step, box.lower, box.upper)
        errors = network(near) - target(near)
        at = int(np.argmax(np.abs(errors)))
        if abs(errors[at]) > abs(best_error):
            best, best_error = near[at], float(errors[at])
        reach = reach / 2
    return best, best_error


@dataclass(frozen=True, eq=False)
class Plane:
    """The function on the box, or on a slice of it in two of its variables.

    Args:
        values: Shape (n,) in one dimension; (n, n) with the first axis first otherwise.
        axes: The variables that vary.
        title: What is shown, in words.
    """

    values: Floats
    box: Box
    axes: tuple[int, ...]
    names: tuple[str, ...]
    title: str

    def to_json(self) -> dict[str, Any]:
        """Return what the page reads: every second value, rows from the lowest."""
        thin = self.values[::4] if len(self.axes) == 1 else self.values[::2, ::2].T
        first, last = self.axes[0], self.axes[-1]
        return {
            "values": encode_array(thin, "<f4"),
            "columns": thin.shape[-1],
            "rows": 1 if thin.ndim == 1 else thin.shape[0],
            "xLow": self.box.lower[first],
            "xHigh": self.box.upper[first],
            "yLow": self.box.lower[last],
            "yHigh": self.box.upper[last],
            "names": [self.names[axis] for axis in self.axes],
            "title": self.title,
        }


def sample_plane(target: ShownTarget, samples: Samples) -> Plane:
    """Evaluate the function finely; beyond two dimensions on the slice through the worst point."""
    box, names = samples.box, samples.names
    axes = tuple(range(min(2, box.dimension)))
    count = _PLANE_POINTS[len(axes)]
    fixed = samples.worst_point
    points = np.tile(fixed, (count ** len(axes), 1))
    flat = Box(tuple(box.lower[a] for a in axes), tuple(box.upper[a] for a in axes))
    points[:, : len(axes)] = flat.grid(count)
    held = ", ".join(
        f"{names[a]} = {write_value(fixed[a])}" for a in range(len(axes), box.dimension)
    )
    values = np.asarray(target(points), dtype=np.float64).reshape((count,) * len(axes))
    return Plane(values, box, axes, names, f"f at {held}" if held else "f")
