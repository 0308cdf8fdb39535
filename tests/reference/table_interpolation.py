"""Multilinear interpolation one point at a time, and the range of it by corners and samples."""

from __future__ import annotations

import itertools
from fractions import Fraction


def interpolate(values, box, point):
    """Return the interpolation as an exact fraction."""
    cells, shares = [], []
    for low, high, count, x in zip(box.lower, box.upper, values.shape, point, strict=True):
        scaled = (Fraction(x) - Fraction(low)) / (Fraction(high) - Fraction(low)) * (count - 1)
        cell = min(max(int(scaled), 0), count - 2)
        cells.append(cell)
        shares.append(scaled - cell)
    total = Fraction(0)
    for corner in itertools.product((0, 1), repeat=len(cells)):
        weight = Fraction(1)
        for side, share in zip(corner, shares, strict=True):
            weight *= share if side else 1 - share
        index = tuple(cell + side for cell, side in zip(cells, corner, strict=True))
        total += weight * Fraction(float(values[index]))
    return total
