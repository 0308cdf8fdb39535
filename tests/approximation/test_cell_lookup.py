from __future__ import annotations

import itertools

import numpy as np
import pytest

from pellucid.approximation.cell_lookup import CellLookup
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import build_grid
from pellucid.approximation.constructions.staircase import build_staircase
from pellucid.approximation.local_evaluation import localize
from tests.reference.dense_cells import piecewise_constant

NEGLIGIBLE = 2.0**-55


def even(count, start=0.0, side=0.0):
    side = side or 1 / count
    return start + side * np.arange(1, count)


def network_of(edges, sharpness, seed=0):
    """Random values on cells; the steepness is the sharpness over the mean side."""
    values = np.random.default_rng(seed).random([len(part) + 1 for part in edges])
    steepness = [
        sharpness * (len(part) - 1) / (part[-1] - part[0]) if len(part) > 1 else sharpness
        for part in edges
    ]
    if len(edges) == 1:
        return build_staircase(edges[0], values, steepness[0])
    return build_grid(edges, values, steepness, gate=AndGate.of(len(edges)))


def edges_of(kind, shape, sharpness):
    generator = np.random.default_rng(3)
    if kind == "even":
        return [even(k) for k in shape]
    if kind == "random":
        return [np.sort(generator.random(k - 1)) for k in shape]
    if kind == "far":
        return [even(k, 1e5, 0.25) for k in shape]
    # A window is about 45 of the steepness wide.
    off = {"nearly even": 10.0, "hardly even": 100.0}[kind] / sharpness
    return [even(k) + generator.uniform(-off, off, k - 1) / k for k in shape]


