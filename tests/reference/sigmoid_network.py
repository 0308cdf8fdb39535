"""A sigmoid network one point and one neuron at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np

from pellucid.approximation.network import SigmoidNetwork, dense


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def evaluate(network: SigmoidNetwork, point: list[float]) -> float:
    values = list(point)
    for layer in network.hidden:
        weight = dense(layer.weight)
        values = [
            sigmoid(sum(float(w) * v for w, v in zip(row, values, strict=True)) + float(bias))
            for row, bias in zip(weight, layer.bias, strict=True)
        ]
    outputs = zip(network.output_weight, values, strict=True) if network.hidden else ()
    return network.output_bias + sum(float(w) * v for w, v in outputs)


def random_network(
    generator: np.random.Generator, sizes: tuple[int, ...], scale: float = 2.0
) -> SigmoidNetwork:
    from pellucid.approximation.network import SigmoidLayer

    layers = tuple(
        SigmoidLayer(
            scale * generator.standard_normal((after, before)), generator.standard_normal(after)
        )
        for before, after in itertools.pairwise(sizes)
    )
    return SigmoidNetwork(
        layers, generator.standard_normal(sizes[-1]), float(generator.standard_normal()), "random"
    )
