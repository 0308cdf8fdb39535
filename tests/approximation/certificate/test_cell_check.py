from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.sparse

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.cell_check import bound, check_cells, recognize
from pellucid.approximation.certificate.cell_partition import partition
from pellucid.approximation.certificate.cell_recognition import ShiftLaw
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import build_grid, grid, rounded_values
from pellucid.approximation.constructions.kd_cells import kd_cells
from pellucid.approximation.constructions.staircase import build_staircase, staircase
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork, dense
from pellucid.approximation.targets import target

SQUARE = Box((0.0, 0.0), (1.0, 1.0))
CASES = [
    (staircase, "sin(2*pi*x)", 1, 0.02),
    (staircase, "sqrt(x)", 1, 0.02),
    (grid, "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", 2, 0.05),
    (grid, "sin(x+y+z)", 3, 0.2),
    (kd_cells, "sin(2*pi*x)", 1, 0.02),
    (kd_cells, "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", 2, 0.05),
    (kd_cells, "exp(-200*((x-0.5)**2+(y-0.5)**2))", 2, 0.05),
    (kd_cells, "abs(x-y)", 2, 0.02),
    (kd_cells, "sqrt(x)+sqrt(y)", 2, 0.05),
    (kd_cells, "sin(x+y+z)", 3, 0.2),
    (kd_cells, "x*y*z*t", 4, 0.3),
]


def unit(dimension: int) -> Box:
    return Box((0.0,) * dimension, (1.0,) * dimension)


def with_layer(network: SigmoidNetwork, number: int, **changes) -> SigmoidNetwork:
    hidden = list(network.hidden)
    hidden[number] = dataclasses.replace(hidden[number], **changes)
    return SigmoidNetwork(tuple(hidden), network.output_weight, network.output_bias, "tampered")


@pytest.mark.parametrize(("scheme", "text", "dimension", "tolerance"), CASES)
@pytest.mark.parametrize("arithmetic", ["intervals", "balls"])
def test_bound_of_a_construction_is_below_its_tolerance(
    scheme, text, dimension, tolerance, arithmetic
):
    box = unit(dimension)
    aim = target(text, box)
    network = scheme(aim, box, tolerance=tolerance).network
    cells = recognize(network)
    assert cells is not None
    found = bound(cells, aim, box, tolerance=tolerance, arithmetic=arithmetic)
    assert found <= tolerance
    generator = np.random.default_rng(0)
    points = [box.sample(2000, generator), box.vertices]
    for axis, edges in enumerate(cells.edges):
        near = box.sample(500, generator)
        near[:, axis] = generator.choice(edges, 500)
        near[:, axis] += generator.normal(0, 5, 500) / cells.steepness[axis]
        points.append(np.clip(near, box.lower, box.upper))
    places = np.concatenate(points)
    assert np.max(np.abs(network(places) - aim(places))) <= found


@pytest.mark.parametrize("sharpness", [3.0, 10.0, 50.0])
def test_bound_of_soft_steps_holds(sharpness):
    aim = target("sin(3*x)*y", SQUARE)
    count = 12
    edges = [np.linspace(0, 1, count + 1)[1:-1]] * 2
    middle = (np.arange(count) + 0.5) / count
    values = np.sin(3 * middle)[:, None] * middle
    network = build_grid(edges, values, [sharpness * count] * 2, gate=AndGate.of(2))
    cells = recognize(network)
    assert cells is not None
    points = np.concatenate([SQUARE.grid(61), SQUARE.sample(3000, np.random.default_rng(0))])
    found = check_cells(cells, aim, SQUARE, arithmetic="intervals")
    assert np.max(np.abs(network(points) - aim(points))) <= found.bound < 1.0


