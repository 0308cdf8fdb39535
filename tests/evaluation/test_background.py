from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.evaluation.background import (
    lie_off,
    measure_changed_answers,
    measure_importance_there,
    measure_independence,
    measure_prototypes_there,
)
from tests.evaluation.prototype_matches import SIZE, matches_at, random_matches


def test_measure_independence_equals_plain_loops():
    generator = np.random.default_rng(0)
    drops = generator.normal(0.03, 0.05, (40, 6))
    visible = generator.random((40, 6)) < 0.6
    calm = total = 0
    for row in range(40):
        for number in range(6):
            if visible[row, number]:
                total += 1
                calm += drops[row, number] < 0.05
    measure = measure_independence(drops, visible)
    assert measure.value == pytest.approx(calm / total)
    assert measure.low < measure.value < measure.high


def test_measure_independence_object_that_helps_when_it_goes_is_no_dependence():
    measure = measure_independence(np.array([[-0.5, 0.2]]), np.array([[True, True]]))
    assert measure.value == 0.5


def test_measure_independence_no_objects_has_no_value():
    measure = measure_independence(np.zeros((3, 6)), np.zeros((3, 6), bool))
    assert measure.value is None
    assert "no background object is visible" in measure.note


def test_measure_changed_answers_counts_every_other_background():
    others = np.array([[0, 0, 1], [1, 1, 1]])
    assert measure_changed_answers(np.array([0, 1]), others).value == pytest.approx(1 / 6)


def test_measure_changed_answers_is_not_about_single_objects():
    # No object matters, and still every answer goes with the background.
    calm = measure_independence(np.zeros((2, 1)), np.ones((2, 1), bool))
    changed = measure_changed_answers(np.array([0, 0]), np.ones((2, 3), int))
    assert (calm.value, changed.value) == (1, 1)


def test_measure_importance_there_equals_plain_loops():
    generator = torch.Generator().manual_seed(0)
    importance = torch.randn(5, 3, 4, generator=generator)
    importance[4] = -1  # nothing speaks for the answer
    creature = torch.rand(5, 3, 4, generator=generator) < 0.5
    shares = []
    for image in range(4):
        inside = outside = 0.0
        for row in range(3):
            for column in range(4):
                value = max(0.0, float(importance[image, row, column]))
                if creature[image, row, column]:
                    inside += value
                else:
                    outside += value
        shares.append(outside / (inside + outside))
    measure = measure_importance_there(importance, creature)
    assert measure.value == pytest.approx(sum(shares) / 4)
    assert measure.total == 4
    assert measure.chance == pytest.approx(float((~creature).float().mean()))


def test_lie_off_equals_plain_loops():
    matches = random_matches()
    creature = torch.rand(30, *SIZE, generator=torch.Generator().manual_seed(3)) < 0.5
    for number, found in enumerate(lie_off(matches, creature)):
        order = sorted(range(30), key=lambda image: -matches.similarity[image, number])
        off = 0
        for image in order[:10]:
            row, column = (int(place) for place in matches.middles[image, number])
            off += not bool(creature[image, row, column])
        assert found == (off > 5)


def test_measure_prototypes_there_random_places_are_about_chance():
    creature = torch.zeros(100, *SIZE, dtype=torch.bool)
    creature[:, :7] = True  # half of the image
    measure = measure_prototypes_there(random_matches(100, 400), creature)
    assert measure.chance == pytest.approx(0.377, abs=1e-3)  # more than 5 of 10 coins
    assert measure.low < measure.chance < measure.high


def test_lie_off_place_beyond_the_edge_counts_as_the_edge():
    creature = torch.zeros(1, *SIZE, dtype=torch.bool)
    creature[0, -1, -1] = True
    assert lie_off(matches_at([[(99.0, 99.0)]]), creature).tolist() == [False]
