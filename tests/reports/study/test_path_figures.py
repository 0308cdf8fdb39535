from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from pellucid.reports.study.path_figures import (
    draw_against_strength,
    draw_tradeoff,
    place_strengths,
)


def texts(svg):
    return [text.strip() for text in ET.fromstring(svg).itertext() if text.strip()]


def test_place_strengths_equal_factors_are_equal_steps():
    places = place_strengths([1e-4, 1e-2, 1e-3])
    assert places == pytest.approx([-4, -2, -3])


def test_place_strengths_zero_lies_left_of_all_others():
    places = place_strengths([0.0, 1e-3, 1e-2])
    assert places[0] == pytest.approx(-4)
    assert place_strengths([0.0]).shape == (1,)


@pytest.mark.parametrize(
    "strengths", [(1e-4, 1e-3, 1e-2), (0.0, 1e-3), (0.001, 0.0011, 0.0012), (0.5,)]
)
def test_draw_against_strength_writes_the_first_strength(strengths):
    shares = np.linspace(0.2, 0.8, 2 * len(strengths)).reshape(-1, 2)
    svg = draw_against_strength(
        strengths, shares, is_accuracy=True, knee=0, name="path", label="accuracy"
    )
    shown = {0.0: "0", 1e-4: "0.0001", 0.001: "0.001", 0.5: "0.5"}
    assert shown[strengths[0]] in texts(svg)


def test_draw_tradeoff_all_on_the_frontier_is_drawn():
    svg = draw_tradeoff(
        np.array([0.1, 0.5]),
        np.array([0.8, 0.7]),
        frontier=(0, 1),
        knee=None,
        name="tradeoff",
        label="accuracy against zeros",
    )
    assert "weights that are exactly zero" in texts(svg)
