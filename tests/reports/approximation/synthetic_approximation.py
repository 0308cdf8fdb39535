"""Small approximations made by least squares, so that the page can be tested by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from scipy.special import expit

from pellucid.approximation.box import Box
from pellucid.approximation.network import NeuronGroup, SigmoidLayer, SigmoidNetwork


@dataclass(frozen=True)
class Target:
    text: str
    function: Callable[[np.ndarray], np.ndarray]
    dimension: int
    kind: str = "expression"
    lipschitz: tuple[float, ...] | None = None

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.function(points)


@dataclass(frozen=True)
class Certificate:
    bound: float
    status: str = "proved"
    method: str = "branch and bound"
    rounding: float = 3.1e-12
    tolerance: float | None = 0.01
    excluded_measure: float = 0.0


@dataclass(frozen=True)
class Candidate:
    scheme: str
    hidden_neurons: int | None
    parameters: int | None
    bound: float | None
    status: str
    seconds: float
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Approximation:
    network: SigmoidNetwork
    certificate: Certificate
    target: Target
    box: Box
    tolerance: float
    scheme: str
    candidates: tuple[Candidate, ...]
    seconds: float = 1.25


def _fit(answers: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    columns = np.column_stack([answers, np.ones(len(answers))])
    weights = np.linalg.lstsq(columns, values, rcond=1e-9)[0]
    return weights[:-1], float(weights[-1])


def approximate_line(neurons: int = 8) -> Approximation:
    """sin(2 pi x) by sigmoids at fixed places."""
    target = Target("sin(2*pi*x)", lambda p: np.sin(2 * np.pi * p[:, 0]), 1, lipschitz=(2 * np.pi,))
    box = Box((0.0,), (1.0,))
    places = np.linspace(-0.35, 1.35, neurons)
    weight = np.full((neurons, 1), 1.6 / (places[1] - places[0]))
    layer = SigmoidLayer(
        weight, -weight[:, 0] * places, (NeuronGroup("sigmoids at fixed places", 0, neurons),)
    )
    points = box.grid(2001)
    output, bias = _fit(layer(points), target(points))
    network = SigmoidNetwork((layer,), output, bias, scheme="spectral")
    error = float(np.abs(network(points) - target(points)).max())
    return _finish(network, target, box, "spectral", 1.07 * error, 0.01)


def approximate_square(side: int = 8) -> Approximation:
    """1 + sin(2 pi x) cos(2 pi y) / 2 as one product, each product four sigmoids."""
    target = Target(
        "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)",
        lambda p: 1 + 0.5 * np.sin(2 * np.pi * p[:, 0]) * np.cos(2 * np.pi * p[:, 1]),
        2,
    )
    box = Box((0.0, 0.0), (1.0, 1.0))
    first = _steps(box, side, 1.5 * side)
    points = box.grid(201)
    answers = first(points)
    u, u_bias = _fit(answers[:, :side], np.sin(2 * np.pi * points[:, 0]))
    v, v_bias = _fit(answers[:, side:], np.cos(2 * np.pi * points[:, 1]))
    scale, center = 0.1, 2.2924
    signs = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)])
    gates = scale * np.hstack([signs[:, :1] * u, signs[:, 1:] * v])
    bias = center + scale * (signs @ [u_bias, v_bias])
    second = SigmoidLayer(gates, bias, (NeuronGroup("product of u_0(x) and v_0(y)", 0, 4),))
    columns = second(answers) @ [1.0, 1.0, -1.0, -1.0]
    factor, constant = _fit(columns[:, None], target(points))
    output = factor * np.array([1.0, 1.0, -1.0, -1.0])
    network = SigmoidNetwork((first, second), output, constant, scheme="separable")
    error = float(np.abs(network(points) - target(points)).max())
    return _finish(network, target, box, "separable", 1.07 * error, 0.01)


def approximate_solid(side: int = 3, dimension: int = 3) -> Approximation:
    """A smooth function of three or four variables."""
    names = ("x", "y", "z", "t")[:dimension]
    target = Target(
        f"exp(-({' + '.join(f'{name}**2' for name in names)}))",
        lambda p: np.exp(-(p**2).sum(axis=1)),
        dimension,
    )
    box = Box((-1.0,) * dimension, (1.0, 2.0, 1.0, 1.0)[:dimension])
    return _gated(target, box, side, "grid", 0.05)


def approximate_waves() -> Approximation:
    """A function of three variables by sigmoids in many directions, in one layer."""
    target = Target("sin(x + y)*cos(z)", lambda p: np.sin(p[:, 0] + p[:, 1]) * np.cos(p[:, 2]), 3)
    box = Box((0.0, 0.0, -1.0), (2.0, 1.0, 1.0))
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(90, 3))
    bias = -(weight * (generator.random((90, 3)) * box.sides + box.lower)).sum(axis=1)
    layer = SigmoidLayer(weight, bias, (NeuronGroup("steps in many directions", 0, 90),))
    points = box.grid(21)
    output, constant = _fit(layer(points), target(points))
    network = SigmoidNetwork((layer,), output, constant, scheme="fitted")
    error = float(np.abs(network(points) - target(points)).max())
    return _finish(network, target, box, "fitted", 1.3 * error, 0.01)


def approximate_huge(side: int = 120) -> Approximation:
    """A grid too large to be held by the page."""
    target = Target("x*y", lambda p: p[:, 0] * p[:, 1], 2, lipschitz=(1.0, 1.0))
    box = Box((0.0, 0.0), (1.0, 1.0))
    first = _steps(box, side, 4.0 * side)
    index = np.arange(side * side)
    pairs = np.column_stack([index // side, side + index % side]).ravel()
    gates = scipy.sparse.csr_array(
        (np.full(2 * side * side, 40.0), pairs, np.arange(0, 2 * side * side + 1, 2)),
        shape=(side * side, 2 * side),
    )
    second = SigmoidLayer(
        gates, np.full(side * side, -60.0), (NeuronGroup("AND of steps", 0, side * side),)
    )
    network = SigmoidNetwork(
        (first, second), np.full(side * side, 2.0 / side**2), 0.0, scheme="grid"
    )
    return _finish(network, target, box, "grid", 0.9, 0.01)


def _steps(box: Box, side: int, steepness: float) -> SigmoidLayer:
    rows, biases, groups = [], [], []
    for axis in range(box.dimension):
        over = 0.25 * box.sides[axis]  # steps beyond the box keep its edges smooth
        places = np.linspace(box.lower[axis] - over, box.upper[axis] + over, side)
        weight = np.zeros((side, box.dimension))
        weight[:, axis] = steepness / box.sides[axis]
        rows.append(weight)
        biases.append(-weight[:, axis] * places)
        name = ("x", "y", "z", "t")[axis]
        groups.append(NeuronGroup(f"steps in {name}", axis * side, (axis + 1) * side))
    return SigmoidLayer(np.vstack(rows), np.concatenate(biases), tuple(groups))


def _gated(target: Target, box: Box, side: int, scheme: str, tolerance: float) -> Approximation:
    first = _steps(box, side, 1.2 * side)
    combinations = np.array(list(np.ndindex(*(side,) * box.dimension)))
    gates = np.zeros((len(combinations), first.neurons))
    for axis in range(box.dimension):
        gates[np.arange(len(gates)), axis * side + combinations[:, axis]] = 4.0
    generator = np.random.default_rng(1)
    bias = -4.0 * (box.dimension - 0.5) + generator.normal(size=len(gates)) * 0.5
    second = SigmoidLayer(gates, bias, (NeuronGroup("AND of steps", 0, len(gates)),))
    points = box.grid({2: 61, 3: 21, 4: 9}[box.dimension])
    output, constant = _fit(expit(first(points) @ gates.T + bias), target(points))
    network = SigmoidNetwork((first, second), output, constant, scheme=scheme)
    error = float(np.abs(network(points) - target(points)).max())
    return _finish(network, target, box, scheme, 1.2 * error, tolerance)


def _finish(
    network: SigmoidNetwork, target: Target, box: Box, scheme: str, bound: float, tolerance: float
) -> Approximation:
    own = Candidate(scheme, network.hidden_neurons, network.parameters, bound, "proved", 0.8)
    others = (
        Candidate("ridge", None, None, None, "not applicable", 0.02, "depends on every direction"),
        Candidate("kd", 15_800, 63_001, 0.98 * tolerance, "proved", 0.05, "cells that follow f"),
        replace(own, remark=""),
        Candidate("soft_grid", 26_000, 104_000, tolerance, "proved", 0.3),
    )
    return Approximation(
        network,
        Certificate(bound, tolerance=tolerance),
        target,
        box,
        tolerance,
        scheme,
        others,
    )


def approximate_constant() -> Approximation:
    """A constant, by a network of no hidden layer."""
    target = Target("3", lambda p: np.full(len(p), 3.0), 2)
    network = SigmoidNetwork((), np.zeros(0), 3.0, scheme="constant", input_dimension=2)
    box = Box((0.0, 0.0), (1.0, 1.0))
    return _finish(network, target, box, "constant", 0.0, 0.01)
