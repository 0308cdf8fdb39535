"""The spectral, ridge and separable schemes: counts, errors, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import NotApplicable
from pellucid.approximation.constructions.exchange import sample
from pellucid.approximation.constructions.low_rank import (
    best_rank_one,
    interaction,
    outer,
    pure_interaction,
)
from pellucid.approximation.constructions.ridge import (
    additive_defect,
    plane_directions,
    ridge,
    single_direction,
)
from pellucid.approximation.constructions.separable import separable
from pellucid.approximation.constructions.spectral import spectral
from pellucid.approximation.constructions.summands import summands
from pellucid.approximation.expressions import parse
from tests.reference.few_neurons import additive_part_by_least_squares

UNIT = {n: Box((0.0,) * n, (1.0,) * n) for n in (1, 2, 3)}
PATIENT = 60.0


def largest_error(network, target, box: Box) -> float:
    points = np.vstack([box.sample(20_000, np.random.default_rng(0)), box.vertices])
    return float(np.abs(network(points) - target(points)).max())


@pytest.mark.parametrize(
    ("text", "box", "tolerance", "most"),
    [
        ("sin(2*pi*x)", UNIT[1], 1.2e-5, 8),
        ("sin(20*x)", UNIT[1], 0.01, 9),
        ("abs(x)", Box((-1.0,), (1.0,)), 0.01, 8),
        ("1/(1+25*x**2)", Box((-1.0,), (1.0,)), 1e-3, 8),
        ("3*x-7", Box((-5.0,), (100.0,)), 1e-4, 1),
        ("tanh(20*x-3)", UNIT[1], 1e-4, 1),
        ("1e-9*exp(x)", UNIT[1], 1e-12, 2),
        ("sin(x)", Box((10000.0,), (10003.0,)), 1e-3, 4),
    ],
)
def test_spectral_within_tolerance_and_count(
    text: str, box: Box, tolerance: float, most: int
) -> None:
    target = parse(text)
    built = spectral(target, box, tolerance=tolerance, max_seconds=PATIENT)
    assert built.network.hidden_neurons <= most
    assert largest_error(built.network, target, box) <= tolerance


@pytest.mark.parametrize(
    ("text", "box", "tolerance", "most"),
    [
        ("abs(x-y)", UNIT[2], 0.01, 8),
        ("2*x-3*y+4", UNIT[2], 1e-4, 1),
        ("x*y", UNIT[2], 1e-3, 4),
        ("1/(1+x+y)", UNIT[2], 1e-3, 3),
        ("x**2+y**2+z**2", UNIT[3], 0.01, 6),
        ("sin(x+2*y+3*z)", UNIT[3], 0.01, 4),
    ],
)
def test_ridge_within_tolerance_and_count(text: str, box: Box, tolerance: float, most: int) -> None:
    target = parse(text)
    built = ridge(target, box, tolerance=tolerance, max_seconds=PATIENT)
    assert len(built.network.hidden) == 1
    assert built.network.hidden_neurons <= most
    assert largest_error(built.network, target, box) <= tolerance


@pytest.mark.parametrize(
    ("text", "box", "tolerance", "most"),
    [
        ("exp(-200*((x-1/2)**2+(y-1/2)**2))", UNIT[2], 0.01, 8),
        ("x/(1+y)", UNIT[2], 0.01, 6),
        ("exp(-10*((x-.5)**2+(y-.4)**2+(z-.3)**2))", UNIT[3], 0.01, 9),
        ("sin(5*x*y)", UNIT[2], 0.01, 9),
    ],
)
def test_separable_within_tolerance_and_count(
    text: str, box: Box, tolerance: float, most: int
) -> None:
    target = parse(text)
    built = separable(target, box, tolerance=tolerance, max_seconds=PATIENT)
    assert built.network.hidden_neurons <= most
    assert largest_error(built.network, target, box) <= tolerance
    assert all(layer.role(0) for layer in built.network.hidden)


@pytest.mark.parametrize("scheme", [ridge, separable])
def test_constant_needs_no_neuron(scheme) -> None:
    built = scheme(lambda points: np.full(len(points), 3.0), UNIT[2], tolerance=0.1)
    assert built.network.hidden_neurons == 0
    assert built.network(np.zeros((1, 2)))[0] == 3.0


def test_spectral_jump_is_not_applicable() -> None:
    target = parse("where(x > 0.3, 1, 0)")
    with pytest.raises(NotApplicable, match=r"jumps by about 1 at \(0\.3\)"):
        spectral(target, UNIT[1], tolerance=0.01)


def test_spectral_two_variables_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="one variable"):
        spectral(parse("x+y"), UNIT[2], tolerance=0.01)


def test_separable_one_variable_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="two or more"):
        separable(parse("x"), UNIT[1], tolerance=0.01)


def test_ridge_product_of_three_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="directions"):
        ridge(parse("exp(x*y)"), UNIT[2], tolerance=0.01)


def test_spectral_tolerance_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="tolerance must be above 0"):
        spectral(parse("x"), UNIT[1], tolerance=0.0)


def test_spectral_neuron_budget_is_kept() -> None:
    built = spectral(parse("sin(20*x)"), UNIT[1], tolerance=1e-6, max_neurons=4, max_seconds=20)
    assert built.network.hidden_neurons <= 4
    assert "not reached" in built.remark


def test_spectral_twice_is_the_same() -> None:
    first, second = (
        spectral(parse("sin(20*x)"), UNIT[1], tolerance=0.01, max_seconds=PATIENT) for _ in range(2)
    )
    assert first.network.digest == second.network.digest


def test_single_direction_is_found() -> None:
    samples = sample(parse("sin(x+2*y)"), UNIT[2], tolerance=0.01)
    found = single_direction(samples)
    assert found is not None
    np.testing.assert_allclose(found, [1 / 3, 2 / 3], atol=1e-6)


def test_plane_directions_product_of_sines_is_two_ridges() -> None:
    samples = sample(parse("sin(2*pi*x)*cos(2*pi*y)"), UNIT[2], tolerance=0.01)
    found = plane_directions(samples, 2)
    assert found is not None
    np.testing.assert_allclose(np.abs(found), 0.5)


def test_plane_directions_general_angles_are_found() -> None:
    samples = sample(parse("sin(6*x+2*y)+cos(5*y-x)"), UNIT[2], tolerance=0.01)
    found = plane_directions(samples, 2)
    assert found is not None
    slopes = sorted(found[:, 1] / found[:, 0])
    np.testing.assert_allclose(slopes, [-5.0, 1 / 3], rtol=1e-4)


def test_additive_defect_separates_sum_from_product() -> None:
    added = sample(parse("sqrt(x)+abs(y-0.3)"), UNIT[2], tolerance=0.01)
    multiplied = sample(parse("x*y"), UNIT[2], tolerance=0.01)
    assert additive_defect(added) < 1e-12
    assert additive_defect(multiplied) > 0.1


@pytest.mark.parametrize("shape", [(5, 4), (3, 4, 5)])
def test_interaction_agrees_with_least_squares(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    expected = values - additive_part_by_least_squares(values)
    np.testing.assert_allclose(interaction(values), expected, atol=1e-12)


def test_pure_interaction_of_pair_ignores_third_variable() -> None:
    generator = np.random.default_rng(1)
    pair = generator.normal(size=(4, 5))
    values = pair[:, :, None] + generator.normal(size=6)
    np.testing.assert_allclose(pure_interaction(values, (0, 1)), interaction(pair), atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 5), (4, 5, 6)])
def test_best_rank_one_finds_rank_one(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(2)
    values = outer([generator.normal(size=size) for size in shape])
    np.testing.assert_allclose(outer(best_rank_one(values)), values, atol=1e-10)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x*y - 3*sin(x) + 2", 3),
        ("(x+y**2)*exp(-x)", 2),
        ("-(x-y)/4", 2),
        ("sin(x+y)", 1),
        ("exp(-(x**2 + y**2)/4)", 1),
    ],
)
def test_summands_add_up(text: str, count: int) -> None:
    target = parse(text, 2)
    found = summands(target)
    assert found is not None
    assert len(found) == count
    points = UNIT[2].sample(50, np.random.default_rng(0))
    np.testing.assert_allclose(sum(term(points) for term in found), target(points), atol=1e-12)


def test_summands_of_function_are_unknown() -> None:
    assert summands(lambda points: points[:, 0]) is None
