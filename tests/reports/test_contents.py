from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pellucid._checks import UsageError
from pellucid.reports.contents import BoxPx, NearbyPatch
from tests.reports.synthetic_report import make_report

PICTURE = np.zeros((6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("box", [(0, 0, 7, 9), (2, 2, 2, 5), (-1, 0, 3, 3), (0, 0, 6, 10)])
def test_nearby_patch_box_outside_or_empty_is_refused(box):
    with pytest.raises(UsageError, match=r"box must be a non-empty .* 6 x 9 pixels"):
        NearbyPatch(PICTURE, BoxPx(*box), "image", "class", 0.0)


@pytest.mark.parametrize(
    "picture", [np.zeros((6, 9, 3)), np.zeros((6, 9), np.uint8), np.zeros((3, 6, 9), np.uint8)]
)
def test_nearby_patch_not_a_color_picture_is_refused(picture):
    with pytest.raises(UsageError, match=r"picture must be a uint8 array of shape \(height"):
        NearbyPatch(picture, BoxPx(0, 0, 3, 3), "image", "class", 0.0)


def test_box_px_height_and_width_are_in_row_and_column_order():
    box = BoxPx(top=1, left=2, bottom=4, right=9)
    assert (box.height, box.width) == (3, 7)


def test_tree_report_leaf_distributions_of_wrong_shape_are_refused():
    report = make_report(depth=2)
    with pytest.raises(UsageError, match=r"leaf_distributions must have shape .* \(4, 10\)"):
        dataclasses.replace(report, leaf_distributions=report.leaf_distributions[:3])


def test_tree_report_prototype_of_no_branch_is_refused():
    report = make_report(depth=2)
    stray = dataclasses.replace(report.prototypes[0], branch=3)
    with pytest.raises(UsageError, match="branches 0 to 2, got 3"):
        dataclasses.replace(report, prototypes=(stray,))


def test_headline_row_default_is_greedy():
    assert make_report(depth=1).headline_row.label == "greedy (hard tree)"


def test_headline_row_named_is_that_row():
    report = dataclasses.replace(make_report(depth=1), headline="most probable leaf")
    assert report.headline_row.label == "most probable leaf"
