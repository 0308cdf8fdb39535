from __future__ import annotations

import pytest

from pellucid.regularization.statistics.comparison import compare
from pellucid.regularization.statistics.findings import (
    find,
    write_amount,
    write_list,
    write_p,
    write_points,
    write_share,
)
from tests.regularization.made_records import BETTER, NONE, make_arm


def test_find_from_either_side_turns_signs_and_intervals():
    comparisons = compare([*make_arm("none", NONE), *make_arm("l1", BETTER)])
    ahead = find(comparisons, "l1", "none", "last")
    behind = find(comparisons, "none", "l1", "last")
    assert ahead.difference == -behind.difference == comparisons[0].difference
    for name in ("interval", "sampling", "combined"):
        low, high = getattr(ahead, name)
        assert getattr(behind, name) == (-high, -low)
    assert ahead.decided
    assert behind.decided


def test_find_pair_not_compared_is_none():
    assert find((), "l1", "none", "last") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0254, "2.5"), (-0.012, "-1.2"), (0.0004, "0.04"), (-0.00001, "0.0"), (0.0, "0.0")],
)
def test_write_points_small_figures_do_not_vanish(value, text):
    assert write_points(value) == text


def test_write_amount_one_point_is_singular():
    assert write_amount(-0.01) == "1 point"
    assert write_amount(0.011) == "1.1 points"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0004, "p < 0.001"),
        (0.0312, "p = 0.031"),
        (0.0496, "p = 0.0496"),
        (0.0504, "p = 0.0504"),
        (0.04999, "p < 0.05"),
        (0.05, "p >= 0.05"),
        (0.234, "p = 0.23"),
        (1.0, "p = 1.00"),
    ],
)
def test_write_p_keeps_its_side_of_five_percent(p, text):
    assert write_p(p) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3821, "38.2 %"),
        (0.0002, "less than 0.1 %"),
        (0.9999, "more than 99.9 %"),
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
    ],
)
def test_write_share_nearly_all_is_not_all(value, text):
    assert write_share(value) == text


def test_write_list_reads_as_a_sentence():
    assert write_list(["a"]) == "a"
    assert write_list(["a", "b", "c"]) == "a, b and c"
