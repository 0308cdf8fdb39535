from __future__ import annotations

import numpy as np
import pytest

from pellucid.evaluation.measure import Definition, interval_of_mean, interval_of_share

SOME = Definition("some", "some measure", "higher", "share", "what it is")


def test_interval_of_share_known_figure():
    # 81 of 263, the example of Newcombe 1998, table I.
    assert interval_of_share(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_interval_of_mean_is_about_the_normal_one():
    values = np.random.default_rng(0).normal(3, 2, 400)
    half = 1.96 * values.std() / 20
    low, high = interval_of_mean(values)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_interval_of_mean_is_the_same_for_the_same_seed_only():
    values = np.random.default_rng(0).random(30)
    assert interval_of_mean(values, seed=3) == interval_of_mean(values, seed=3)
    assert interval_of_mean(values, seed=3) != interval_of_mean(values, seed=4)


def test_interval_of_mean_weights_repeat_a_value():
    values, weights = np.array([0.0, 1.0]), np.array([1.0, 3.0])
    low, high = interval_of_mean(values, weights=weights)
    assert (low, high) == (0, 1)
    assert SOME.of_mean(values, weights=weights).value == 0.75


def test_interval_of_mean_of_one_value_is_that_value():
    assert interval_of_mean(np.array([0.3])) == (0.3, 0.3)


def test_of_share_counts():
    measure = SOME.of_share(np.array([True, False, True, True]), chance=0.5)
    assert (measure.value, measure.total, measure.chance) == (0.75, 4, 0.5)
    assert (measure.low, measure.high) == interval_of_share(3, 4)


@pytest.mark.parametrize("measure", [SOME.of_share(np.zeros(0, bool)), SOME.of_mean(np.zeros(0))])
def test_of_nothing_has_no_value(measure):
    assert measure.value is None
    assert measure.total == 0
    assert "nothing to measure" in measure.note


def test_of_mean_of_fewer_than_five_values_has_no_interval():
    four, five = (SOME.of_mean(np.arange(count, dtype=float)) for count in (4, 5))
    assert (four.value, four.low, four.high) == (1.5, None, None)
    assert None not in (five.low, five.high)


def test_unknown_says_why_instead_of_what():
    measure = SOME.unknown("because")
    assert (measure.value, measure.note, measure.label) == (None, "because", "some measure")
    assert measure.to_dict()["note"] == "because"