def test_recognize_recovers_edges_steepness_and_values_of_a_grid():
    values = rounded_values(np.random.default_rng(0).standard_normal((5, 7)))
    edges = [np.linspace(0, 1, 6)[1:-1], np.linspace(-1, 1, 8)[1:-1]]
    network = build_grid(edges, values, [100.0, 70.0], gate=AndGate.of(2))
    cells = recognize(network)
    assert cells is not None
    for found, expected in zip(cells.edges, edges, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_array_equal(cells.steepness, [100.0, 70.0])
    np.testing.assert_array_equal(cells.values(), values)


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_partition_of_a_grid_gives_its_values(dimension):
    generator = np.random.default_rng(0)
    shape = (4, 3, 2, 3)[:dimension]
    values = generator.integers(-8, 9, shape).astype(float)
    vertices = np.array(list(np.ndindex(*shape)))
    jumps = values
    for axis in range(dimension):
        jumps = np.diff(jumps, axis=axis, prepend=0.0)
    ends = [np.arange(k + 1.0) for k in shape]
    found = partition(ends, vertices, jumps.ravel(), 0.0, limit=1000)
    seen = np.full(shape, np.nan)
    for low, high, value in zip(found.lower, found.upper, found.values, strict=True):
        where = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        assert np.isnan(seen[where]).all()
        seen[where] = value
    np.testing.assert_array_equal(seen, values)


def test_partition_of_random_vertices_is_the_sum_of_their_steps():
    generator = np.random.default_rng(0)
    vertices = generator.integers(0, 30, (60, 2))
    jumps = generator.integers(-3, 4, 60).astype(float)
    found = partition([np.arange(31.0)] * 2, vertices, jumps, 2.0, limit=10_000)
    for point in generator.uniform(0, 30, (300, 2)):
        inside = np.all((found.lower <= point) & (point < found.upper), axis=1)
        assert inside.sum() == 1
        expected = 2.0 + jumps[np.all(vertices <= point, axis=1)].sum()
        assert found.values[inside][0] == expected


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_shift_law_bounds_the_tails_of_the_gate(dimension):
    gate = AndGate.of(dimension)
    law = ShiftLaw(gate.gain if dimension > 1 else None, gate.offset)
    for z in (-4.0, -1.0, 0.0, 3.0, 12.0):
        u = float(gate.marginal(np.array(z)))
        assert u <= law.below(z) <= u * (1 + 1e-9) + 1e-17
        assert 1 - u <= law.above(z) + 1e-15
    assert gate.mean_shift <= law.mean <= gate.mean_shift + 5e-3


def test_check_cells_excludes_a_thin_strip_around_a_jump():
    aim = target("where(x < 0.3, 0, 1) + y", SQUARE)
    network = kd_cells(aim, SQUARE, tolerance=0.05).network
    cells = recognize(network)
    assert cells is not None
    found = check_cells(cells, aim, SQUARE, tolerance=0.05, exclude=True)
    assert found.bound <= 0.05
    assert 0 < found.excluded_measure < 1e-4
    kept = check_cells(cells, aim, SQUARE, tolerance=0.05)
    assert kept.bound > 0.4


def test_check_cells_of_a_callable_holds_for_its_lipschitz_constant():
    aim = target(lambda x, y: np.abs(x - y), SQUARE, 1.0)
    network = kd_cells(aim, SQUARE, tolerance=0.1).network
    cells = recognize(network)
    assert cells is not None
    assert bound(cells, aim, SQUARE, tolerance=0.1) <= 0.1


def test_check_cells_without_formula_and_constant_is_refused():
    aim = target(lambda x, y: x * y, SQUARE)
    cells = recognize(grid(aim, SQUARE, tolerance=0.1).network)
    assert cells is not None
    with pytest.raises(ValueError, match="proves nothing"):
        check_cells(cells, aim, SQUARE)


def test_check_cells_with_too_many_cells_gives_no_bound():
    aim = target("x*y", SQUARE)
    cells = recognize(grid(aim, SQUARE, tolerance=0.1).network)
    assert cells is not None
    assert check_cells(cells, aim, SQUARE, max_cells=3).bound == math.inf


@pytest.mark.parametrize("seed", range(12))
def test_bound_of_a_mutated_network_is_never_below_its_error(seed):
    """Change one weight or bias by a little or a lot; what is still recognized is still right."""
    generator = np.random.default_rng(seed)
    aim = target("sin(4*x)*y", SQUARE)
    network = kd_cells(aim, SQUARE, tolerance=0.1).network
    size = 10.0 ** generator.uniform(-4, 1)
    place = seed % 4
    if place == 0:
        bias = network.hidden[0].bias.copy()
        bias[generator.integers(len(bias))] *= 1 + size
        changed = with_layer(network, 0, bias=bias)
    elif place == 1:
        bias = network.hidden[1].bias.copy()
        bias[generator.integers(len(bias))] += size
        changed = with_layer(network, 1, bias=bias)
    else:
        weight = network.output_weight.copy()
        weight[generator.integers(len(weight))] += size
        output_bias = network.output_bias + (size if place == 3 else 0.0)
        changed = SigmoidNetwork(network.hidden, weight, output_bias, "tampered")
    cells = recognize(changed)
    if cells is None:
        return
    found = bound(cells, aim, SQUARE, arithmetic="intervals")
    corners = np.stack([m.ravel() for m in np.meshgrid(*cells.edges)], axis=1) + 1e-6
    points = np.clip(np.concatenate([SQUARE.grid(60), corners]), 0, 1)
    assert np.max(np.abs(changed(points) - aim(points))) <= found


@pytest.mark.parametrize(
    "change", ["steepness", "gain", "offset", "negative", "two steps of one axis"]
)
def test_recognize_of_another_form_is_none(change):
    network = grid(target("x*y", SQUARE), SQUARE, tolerance=0.1).network
    steps, ands = network.hidden
    if change in ("steepness", "negative"):
        weight = dense(steps.weight).copy()
        weight[0] *= 1.5 if change == "steepness" else -1.0
        assert recognize(with_layer(network, 0, weight=weight)) is None
    elif change == "gain":
        weight = dense(ands.weight).copy()
        weight[0] *= 1.001
        assert recognize(with_layer(network, 1, weight=weight)) is None
    elif change == "offset":
        # An offset below 0 makes cell weights negative.
        assert recognize(with_layer(network, 1, bias=ands.bias + 1.0)) is None
    else:
        weight = np.zeros((1, steps.neurons))
        weight[0, :2] = 40.0
        layer = SigmoidLayer(scipy.sparse.csr_array(weight), np.array([-80.0]))
        other = SigmoidNetwork((steps, layer), np.array([1.0]), 0.0, "other")
        assert recognize(other) is None


def test_recognize_of_a_bump_with_a_step_down_is_none():
    layer = SigmoidLayer(np.array([[500.0], [-500.0]]), np.array([-200.0, 300.0]))
    assert recognize(SigmoidNetwork((layer,), np.array([1.0, 1.0]), -1.0, "bump")) is None


def test_rounding_of_a_staircase_covers_what_float64_does():
    network = build_staircase(np.linspace(0, 1, 200)[1:-1], np.sin(np.arange(199.0)), 1e9)
    cells = recognize(network)
    assert cells is not None
    box = Box((0.0,), (1.0,))
    near = (
        np.repeat(cells.edges[0], 5)[:, None] + np.tile(np.linspace(-3e-9, 3e-9, 5), 198)[:, None]
    )
    extended = np.longdouble(near)
    z = np.longdouble(1e9) * extended + network.hidden[0].bias.astype(np.longdouble)
    exact = (network.output_weight.astype(np.longdouble) / (1 + np.exp(np.minimum(-z, 700)))).sum(
        axis=1
    )
    error = np.abs(network(near) - (exact + network.output_bias))
    assert float(error.max()) <= cells.rounding(np.array([box.upper[0]]))
