"""Monomials in several variables, by total degree, and how truncated polynomials multiply."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Monomials:
    """Exponents up to a total degree, sorted by degree, and how they multiply."""

    dimension: int
    degree: int
    exponents: NDArray[np.int64]
    degrees: NDArray[np.int64]
    starts: NDArray[np.int64]  # first monomial of each degree
    factors: tuple[tuple[Array, Array, Array, Array], ...]  # by degree of the product
    shares: NDArray[np.float64]  # (dimension, monomials): exponent / degree, 0 for the constant

    @property
    def count(self) -> int:
        """Number of monomials."""
        return len(self.degrees)


@lru_cache(maxsize=64)
def monomials(dimension: int, degree: int) -> Monomials:
    """Return the monomials of total degree at most ``degree`` in ``dimension`` variables."""
    every = itertools.product(range(degree + 1), repeat=dimension)
    exponents = sorted((e for e in every if sum(e) <= degree), key=lambda e: (sum(e), e[::-1]))
    place = {e: i for i, e in enumerate(exponents)}
    table = np.array(exponents, dtype=np.int64).reshape(-1, dimension)
    degrees = table.sum(axis=1)
    triples = []
    for i, left in enumerate(exponents):
        for j, right in enumerate(exponents):
            if degrees[i] + degrees[j] <= degree:
                triples.append((place[tuple(map(sum, zip(left, right, strict=True)))], i, j))
    triples.sort()
    into, left, right = np.array(triples).T
    factors = []
    for limit in range(degree + 1):
        kept = into < np.searchsorted(degrees, limit, side="right")
        begins = np.flatnonzero(np.diff(into[kept], prepend=-1))
        factors.append((left[kept], right[kept], begins, into[kept]))
    shares = np.divide(table, degrees[:, None], where=degrees[:, None] > 0, out=table * 0.0).T
    starts = np.searchsorted(degrees, np.arange(degree + 1))
    return Monomials(dimension, degree, table, degrees, starts, tuple(factors), shares)


@lru_cache(maxsize=256)
def raised(dimension: int, degree: int, limit: int) -> tuple[Array, Array, Array, Array]:
    """Return how to multiply degrees below ``limit`` with degrees above 0, up to ``limit``."""
    m = monomials(dimension, degree)
    left, right, _, into = m.factors[limit]
    kept = (m.degrees[left] < limit) & (m.degrees[right] > 0)
    left, right, into = left[kept], right[kept], into[kept]
    return left, right, np.flatnonzero(np.diff(into, prepend=-1)), into
