from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest

from pellucid.reports.study.arm_styles import ArmStyle
from pellucid.reports.study.interval_strips import StripAxis, draw_scale, draw_strip

AXIS = StripAxis(0.0, 1.0, (0.0, 0.5, 1.0))


@pytest.mark.parametrize(
    "values", [(0.81, 0.84, 0.79), (-0.02, 0.0, 0.06), (0.5,), (-52.0, 29.0), (1e-9, 2e-9), ()]
)
def test_around_any_values_lie_on_the_axis_between_ticks(values):
    axis = StripAxis.around(values)
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values)
    assert 2 <= len(axis.ticks) <= 8
    assert all(axis.low - 1e-9 <= tick <= axis.high + 1e-9 for tick in axis.ticks)


def test_around_infinite_values_are_left_out():
    assert StripAxis.around([0.2, math.inf, math.nan, 0.4]) == StripAxis.around([0.2, 0.4])


def test_around_equal_values_get_the_least_span():
    axis = StripAxis.around([0.3, 0.3], least_span=0.1)
    assert axis.high - axis.low >= 0.1 - 1e-12


def test_along_order_is_kept_and_ends_have_a_margin():
    places = [AXIS.along(value) for value in (-5.0, 0.0, 0.25, 1.0, 7.0)]
    assert places == sorted(places)
    assert 0 < places[0] == places[1]
    assert places[3] == places[4] < 1


def strip(dots, **options):
    drawn = draw_strip(AXIS, dots, style=ArmStyle(0), label="seeds", **options)
    return ET.fromstring(drawn)


def by_class(svg, name):
    return [element for element in svg.iter() if name in (element.get("class") or "").split()]


def test_draw_strip_a_dot_a_seed_at_its_value():
    dots = by_class(strip([0.0, 0.5, 1.0, math.nan]), "seed")
    assert [float(dot.get("x").rstrip("%")) for dot in dots] == [3, 50, 97]


def test_draw_strip_equal_seeds_lie_at_different_heights():
    heights = [dot.get("y") for dot in by_class(strip([0.5] * 20), "seed")]
    assert len(set(heights)) > 15


def test_draw_strip_seed_beyond_the_axis_is_an_arrowhead():
    dots = by_class(strip([-0.5, 0.5, 1.5]), "seed")
    assert [dot.get("href") for dot in dots] == ["#beyond-left", "#m0", "#beyond-right"]


def test_draw_strip_interval_that_leaves_the_axis_has_no_cap_there():
    svg = strip([0.5], mean=0.5, interval=(-1.0, 0.7))
    assert len(by_class(svg, "cap")) == 1
    assert len(by_class(svg, "mean")) == 1


def test_draw_strip_without_interval_draws_none():
    svg = strip([0.5], mean=0.5)
    assert by_class(svg, "span") == []
    assert by_class(svg, "second") == []


def test_draw_strip_label_is_text():
    svg = draw_strip(AXIS, [0.5], style=None, label='"><script>')
    assert ET.fromstring(svg).get("aria-label") == '"><script>'


def test_draw_scale_crowded_ticks_are_thinned_out():
    axis = StripAxis(0.0, 1.0, tuple(i / 50 for i in range(51)))
    texts = list(ET.fromstring(draw_scale(axis, str)).iter("text"))
    assert 2 <= len(texts) <= 8
