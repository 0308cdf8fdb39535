"""Product gadgets: how second-layer sigmoids turn sums of first-layer functions into products.

Every function here states its error; the four-neuron product is the text-book one, the exponential
neuron the one that counts fewest: where its input is far below zero, ``s(z) = e^z / (1 + e^z)`` is
an exponential, and the exponential of a sum of functions of single variables is their product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pellucid._checks import check_number

Floats = NDArray[np.float64]
INFLECTION = math.log(5 + 2 * math.sqrt(6))
"""B = 2.2924..., where the fourth derivative of s vanishes: ``e^B = 5 + 2 sqrt 6``."""
LEVEL = -3.0
"""Largest input of an exponential neuron as it is written down: s and exp differ by 5 % there."""


@dataclass(frozen=True, eq=False)
class Unit:
    """What one second-layer neuron is to compute, on the grid of the fitting points.

    Attributes:
        wanted: Its input, a sum of functions of single directions, shape (m,).
        importance: Weight of each point in the fit of that input, shape (m,).
        output: Its weight in the network's output.
        role: In words.
    """

    wanted: Floats
    importance: Floats
    output: float
    role: str


def exponential_unit(product: Floats, *, role: str, floor: float = 1e-7) -> Unit:
    """Return the neuron ``M s(ln(p/M))`` for a product p of one sign.

    Its relative error is ``p/(M + p)``, at most ``e^LEVEL = 5 %`` with ``M = e^-LEVEL max p``; the
    correction of the second layer takes most of that away.

    Args:
        product: Values of p on the grid, all >= 0 or all <= 0, shape (m,).
        role: In words.
        floor: Values below this share of the largest are cut off before the logarithm; they
            hardly count in the fit.
    """
    sign = 1.0 if product.max() >= -product.min() else -1.0
    size = np.maximum(sign * product, 0.0)
    top = float(size.max())
    share = size / top
    return Unit(
        np.log(np.maximum(share, floor)) + LEVEL,
        share + 1e-3,
        sign * top * math.exp(-LEVEL),
        role,
    )


def hyperbolic_units(signed: Floats, positive: Floats, *, role: str) -> tuple[Unit, Unit]:
    """Return two neurons for u v with u of either sign and v > 0: ``v e^A - v e^-A = 2 v sinh A``.

    With ``A = asinh(u/2)`` the difference of two exponential neurons is u v exactly, up to their
    own error; no linear part is left over.

    Args:
        signed: u on the grid, shape (m,).
        positive: v on the grid, > 0 (values at or below 0 are cut off), shape (m,).
        role: In words.
    """
    half = np.arcsinh(signed / 2 * (3.0 / max(float(np.abs(signed).max()), 1e-300)))
    scale = max(float(np.abs(signed).max()), 1e-300) / 3.0
    top = float(positive.max())
    logs = np.log(np.maximum(positive / top, 1e-7))
    reach = float(np.abs(half).max())
    weight = scale * top * math.exp(reach - LEVEL)
    share = positive / top + 1e-3
    return (
        Unit(logs + half - reach + LEVEL, share, weight, f"{role}, rising half"),
        Unit(logs - half - reach + LEVEL, share, -weight, f"{role}, falling half"),
    )


def linear_unit(values: Floats, *, step: float = 0.3, role: str) -> tuple[Unit, float]:
    """Return the neuron ``4 S/h (s(h f/S) - 1/2)`` that hands f on, and the constant it needs.

    Its error is at most ``S h^2/12`` with ``S = max|f|``, from ``s(z) - 1/2 - z/4 = -z^3/48 ...``.

    Args:
        values: f on the grid, shape (m,).
        step: h.
        role: In words.
    """
    size = max(float(np.abs(values).max()), 1e-300)
    weight = 4 * size / step
    return Unit(step * values / size, np.ones(len(values)), weight, role), -weight / 2


def four_neuron_product(step: float) -> tuple[Floats, Floats, Floats]:
    """Return the four-neuron product of u and v in [-1, 1].

    ``uv = [s(B+h(u+v)) + s(B-h(u+v)) - s(B+h(u-v)) - s(B-h(u-v))] / (4 h^2 s''(B))`` up to
    ``0.267 h^4``: the error is ``(h^4 s^(6)(B)/s''(B)) uv (3u^4 + 10u^2v^2 + 3v^4)/360`` to leading
    order, since the fourth derivative vanishes at B.

    Args:
        step: h > 0; below about 0.01 rounding takes over, as the weights grow like 1/h^2.

    Returns:
        Weights of (u, v), shape (4, 2); biases, shape (4,); output weights, shape (4,).

    Source: Lin, Tegmark and Rolnick 2017, "Why does deep and cheap learning work so well?", eq. 11.
    Deviation: expanded at B, where the fourth derivative vanishes, so that h^4 is what is left.
    """
    check_number("step", step, low=0, open_low=True)
    weight = step * np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    value = float(expit(INFLECTION))
    second = value * (1 - value) * (1 - 2 * value)
    output = np.array([1.0, 1.0, -1.0, -1.0]) / (4 * step * step * second)
    return weight, np.full(4, INFLECTION), output
