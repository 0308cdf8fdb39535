from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.reports.approximation.cell_splits import split_cells
from pellucid.reports.approximation.neuron_lines import (
    draw_lines,
    find_steepness,
    grid_neurons,
    lower_bound,
    reference_neurons,
)
from tests.reports.approximation import synthetic_approximation as synthetic


def test_reference_neurons_are_those_of_the_textbook():
    assert math.ceil(reference_neurons(2 * math.pi, 0.01, 1)) == 1257
    assert reference_neurons(math.pi, 0.01, 2) / 5 == pytest.approx(98_696, abs=1)


def test_grid_neurons_are_the_shared_count():
    assert grid_neurons((10.0, 5.0), 0.1) == pytest.approx(99 + 49 + 100 * 50 - 1)
    assert grid_neurons((10.0,), 0.05) == pytest.approx(99)
    assert grid_neurons((0.0, 0.0), 0.1) == 0


def test_lower_bound_is_half_of_the_squares_in_two_dimensions():
    assert lower_bound(3.0, 0.1, 2) == pytest.approx(3.0**2 / (2 * 0.1**2))
    assert lower_bound(3.0, 0.1, 1) == pytest.approx(3.0 / (2 * 0.1))


@pytest.mark.parametrize(("multipliers", "modulus"), [((1, 7, 11), 38), ((1, 7, 25, 29), 70)])
def test_diamonds_of_the_lower_bound_do_not_overlap(multipliers, modulus):
    dimension = len(multipliers)
    steps = np.array(list(np.ndindex(*(13,) * dimension))) - 6
    points = steps[(steps @ multipliers) % modulus == 0]
    sizes = np.abs(points).sum(axis=1)
    assert sizes[sizes > 0].min() == 6  # two radii
    volume = 6**dimension / math.factorial(dimension)
    expected = volume / modulus * math.factorial(dimension) * 10.0**dimension
    assert lower_bound(2.0, 0.1, dimension) == pytest.approx(expected)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_lower_bound_is_below_every_construction(dimension):
    slopes = (4.0,) * dimension
    bound = lower_bound(4.0, 0.05, dimension)
    assert bound <= grid_neurons(slopes, 0.05) + 1
    assert bound <= reference_neurons(4.0, 0.05, dimension)


def test_find_steepness_prefers_what_the_target_knows():
    target = synthetic.Target("x", lambda p: p[:, 0], 2, lipschitz=(1.0, 0.5))
    steepness = find_steepness(target, Box((0.0, 0.0), (2.0, 4.0)))
    assert steepness.slopes == (2.0, 2.0)
    assert steepness.is_known


def test_find_steepness_estimates_slopes_from_samples():
    target = synthetic.Target("", lambda p: np.sin(p[:, 0]) + 3 * p[:, 1], 2)
    steepness = find_steepness(target, Box((-1.0, 0.0), (1.0, 0.5)))
    assert steepness.slopes == pytest.approx((2.0, 1.5), rel=1e-3)
    assert not steepness.is_known


def test_draw_lines_marks_the_network_and_the_other_candidates():
    approximation = synthetic.approximate_line()
    cells = split_cells(np.sin(2 * np.pi * np.linspace(0, 1, 257)), 0.01)
    steepness = find_steepness(approximation.target, approximation.box)
    lines = draw_lines(approximation, steepness, cells)
    assert [point["chosen"] for point in lines.points] == [True, False, False]
    data = lines.to_json()
    assert all(
        data["tolerances"][0] <= point["tolerance"] <= data["tolerances"][1]
        for point in lines.points
    )


def test_draw_lines_without_a_bound_has_no_own_point():
    approximation = synthetic.approximate_line()
    certificate = replace(approximation.certificate, bound=math.inf)
    cells = split_cells(np.zeros(9), 0.01)
    lines = draw_lines(
        replace(approximation, certificate=certificate),
        find_steepness(approximation.target, approximation.box),
        cells,
    )
    assert not any(point["chosen"] for point in lines.points)
