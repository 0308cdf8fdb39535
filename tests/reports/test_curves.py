from __future__ import annotations

from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from pellucid.reports.curves import draw_curve
from tests.reports.synthetic_report import make_report

METRICS = make_report(depth=1).metrics


@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
def test_draw_curve_same_rows_twice_gives_the_same_text(quantity):
    assert draw_curve(METRICS, quantity) == draw_curve(METRICS, quantity)


def test_draw_curve_leaves_matplotlib_settings_alone():
    before = dict(mpl.rcParams)
    draw_curve(METRICS, "loss")
    assert dict(mpl.rcParams) == before


def test_draw_curve_takes_its_colors_from_the_page():
    text = str(draw_curve(METRICS, "loss"))
    for color in ("currentColor", "var(--train)", "var(--validation)", "var(--shade)"):
        assert color in text
    assert "<style" not in text


def test_draw_curve_names_warm_up_train_and_validation():
    texts = ET.fromstring(draw_curve(METRICS, "accuracy")).itertext()
    assert {"warm-up", "train", "validation", "epoch", "accuracy"} <= {t.strip() for t in texts}


def test_draw_curve_two_in_one_page_share_no_id():
    ids = [
        {element.get("id") for element in ET.fromstring(draw_curve(METRICS, name)).iter()} - {None}
        for name in ("loss", "accuracy")
    ]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize(
    "metrics",
    [
        [{"epoch": 1, "train_loss": 0.5}],
        [{"epoch": 1, "train_loss": None}, {"train_loss": float("nan"), "validation_loss": 1.0}],
        [{}],
    ],
)
def test_draw_curve_gaps_in_the_rows_are_left_out(metrics):
    assert draw_curve(metrics, "loss").startswith("<svg")
