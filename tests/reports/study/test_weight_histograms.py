from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from pellucid.reports.study.arm_styles import ArmStyle
from pellucid.reports.study.weight_histograms import ShareScale, draw_histogram, draw_share_scale

SCALE = ShareScale.down_to(0.001)
EDGES = (-0.3, -0.1, 0.1, 0.3)


def draw(counts=(10, 50, 10), zeros=30, edges=EDGES, **options):
    values = {"zeros": zeros, "total": sum(counts) + zeros, "scale": SCALE, "style": ArmStyle(1)}
    return ET.fromstring(draw_histogram(edges, counts, label="weights", **(values | options)))


def by_class(svg, name):
    return [element for element in svg.iter() if element.get("class") == name]


def test_down_to_reaches_the_smallest_share():
    assert ShareScale.down_to(0.002).lowest == -3
    assert ShareScale.down_to(0.5).lowest == -2
    assert ShareScale.down_to(1e-9).lowest == -5
    assert ShareScale.down_to(0.0).lowest == -2


def test_height_each_factor_of_ten_is_one_step():
    heights = [SCALE.height(share) for share in (1.0, 0.1, 0.01)]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert SCALE.height(0.0) == 0
    assert SCALE.height(0.001) > 0


def test_draw_histogram_bars_have_the_order_of_their_counts():
    bars = by_class(draw(counts=(10, 50, 20)), "bar")
    heights = [float(bar.get("height")) for bar in bars]
    assert heights[0] < heights[2] < heights[1]


def test_draw_histogram_zeros_are_a_bar_of_their_own_with_their_share():
    svg = draw()
    assert len(by_class(svg, "zeros")) == 1
    assert by_class(svg, "tip")[0].text == "30\N{NO-BREAK SPACE}% zero"
    assert len(by_class(svg, "bar")) == 3


def test_draw_histogram_without_zeros_has_no_bar_for_them():
    svg = draw(zeros=0)
    assert by_class(svg, "zeros") == []
    assert by_class(svg, "tip") == []


def test_draw_histogram_empty_bins_have_no_bar():
    assert len(by_class(draw(counts=(0, 5, 0)), "bar")) == 1


@pytest.mark.parametrize(
    ("counts", "zeros"), [((0, 0, 0), 100), ((0, 0, 0), 0)], ids=["all zero", "none counted"]
)
def test_draw_histogram_without_other_weights_is_drawn(counts, zeros):
    assert by_class(draw(counts=counts, zeros=zeros), "bar") == []


def test_draw_histogram_axis_is_labeled_at_zero_and_both_sides():
    texts = [text.text for text in draw().iter("text") if text.get("class") is None]
    assert texts == ["\N{MINUS SIGN}0.2", "0", "0.2"]


def test_draw_share_scale_names_every_line():
    texts = [text.text for text in ET.fromstring(draw_share_scale(SCALE)).iter("text")]
    assert [text.replace("\N{NO-BREAK SPACE}", "") for text in texts] == [
        "100%",
        "10%",
        "1%",
        "0.1%",
    ]
