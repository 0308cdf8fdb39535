"""Small networks by least squares, with the shapes that constructions have."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork

INFLECTION = 2.2924  # where the fourth derivative of the sigmoid vanishes


def curvature(z):
    s = expit(z)
    return s * (1 - s) * (1 - 2 * s)


def one_variable(function, low, high, neurons, steepness, overhang=0.3):
    """Return weights, biases, output weights and bias of a least-squares fit."""
    places = np.linspace(low - overhang, high + overhang, neurons)
    weight, bias = np.full(neurons, steepness), -steepness * places
    x = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * np.arange(801) / 800)
    table = np.column_stack([expit(x[:, None] * weight + bias), np.ones_like(x)])
    solution = np.linalg.lstsq(table, function(x), rcond=1e-13)[0]
    return weight, bias, solution[:-1], float(solution[-1])


def spectral(function, low, high, neurons, steepness):
    weight, bias, outer, constant = one_variable(function, low, high, neurons, steepness)
    return SigmoidNetwork((SigmoidLayer(weight[:, None], bias),), outer, constant, scheme="fit")


def separable(terms, neurons, steepness, h=0.02, constant=0.0):
    """Return a network for ``sum u(x) v(y)`` on the unit square, four sigmoids a product."""
    fits = [
        [
            one_variable(part, 0.0, 1.0, n, w)
            for part, n, w in zip(term, neurons, steepness, strict=True)
        ]
        for term in terms
    ]
    nx, ny = neurons
    first = np.zeros((nx + ny, 2))
    first[:nx, 0], first[nx:, 1] = fits[0][0][0], fits[0][1][0]
    rows, biases, outer = [], [], []
    for (_, _, u, u0), (_, _, v, v0) in fits:
        for a, b, sign in ((1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)):
            rows.append(np.concatenate([a * h * u, b * h * v]))
            biases.append(INFLECTION + h * (a * u0 + b * v0))
            outer.append(sign / (4 * h * h * curvature(INFLECTION)))
    layers = (
        SigmoidLayer(first, np.concatenate([fits[0][0][1], fits[0][1][1]])),
        SigmoidLayer(np.array(rows), np.array(biases)),
    )
    return SigmoidNetwork(layers, np.array(outer), constant, scheme="separable")


def exponential(neurons=8, steepness=8.0, offset=12.0):
    """Return a network for exp(-200 r^2): one neuron far below 0 with output weight e^12."""
    weight, bias, outer, constant = one_variable(
        lambda x: -200 * (x - 0.5) ** 2, 0.0, 1.0, neurons, steepness
    )
    first = np.zeros((2 * neurons, 2))
    first[:neurons, 0] = first[neurons:, 1] = weight
    layers = (
        SigmoidLayer(first, np.concatenate([bias, bias])),
        SigmoidLayer(np.concatenate([outer, outer])[None], np.array([2 * constant - offset])),
    )
    return SigmoidNetwork(layers, np.array([np.exp(offset)]), 0.0, scheme="exponential")


def ridge(direction, function, low, high, neurons=24, steepness=20.0):
    """Return a network of one linear form of the variables."""
    weight, bias, outer, constant = one_variable(function, low, high, neurons, steepness)
    layer = SigmoidLayer(weight[:, None] * np.asarray(direction)[None], bias)
    return SigmoidNetwork((layer,), outer, constant, scheme="ridge")


def random_features(function, lower, upper, neurons, steepness=4.0, seed=0, hidden=1):
    """Return random hidden layers with a least-squares output."""
    generator = np.random.default_rng(seed)
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    dimension = len(lower)
    weight = generator.normal(size=(neurons, dimension)) * steepness / (upper - lower)
    places = lower + (upper - lower) * generator.random((neurons, dimension))
    layers = [SigmoidLayer(weight, -(weight * places).sum(axis=1))]
    for _ in range(hidden - 1):
        layers.append(
            SigmoidLayer(generator.normal(size=(neurons, neurons)), generator.normal(size=neurons))
        )
    points = lower + (upper - lower) * generator.random((3000, dimension))
    values = points
    for layer in layers:
        values = layer(values)
    table = np.column_stack([values, np.ones(len(points))])
    solution = np.linalg.lstsq(table, function(points), rcond=1e-9)[0]
    return SigmoidNetwork(tuple(layers), solution[:-1], float(solution[-1]), scheme="random")
