from __future__ import annotations

import numpy as np

from pellucid.evaluation.target_sensitivity import (
    RivalClasses,
    agrees,
    choose_rivals,
    measure_target_sensitivity,
)
from tests.reference import explanation_measures as reference

PARTS = np.array(
    [
        [0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1],
        [1, 1, 0, 0, 1],
        [2, 0, 0, 2, 2],
        [3, 3, 3, 3, 3],
    ]
)


def test_choose_rivals_every_pair_is_one_of_the_reference_s():
    generator = np.random.default_rng(0)
    table = generator.integers(0, 3, (12, 5))
    labels = generator.integers(0, 12, 200)
    rivals = choose_rivals(table, labels, seed=4)
    found = dict(zip(rivals.rows.tolist(), rivals.classes.tolist(), strict=True))
    for row, label in enumerate(labels):
        pairs = reference.rival_pairs(table.tolist(), int(label))
        assert (row in found) == bool(pairs)
        assert not pairs or tuple(found[row]) in pairs


def test_choose_rivals_prefers_two_shared_parts_and_leaves_out_who_has_none():
    rivals = choose_rivals(PARTS, np.array([0, 4, 0]))
    assert rivals.rows.tolist() == [0, 2]
    assert rivals.classes.tolist() == [[1, 2], [1, 2]]
    assert rivals.shared[0].tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0]]


def test_choose_rivals_same_seed_gives_the_same():
    generator = np.random.default_rng(0)
    table, labels = generator.integers(0, 3, (12, 5)), generator.integers(0, 12, 50)
    first, second = (choose_rivals(table, labels, seed=7).classes for _ in range(2))
    assert (first == second).all()


def two_rivals(images: int = 1) -> RivalClasses:
    shared = np.array([[[1, 0, 0], [0, 1, 0]]] * images, dtype=bool)
    return RivalClasses(np.arange(images), np.array([[1, 2]] * images), shared)


def test_agrees_when_each_class_misses_its_own_part_more():
    answers = np.full((1, 8, 3), 0.5)
    answers[0, 0b110] = [0, 0.1, 0.5]  # without part 0
    answers[0, 0b101] = [0, 0.5, 0.2]  # without part 1
    assert agrees(answers, two_rivals()).tolist() == [True]
    answers[0, 0b101, 2] = 0.6
    assert agrees(answers, two_rivals()).tolist() == [False]


def test_measure_target_sensitivity_map_that_follows_the_class_is_1():
    importance = np.array([[[1.0, 0, 0], [0, 1.0, 0]]])
    assert measure_target_sensitivity(importance, two_rivals(), np.array([True])).value == 1


def test_measure_target_sensitivity_map_that_ignores_the_class_is_0():
    importance = np.array([[[1.0, 2, 3], [1.0, 2, 3]]])
    assert measure_target_sensitivity(importance, two_rivals(), np.array([True])).value == 0


def test_measure_target_sensitivity_counts_the_two_cases_apart():
    importance = np.array([[[2.0, 2, 0], [1.0, 1, 0]]])  # right for part 0, wrong for part 1
    assert measure_target_sensitivity(importance, two_rivals(), np.array([True])).value == 0.5


def test_measure_target_sensitivity_leaves_out_where_the_model_disagrees():
    importance = np.array([[[1.0, 0, 0], [0, 1.0, 0]], [[0.0] * 3, [0.0] * 3]])
    measure = measure_target_sensitivity(importance, two_rivals(2), np.array([True, False]))
    assert (measure.value, measure.total) == (1, 1)


def test_measure_target_sensitivity_random_maps_are_about_chance():
    generator = np.random.default_rng(2)
    importance = generator.random((400, 2, 3))
    measure = measure_target_sensitivity(importance, two_rivals(400), np.ones(400, bool))
    assert measure.low < measure.chance < measure.high
    assert measure.chance == 0.5


def test_measure_target_sensitivity_no_such_classes_has_no_value():
    rivals = choose_rivals(PARTS, np.array([4]))
    measure = measure_target_sensitivity(np.zeros((0, 2, 5)), rivals, np.zeros(0, bool))
    assert measure.value is None