def points_of(cells, ends, count=600):
    """Points everywhere, on edges, and on the ends of windows and next to them."""
    generator = np.random.default_rng(5)
    columns = []
    for axis, edges in enumerate(cells.edges):
        low, high = (edges[0], edges[-1]) if len(edges) else (0.0, 1.0)
        spread = max(high - low, 1.0)
        column = generator.uniform(low - 0.3 * spread, high + 0.3 * spread, count)
        if len(edges):
            special = np.concatenate(
                [edges, *(edges + end / cells.steepness[axis] for end in ends)]
            )
            special = np.concatenate(
                [special, np.nextafter(special, -np.inf), np.nextafter(special, np.inf)]
            )
            column[: count // 2] = generator.choice(special, count // 2)
        columns.append(generator.permutation(column))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("kind", ["even", "nearly even", "hardly even", "random", "far"])
@pytest.mark.parametrize("shape", [(40,), (2,), (12, 10), (12, 1), (6, 5, 4)])
@pytest.mark.parametrize("sharpness", [200.0, 4096.0])
def test_cell_lookup_settles_only_points_without_an_edge_in_their_window(kind, shape, sharpness):
    network = network_of(edges_of(kind, shape, sharpness), sharpness)
    local = localize(network)
    cells, ends = local.cells, local.cells.law.reach(NEGLIGIBLE)
    points = points_of(cells, ends)
    found = np.empty(len(points))
    left = set(CellLookup.of(cells, ends).evaluate(local.values, points, found).tolist())
    assert len(left) < len(points)
    borders = [[-np.inf, *edges, np.inf] for edges in cells.edges]
    lower = list(itertools.product(*(part[:-1] for part in borders)))
    upper = list(itertools.product(*(part[1:] for part in borders)))
    for number, point in enumerate(points):
        if number in left:
            continue
        for axis, edges in enumerate(cells.edges):
            argument = cells.steepness[axis] * (point[axis] - edges)
            # Arguments are known to a few units of w x.
            slack = 8e-16 * cells.steepness[axis] * (1 + abs(point[axis]))
            assert not np.any((argument > ends[0] + slack) & (argument < ends[1] - slack))
        value = piecewise_constant(lower, upper, local.values.ravel(), point)
        assert found[number] == value


@pytest.mark.parametrize("kind", ["even", "nearly even", "hardly even", "random", "far"])
@pytest.mark.parametrize("shape", [(40,), (2,), (12, 10), (12, 1), (6, 5, 4)])
def test_localize_on_edges_and_window_ends_equals_the_dense_network(kind, shape):
    network = network_of(edges_of(kind, shape, 4096.0), 4096.0)
    local = localize(network)
    points = points_of(local.cells, local.cells.law.reach(NEGLIGIBLE))
    scale = max(1.0, local.cells.variation / 10)
    assert np.max(np.abs(local(points) - network(points))) <= 1e-13 * scale


@pytest.mark.parametrize("kind", ["even", "nearly even", "random"])
def test_cell_lookup_with_steep_steps_leaves_few_points(kind):
    local = localize(network_of(edges_of(kind, (50, 40), 16384.0), 16384.0))
    lookup = CellLookup.of(local.cells, local.cells.law.reach(NEGLIGIBLE))
    # More than the points looked up at once.
    points = np.random.default_rng(0).random((50_000, 2))
    left = lookup.evaluate(local.values, points, np.empty(len(points)))
    assert len(left) < 0.02 * len(points)


def test_cell_lookup_with_soft_steps_leaves_all_points_between_the_edges():
    local = localize(network_of([even(30)], 3.0))
    lookup = CellLookup.of(local.cells, local.cells.law.reach(NEGLIGIBLE))
    points = np.random.default_rng(0).random((500, 1))
    assert len(lookup.evaluate(local.values, points, np.empty(500))) == 500


def test_cell_lookup_of_very_many_uneven_edges_has_a_table_of_two_intervals_an_edge():
    edges = np.sort(np.random.default_rng(0).random(100_000))
    local = localize(build_staircase(edges, np.arange(100_001.0), 1e9))
    assert local.nbytes == pytest.approx(8 * (100_001 + 100_000 + 200_002))
    points = np.random.default_rng(1).random((1000, 1))
    steps = np.searchsorted(edges, points[:, 0])
    assert np.mean(local(points) == steps) > 0.9


@pytest.mark.parametrize("kind", ["even", "random"])
@pytest.mark.parametrize("shape", [(40,), (12, 10), (6, 5, 4)])
def test_localize_of_no_points_in_any_dimension_gives_no_values(kind, shape):
    local = localize(network_of(edges_of(kind, shape, 500.0), 500.0))
    assert local(np.empty((0, len(shape)))).shape == (0,)


@pytest.mark.parametrize("kind", ["even", "random"])
@pytest.mark.parametrize("shape", [(40,), (12, 10)])
def test_localize_far_away_gives_the_outermost_cells(kind, shape):
    local = localize(network_of(edges_of(kind, shape, 4096.0), 4096.0))
    for far in (1e3, 1e300, np.inf):
        found = local(np.array([[-far] * len(shape), [far] * len(shape)]))
        np.testing.assert_array_equal(found, [local.values.flat[0], local.values.flat[-1]])


@pytest.mark.parametrize("kind", ["even", "random"])
@pytest.mark.parametrize("shape", [(40,), (12, 10)])
def test_localize_of_what_is_not_a_number_is_not_a_number(kind, shape):
    network = network_of(edges_of(kind, shape, 4096.0), 4096.0)
    points = np.full((3, len(shape)), 0.3)
    points[1, 0] = np.nan
    np.testing.assert_array_equal(np.isnan(localize(network)(points)), [False, True, False])
    np.testing.assert_array_equal(np.isnan(network(points)), [False, True, False])


def test_localize_of_points_stored_by_columns_or_in_single_precision_is_the_same():
    local = localize(network_of([even(12), even(10)], 4096.0))
    points = np.random.default_rng(0).random((20_000, 2)).astype(np.float32)
    expected = local(points.astype(np.float64))
    np.testing.assert_array_equal(local(points), expected)
    np.testing.assert_array_equal(local(np.asfortranarray(points.astype(np.float64))), expected)


def test_localize_in_float32_of_uneven_edges_is_close():
    network = network_of(edges_of("random", (12, 10), 4096.0), 4096.0)
    local = localize(network, precision="float32")
    assert not local.fast
    points = np.random.default_rng(0).random((2000, 2))
    found = local(points)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, network(points), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 1001])
def test_localize_in_float32_of_any_number_of_points_equals_float64(count):
    network = network_of([even(12), even(10)], 500.0)
    local = localize(network)
    points = np.stack([np.resize(part, count) for part in local.cells.edges], axis=1)
    points = points.astype(np.float32)
    found = localize(network, precision="float32")
    # Buffers are used again: flags of earlier points must not count.
    found(np.resize(points, (1003, 2)))
    expected = local(points.astype(np.float64))
    np.testing.assert_allclose(found(points), expected, atol=5e-6)
