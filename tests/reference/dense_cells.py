"""Networks of cells the slow way: one cell after the other."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests.reference.sigmoid_network import sigmoid


def windowed_sum(edges, steepness, values, gain, offset, centre, point, reach) -> float:
    """Sum the weights of all cells within some edges of a point, from joint differences."""
    d = len(edges)
    lists = []
    for axis in range(d):
        places = edges[axis]
        near = [
            i + 1 for i, a in enumerate(places) if abs(steepness[axis] * (point[axis] - a)) < reach
        ]
        on = sum(1 for a in places if steepness[axis] * (point[axis] - a) >= reach)
        lists.append([on, *near])

    def joint(steps) -> float:
        """Return C with these steps, -1 for one beyond the last near one."""
        total = 0.0
        for axis, step in enumerate(steps):
            if step < 0:
                return 0.0
            if step == lists[axis][0]:
                continue
            z = steepness[axis] * (point[axis] - edges[axis][step - 1]) + centre
            total += gain * sigmoid(max(-z, -700.0))
        return sigmoid(max(-total - offset, -700.0)) / sigmoid(-offset)

    result = []
    for pick in itertools.product(*(range(len(part)) for part in lists)):
        weight = []
        for up in itertools.product((0, 1), repeat=d):
            steps = [
                lists[axis][i + u] if i + u < len(lists[axis]) else -1
                for axis, (i, u) in enumerate(zip(pick, up, strict=True))
            ]
            weight.append((-1) ** sum(up) * joint(steps))
        cell = tuple(lists[axis][i] for axis, i in enumerate(pick))
        result.append(math.fsum(weight) * values[cell])
    return math.fsum(result)


def piecewise_constant(lower, upper, values, point) -> float:
    """Return the value of the one half-open box a point is in."""
    for low, high, value in zip(lower, upper, values, strict=True):
        if all(a <= x < b for a, x, b in zip(low, point, high, strict=True)):
            return float(value)
    raise AssertionError("no box contains the point")


def naive_kd(ranges, lower, upper, tolerance, depth=0):
    """Halve a box recursively along the axis without which the range is least.

    ``ranges(lower, upper)`` gives the least and the greatest value over one box.
    """
    least, greatest = ranges(lower, upper)
    if (greatest - least) / 2 <= tolerance or depth > 40:
        return [(tuple(lower), tuple(upper), (least + greatest) / 2)]
    best, axis = np.inf, 0
    longest = max(b - a for a, b in zip(lower, upper, strict=True))
    for candidate in range(len(lower)):
        left = 0.0
        for share in (0.25, 0.75):
            low, high = list(lower), list(upper)
            place = (1 - share) * lower[candidate] + share * upper[candidate]
            low[candidate] = high[candidate] = place
            a, b = ranges(low, high)
            left += b - a
        if upper[candidate] - lower[candidate] < longest:
            left = left * 1.05 + 1e-300
        if left < best:
            best, axis = left, candidate
    middle = (lower[axis] + upper[axis]) / 2
    below, above = list(upper), list(lower)
    below[axis] = above[axis] = middle
    return naive_kd(ranges, lower, below, tolerance, depth + 1) + naive_kd(
        ranges, above, upper, tolerance, depth + 1
    )
