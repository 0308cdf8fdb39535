from __future__ import annotations

import math

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.reference_shapes import bump, tower
from pellucid.approximation.tiling import Tiling, audit, cells_for, tile
from pellucid.approximation.tiling_audit import HOLE_AREA, coverage
from tests.reference.shapes import tiled_value

SQUARE = Box((0, 0), (1, 1))


def wave(points: np.ndarray) -> np.ndarray:
    x, y = points.T
    return 1 + 0.5 * np.sin(2 * np.pi * x) * np.cos(2 * np.pi * y)


def one(points: np.ndarray) -> np.ndarray:
    return np.ones(len(points))


def smooth(points: np.ndarray) -> np.ndarray:
    return np.cos(points.sum(axis=1)) + 0.3 * points[:, 0]


CASES = [
    (1, 7, 50.0, 200.0, 1),
    (1, 5, 4.0, 200.0, 3),
    (2, (4, 6), 60.0, 200.0, 1),
    (2, 3, 20.0, 200.0, 2),
    (2, 5, 10.0, 200.0, 1),
    (2, 3, 30.0, 5.0, 1),
    (3, 3, 60.0, 200.0, 1),
    (3, 2, 30.0, 200.0, 2),
    (4, 2, 50.0, 200.0, 1),
]


def made(case: tuple) -> Tiling:
    dimension, cells, steepness, gate, shifts = case
    box = Box((-0.5,) * dimension, (1.0, 0.75, 1.5, 0.5)[:dimension])
    return tile(smooth, box, cells=cells, steepness=steepness, gate=gate, shifts=shifts)


def places(tiling: Tiling) -> np.ndarray:
    inside = tiling.box.sample(30, np.random.default_rng(0))
    lattice = tiling.box.lower + tiling.sides * np.random.default_rng(1).integers(
        0, min(tiling.cells) + 1, (10, tiling.dimension)
    )
    return np.concatenate([inside, lattice, tiling.box.vertices])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tiling_equals_the_sum_of_typed_towers(case):
    tiling = made(case)
    plain = [
        tiled_value(
            lambda x: float(smooth(np.array([x]))[0]),
            list(point),
            tiling.box.lower,
            tiling.box.upper,
            tiling.cells,
            tiling.steepness,
            tiling.gate,
            tiling.shifts,
        )
        for point in places(tiling)
    ]
    np.testing.assert_allclose(tiling(places(tiling)), plain, rtol=0, atol=2e-13)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tiling_network_equals_the_local_evaluation(case):
    tiling = made(case)
    network = tiling.network
    np.testing.assert_allclose(network(places(tiling)), tiling(places(tiling)), rtol=0, atol=1e-12)
    assert network.hidden_neurons == tiling.hidden_neurons


def test_tiling_points_in_many_chunks_equal_all_at_once(monkeypatch):
    tiling = made(CASES[2])
    whole = tiling(places(tiling))
    monkeypatch.setattr("pellucid.approximation.tower_sum._CHUNK_ENTRIES", 20)
    assert np.array_equal(tiling(places(tiling)), whole)


def test_tile_one_cell_is_the_tower_of_the_reference():
    network = tile(one, Box((0.45, 0.45), (0.55, 0.55)), cells=1).network
    assert network.digest == tower(0.45, 0.55).digest


def test_tile_one_cell_in_one_dimension_is_the_bump_of_the_reference():
    assert tile(one, Box((0.4,), (0.6,)), cells=1).network.digest == bump(0.4, 0.6).digest


@pytest.mark.parametrize(
    ("t", "eps", "cells"), [(1.0, 0.1, 10), (1.1, 0.1, 11), (math.pi, 0.1, 32)]
)
def test_tile_takes_t_over_eps_towers_along_each_axis(t, eps, cells):
    tiling = tile(wave, SQUARE, eps, lipschitz=t)
    assert tiling.cells == (cells, cells)
    assert tiling.hidden_neurons == 5 * cells**2


def test_tile_takes_the_lipschitz_bound_of_the_target():
    class Known:
        lipschitz = (2.0, 1.0)

        def __call__(self, points: np.ndarray) -> np.ndarray:
            return smooth(points)

    assert tile(Known(), SQUARE, 0.1).cells == (20, 10)


def test_cells_for_centers_keep_the_tolerance():
    bounds, sides = (3.0, 0.5, 2.0), (1.0, 4.0, 0.5)
    cells = cells_for(0.2, bounds, sides)
    error = sum(t * side / k for t, side, k in zip(bounds, sides, cells, strict=True)) / 2
    assert error <= 0.2


