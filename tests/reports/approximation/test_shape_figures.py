from __future__ import annotations

from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.shape_designs import BumpDesign, TowerDesign
from pellucid.approximation.tiling import audit, tile
from pellucid.reports.approximation.shape_figures import (
    draw_bump,
    draw_tiling,
    draw_tower,
    save_figure,
)


def draw(kind: str):
    if kind == "bump":
        return draw_bump(BumpDesign(0.4, 0.6, 2.0, (100.0, 50.0), (1.0, -2.0)))
    if kind == "tower":
        return draw_tower(TowerDesign((0.45, 0.45), (0.55, 0.55)))
    if kind == "tower 1":
        return draw_tower(TowerDesign((0.45,), (0.55,)))
    if kind == "tower 3":
        return draw_tower(TowerDesign((0.45, 0.4, 0.1), (0.55, 0.6, 0.9)))
    dimension = int(kind[-1])
    box = Box((0.0,) * dimension, (1.0,) * dimension)
    tiling = tile(lambda points: 1 + points[:, 0], box, 0.5, cells=3)
    return draw_tiling(tiling, audit(tiling))


KINDS = ["bump", "tower", "tower 1", "tower 3", "tiling 1", "tiling 2", "tiling 3"]


@pytest.mark.parametrize("kind", KINDS)
def test_figure_is_well_formed_and_the_same_each_time(kind, tmp_path):
    before = dict(mpl.rcParams)
    for name in ("a.svg", "b.svg"):
        save_figure(draw(kind), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert dict(mpl.rcParams) == before


def test_bump_figure_title_says_peak_and_edges():
    title = draw("bump").axes[0].get_title(loc="left")
    assert title == "1 on the edges, peak 1.995"


def test_tiling_figure_shows_the_hole_beside_the_box():
    whole, lens, *_ = draw("tiling 2").axes
    assert "circle from nearby: 1.67" in lens.get_title(loc="left")
    (circle,) = whole.lines
    x, y = (float(np.asarray(part)[0]) for part in circle.get_data())
    assert lens.get_xlim()[0] < x < lens.get_xlim()[1]
    assert lens.get_ylim()[0] < y < lens.get_ylim()[1]


def test_save_figure_png_is_a_picture(tmp_path):
    save_figure(draw("bump"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
