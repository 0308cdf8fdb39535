from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import UsageError
from pellucid.approximation.neuron_counts import (
    MINIMA,
    PACKINGS,
    NeuronCount,
    SchemeCount,
    count_diamonds,
    neuron_count,
)


def scheme(count: NeuronCount, start: str) -> SchemeCount:
    return next(one for one in count.schemes if one.scheme.startswith(start))


def test_neuron_count_two_dimensions_has_the_formulas():
    count = neuron_count(10.0, 0.1, 2)
    assert (count.reference.cells, count.reference.hidden_neurons) == (100**2, 5 * 100**2)
    grid = scheme(count, "grid")
    assert grid.hidden_neurons == 2 * 99 + 100**2 - 1
    assert scheme(count, "towers on diamonds").cells == pytest.approx(100**2 / 2, rel=0.03)
    assert count.least_parameters == 100**2 / 2
    assert count.fewest == grid


@pytest.mark.parametrize(("t", "towers"), [(math.pi, 98_697), (20.0, 4_000_000)])
def test_neuron_count_reference_towers_of_the_specification(t, towers):
    assert neuron_count(t, 0.01, 2).reference.cells == pytest.approx(towers, rel=0.01)


def test_neuron_count_one_dimension_has_the_formulas():
    count = neuron_count(2 * math.pi, 0.01, 1, total_variation=4.0)
    assert (count.reference.cells, count.reference.hidden_neurons) == (315, 630)
    assert scheme(count, "staircase: ").hidden_neurons == 314
    free = scheme(count, "staircase with free knots")
    assert (free.cells, free.hidden_neurons) == (200, 199)
    assert count.least_parameters == 315


@pytest.mark.parametrize(("dimension", "neurons"), [(3, 7), (4, 9)])
def test_neuron_count_more_dimensions_takes_cubes(dimension, neurons):
    count = neuron_count(1.0, 0.1, dimension)
    k = math.ceil(dimension * 5)
    assert count.reference.cells == k**dimension
    assert count.reference.hidden_neurons == neurons * k**dimension
    assert count.schemes[1].hidden_neurons == dimension * (k - 1) + k**dimension - 1


def test_neuron_count_bounds_for_each_axis():
    count = neuron_count((10.0, 1.0), 0.1, 2, sides=(1.0, 2.0))
    assert count.reference.cells == 100 * 20
    assert count.least_parameters == 1000


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_neuron_count_constant_needs_nothing(dimension):
    count = neuron_count(0.0, 0.1, dimension)
    assert all(one.cells == 1 for one in count.schemes)
    assert count.fewest.hidden_neurons == 0
    assert (count.least_parameters, count.least_neurons_one_layer) == (1, 0)
    assert count.least_neurons_two_layers == 0


@settings(max_examples=50)
@given(st.floats(0, 100), st.floats(0.01, 1), st.integers(1, 4))
def test_neuron_count_upper_bounds_are_not_below_the_lower(t, eps, dimension):
    count = neuron_count(t, eps, dimension)
    # A cell is one parameter, and its value depends continuously on the function.
    assert all(one.cells >= count.least_parameters for one in count.schemes)


@pytest.mark.parametrize("dimension", PACKINGS)
def test_packings_keep_their_distance(dimension):
    radius, modulus, factors = PACKINGS[dimension]
    reach = range(-2 * radius, 2 * radius + 1)
    distances = [
        sum(map(abs, point))
        for point in itertools.product(reach, repeat=dimension)
        if any(point) and sum(a * x for a, x in zip(factors, point, strict=True)) % modulus == 0
    ]
    assert min(distances) == 2 * radius


def test_packings_of_peaks_are_in_the_class():
    """Peaks of height eps on the packing of three dimensions: slopes of at most t, heights free."""
    radius, modulus, factors = PACKINGS[3]
    t, eps = 2.0, 0.3
    lattice = np.array(
        [p for p in itertools.product(range(-6, 7), repeat=3) if np.dot(factors, p) % modulus == 0]
    )
    centers = lattice * eps / (t * radius)
    generator = np.random.default_rng(0)
    heights = generator.uniform(-1, 1, len(centers))

    def value(points: np.ndarray) -> np.ndarray:
        away = np.abs(points[:, None] - centers).sum(axis=2)
        return (heights * np.maximum(0, eps - t * away)).sum(axis=1)

    a = generator.uniform(-0.2, 0.2, (400, 3))
    b = a + generator.uniform(-0.05, 0.05, (400, 3))
    assert np.all(np.abs(value(a) - value(b)) <= t * np.abs(a - b).sum(axis=1) + 1e-12)
    np.testing.assert_allclose(value(centers), heights * eps, rtol=0, atol=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 9000).map(lambda n: n / 1000), st.integers(0, 90).map(lambda n: n / 10))
def test_count_diamonds_covers_the_rectangle(width, height):
    points = np.random.default_rng(0).uniform(0, 1, (500, 2)) * (width, height)
    points[:4] = [(0, 0), (0, height), (width, 0), (width, height)]
    if height <= 0:
        centers = [(2 * i + 1, 0) for i in range(max(1, math.ceil(width / 2)))]
    elif width <= 0:
        centers = [(0, 2 * j + 1) for j in range(max(1, math.ceil(height / 2)))]
    else:
        centers = []
        for row in range(math.ceil(height) + 1):
            x = row % 2
            while x - 1 < width:
                centers.append((x, row))
                x += 2
    assert count_diamonds(width, height) == len(centers)
    away = np.abs(points[:, None] - np.array(centers)).sum(axis=2).min(axis=1)
    assert away.max() <= 1 + 1e-12


@pytest.mark.parametrize("parameters", [1, 2, 7, 10, 100, 5000, 12_345])
@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_neuron_count_least_two_layers_equals_trying_all(parameters, dimension):
    from pellucid.approximation.neuron_counts import _fewest_two_layers

    def size(first: int, second: int) -> int:
        return first * (dimension + 1) + second * (first + 1) + second + 1

    n = 0
    while parameters > 1 and not any(size(i, n - i) >= parameters for i in range(1, n)):
        n += 1
    assert _fewest_two_layers(parameters, dimension) == n


def test_minima_say_why():
    assert [one.hidden_neurons for one in MINIMA] == [2, 5, 4]
    assert "monotone" in MINIMA[0].reason


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((1.0, 0.0, 2), {}, r"tolerance must be a number in \(0"),
        ((1.0, math.nan, 2), {}, "tolerance must be a number"),
        ((-1.0, 0.1, 2), {}, "lipschitz must be a number"),
        ((1.0, 0.1, 5), {}, r"dimension must be an integer in \[1, 4\]"),
        (((1.0, 1.0), 0.1, 3), {}, "lipschitz must be one number, or one for each of 3"),
        ((1.0, 0.1, 2), {"sides": 0.0}, "sides must be a number"),
        ((1.0, 0.1, 2), {"total_variation": 1.0}, "total_variation must be left out"),
        ((1.0, 0.1, 1), {"total_variation": 2.0}, "total_variation must be at most"),
        ((1.0, 1e-300, 2), {}, "fewer than 1e15 cells"),
    ],
)
def test_neuron_count_bad_argument_raises(arguments, options, message):
    with pytest.raises(UsageError, match=message):
        neuron_count(*arguments, **options)