def test_tile_large_is_sparse():
    network = tile(one, SQUARE, cells=40).network
    assert not isinstance(network.hidden[1].weight, np.ndarray)
    assert network.parameters == 1600 * (4 + 4 + 4 + 1 + 1) + 1


def test_tile_of_a_million_towers_is_evaluated_locally():
    tiling = tile(wave, SQUARE, cells=1000, steepness=50_000)
    points = np.array([[0.2505, 0.1005], [0.25, 0.1]])
    assert tiling(points)[0] == pytest.approx(wave(points)[0], abs=1e-12)
    assert tiling(points)[1] < 1e-40
    with pytest.raises(UsageError, match="at most 500000 towers"):
        _ = tiling.network


@pytest.mark.parametrize("cells", [1, 2, 10])
def test_audit_constant_function_has_a_hole_of_one(cells):
    found = audit(tile(one, SQUARE, cells=cells))
    assert found.vertex_error == 1.0
    assert found.center_error < 1e-9
    assert found.constant_error == 1.0
    assert found.lower_bound == 1.0


def test_audit_constant_function_by_tolerance_is_one_tower():
    found = audit(tile(one, SQUARE, 1e-6, lipschitz=0.0))
    assert (found.towers, found.meets_tolerance) == (1, False)


@pytest.mark.parametrize("cells", [5, 10, 50, 200])
def test_audit_wave_error_stays_between_148_and_150(cells):
    found = audit(tile(wave, SQUARE, cells=cells))
    assert 1.475 < found.vertex_error <= 1.5
    assert found.vertex_error >= found.lower_bound - 1e-12


def test_audit_errors_equal_the_network_at_those_points():
    tiling = tile(wave, SQUARE, cells=4)
    found = audit(tiling)
    lattice = SQUARE.grid(5)
    inner = lattice[((lattice > 0) & (lattice < 1)).all(axis=1)]
    centers = (np.indices((4, 4)).reshape(2, -1).T + 0.5) / 4
    middles = (np.arange(4) + 0.5) / 4

    def faces(lines: list[float]) -> np.ndarray:
        pairs = [(line, middle) for line in lines for middle in middles]
        return np.array([*pairs, *(pair[::-1] for pair in pairs)])

    for points, error in (
        (lattice, found.vertex_error),
        (inner, found.inner_vertex_error),
        (centers, found.center_error),
        (faces([0.25, 0.5, 0.75]), found.edge_error),
        (faces([0.0, 1.0]), found.boundary_error),
    ):
        assert error == pytest.approx(
            np.abs(tiling.network(points) - wave(points)).max(), abs=1e-12
        )


def test_audit_boundary_is_half_covered():
    found = audit(tile(one, SQUARE, cells=10))
    assert found.boundary_error == pytest.approx(0.5, abs=1e-8)
    assert found.edge_error == pytest.approx(0.0, abs=1e-8)


def test_audit_one_dimension_has_no_holes_inside():
    found = audit(tile(one, Box((0,), (1,)), cells=10))
    assert found.inner_vertex_error == pytest.approx(0.0, abs=1e-12)
    assert found.vertex_error == pytest.approx(0.5, abs=1e-12)
    assert (found.hole_share, found.hole_share_predicted) == (0.0, None)
    assert not any(remark.startswith("holes") for remark in found.remarks)


def test_hole_area_is_its_integral():
    """4 ∫ 2 artanh(1 - tanh(X / 2)) dX, X > 0, by the substitution t = tanh(X / 2)."""
    t = (np.arange(2_000_000) + 0.5) / 2_000_000
    area = 4 * np.mean(np.log((2 - t) / t) * 2 / (1 - t * t))
    assert pytest.approx(area, rel=1e-4) == HOLE_AREA
    assert pytest.approx(14.34, abs=0.005) == HOLE_AREA


@pytest.mark.parametrize("cells", [10, 20, 40])
def test_audit_hole_share_is_the_predicted_area(cells):
    found = audit(tile(one, SQUARE, cells=cells))
    assert found.hole_share_predicted == pytest.approx(14.34 / (500 / cells) ** 2, rel=1e-3)
    assert found.hole_share == pytest.approx(found.hole_share_predicted, rel=0.02)


def test_audit_hole_share_equals_counted_points():
    tiling = tile(one, SQUARE, cells=20)
    points = SQUARE.sample(200_000, np.random.default_rng(0))
    counted = float(np.mean(tiling(points) < 0.5))
    # The outer holes are cut by the boundary just as the sum over inner ones says.
    assert audit(tiling).hole_share == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("dimension", [2, 3])
