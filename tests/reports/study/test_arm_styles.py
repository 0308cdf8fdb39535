from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from pellucid.reports import page
from pellucid.reports.study.arm_styles import COLORS, Arms, ArmStyle, define_markers


def test_arm_style_dozens_of_arms_look_different():
    looks = {(s.css_class, s.marker_id, s.dashes) for s in map(ArmStyle, range(56))}
    assert len(looks) == 56


def test_arm_style_stand_ins_are_as_many_as_colors():
    assert len({ArmStyle(i).stand_in for i in range(30)}) == COLORS


def test_define_markers_holds_every_marker_that_a_swatch_uses():
    ids = {element.get("id") for element in ET.fromstring(define_markers()).iter("path")}
    for i in range(30):
        for line in (False, True):
            uses = ET.fromstring(ArmStyle(i).swatch(line=line)).iter("use")
            assert {use.get("href")[1:] for use in uses} <= ids


def test_page_style_defines_every_color_in_light_and_dark():
    style = (Path(page.__file__).parent / "templates" / "study.css.j2").read_text()
    for i in range(COLORS):
        assert len(re.findall(rf"--a{i}: #", style)) == 2


def test_arms_unlisted_arm_has_its_name_and_a_look_of_its_own():
    arms = Arms.of([("none", "no penalty"), ("l1", "L1 0.0006")])
    assert arms.title("l1") == "L1 0.0006"
    assert arms.title("other") == "other"
    assert arms.style("other").index == 2
