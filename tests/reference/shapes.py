"""The text-book shapes as a person would type them, one point at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tests.reference.sigmoid_network import sigmoid as s


def bump_value(x: float, rise: float, fall: float, height: float, w: float) -> float:
    return height * s(w * x - w * rise) + height * s(-w * x + w * fall) - height


def tower_value(
    point: Sequence[float],
    rise: Sequence[float],
    fall: Sequence[float],
    height: float,
    w: float,
    gate: float,
) -> float:
    total = -gate * (2 * len(point) - 0.5)
    for x, low, high in zip(point, rise, fall, strict=True):
        total += gate * s(w * x - w * low)
        total += gate * s(-w * x + w * high)
    return height * s(total)


def l1_distance_by_sums(rise: float, fall: float, height: float, w: float) -> float:
    """Area between bump and ideal bump by the midpoint rule, each smooth piece by itself."""
    reach = 60 / w
    total = 0.0
    for low, high, ideal in (
        (rise - reach, rise, 0.0),
        (rise, fall, height),
        (fall, fall + reach, 0.0),
    ):
        n = 20_000
        for i in range(n):
            x = low + (high - low) * (i + 0.5) / n
            total += abs(bump_value(x, rise, fall, height, w) - ideal) * (high - low) / n
    return total


def tiled_value(
    f: Callable[[Sequence[float]], float],
    point: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    cells: Sequence[int],
    w: float,
    gate: float,
    shifts: int = 1,
) -> float:
    """Every tower of every shifted tiling, added up in the order a person would."""
    d = len(point)
    sides = [(b - a) / k for a, b, k in zip(lower, upper, cells, strict=True)]
    total = 0.0
    for shift in range(shifts):
        extra = 1 if shift else 0
        counts = [k + extra for k in cells]
        for number in range(math.prod(counts)):
            index = []
            for count in reversed(counts):
                index.insert(0, number % count)
                number //= count
            low = [
                a + (i - (shifts - shift) / shifts * extra) * side
                for a, i, side in zip(lower, index, sides, strict=True)
            ]
            high = [x + side for x, side in zip(low, sides, strict=True)]
            center = [
                min(max((p + q) / 2, a), b)
                for p, q, a, b in zip(low, high, lower, upper, strict=True)
            ]
            value = f(center) / shifts
            if d == 1:
                total += bump_value(point[0], low[0], high[0], value, w)
            else:
                total += tower_value(point, low, high, value, w, gate)
    return total
