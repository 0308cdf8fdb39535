"""The largest value of a polynomial on a cube, from its values on a Chebyshev grid.

A polynomial of degree at most K in each variable satisfies ``max |p| <= max_grid |p| / cos(K pi /
(2 G))^d`` on [-1, 1]^d, the grid being the G Chebyshev nodes in each variable, G > K.

Source: Ehlich, Zeller, Schwankung von Polynomen zwischen Gitterpunkten, Math. Z. 86, 1964, for one
variable; the tensor product follows one variable at a time.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pellucid.approximation.certificate.taylor_models import UNIT_ROUNDOFF, Floats, monomials

_CHUNK_ENTRIES = 2**21


def polynomial_range(
    coefficients: Floats, *, dimension: int, degree: int, nodes: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Enclose the values of polynomials on [-1, 1]^dimension.

    Args:
        coefficients: Shape (monomials, n), ordered as by ``monomials(dimension, degree)``.
        dimension: Number of variables.
        degree: Total degree K.
        nodes: Grid points in each variable, above ``degree``.

    Returns:
        Four arrays (n,): a lower and an upper bound of the values; the smallest and the largest
        value seen on the grid, each within rounding of a value the polynomial takes.
    """
    table = _grid_table(dimension, degree, nodes)
    factor = (1.0 + 1e-12) / math.cos(degree * math.pi / (2 * nodes)) ** dimension
    n = coefficients.shape[1]
    least, most = np.empty(n), np.empty(n)
    step = max(1, _CHUNK_ENTRIES // len(table))
    for start in range(0, n, step):
        values = table @ coefficients[:, start : start + step]
        least[start : start + step] = values.min(axis=0)
        most[start : start + step] = values.max(axis=0)
    size = np.abs(coefficients).sum(axis=0)
    # Sums of `monomials` terms, the powers of the nodes, and nodes that are rounded themselves.
    rounding = 8 * (len(coefficients) + degree * degree * dimension) * UNIT_ROUNDOFF * size
    middle, radius = (least + most) / 2, (most - least) / 2
    reach = (radius + rounding) * factor + rounding
    # The sum of absolute values is the better bound where the polynomial hardly varies.
    swing = size - np.abs(coefficients[0]) + rounding
    lower = np.maximum(middle - reach, coefficients[0] - swing * (1 + 1e-12))
    upper = np.minimum(middle + reach, coefficients[0] + swing * (1 + 1e-12))
    tiny = 4 * UNIT_ROUNDOFF * (np.abs(middle) + np.abs(coefficients[0]))
    return lower - tiny, upper + tiny, least - rounding, most + rounding


@lru_cache(maxsize=32)
def _grid_table(dimension: int, degree: int, nodes: int) -> Floats:
    """Return the monomials at the grid points, shape (nodes**dimension, monomials)."""
    line = np.cos(np.pi * (2 * np.arange(nodes) + 1) / (2 * nodes))
    powers = line[:, None] ** np.arange(degree + 1)
    table = np.ones((1, monomials(dimension, degree).count))
    for axis in range(dimension):
        column = powers[:, monomials(dimension, degree).exponents[:, axis]]
        table = (table[:, None, :] * column[None]).reshape((-1, table.shape[1]))
    return table
