"""Interpolation at Chebyshev nodes, in float64 and in arb."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.enclosures import working_precision

Array = NDArray[Any]
Floats = NDArray[np.float64]

UNIT_ROUNDOFF = 2.0**-53
# Sums and products of positive numbers, fewer than 10^5 of them, err by less than this factor.
WIDEN = 1.0 + 1e-10
BALL_BITS = 80

_to_ball = np.frompyfunc(flint.arb, 1, 1)


@lru_cache(maxsize=64)
def chebyshev(degree: int, balls: bool) -> tuple[Array, Array, Array]:
    """Return nodes, values-to-Chebyshev and Chebyshev-to-monomial matrices."""
    count = degree + 1
    rows = np.zeros((count, count))  # T_k as a polynomial; integers
    rows[0, 0] = 1.0
    for k in range(1, count):
        rows[k, 1:] += (2.0 if k > 1 else 1.0) * rows[k - 1, :-1]
        if k > 1:
            rows[k] -= rows[k - 2]
    with working_precision(BALL_BITS):
        pi = flint.arb.pi()
        angle = [pi * (2 * j + 1) / (2 * count) for j in range(count)]
        nodes = np.array([a.cos() for a in angle], dtype=object)
        entries = [[(a * k).cos() * (2 if k else 1) / count for a in angle] for k in range(count)]
        fit = np.array(entries, dtype=object)
        if balls:
            return nodes, fit, np.asarray(_to_ball(rows.T), dtype=object)
        return nodes.astype(np.float64), fit.astype(np.float64), rows.T


def lagrange(radius: Floats, degree: int) -> Floats:
    """Return ``radius^n / (n! 2^(n-1))``, n = degree + 1, rounded up."""
    order = degree + 1
    return radius**order / (math.factorial(order) * 2.0**degree) * WIDEN


def contract(matrix: Array, values: Array) -> Array:
    """Multiply a small matrix with an array along its first axis."""
    flat = values.reshape((len(values), -1))
    if matrix.dtype == object:
        left = flint.arb_mat(len(matrix), len(values), matrix.ravel().tolist())
        right = flint.arb_mat(len(values), flat.shape[1], flat.ravel().tolist())
        product = np.array((left * right).entries(), dtype=object)
        return product.reshape((len(matrix), *values.shape[1:]))
    return (matrix @ flat).reshape((len(matrix), *values.shape[1:]))
