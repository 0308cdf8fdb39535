"""Drafts and their correction."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.constructions.minimax import (
    Draft,
    _jacobian,
    correct,
    direction_name,
)
from tests.reference.few_neurons import evaluate_draft, numerical_columns


def random_draft(*, layers: int, seed: int = 0) -> Draft:
    generator = np.random.default_rng(seed)
    directions = np.array([[1.0, 0.0], [0.5, -0.5]])
    along = np.array([0, 0, 0, 1, 1])
    weight = generator.normal(size=(2, 5)) if layers == 2 else None
    return Draft(
        directions,
        along,
        generator.uniform(-1, 1, 5),
        generator.uniform(1, 4, 5),
        weight,
        generator.normal(size=2 if layers == 2 else 0),
        generator.normal(size=2 if layers == 2 else 5),
        0.3,
        ("first", "second") if layers == 2 else (),
    )


@pytest.mark.parametrize("layers", [1, 2])
def test_draft_agrees_with_one_neuron_at_a_time(layers: int) -> None:
    draft = random_draft(layers=layers)
    points = np.random.default_rng(1).uniform(-1, 1, (7, 2))
    expected = [evaluate_draft(draft, point) for point in points]
    np.testing.assert_allclose(draft(points), expected, rtol=1e-13)


@pytest.mark.parametrize("layers", [1, 2])
def test_to_network_agrees_with_draft_on_other_box(layers: int) -> None:
    draft = random_draft(layers=layers)
    box = Box((-3.0, 10.0), (5.0, 11.0))
    network = draft.to_network(box, center=7.0, scale=0.1, scheme="test")
    scaled = np.random.default_rng(2).uniform(-1, 1, (20, 2))
    points = np.array([1.0, 10.5]) + scaled * np.array([4.0, 0.5])
    np.testing.assert_allclose(network(points), 7.0 + 0.1 * draft(scaled), rtol=1e-12)
    assert network.hidden[0].role(0) == "steps in x"


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("knots", ["fixed", "tied", "free"])
def test_jacobian_agrees_with_differences(layers: int, knots: str) -> None:
    draft = random_draft(layers=layers)
    points = np.random.default_rng(3).uniform(-1, 1, (11, 2))
    coordinates = (points @ draft.directions.T)[:, draft.along]
    columns, take = _jacobian(draft, coordinates, draft.forward(coordinates), knots)
    expected = numerical_columns(draft, points, take, columns.shape[1])
    np.testing.assert_allclose(columns, expected, atol=1e-7)


@pytest.mark.parametrize("layers", [1, 2])
def test_correct_lowers_largest_error(layers: int) -> None:
    draft = random_draft(layers=layers)
    points = np.random.default_rng(4).uniform(-1, 1, (200, 2))
    values = points[:, 0] ** 2
    before = float(np.abs(draft(points) - values).max())
    better, error = correct(draft, points, values, knots="free", iterations=40)
    assert error == pytest.approx(float(np.abs(better(points) - values).max()))
    assert error < 0.2 * before


def test_correct_fixed_knots_stay() -> None:
    draft = random_draft(layers=2)
    points = np.random.default_rng(5).uniform(-1, 1, (200, 2))
    better, _ = correct(draft, points, points[:, 0], knots="fixed", iterations=10)
    np.testing.assert_array_equal(better.knots, draft.knots)


def test_correct_tied_knots_keep_their_proportions() -> None:
    draft = random_draft(layers=2)
    points = np.random.default_rng(6).uniform(-1, 1, (200, 2))
    better, _ = correct(draft, points, points[:, 0], knots="tied", iterations=10)
    gaps, before = np.diff(better.knots[:3]), np.diff(draft.knots[:3])
    assert gaps[0] / gaps[1] == pytest.approx(before[0] / before[1])


@pytest.mark.parametrize(
    ("direction", "name"),
    [((1, 0), "x"), ((0.5, -0.5), "x - y"), ((-1, -2), "0.5 x + y"), ((0, -1), "y")],
)
def test_direction_name_reads_well(direction: tuple[float, float], name: str) -> None:
    assert direction_name(np.array(direction, dtype=float)) == name
