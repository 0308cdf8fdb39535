"""The text-book shapes as networks: bump, ridge bump and tower, and the way back from weights.

Their designs, with what each formula promises, are in `shape_designs`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np

from pellucid._checks import UsageError
from pellucid.approximation.network import SigmoidNetwork
from pellucid.approximation.shape_designs import (
    GATE,
    STEEPNESS,
    BumpDesign,
    TowerDesign,
    steepness_for_peak,
    vanishing_side,
)

__all__ = [
    "BumpDesign",
    "TowerDesign",
    "bump",
    "read_bump",
    "read_tower",
    "ridge_bump",
    "steepness_for_peak",
    "tower",
    "vanishing_side",
]


def bump(
    rise: float,
    fall: float,
    height: float = 1.0,
    steepness: float | tuple[float, float] = STEEPNESS,
) -> SigmoidNetwork:
    """Write down a bump of one variable: two hidden neurons.

    Args:
        rise: Where it rises.
        fall: Where it falls, above ``rise``.
        height: Of the plateau.
        steepness: Of the steps, or (of the rise, of the fall).

    Raises:
        UsageError: As :class:`BumpDesign`.

    Warns:
        UserWarning: The bump does not reach half its height.

    Example:
        >>> network = bump(0.4, 0.6, 1.0, 500.0)
        >>> network(np.array([[0.5], [0.4], [0.0]])).round(6) + 0.0
        array([1. , 0.5, 0. ])
    """
    return _build(BumpDesign(rise, fall, height, steepness))


def ridge_bump(
    rise: float,
    fall: float,
    height: float = 1.0,
    steepness: float | tuple[float, float] = STEEPNESS,
    *,
    direction: Sequence[float] = (1.0, 0.0),
) -> SigmoidNetwork:
    """Write down a bump across a direction of several variables: two hidden neurons in one layer.

    Args:
        rise: Where it rises: ``direction · x = rise``.
        fall: Where it falls.
        height: Of the plateau.
        steepness: Of the steps, or (of the rise, of the fall).
        direction: Shape (d,); its length counts, (1, 0) and (2, 0) are two steepnesses.

    Raises:
        UsageError: As :class:`BumpDesign`.

    Warns:
        UserWarning: The bump does not reach half its height.

    Example:
        >>> ridge_bump(0.3, 0.7).hidden[0].bias
        array([-150.,  350.])
    """
    return _build(BumpDesign(rise, fall, height, steepness, tuple(direction)))


def tower(
    rise: float | Sequence[float],
    fall: float | Sequence[float],
    height: float = 1.0,
    steepness: float = STEEPNESS,
    *,
    gate: float = GATE,
    dimension: int = 2,
) -> SigmoidNetwork:
    """Write down a tower: 2d + 1 hidden neurons in two layers, five in two dimensions.

    Args:
        rise: Where it rises, one number for each variable or one for all.
        fall: Where it falls, likewise.
        height: Of the roof.
        steepness: Of the steps.
        gate: Steepness of the second layer.
        dimension: Number of variables where both ends are one number for all.

    Raises:
        UsageError: As :class:`TowerDesign`.

    Warns:
        UserWarning: The tower does not reach half its height.

    Example:
        >>> tower(0.45, 0.55).hidden[0].bias
        array([-225.,  275., -225.,  275.])
    """
    given = [len(ends) for ends in (rise, fall) if isinstance(ends, Sequence)]
    count = given[0] if given else dimension
    return _build(
        TowerDesign(_for_each(rise, count), _for_each(fall, count), height, steepness, gate)
    )


def read_bump(network: SigmoidNetwork) -> BumpDesign:
    """Return what a bump's weights mean; the way back from `bump` and `ridge_bump`.

    The largest entry of the direction is then 1 in size: the weights hold only the product of
    steepness and direction.

    Raises:
        UsageError: The network is no bump.

    Example:
        >>> read_bump(ridge_bump(0.3, 0.7)).direction
        (1.0, 0.0)
    """
    layer = network.hidden[0] if len(network.hidden) == 1 else None
    if layer is None or layer.neurons != 2:
        raise UsageError("network must be a bump: one hidden layer with two neurons.")
    rows = np.array([[layer.row(n).get(i, 0.0) for i in range(layer.inputs)] for n in (0, 1)])
    sizes = np.abs(rows).max(axis=1)
    height = float(network.output_weight[0])
    if not sizes.all() or not np.allclose(rows[0] / sizes[0], -rows[1] / sizes[1], rtol=1e-12):
        raise UsageError(
            "network must be a bump: two steps across one direction, one up and one down."
        )
    if network.output_weight[1] != height or network.output_bias != -height:
        raise UsageError("network must be a bump: both output weights h and the output bias -h.")
    direction = rows[0] / sizes[0]
    if len(direction) == 1 and direction[0] < 0:
        raise UsageError("network must be a bump whose first neuron is the step up.")
    return BumpDesign(
        float(-layer.bias[0] / sizes[0]),
        float(layer.bias[1] / sizes[1]),
        height,
        (float(sizes[0]), float(sizes[1])),
        tuple(float(part) for part in direction),
    )


def read_tower(network: SigmoidNetwork) -> TowerDesign:
    """Return what a tower's weights mean; the way back from `tower`.

    Raises:
        UsageError: The network is no tower.

    Example:
        >>> read_tower(tower(0.45, 0.55)).fall
        (0.55, 0.55)
    """
    count = network.input_dimension
    if network.neurons_per_layer != (2 * count, 1):
        raise UsageError(
            f"network must be a tower: {2 * count} steps in the first hidden layer, one neuron "
            f"in the second, got {network.neurons_per_layer}."
        )
    steps, gate_layer = network.hidden
    steepness = steps.row(0).get(0, 0.0)
    gate = gate_layer.row(0).get(0, 0.0)
    rows = [steps.row(neuron) for neuron in range(2 * count)]
    wanted = [{neuron // 2: steepness * (-1) ** neuron} for neuron in range(2 * count)]
    is_gate = gate_layer.row(0) == dict.fromkeys(range(2 * count), gate)
    if steepness <= 0 or gate <= 0 or rows != wanted or not is_gate or network.output_bias != 0:
        raise UsageError("network must be a tower: a step up and a step down for each variable.")
    if not math.isclose(gate_layer.bias[0], -gate * (2 * count - 0.5), rel_tol=1e-12):
        raise UsageError("network must be a tower: its gate opens half a step below all steps.")
    return TowerDesign(
        tuple(float(-value / steepness) for value in steps.bias[0::2]),
        tuple(float(value / steepness) for value in steps.bias[1::2]),
        float(network.output_weight[0]),
        steepness,
        gate,
    )


def _build(design: BumpDesign | TowerDesign) -> SigmoidNetwork:
    if abs(design.peak) < 0.5 * abs(design.height):
        warnings.warn(design.remarks[0], UserWarning, stacklevel=3)
    return design.to_network()


def _for_each(ends: float | Sequence[float], count: int) -> tuple[float, ...]:
    return tuple(ends) if isinstance(ends, Sequence) else (ends,) * count
