from __future__ import annotations

import numpy as np
import pytest

from pellucid.evaluation.single_deletion import measure_single_deletion, rank_correlations
from tests.reference import explanation_measures as reference


def random_case(seed: int, images: int = 40):
    """Return importances, drops and visibility with ties and hidden parts."""
    generator = np.random.default_rng(seed)
    importance = generator.integers(0, 4, (images, 5)).astype(float)
    drops = generator.integers(0, 3, (images, 5)) / 7
    return importance, drops, generator.random((images, 5)) < 0.7


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlations_equal_plain_loops(seed):
    found = rank_correlations(*random_case(seed))
    for row, (said, lost, there) in enumerate(zip(*random_case(seed), strict=True)):
        expected = reference.single_deletion(said.tolist(), lost.tolist(), there.tolist())
        assert found[row] == pytest.approx(np.nan if expected is None else expected, nan_ok=True)


def test_measure_single_deletion_true_order_is_1_whatever_the_scale():
    drops = np.random.default_rng(0).random((10, 5))
    measure = measure_single_deletion(np.exp(9 * drops), drops, np.ones((10, 5), bool), blind=drops)
    assert (measure.value, measure.low, measure.high) == pytest.approx((1, 1, 1))
    assert measure.total == 10


def test_measure_single_deletion_reversed_order_is_minus_1():
    drops = np.random.default_rng(0).random((10, 5))
    measure = measure_single_deletion(-drops, drops, np.ones((10, 5), bool), blind=drops)
    assert measure.value == pytest.approx(-1)


def test_measure_single_deletion_chance_is_what_the_blind_map_gets():
    generator = np.random.default_rng(5)
    importance, drops, blind = (generator.random((400, 5)) for _ in range(3))
    there = np.ones((400, 5), bool)
    measure = measure_single_deletion(importance, drops, there, blind=blind)
    other = measure_single_deletion(blind, drops, there, blind=importance)
    assert (measure.chance, other.chance) == (other.value, measure.value)
    assert measure.low < measure.chance < measure.high


def test_measure_single_deletion_equal_importance_counts_as_0_not_as_missing():
    drops = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    said = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    measure = measure_single_deletion(said, drops, np.ones((2, 3), bool), blind=said)
    assert measure.value == pytest.approx(0.5)
    assert measure.total == 2


def test_measure_single_deletion_hidden_part_does_not_count():
    drops = np.array([[0.1, 0.2, 0.3, 0.0]])
    said = np.array([[1.0, 2.0, 3.0, 99.0]])
    visible = np.array([[True, True, True, False]])
    measure = measure_single_deletion(said, drops, visible, blind=said)
    assert measure.value == pytest.approx(1)


def test_measure_single_deletion_answer_that_rests_on_no_part_has_no_value():
    same = np.ones((3, 5))
    measure = measure_single_deletion(same, np.zeros((3, 5)), same > 0, blind=same)
    assert measure.value is None
    assert measure.total == 0
    assert "no image has three visible parts" in measure.note
