from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import NotApplicable
from pellucid.approximation.constructions.staircase import (
    build_staircase,
    staircase,
    uniform_error_factor,
    uniform_staircase,
)
from pellucid.approximation.targets import target
from tests.reference.sigmoid_network import evaluate

UNIT = Box((0.0,), (1.0,))


def largest_error(network, aim, box=UNIT) -> float:
    points = box.grid(20_001)
    return float(np.max(np.abs(network(points) - aim(points))))


def test_build_staircase_agrees_with_neuron_by_neuron_evaluation():
    generator = np.random.default_rng(0)
    network = build_staircase(np.sort(generator.random(9)), generator.random(10), 40.0)
    points = generator.random((20, 1))
    expected = [evaluate(network, list(point)) for point in points]
    np.testing.assert_allclose(network(points), expected, atol=1e-14)


def test_build_staircase_of_equal_values_is_constant_everywhere():
    network = build_staircase(np.linspace(0, 1, 30)[1:-1], np.full(29, 0.7), 3.0)
    assert np.max(np.abs(network(UNIT.grid(1001)) - 0.7)) <= 1e-13


def test_build_staircase_with_too_many_edges_is_refused():
    with pytest.raises(UsageError, match="one cell more than edges"):
        build_staircase(np.array([0.2, 0.5]), np.array([1.0, 2.0]), 10.0)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0, 8.0, 30.0])
def test_uniform_error_factor_is_the_greatest_mean_distance_from_the_middles(sharpness):
    x = np.linspace(-0.5, 0.5, 501)[:, None]
    middle = np.arange(-400, 400) + 0.5
    weight = expit(sharpness * (x - middle + 0.5)) - expit(sharpness * (x - middle - 0.5))
    distance = (weight * np.abs(middle - x)).sum(axis=1)
    assert uniform_error_factor(sharpness) == pytest.approx(distance.max(), rel=1e-9)


def test_uniform_error_factor_at_eight_is_little_above_one_half():
    assert uniform_error_factor(8.0) == pytest.approx(0.5007, abs=5e-5)


@pytest.mark.parametrize("text", ["sin(2*pi*x)", "exp(2*x)", "abs(x-0.3)"])
def test_uniform_staircase_stays_within_its_bound(text):
    aim = target(text, UNIT)
    found = uniform_staircase(aim, UNIT, tolerance=0.02)
    assert found.a_priori_bound is not None
    assert largest_error(found.network, aim) <= found.a_priori_bound <= 0.02


def test_uniform_staircase_of_an_unbounded_derivative_does_not_apply():
    with pytest.raises(NotApplicable, match="bounded derivative"):
        uniform_staircase(target("sqrt(x)", UNIT), UNIT, tolerance=0.1)


@pytest.mark.parametrize(
    ("text", "variation"), [("sin(2*pi*x)", 4.0), ("exp(-50*x)", 1.0), ("sqrt(x)", 1.0)]
)
def test_staircase_takes_variation_over_twice_the_tolerance_cells(text, variation):
    aim = target(text, UNIT)
    found = staircase(aim, UNIT, tolerance=0.01)
    cells = found.network.hidden_neurons + 1
    assert variation / 0.02 <= cells + 4
    assert cells <= 1.03 * variation / 0.02 + 1
    assert found.a_priori_bound is not None
    assert largest_error(found.network, aim) <= found.a_priori_bound <= 0.01


def test_staircase_of_a_callable_uses_its_lipschitz_constant():
    aim = target(lambda x: np.sin(2 * np.pi * x), UNIT, 6.2832)
    found = staircase(aim, UNIT, tolerance=0.05)
    assert found.a_priori_bound is not None
    assert largest_error(found.network, aim) <= found.a_priori_bound <= 0.05


def test_staircase_gives_a_jump_a_narrow_cell_of_its_own():
    aim = target("where(x < 0.3, 0, 1) + x", UNIT)
    found = staircase(aim, UNIT, tolerance=0.02)
    ((left, right),) = found.details["jumps"]
    assert left <= 0.3 <= right
    assert right - left < 1e-11
    points = UNIT.grid(10_001)
    points = points[np.abs(points[:, 0] - 0.3) > 1e-6]
    assert np.max(np.abs(found.network(points) - aim(points))) <= 0.02


def test_staircase_beyond_the_budget_says_what_it_reached():
    found = staircase(target("sin(30*x)", UNIT), UNIT, tolerance=1e-3, max_neurons=100)
    assert found.network.hidden_neurons <= 100
    assert "budget" in found.remark
    assert found.a_priori_bound is not None
    assert found.a_priori_bound > 1e-3


def test_staircase_of_a_constant_has_no_neuron():
    found = staircase(target("3 + 0*x", UNIT), UNIT, tolerance=0.1)
    assert found.network.hidden_neurons == 0


def test_staircase_of_two_variables_does_not_apply():
    box = Box((0.0, 0.0), (1.0, 1.0))
    with pytest.raises(NotApplicable, match="one variable"):
        staircase(target("x*y", box), box, tolerance=0.1)
