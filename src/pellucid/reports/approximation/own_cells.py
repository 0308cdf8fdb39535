"""The cells that a staircase, grid or kd network itself stands on, read from its weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.certificate.cell_recognition import recognize
from pellucid.approximation.network import SigmoidNetwork
from pellucid.reports.approximation.contents import Floats
from pellucid.reports.approximation.embedding import encode_array
from pellucid.reports.approximation.samples import Samples

# Others may have weights of the same form without steep steps: then no cell is flat.
_SCHEMES = ("staircase", "grid", "kd", "kd_cells")
_MOST_CELLS = 20_000_000  # of the complete grid through all edges, 160 MB
_PICTURE = 256


def draw_own_cells(network: SigmoidNetwork, samples: Samples) -> dict[str, Any] | None:
    """Return a picture of the piecewise constant function that the network smooths at its edges.

    Args:
        network: Any.
        samples: Beyond two dimensions the picture is the slice through its worst point.

    Returns:
        In one dimension the ends and values of the cells; otherwise values at the centers of an
        even grid of pixels, rows from the lowest. None for networks that do not stand on cells.
    """
    cells = recognize(network) if network.scheme in _SCHEMES else None
    if cells is None or math.prod(cells.shape) > _MOST_CELLS or len(cells.jumps) == 0:
        return None
    box, table = samples.box, cells.values()
    edges = [
        [float(place) for place in places if low < place < high]
        for places, low, high in zip(cells.edges, box.lower, box.upper, strict=True)
    ]
    shared = {"edges": [len(part) for part in edges], "vertices": len(cells.jumps)}
    if box.dimension == 1:
        ends = [box.lower[0], *edges[0], box.upper[0]]
        middles = (np.array(ends[1:]) + ends[:-1]) / 2
        values = table[np.searchsorted(cells.edges[0], middles, side="right")]
        return shared | {"ends": encode_array(ends, "<f8"), "values": encode_array(values, "<f8")}
    for axis in range(box.dimension - 1, 1, -1):
        at = int(np.searchsorted(cells.edges[axis], samples.worst_point[axis], side="right"))
        table = np.take(table, at, axis=axis)
    across, up = (_pixels(cells.edges[a], box.lower[a], box.upper[a]) for a in (0, 1))
    picture = table[across[:, None], up].T
    return shared | {"size": _PICTURE, "values": encode_array(picture, "<f4")}


def _pixels(edges: Floats, low: float, high: float) -> NDArray[np.intp]:
    """Return the cell of each pixel's center on one axis."""
    centers = low + (high - low) * (np.arange(_PICTURE) + 0.5) / _PICTURE
    return np.searchsorted(edges, centers, side="right")
