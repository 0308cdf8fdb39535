from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from pellucid.reports.study.arm_styles import ArmStyle
from pellucid.reports.study.curves import Line, collect_band, draw_panel, shared_limits


def history(values):
    return [{"epoch": i, "loss": value} for i, value in enumerate(values)]


def test_collect_band_few_seeds_reach_from_lowest_to_highest():
    band = collect_band([history([1, 2]), history([3, 6]), history([2, 4])], "loss")
    assert band.epochs.tolist() == [1, 2]
    assert band.middle.tolist() == [2, 4]
    assert band.low.tolist() == [1, 2]
    assert band.high.tolist() == [3, 6]


def test_collect_band_many_seeds_leave_out_a_tenth_at_each_end():
    band = collect_band([history([float(i)]) for i in range(21)], "loss")
    assert (band.low[0], band.middle[0], band.high[0]) == (2, 10, 18)


def test_collect_band_shorter_history_counts_as_far_as_it_goes():
    band = collect_band([history([1, 1, 1]), history([3])], "loss")
    assert band.middle.tolist() == [2, 1, 1]


def test_collect_band_missing_and_infinite_values_leave_a_gap():
    band = collect_band([history([1, None, math.inf, math.nan])], "loss")
    assert np.isnan(band.middle).tolist() == [False, True, True, True]
    assert collect_band([history([1.0])], "accuracy").is_empty
    assert collect_band([], "loss").is_empty


def test_collect_band_long_history_is_thinned_with_both_ends_kept():
    band = collect_band([history([float(i) for i in range(5000)])], "loss")
    assert len(band.epochs) <= 200
    assert (band.epochs[0], band.epochs[-1]) == (1, 5000)
    assert (band.middle[0], band.middle[-1]) == (0, 4999)


def test_shared_limits_diverged_seed_does_not_set_the_axis():
    bands = [collect_band([history([2, 1]), history([2, 1]), history([2, 1e6])], "loss")]
    low, high = shared_limits(bands, share=False)
    assert low == 0
    assert 2 < high < 4


def test_shared_limits_of_shares_stay_within_reach_of_one():
    bands = [collect_band([history([0.7, 0.99])], "loss")]
    low, high = shared_limits(bands, share=True)
    assert 0 <= low < 0.7
    assert 0.99 < high <= 1.01


def test_shared_limits_without_values_are_zero_to_one():
    assert shared_limits([collect_band([], "loss")], share=False) == (0, 1)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0], [math.nan, 1.0], []])
def test_draw_panel_any_history_is_drawn_with_its_label(values):
    line = Line(collect_band([history(values)], "loss"), ArmStyle(2), marked=True, point_epoch=1)
    svg = draw_panel([line], limits=(0, 3), share=False, name="panel", label='of "a" & b')
    root = ET.fromstring(svg)
    assert root.get("aria-label") == 'of "a" & b'
    if np.isfinite(values).any():
        assert "var(--a2)" in svg


def test_draw_panel_shares_are_written_in_percent():
    line = Line(collect_band([history([0.2, 0.8])], "loss"), ArmStyle(0))
    svg = draw_panel([line], limits=(0, 1), share=True, name="panel", label="accuracy")
    assert "80\N{NO-BREAK SPACE}%" in "".join(ET.fromstring(svg).itertext())
