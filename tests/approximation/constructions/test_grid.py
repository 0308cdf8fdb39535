from __future__ import annotations

import math

import numpy as np
import pytest

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import NotApplicable
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import (
    build_grid,
    cells_needed,
    grid,
    mixed_differences,
    neurons,
    rounded_values,
    sup_bound,
)
from pellucid.approximation.targets import target
from tests.reference.sigmoid_network import evaluate

SQUARE = Box((0.0, 0.0), (1.0, 1.0))


def interior(count: int) -> np.ndarray:
    return np.linspace(0, 1, count + 1)[1:-1]


def random_grid(shape, sharpness, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    steepness = [sharpness * count for count in shape]
    gate = AndGate.of(len(shape))
    return values, build_grid([interior(k) for k in shape], values, steepness, gate=gate)


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize("sharpness", [3.0, 60.0])
def test_build_grid_agrees_with_neuron_by_neuron_evaluation(shape, sharpness):
    _, network = random_grid(shape, sharpness)
    points = np.random.default_rng(1).random((6, len(shape)))
    expected = [evaluate(network, list(point)) for point in points]
    np.testing.assert_allclose(network(points), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5), (2, 3, 2, 3)])
def test_build_grid_has_the_neurons_of_the_formula(shape):
    _, network = random_grid(shape, 50.0)
    assert network.neurons_per_layer == (sum(k - 1 for k in shape), math.prod(shape) - 1)
    assert network.hidden_neurons == neurons(np.array(shape))


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5), (2, 3, 2, 3)])
def test_build_grid_in_the_middle_of_a_cell_has_its_value(shape):
    values, network = random_grid(shape, 200.0)
    middles = [(np.arange(k) + 0.5) / k for k in shape]
    points = np.stack([m.ravel() for m in np.meshgrid(*middles, indexing="ij")], axis=1)
    np.testing.assert_allclose(network(points), values.ravel(), atol=1e-12)


@pytest.mark.parametrize("shape", [(9, 8), (4, 5, 3), (2, 3, 2, 3)])
def test_cell_weights_are_a_partition_of_unity(shape):
    """Each cell alone, over random points and vertices: weights in [0, 1] that add up to 1."""
    generator = np.random.default_rng(0)
    corners = np.round(generator.random((200, len(shape))) * shape) / shape
    points = np.concatenate([generator.random((200, len(shape))), corners])
    total = np.zeros(len(points))
    for cell in np.ndindex(*shape):
        alone = np.zeros(shape)
        alone[cell] = 1.0
        steepness = [30.0 * k for k in shape]
        gate = AndGate.of(len(shape))
        weight = build_grid([interior(k) for k in shape], alone, steepness, gate=gate)(points)
        assert weight.min() > -1e-13
        total += weight
    assert np.max(np.abs(total - 1)) <= 1e-13


def test_build_grid_of_the_constant_one_has_no_hole_at_vertices():
    shape = (20, 20)
    steepness = [4096.0 * 20] * 2
    edges = [interior(20)] * 2
    network = build_grid(edges, np.ones(shape), steepness, gate=AndGate.of(2))
    vertices = SQUARE.grid(21)
    assert np.max(np.abs(network(vertices) - 1)) <= 1e-13


def test_build_grid_with_one_cell_is_a_constant():
    network = build_grid([np.empty(0)] * 2, np.array([[2.5]]), [1.0, 1.0], gate=AndGate.of(2))
    assert network.hidden_neurons == 0
    assert network(np.array([[0.3, 0.4]])) == [2.5]


def test_build_grid_with_too_few_edges_is_refused():
    with pytest.raises(UsageError, match="one cell more than edges"):
        build_grid([interior(3), interior(3)], np.ones((3, 4)), [1.0, 1.0], gate=AndGate.of(2))


def test_mixed_differences_add_up_to_the_values_exactly():
    values = rounded_values(np.random.default_rng(0).standard_normal((50, 40)))
    sums = mixed_differences(values).cumsum(axis=0).cumsum(axis=1)
    np.testing.assert_array_equal(sums, values)


def test_cells_needed_meets_the_tolerance_and_one_cell_fewer_does_not():
    slopes, sides = np.array([3.0, 1.0]), np.array([1.0, 2.0])
    counts = cells_needed(slopes, sides, 0.05, mean_shift=0.8671, sharpness=200.0)

    def bound(k):
        return sum(sup_bound(slopes, sides / k, 200.0 * k / sides, mean_shift=0.8671))

    assert bound(counts) <= 0.05
    assert bound(counts - np.array([1, 0])) > 0.05


@pytest.mark.parametrize(
    ("text", "dimension", "tolerance"),
    [
        ("1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", 2, 0.05),
        ("abs(x-y)", 2, 0.05),
        ("sqrt(x)+sqrt(y)", 2, 0.2),
        ("sin(x+y+z)", 3, 0.2),
        ("x*y*z*t", 4, 0.4),
    ],
)
def test_grid_of_a_formula_stays_within_its_bound(text, dimension, tolerance):
    box = Box((0.0,) * dimension, (1.0,) * dimension)
    aim = target(text, box)
    found = grid(aim, box, tolerance=tolerance)
    assert found.a_priori_bound is not None
    assert found.a_priori_bound <= tolerance
    generator = np.random.default_rng(0)
    counts = np.array(found.details["cells"])
    vertices = np.round(generator.random((2000, dimension)) * counts) / counts
    points = np.concatenate([box.sample(2000, generator), box.vertices, vertices])
    assert np.max(np.abs(found.network(points) - aim(points))) <= found.a_priori_bound


def test_grid_of_a_callable_uses_its_lipschitz_constant():
    aim = target(lambda x, y: np.sin(3 * x) + y, SQUARE, (3.0, 1.0))
    found = grid(aim, SQUARE, tolerance=0.1)
    assert found.a_priori_bound is not None
    assert found.a_priori_bound <= 0.1
    points = SQUARE.sample(3000, np.random.default_rng(0))
    assert np.max(np.abs(found.network(points) - aim(points))) <= found.a_priori_bound


def test_grid_of_a_table_counts_what_the_function_may_differ_from_it():
    nodes = SQUARE.grid(201)
    values = np.sin(nodes[:, 0] + nodes[:, 1]).reshape(201, 201)
    aim = target(values, SQUARE, 1.0)
    found = grid(aim, SQUARE, tolerance=0.1)
    assert found.a_priori_bound is not None
    points = SQUARE.sample(3000, np.random.default_rng(0))
    error = np.abs(found.network(points) - np.sin(points.sum(axis=1)))
    assert error.max() <= found.a_priori_bound <= 0.1


def test_grid_of_a_black_box_promises_nothing():
    found = grid(target(lambda x, y: x * y, SQUARE), SQUARE, tolerance=0.1)
    assert found.a_priori_bound is None
    assert "proves nothing" in found.remark


def test_grid_beyond_the_budget_says_what_it_reached():
    aim = target("sin(20*x)*y", SQUARE)
    found = grid(aim, SQUARE, tolerance=0.01, max_neurons=500)
    assert found.network.hidden_neurons <= 500
    assert "not met" in found.remark


def test_grid_of_one_variable_does_not_apply():
    box = Box((0.0,), (1.0,))
    with pytest.raises(NotApplicable, match="staircase"):
        grid(target("x", box), box, tolerance=0.1)


def test_grid_with_tolerance_zero_is_refused():
    with pytest.raises(UsageError, match="tolerance must be a number"):
        grid(target("x*y", SQUARE), SQUARE, tolerance=0.0)
