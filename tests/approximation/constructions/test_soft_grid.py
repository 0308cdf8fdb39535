from __future__ import annotations

import math

import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.constructions import NotApplicable
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.soft_grid import (
    build_soft_grid,
    continued,
    soft_grid,
    softness,
)
from pellucid.approximation.targets import target

UNIT = Box((0.0,), (1.0,))
SQUARE = Box((0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize("sharpness", [2.0, 2.5, 3.0, 4.0])
def test_softness_of_the_sigmoid_has_the_closed_form(sharpness):
    found = softness(AndGate.of(1), sharpness)
    y = 2 * math.pi**2 / sharpness
    assert found.bias == pytest.approx(y / math.sinh(y) / math.pi, rel=5e-3)
    # The closed form leaves out the ripple, which grows with the sharpness.
    spread = math.pi**2 / (3 * sharpness**2) + 1 / 12
    assert spread <= found.spread <= 1.15 * spread


def test_build_soft_grid_of_four_hundred_cells_has_the_documented_error():
    aim = target("sin(2*pi*x)", UNIT)
    network = build_soft_grid(aim, UNIT, (400,), 2.5, ghosts=8, beyond=True)
    points = UNIT.grid(20_001)
    assert np.max(np.abs(network(points) - aim(points))) == pytest.approx(8.1e-5, rel=0.01)


@pytest.mark.parametrize(
    ("text", "dimension", "tolerance"),
    [
        ("sin(2*pi*x)", 1, 1e-3),
        ("exp(3*x)", 1, 1e-2),
        ("sqrt(x+0.01)", 1, 1e-2),
        ("1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", 2, 0.05),
        ("exp(x+2*y)", 2, 0.1),
        ("sin(x+y+z)", 3, 0.1),
    ],
)
def test_soft_grid_stays_within_its_bound(text, dimension, tolerance):
    box = Box((0.0,) * dimension, (1.0,) * dimension)
    aim = target(text, box)
    found = soft_grid(aim, box, tolerance=tolerance)
    assert found.a_priori_bound is not None
    assert found.details["continued"] or found.a_priori_bound <= tolerance
    points = np.concatenate([box.sample(1000, np.random.default_rng(0)), box.vertices])
    assert np.max(np.abs(found.network(points) - aim(points))) <= found.a_priori_bound


def test_soft_grid_takes_fewer_neurons_than_steep_steps():
    found = soft_grid(target("sin(2*pi*x)", UNIT), UNIT, tolerance=1e-4)
    # Steep steps take variation over twice the tolerance.
    assert found.network.hidden_neurons < 0.03 * 4 / 2e-4


def test_continued_is_odd_about_the_faces():
    def aim(points):
        return points[:, 0] ** 2 + 3 * points[:, 1]

    outside = np.array([[-0.1, 0.5], [1.2, 0.5], [-0.1, -0.2]])
    expected = [2 * 1.5 - (0.01 + 1.5), 2 * (1 + 1.5) - (0.64 + 1.5), 2 * 0.0 - 0.01 - 0.6]
    np.testing.assert_allclose(continued(aim, SQUARE, outside), expected, atol=1e-14)


def test_soft_grid_of_infinite_curvature_does_not_apply():
    with pytest.raises(NotApplicable, match="second derivatives"):
        soft_grid(target("abs(x-0.3)", UNIT), UNIT, tolerance=0.1)


def test_soft_grid_of_a_callable_does_not_apply():
    with pytest.raises(NotApplicable, match="formula"):
        soft_grid(target(lambda x: x * x, UNIT, 2.0), UNIT, tolerance=0.1)


def test_soft_grid_beyond_the_budget_says_so():
    found = soft_grid(target("sin(9*x)", UNIT), UNIT, tolerance=1e-6, max_neurons=100)
    assert found.network.hidden_neurons <= 100
    assert "not met" in found.remark
