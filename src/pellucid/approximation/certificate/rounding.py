"""How far a network computed in floating point can be from the network in real arithmetic.

Assumed: sums of n products err by at most ``n u / (1 - n u)`` times the sum of absolute values, in
any order (IEEE 754; u is the unit roundoff); a computed sigmoid is within ``SIGMOID_ULPS`` units in
the last place. Weights are exact in float64 and rounded once in float32, and so are points.

Source: Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.branch_and_bound import equal_parts
from pellucid.approximation.certificate.network_models import hidden_models
from pellucid.approximation.certificate.taylor_models import WIDEN, Arithmetic, Floats, Model
from pellucid.approximation.network import SigmoidNetwork, dense

SIGMOID_ULPS = 4
FLOAT64, FLOAT32 = 2.0**-53, 2.0**-24
_PARTS = {1: 64, 2: 12, 3: 5, 4: 3}
_CHUNK_ENTRIES = 4_000_000
# In a larger network the ranges of all neurons on all parts would cost more than they tell.
_LARGEST_NETWORK = 2_000


def rounding_bound(network: SigmoidNetwork, box: Box) -> tuple[float, float]:
    """Bound the rounding error of dense evaluation anywhere in a box, in float64 and float32.

    The error of a layer is carried through the slopes of the sigmoids on each of some equal parts
    of the box: where an output weight is huge, the neuron it belongs to is often almost 0.
    """
    if network.hidden_neurons > _LARGEST_NETWORK:
        reach = np.abs(np.stack([box.lower, box.upper])).max(axis=0)[:, None]
        return tuple(_bound(network, None, reach, u) for u in (FLOAT64, FLOAT32))  # type: ignore
    lower, upper = equal_parts(box, _PARTS[box.dimension])
    widest = max([1, *network.neurons_per_layer])
    step = max(1, _CHUNK_ENTRIES // (10 * widest))
    found = np.zeros(2)
    for first in range(0, len(lower), step):
        ends = lower[first : first + step], upper[first : first + step]
        arithmetic = Arithmetic(*ends, degree=2)
        layers = [argument for argument, _ in hidden_models(network, arithmetic)]
        reach = np.maximum(np.abs(ends[0]), np.abs(ends[1])).T
        for i, unit in enumerate((FLOAT64, FLOAT32)):
            found[i] = max(found[i], _bound(network, layers, reach, unit))
    return float(found[0]), float(found[1])


def _bound(
    network: SigmoidNetwork, arguments: list[Model] | None, reach: Floats, unit: float
) -> float:
    """Carry errors through the layers; all arrays are (neurons, parts)."""
    rounded = unit > FLOAT64  # weights and points are rounded too
    size, error = reach, reach * (unit if rounded else 0.0)
    for number, layer in enumerate(network.hidden):
        spread = abs(layer.weight) if arguments is None else np.abs(dense(layer.weight))
        terms = layer.inputs + 2 + (2 if rounded else 0)
        gamma = terms * unit / (1 - terms * unit)
        bias = np.abs(layer.bias)[:, None]
        error = spread @ error + gamma * (spread @ (size + error) + bias)
        if arguments is None:
            slope, size = np.full(error.shape, 0.25), np.ones(error.shape)
        else:
            low = arguments[number].lower - error
            high = arguments[number].upper + error
            near = np.clip(0.0, low, high)
            slope = expit(near) * expit(-near) * WIDEN
            size = expit(high) * WIDEN
        error = np.minimum(slope * error, 1.0) + 2 * SIGMOID_ULPS * unit * size
    spread = np.abs(network.output_weight)[None]
    terms = len(network.output_weight) + 2 + (2 if rounded else 0)
    gamma = terms * unit / (1 - terms * unit)
    if not network.hidden:
        return gamma * abs(network.output_bias)
    total = spread @ error + gamma * (spread @ (size + error) + abs(network.output_bias))
    return float(total.max()) * WIDEN
