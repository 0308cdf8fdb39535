"""The sup error of a network, slowly: equal boxes, mean value form, scalar arb, one by one."""

from __future__ import annotations

import itertools

import flint
import numpy as np


class Dual:
    """A ball and its gradient."""

    def __init__(self, value, gradient):
        self.value, self.gradient = value, gradient

    def __add__(self, other):
        return Dual(
            self.value + other.value,
            [a + b for a, b in zip(self.gradient, other.gradient, strict=True)],
        )

    def __sub__(self, other):
        return Dual(
            self.value - other.value,
            [a - b for a, b in zip(self.gradient, other.gradient, strict=True)],
        )

    def __mul__(self, other):
        parts = zip(self.gradient, other.gradient, strict=True)
        return Dual(self.value * other.value, [a * other.value + self.value * b for a, b in parts])

    def apply(self, value, slope):
        return Dual(value, [slope * part for part in self.gradient])


def constant(value, dimension):
    return Dual(flint.arb(value), [flint.arb(0)] * dimension)


def sigmoid(z):
    low, high = z.value.lower(), z.value.upper()
    least, most = 1 / (1 + (-low).exp()), 1 / (1 + (-high).exp())
    s = least.union(most)
    slope = s * (1 - s)
    return z.apply(s, slope)


def sin(z):
    return z.apply(z.value.sin(), z.value.cos())


def exp(z):
    return z.apply(z.value.exp(), z.value.exp())


def network_value(network, x):
    dimension = len(x)
    values = x
    for layer in network.hidden:
        following = []
        for row, bias in zip(np.asarray(layer.weight), layer.bias, strict=True):
            total = constant(float(bias), dimension)
            for weight, value in zip(row, values, strict=True):
                total = total + constant(float(weight), dimension) * value
            following.append(sigmoid(total))
        values = following
    total = constant(network.output_bias, dimension)
    for weight, value in zip(network.output_weight, values, strict=True):
        total = total + constant(float(weight), dimension) * value
    return total


def naive_bound(function, network, lower, upper, parts):
    """Bound ``|function - network|``; ``function`` takes and gives :class:`Dual`."""
    dimension = len(lower)
    worst = 0.0
    for cell in itertools.product(range(parts), repeat=dimension):
        ends = [
            (low + (high - low) * i / parts, low + (high - low) * (i + 1) / parts)
            for i, low, high in zip(cell, lower, upper, strict=True)
        ]
        boxes = [flint.arb(a).union(flint.arb(b)) for a, b in ends]
        middles = [(a + b) / 2 for a, b in ends]
        unit = [[flint.arb(int(i == j)) for j in range(dimension)] for i in range(dimension)]

        def error(places, unit=unit):
            x = [Dual(place, unit[i]) for i, place in enumerate(places)]
            return function(x) - network_value(network, x)

        center = error([flint.arb(m) for m in middles]).value
        slopes = error(boxes).gradient
        total = center
        for slope, box, middle in zip(slopes, boxes, middles, strict=True):
            total = total + slope * (box - middle)
        worst = max(worst, float(total.abs_upper()) * (1 + 1e-15))
    return worst
