from __future__ import annotations

import numpy as np
import pytest

from pellucid.reports.tree_svg import (
    color_of_class,
    count_leaves_below,
    largest_shares,
    shorten,
    text_width_px,
)
from tests.reports.synthetic_report import make_report


@pytest.mark.parametrize(
    "text", ["W" * 30, "漢字" * 20, "a_long_name_" * 5, "<img onerror=alert(1)>"]
)
def test_shorten_wide_text_fits_and_says_that_it_was_cut(text):
    cut = shorten(text, 80, 12, bold=True)
    assert text_width_px(cut, 12, bold=True) <= 80
    assert cut.endswith("…")
    assert text.startswith(cut[:-1])


def test_shorten_text_that_fits_is_unchanged():
    assert shorten("three", 80, 12) == "three"


def test_largest_shares_ties_keep_the_order_of_the_classes():
    shares = largest_shares(np.array([0.25, 0.5, 0.25]), ("a", "b", "c"), count=3)
    assert [share.class_name for share in shares] == ["b", "a", "c"]


def test_largest_shares_of_zero_percent_are_left_out():
    shares = largest_shares(np.array([0.998, 0.002]), ("a", "b"), count=3)
    assert [share.class_name for share in shares] == ["a"]


def test_count_leaves_below_full_tree_halves_at_each_level():
    assert count_leaves_below(make_report(depth=3)).tolist() == [8, 4, 4, 2, 2, 2, 2]


@pytest.mark.parametrize(("classes", "color"), [(10, "k3"), (11, "kx")])
def test_color_of_class_is_its_own_only_among_few_classes(classes, color):
    assert color_of_class(3, classes) == color
