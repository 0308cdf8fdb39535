from __future__ import annotations

import math

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.approximation.box import Box


def test_box_pairs_of_ends_gives_lower_and_upper() -> None:
    box = Box.from_ends([0, 1, -2, 3])
    assert (box.lower, box.upper) == ((0.0, -2.0), (1.0, 3.0))
    assert box.volume == 5.0


def test_box_json_round_trip_is_equal() -> None:
    box = Box((0.1, -1e-3), (0.7, 1e9))
    assert Box.from_json(box.to_json()) == box


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ((0.0,), (0.0,), "lower < upper in dimension 1"),
        ((0.0, 1.0), (1.0, 0.5), "lower < upper in dimension 2"),
        ((0.0,), (math.inf,), "finite ends"),
        ((math.nan,), (1.0,), "finite ends"),
        ((0.0,) * 5, (1.0,) * 5, "1 to 4 dimensions"),
        ((), (), "1 to 4 dimensions"),
        ((0.0, 0.0), (1.0,), "as many upper as lower"),
        ((1e20,), (1e20 + 16384,), "float64 can divide"),
    ],
)
def test_box_bad_ends_are_refused(lower: tuple, upper: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Box(lower, upper)


@pytest.mark.parametrize("ends", [[], [0.0], [0, 1, 0]])
def test_box_from_ends_odd_number_is_refused(ends: list[float]) -> None:
    with pytest.raises(UsageError, match="pairs of ends"):
        Box.from_ends(ends)


def test_box_grid_has_the_boundary_and_the_first_axis_slowest() -> None:
    points = Box((0.0, 5.0), (1.0, 7.0)).grid((2, 3))
    assert points.tolist() == [[0, 5], [0, 6], [0, 7], [1, 5], [1, 6], [1, 7]]


def test_box_samples_and_vertices_lie_inside() -> None:
    box = Box((0.1, -1.0, 3.0), (0.3, 1.0, 4.0))
    assert box.contains(box.sample(1000, np.random.default_rng(0))).all()
    assert box.vertices.shape == (8, 3)
    assert box.contains(box.vertices).all()
    assert not box.contains(np.array([[0.2, 0.0, 4.5]])).any()
