"""Knots by rule and minimax outer weights."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid._checks import UsageError
from pellucid.approximation.constructions.sigmoid_basis import (
    dictionary,
    fit_damped,
    fit_outer_weights,
    graded_knots,
    kink_density,
    monotone_pieces,
    uniform_knots,
)
from tests.reference.few_neurons import minimax_by_linear_program

POINTS = -np.cos(np.pi * np.arange(101) / 100)


def test_uniform_knots_overhang_reaches_outside() -> None:
    knots, steepness = uniform_knots(5, sharpness=2.0, overhang=0.5)
    np.testing.assert_allclose(knots, [-1.5, -0.75, 0, 0.75, 1.5])
    np.testing.assert_allclose(steepness, 2.0 / 0.75)


def test_uniform_knots_bad_sharpness_is_refused() -> None:
    with pytest.raises(UsageError, match="sharpness > 0"):
        uniform_knots(3, sharpness=0.0, overhang=0.0)


def test_graded_knots_even_density_is_uniform() -> None:
    knots, _ = graded_knots(np.ones(101), POINTS, 4, sharpness=1.0)
    np.testing.assert_allclose(knots, [-0.75, -0.25, 0.25, 0.75], atol=1e-12)


def test_kink_density_absolute_value_crowds_at_zero() -> None:
    points = np.linspace(-1, 1, 401)
    density = kink_density(np.abs(points), points, width=0.01)
    assert density is not None
    assert abs(points[np.argmax(density)]) < 0.02


def test_kink_density_parabola_has_no_kink() -> None:
    points = np.linspace(-1, 1, 401)
    assert kink_density(points**2, points, width=0.01) is None


def test_monotone_pieces_sine_one_knot_each() -> None:
    points = np.linspace(-1, 1, 401)
    knots, steepness = monotone_pieces(np.sin(2 * np.pi * points), points)
    assert len(knots) == len(steepness) == 5
    np.testing.assert_allclose(knots[1:-1], [-0.5, 0.0, 0.5], atol=0.01)


@pytest.mark.parametrize("count", [3, 6])
def test_fit_outer_weights_reaches_linear_program(count: int) -> None:
    basis = np.hstack(
        [
            np.ones((101, 1)),
            dictionary(POINTS, *uniform_knots(count, sharpness=2.0, overhang=0.2)),
        ]
    )
    values = np.exp(POINTS) * np.cos(3 * POINTS)
    weights, error = fit_outer_weights(basis, values, iterations=200)
    assert error == pytest.approx(float(np.abs(basis @ weights - values).max()))
    optimum = minimax_by_linear_program(basis, values)
    assert optimum * (1 - 1e-6) <= error <= 1.03 * optimum


def test_fit_damped_agrees_with_least_squares() -> None:
    generator = np.random.default_rng(0)
    basis, values = generator.normal(size=(50, 7)), generator.normal(size=50)
    expected = np.linalg.lstsq(basis, values, rcond=None)[0]
    np.testing.assert_allclose(fit_damped(basis, values), expected, rtol=1e-8)
