"""The network as the page holds it: all weights of a small one, sums of a large one."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from pellucid.approximation.network import SigmoidNetwork
from pellucid.reports.approximation.contents import Floats
from pellucid.reports.approximation.embedding import encode_array
from pellucid.reports.approximation.samples import Samples, work_per_point

# What a browser evaluates on a few thousand points without a pause that is felt, and 300 kB.
_MOST_PARAMETERS = 20_000
_MOST_LAST_NEURONS = 600
_FRAMES = 20
_FRAME_POINTS = {1: (513, 129), 2: (65, 33, 17)}
_OPERATIONS = 3e8


def is_small(network: SigmoidNetwork) -> bool:
    """Say whether the page can hold all weights and evaluate them live."""
    return network.parameters <= _MOST_PARAMETERS and len(network.output_weight) <= (
        _MOST_LAST_NEURONS
    )


def embed_network(network: SigmoidNetwork) -> dict[str, Any]:
    """Return the weights, as compressed rows in double precision."""
    layers = []
    for layer in network.hidden:
        rows = scipy.sparse.csr_array(layer.weight)
        layers.append(
            {
                "starts": encode_array(rows.indptr, "<u4"),
                "columns": encode_array(rows.indices, "<u4"),
                "weights": encode_array(rows.data, "<f8"),
                "bias": encode_array(layer.bias, "<f8"),
                "groups": [
                    {"role": group.role, "start": group.start, "stop": group.stop}
                    for group in layer.groups
                ],
            }
        )
    return {
        "layers": layers,
        "outputWeight": encode_array(network.output_weight, "<f8"),
        "outputBias": network.output_bias,
    }


def choose_checks(network: SigmoidNetwork, samples: Samples) -> dict[str, Any]:
    """Return points and the network's values there, for the browser to compare its own with."""
    points = samples.box.sample(24, np.random.default_rng(0))
    points = np.concatenate([points, samples.box.vertices, samples.worst_point[None]])
    return {"points": points.tolist(), "values": network(points).tolist()}


def sum_frames(network: SigmoidNetwork, samples: Samples) -> dict[str, Any] | None:
    """Return sums of the first neurons of the last layer, for more and more of them.

    Args:
        network: One that is too large for the page.
        samples: Beyond two dimensions the sums are on the slice through its worst point.

    Returns:
        Sums on a coarse grid, quantized to 16 bits over their common range; None for a network so
        large that even one point in a thousand would take long.
    """
    axes = tuple(range(min(2, samples.box.dimension)))
    counts = _FRAME_POINTS[len(axes)]
    allowed = _OPERATIONS / work_per_point(network)
    count = next((n for n in counts if n ** len(axes) <= allowed), None)
    if count is None:
        return None
    points = _slice_points(samples, axes, count)
    total = len(network.output_weight)
    ends = np.unique(np.geomspace(1, total, _FRAMES).round().astype(int))
    sums = np.full((len(ends) + 1, len(points)), network.output_bias)
    chunk = max(1, 2**22 // max(network.neurons_per_layer))
    for start in range(0, len(points), chunk):
        part = points[start : start + chunk]
        for layer in network.hidden:
            part = layer(part)
        part = part * network.output_weight
        begin = 0
        for number, end in enumerate(ends, start=1):
            columns = slice(start, start + chunk)
            sums[number, columns] = sums[number - 1, columns] + part[:, begin:end].sum(axis=1)
            begin = end
    low, high = float(sums.min()), float(sums.max())
    scaled = np.round((sums - low) / ((high - low) or 1.0) * 65535)
    last = network.hidden[-1]
    roles = ["Nothing but the output bias yet."]
    roles += [f"The newest neuron: {last.role(int(e) - 1) or 'no role given'}." for e in ends]
    shape = (count, count) if len(axes) == 2 else (count, 1)
    return {
        "low": low,
        "high": high,
        "columns": shape[0],
        "rows": shape[1],
        "across": 0,
        "up": 1,
        "sums": [
            {"count": int(end), "values": encode_array(_as_rows(frame, shape), "<u2"), "role": role}
            for end, frame, role in zip([0, *ends], scaled, roles, strict=True)
        ],
    }


def _slice_points(samples: Samples, axes: tuple[int, ...], count: int) -> Floats:
    points = np.tile(samples.worst_point, (count ** len(axes), 1))
    box = samples.box
    lines = [np.linspace(box.lower[axis], box.upper[axis], count) for axis in axes]
    mesh = np.meshgrid(*lines, indexing="ij")
    points[:, : len(axes)] = np.stack([part.ravel() for part in mesh], axis=1)
    return points


def _as_rows(frame: Floats, shape: tuple[int, int]) -> Floats:
    """Turn first-axis-first into rows from the lowest, as the page draws them."""
    return frame.reshape(shape).T