def test_coverage_equals_a_tiling_of_ones(dimension):
    tiling = tile(one, Box((0,) * dimension, (1,) * dimension), cells=8, steepness=100)
    offsets = np.random.default_rng(0).uniform(-6, 6, (50, dimension))
    expected = tiling(0.5 + offsets / 100)
    found = coverage(offsets, tiling.relative_sides, tiling.gate)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_audit_three_dimensions_has_holes_along_whole_edges():
    tiling = tile(one, Box((0,) * 3, (1,) * 3), cells=4)
    assert tiling(np.array([[0.5, 0.5, 0.375]]))[0] < 1e-40
    found = audit(tiling)
    # Three edges of a tower belong to it; along each the hole is the plane's.
    assert found.hole_share == pytest.approx(3 * HOLE_AREA / 125**2, rel=0.2)


@pytest.mark.parametrize(("cells", "vanishes"), [(128, False), (129, True)])
def test_audit_towers_vanish_below_the_vanishing_side(cells, vanishes):
    found = audit(tile(one, SQUARE, cells=cells))
    assert found.vanishes is vanishes
    assert found.vanishing_side == pytest.approx(2 * math.log(7) / 500)
    assert (found.center_error > 0.5) is vanishes
    assert any("towers vanish" in remark for remark in found.remarks) is vanishes
    wide_enough = tile(one, SQUARE, cells=cells, steepness=found.least_steepness * 1.01)
    assert not wide_enough.vanishes


@pytest.mark.parametrize("shifts", [2, 3, 5])
def test_audit_averaged_tilings_leave_a_share_of_the_hole(shifts):
    found = audit(tile(one, SQUARE, cells=6, shifts=shifts))
    assert found.vertex_error == pytest.approx(1 / shifts, abs=1e-6)
    assert found.lower_bound == pytest.approx(1 / shifts)
    assert found.towers == 36 + (shifts - 1) * 49


def test_audit_edges_with_narrow_towers_are_gaps():
    found = audit(tile(one, SQUARE, cells=50))
    assert found.open_at_edge == pytest.approx(0.128, abs=0.01)
    assert any("gaps" in remark for remark in found.remarks)
    at_limit = 2 * math.log(100 * 200)
    assert coverage(np.array([[0, at_limit / 2]]), (at_limit,) * 2, 200.0)[0] == pytest.approx(
        0.99, abs=1e-3
    )


@pytest.mark.parametrize("gate", [1.0, 3.0, 10.0, 40.0, 200.0])
def test_audit_lower_bound_holds_for_soft_gates_too(gate):
    found = audit(tile(wave, SQUARE, cells=8, gate=gate))
    assert found.worst_error >= found.lower_bound
    assert any("soft" in remark for remark in found.remarks) is (gate < 5)


def test_audit_many_vertices_are_thinned(monkeypatch):
    whole = audit(tile(wave, SQUARE, cells=40))
    monkeypatch.setattr("pellucid.approximation.tiling_audit._MOST_POINTS", 300)
    thinned = audit(tile(wave, SQUARE, cells=40))
    assert thinned.points_examined < whole.points_examined
    assert 1.4 < thinned.vertex_error <= whole.vertex_error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "tile needs a tolerance and a Lipschitz bound"),
        ({"tolerance": 0.1}, "tile needs a tolerance and a Lipschitz bound"),
        ({"tolerance": 0, "lipschitz": 1}, r"tolerance must be a number in \(0"),
        ({"tolerance": math.nan, "lipschitz": 1}, "tolerance must be a number"),
        ({"tolerance": 0.1, "lipschitz": -1}, "lipschitz must be a number"),
        ({"tolerance": 0.1, "lipschitz": (1, 2, 3)}, "one for each of 2 variables"),
        ({"tolerance": 1e-5, "lipschitz": 6}, "at most 5000000 towers"),
        ({"cells": (3, 3, 3)}, "one for each of 2 axes"),
        ({"cells": 0}, "cells must be an integer"),
        ({"cells": 3, "steepness": -1}, "steepness must be"),
        ({"cells": 3, "shifts": 0}, "shifts must be an integer"),
    ],
)
def test_tile_bad_argument_raises(options, message):
    with pytest.raises(UsageError, match=message):
        tile(one, SQUARE, options.pop("tolerance", None), **options)


def test_tile_target_of_another_shape_raises():
    with pytest.raises(UsageError, match=r"target must return shape \(9,\)"):
        tile(lambda points: points, SQUARE, cells=3)


def test_tile_target_not_finite_raises():
    with pytest.raises(UsageError, match=r"target must be finite on the box"):
        tile(lambda points: points[:, 0] * np.nan, SQUARE, cells=3)


def test_tiling_points_of_another_shape_raise():
    with pytest.raises(UsageError, match=r"points must have shape \(n, 2\)"):
        tile(one, SQUARE, cells=3)(np.zeros(3))
