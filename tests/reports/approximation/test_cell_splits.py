from __future__ import annotations

import numpy as np
import pytest

from pellucid.reports.approximation.cell_splits import count_neurons, split_cells


def grid_cells(side: int, step: int) -> list[tuple[tuple[int, int], ...]]:
    return [
        ((i * step, (i + 1) * step), (j * step, (j + 1) * step))
        for i in range(side)
        for j in range(side)
    ]


def test_count_neurons_of_equal_cells_is_the_grid_formula():
    values = np.random.default_rng(0).normal(size=25).tolist()
    count = count_neurons(grid_cells(5, 4), values, ((0, 20), (0, 20)))
    assert count == 2 * (5 - 1) + 5**2 - 1


def test_count_neurons_of_equal_values_is_zero():
    assert count_neurons(grid_cells(5, 4), [2.0] * 25, ((0, 20), (0, 20))) == 0


def test_count_neurons_of_a_staircase_is_its_steps():
    cells = [((0, 4),), ((4, 8),), ((8, 16),)]
    assert count_neurons(cells, [1.0, 2.0, 5.0], ((0, 16),)) == 2


def test_split_cells_stops_at_the_tolerance():
    x = np.linspace(0, 1, 129)
    cells = split_cells(np.sin(5 * x), 0.05)
    assert cells.largest[-1] <= 0.05 < cells.largest[-2]
    assert all(a >= b for a, b in zip(cells.largest, cells.largest[1:], strict=False))


def test_split_cells_follows_the_only_variable_that_matters():
    x = np.linspace(0, 1, 33)
    cells = split_cells(np.tile(x**3, (33, 1)), 0.05)
    assert {split[1] for split in cells.splits} == {1}


def test_split_cells_of_a_peak_on_an_edge_uses_both_axes():
    x = np.linspace(0, 1, 65)
    squares = (x - 0.5) ** 2
    cells = split_cells(np.exp(-20 * np.add.outer(squares, squares)), 0.1)
    assert cells.largest[-1] <= 0.1
    axes = [split[1] for split in cells.splits]
    assert 0.3 < np.mean(axes) < 0.7


def test_split_cells_of_a_constant_is_one_cell():
    cells = split_cells(np.full((9, 9), 2.5), 0.1)
    assert cells.splits == ()
    assert cells.start == (2.5, 0.0)


def test_split_cells_halves_what_a_plain_search_finds_widest():
    values = np.random.default_rng(4).normal(size=65)
    cells = split_cells(values, 0.3)
    held = [(0, 64)]
    for number, _, *_ in cells.splits:
        radii = [float(np.ptp(values[a : b + 1])) / 2 for a, b in held]
        assert radii[number] == max(radii)
        a, b = held[number]
        held[number] = (a, (a + b) // 2)
        held.append(((a + b) // 2, b))


@pytest.mark.parametrize("dimension", [1, 2])
def test_equal_cells_are_what_a_plain_loop_finds(dimension):
    values = np.random.default_rng(5).normal(size=(17,) * dimension)
    for count, radius in split_cells(values, 0.01).equal:
        k = round(count ** (1 / dimension))
        step = 16 // k
        worst = 0.0
        for index in np.ndindex(*(k,) * dimension):
            part = values[tuple(slice(i * step, i * step + step + 1) for i in index)]
            worst = max(worst, float(part.max() - part.min()) / 2)
        assert radius == worst
