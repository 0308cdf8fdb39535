"""Enclosures of the error of a network, for each kind of target that has enclosures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.branch_and_bound import Enclosure
from pellucid.approximation.certificate.expression_models import expression_model
from pellucid.approximation.certificate.network_models import network_model
from pellucid.approximation.certificate.taylor_models import WIDEN, Arithmetic, Floats, Model
from pellucid.approximation.formula_tree import Expression
from pellucid.approximation.network import SigmoidNetwork


def expression_error(expression: Expression, network: SigmoidNetwork) -> Enclosure:
    """Return an enclosure of ``expression - network``."""

    def enclose(arithmetic: Arithmetic) -> Model:
        model = expression_model(expression, arithmetic)
        return arithmetic.add(model, network_model(network, arithmetic), subtract=True)

    return enclose


def table_error(
    values: Floats,
    axes: Sequence[Floats],
    lipschitz: Sequence[float],
    network: SigmoidNetwork,
) -> Enclosure:
    """Return an enclosure of the error of all functions that fit a table.

    In a cell with corners v the function lies between the affine functions ``f(v) - L . |x - v|``
    and ``f(v) + L . |x - v|`` of every corner. Each box takes the corners whose bounds are best in
    its middle; what is left between them there cannot be made smaller by halving.

    Args:
        values: At the grid points, shape (n_1, ..., n_d).
        axes: Coordinates of the grid points, increasing.
        lipschitz: Per coordinate.
        network: The network.
    """
    constants = np.asarray(lipschitz, dtype=np.float64)

    def enclose(on: Arithmetic) -> Model:
        middle, radius = on.middle, on.radius
        d = on.dimension
        cell = [
            np.clip(np.searchsorted(line, middle[i], side="right") - 1, 0, len(line) - 2)
            for i, line in enumerate(axes)
        ]
        above, below = np.full(on.count, np.inf), np.full(on.count, -np.inf)
        slope_above, slope_below = np.zeros((d, on.count)), np.zeros((d, on.count))
        for corner in itertools.product((0, 1), repeat=d):
            place = tuple(c + step for c, step in zip(cell, corner, strict=True))
            value = values[place]
            # Toward the corner's own side the distance to it grows with x, or falls.
            sign = np.array([1.0 if step == 0 else -1.0 for step in corner])[:, None]
            position = np.stack([line[p] for line, p in zip(axes, place, strict=True)])
            distance = constants[:, None] * np.abs(middle - position)
            far = distance.sum(axis=0)
            slack = 8 * 2.0**-53 * (np.abs(value) + far)
            up, down = value + far + slack, value - far - slack
            slope = sign * constants[:, None]
            better = up < above
            above = np.where(better, up, above)
            slope_above = np.where(better, slope, slope_above)
            better = down > below
            below = np.where(better, down, below)
            slope_below = np.where(better, -slope, slope_below)
        gap = np.maximum(above - below, 0.0) / 2
        remainder = np.zeros((d + 1, on.count))
        remainder[:d] = np.abs(slope_above - slope_below) / 2 * radius * WIDEN
        remainder[-1] = gap * WIDEN + 8 * 2.0**-53 * (
            np.abs(above) + np.abs(below) + (np.abs(slope_above) * radius).sum(axis=0)
        )
        coefficients = on.zeros((on.count,))
        coefficients[0] = on.exact((above + below) / 2)
        coefficients[1 : d + 1] = on.exact((slope_above + slope_below) / 2 * radius)
        infinite = np.full(on.count, np.inf)
        table = on.finish(coefficients, remainder, -infinite, infinite)
        return on.add(table, network_model(network, on), subtract=True)

    return enclose


def table_boxes(axes: Sequence[Floats], box: Box) -> tuple[Floats, Floats]:
    """Return boxes that each lie in one cell of a table, nearest to one of its corners."""
    lines: list[NDArray[np.float64]] = []
    for line, low, high in zip(axes, box.lower, box.upper, strict=True):
        cuts = np.union1d(line, (line[:-1] + line[1:]) / 2)
        inner = cuts[(cuts > low) & (cuts < high)]
        lines.append(np.concatenate([[low], inner, [high]]))
    lower = np.meshgrid(*(line[:-1] for line in lines), indexing="ij")
    upper = np.meshgrid(*(line[1:] for line in lines), indexing="ij")
    return (
        np.stack([part.ravel() for part in lower], axis=1),
        np.stack([part.ravel() for part in upper], axis=1),
    )
