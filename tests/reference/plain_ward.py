"""Ward's clustering of an image's pixels, one merge at a time, all sums anew each time."""

from __future__ import annotations

import numpy as np


def join_pixels(colors: np.ndarray, count: int) -> set[frozenset[tuple[int, int]]]:
    """Return the regions, as sets of (row, column), that are left when there are ``count``.

    Args:
        colors: (height, width, channels).
        count: At most as many as pixels.
    """
    height, width = colors.shape[:2]
    regions = {frozenset([(row, column)]) for row in range(height) for column in range(width)}
    while len(regions) > count:
        pairs = [(a, b) for a in regions for b in regions if a != b and _touch(a, b)]
        first, second = min(
            pairs,
            key=lambda pair: (
                _scatter(colors, pair[0] | pair[1])
                - _scatter(colors, pair[0])
                - _scatter(colors, pair[1])
            ),
        )
        regions = regions - {first, second} | {first | second}
    return regions


def _touch(first: frozenset[tuple[int, int]], second: frozenset[tuple[int, int]]) -> bool:
    return any(abs(r - s) + abs(c - d) == 1 for r, c in first for s, d in second)


def _scatter(colors: np.ndarray, region: frozenset[tuple[int, int]]) -> float:
    here = np.array([colors[place] for place in sorted(region)])
    return float(((here - here.mean(axis=0)) ** 2).sum())
