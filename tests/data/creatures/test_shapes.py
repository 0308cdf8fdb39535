from __future__ import annotations

import numpy as np
import pytest

from pellucid.data.creatures import shapes
from pellucid.data.creatures.scenery import make_eggs
from tests.reference import supersampled_eggs

SIDE = 40
ROUND = {"x": 20.3, "y": 19.1, "cosine": 0.8, "sine": 0.6, "along": 12.0, "across": 7.0}
FORMS = {
    "ellipse": {},
    "box": {"square": 1.0},
    "egg": {"taper": 0.4, "square": 0.3},
    "drop": {"taper": 0.92},
    "triangle": {"taper": 0.92, "square": 0.9},
    "banana": {"across": 3.0, "bend": 6.0},
    "tiny": {"along": 1.1, "across": 0.9},
    "beyond the edge": {"x": 1.0, "y": 39.5},
}
in_every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def egg_of(**changes) -> dict:
    plain = {"taper": 0.0, "bend": 0.0, "square": 0.0, "outline_px": 0.0, "code": 3}
    return plain | ROUND | {"color": np.array([0.5, 0.4, 0.2])} | changes


def as_eggs(images: list[list[dict]]) -> shapes.Eggs:
    """Put lists of equal length into one batch; None is an empty place."""
    anything = egg_of()
    columns = {
        name: np.array([[(egg or anything)[name] for egg in eggs] for eggs in images])
        for name in anything
    }
    present = np.array([[egg is not None for egg in eggs] for eggs in images])
    return make_eggs(present=present, **columns)


def painted(images: list[list[dict]], size=(SIDE, SIDE)) -> shapes.Canvas:
    canvas = shapes.Canvas(np.full((3, len(images), *size), 0.9, np.float32), annotate=True)
    canvas.paint(as_eggs(images))
    return canvas


def distances(egg: dict) -> np.ndarray:
    row = (np.arange(SIDE) + 0.5)[:, None]
    dx, dy = np.arange(SIDE) + 0.5 - egg["x"], row - egg["y"]
    u, v = dx * egg["cosine"] + dy * egg["sine"], dy * egg["cosine"] - dx * egg["sine"]
    names = ("along", "across", "taper", "bend", "square")
    return shapes.egg_distance(u, v, *(np.float32(egg[name]) for name in names))[0]


@in_every_form
def test_egg_distance_gives_the_share_of_each_pixel_as_many_points_do(form):
    egg = egg_of(**form)
    alpha = np.clip(0.5 - distances(egg), 0, 1)
    expected = supersampled_eggs.coverage(SIDE, SIDE, egg)
    assert np.abs(alpha - expected).max() < 0.3
    assert np.abs(alpha - expected)[expected > 0].mean() < 0.05


@in_every_form
def test_egg_distance_has_the_sign_of_the_set(form):
    egg = egg_of(**form)
    expected = supersampled_eggs.coverage(SIDE, SIDE, egg)
    found = distances(egg)
    assert (found[expected == 1] < 0).all()
    assert (found[expected == 0] > 0).all()


def test_egg_distance_at_the_very_center_is_the_half_width():
    zero = np.zeros((1, 1), np.float32)
    ends = np.float32(12), np.float32(7), np.float32(0), np.float32(0), np.float32(0)
    assert shapes.egg_distance(zero, zero, *ends)[0] == pytest.approx(-7)


@in_every_form
def test_paint_one_egg_as_many_points_do(form):
    egg = egg_of(**form, outline_px=1.2)
    egg["outline_color"] = 0.36 * egg["color"] + 0.05
    canvas = painted([[egg]])
    expected, codes = supersampled_eggs.paint(np.full((3, SIDE, SIDE), 0.9), [egg])
    difference = np.abs(canvas.pixels[:, 0] - expected)
    # Where a tip is thinner than its outline, the two disagree about what is line and what is not.
    assert np.quantile(difference, 0.99) < 0.2
    assert difference.mean() < 0.006
    agree = np.ptp(codes.reshape(SIDE, 8, SIDE, 8), axis=(1, 3)) == 0
    assert np.array_equal(canvas.labels[0][agree], codes[::8, ::8][agree])


def test_paint_tiles_of_a_batch_do_not_change_the_pixels():
    large, small = egg_of(along=18.0), egg_of(along=2.0, across=1.5, x=3.2, y=37.0)
    together = painted([[large, small], [small, None], [None, large]])
    for place, eggs in enumerate([[large, small], [small, None], [None, large]]):
        alone = painted([eggs])
        assert np.array_equal(together.pixels[:, place], alone.pixels[:, 0])
        assert np.array_equal(together.labels[place], alone.labels[0])
        assert np.array_equal(together.touched[place], alone.touched[0])


def test_paint_touches_no_pixel_without_saying_so():
    canvas = painted([[egg_of(**form, code=4)] for form in FORMS.values()])
    changed = (canvas.pixels != np.float32(0.9)).any(axis=0)
    assert np.array_equal(canvas.touched & (1 << 4) > 0, changed)
    assert not ((canvas.labels == 4) & ~changed).any()


def test_paint_what_is_covered_wholly_is_no_longer_touched():
    behind, before = egg_of(along=3.0, across=3.0, code=1), egg_of(along=15.0, across=15.0, code=2)
    canvas = painted([[behind, before]])
    assert not (canvas.touched & (1 << 1)).any()
    assert canvas.touched[0, 19, 20] == 1 << 2  # not the background either
    assert np.array_equal(canvas.pixels, painted([[None, before]]).pixels)


def test_paint_egg_outside_the_picture_changes_nothing():
    canvas = painted([[egg_of(x=-100.0)], [egg_of(y=500.0)]])
    assert (canvas.pixels == np.float32(0.9)).all()


def test_paint_picture_that_is_not_square_is_not_transposed():
    canvas = painted([[egg_of(x=30.0, y=10.0, along=4.0, across=4.0)]], size=(20, 50))
    row, column = np.argwhere(canvas.labels[0]).mean(axis=0)
    assert (row + 0.5, column + 0.5) == pytest.approx((10, 30), abs=0.2)


def test_unit_vectors_are_cosine_and_sine():
    degrees = np.linspace(-400, 400, 1601)
    cosine, sine = shapes.unit_vectors(degrees)
    assert np.allclose(cosine, np.cos(np.radians(degrees)), atol=2e-7)
    assert np.allclose(sine, np.sin(np.radians(degrees)), atol=2e-7)
    assert np.allclose(cosine**2 + sine**2, 1, atol=1e-15)
