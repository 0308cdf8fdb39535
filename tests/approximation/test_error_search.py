from __future__ import annotations

import numpy as np
import pytest

from benchmarks.error_search import sample_faces, worst_error
from pellucid.approximation.box import Box
from pellucid.approximation.tiling import tile

SQUARE = Box((0.0, 0.0), (1.0, 1.0))


def nothing(points: np.ndarray) -> np.ndarray:
    return np.zeros(len(points))


@pytest.mark.parametrize("peak", [(0.3217, 0.7731), (0.0, 0.4142), (1.0, 0.0)])
def test_worst_error_climbs_a_narrow_peak_to_its_top(peak):
    def target(points: np.ndarray) -> np.ndarray:
        return np.exp(-2000 * ((points - peak) ** 2).sum(axis=1))

    error, place = worst_error(nothing, target, SQUARE, points=4000)
    assert error == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(place, peak, rtol=0, atol=1e-3)


def test_worst_error_finds_the_holes_of_a_tiling():
    def one(points: np.ndarray) -> np.ndarray:
        return np.ones(len(points))

    tiling = tile(one, SQUARE, cells=30)
    lines = [tiling.grid_lines(0, axis) for axis in (0, 1)]
    error, _ = worst_error(tiling, one, SQUARE, lines=lines, points=4000)
    assert error == 1.0


def test_worst_error_is_the_error_at_the_place_it_names():
    def target(points: np.ndarray) -> np.ndarray:
        return np.sin(5 * points[:, 0])

    error, place = worst_error(nothing, target, Box((-1.0,), (2.0,)), points=500)
    assert error == pytest.approx(abs(np.sin(5 * place[0])))
    assert error == pytest.approx(1.0, abs=1e-9)


def test_worst_error_not_a_number_is_infinite():
    error, _ = worst_error(lambda points: points[:, 0] * np.nan, nothing, SQUARE, points=100)
    assert error == np.inf


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_sample_faces_are_on_the_boundary(dimension):
    box = Box((-1.0,) * dimension, (2.0,) * dimension)
    points = sample_faces(box, 200, np.random.default_rng(0))
    assert ((points == -1) | (points == 2)).any(axis=1).all()
    assert box.contains(points).all()
