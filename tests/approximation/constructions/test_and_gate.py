from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad

from pellucid.approximation.constructions.and_gate import OFFSETS, AndGate


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_marginal_at_an_edge_is_half(dimension):
    assert AndGate.of(dimension).marginal(np.array(0.0)) == pytest.approx(0.5, abs=1e-14)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_mean_shift_is_the_integral_of_both_tails(dimension):
    gate = AndGate.of(dimension)
    below = quad(lambda z: float(gate.marginal(np.array(-z))), 0, 50, epsabs=1e-12)[0]
    above = quad(lambda z: 1 - float(gate.marginal(np.array(z))), 0, 60, epsabs=1e-12)[0]
    assert gate.mean_shift == pytest.approx(below + above, abs=1e-8)


@pytest.mark.parametrize(
    ("offset", "constant"), [(0.0, 0.8671), (1.317, 0.9459), (10.0, 0.9860), (40.0, 0.9860)]
)
def test_mean_shift_has_the_constants_of_the_documentation(offset, constant):
    assert AndGate(2, 40.0, offset).mean_shift == pytest.approx(constant, abs=5e-5)


def test_mean_shift_of_the_sigmoid_is_twice_log_two():
    assert AndGate.of(1).mean_shift == 2 * math.log(2)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
@pytest.mark.parametrize("probability", [1e-3, 1e-8, 1e-15])
def test_tails_leave_at_most_the_probability_on_either_side(dimension, probability):
    gate = AndGate.of(dimension)
    low, high = gate.tails(probability)
    assert gate.marginal(np.array(low)) <= probability * (1 + 1e-9)
    # Of the difference from 1 the last digits are rounding.
    assert 1 - gate.marginal(np.array(high)) <= probability + 1e-15
    assert gate.marginal(np.array(low + 0.01)) > probability


def test_moments_of_the_sigmoid_are_those_of_the_logistic_law():
    assert AndGate.of(1).moments() == (0.0, pytest.approx(math.pi**2 / 3))


def cell_weights(gate: AndGate, points: np.ndarray) -> np.ndarray:
    """All mixed differences of C on a grid of marginal arguments, by inclusion and exclusion."""
    steps = points[:, :, None] + np.array([8.0, 2.0, -1.0, -7.0])
    t = gate.gain / (1 + np.exp(steps + gate.centre))
    smallest = np.inf
    for n in range(len(points)):
        lists = [[0.0, *t[n, axis], np.inf] for axis in range(gate.dimension)]
        for pick in itertools.product(range(5), repeat=gate.dimension):
            weight = 0.0
            for up in itertools.product((0, 1), repeat=gate.dimension):
                total = sum(lists[a][i + u] for a, (i, u) in enumerate(zip(pick, up, strict=True)))
                g = (1 + math.exp(gate.offset)) / (1 + math.exp(min(total + gate.offset, 700)))
                weight += (-1) ** sum(up) * (0.0 if total == np.inf else g)
            smallest = min(smallest, weight)
    return smallest


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_cell_weights_with_the_least_offset_are_not_negative(dimension):
    points = np.random.default_rng(0).normal(0, 4, (8 if dimension == 4 else 25, dimension))
    assert cell_weights(AndGate.of(dimension), points) > -1e-14


@pytest.mark.parametrize(("dimension", "offset"), [(2, -1.0), (3, 0.0), (4, 1.375)])
def test_cell_weights_with_a_smaller_offset_become_negative(dimension, offset):
    assert offset < OFFSETS[dimension]
    points = np.random.default_rng(0).normal(0, 2, (12, dimension))
    assert cell_weights(AndGate(dimension, 40.0, offset), points) < -1e-4
