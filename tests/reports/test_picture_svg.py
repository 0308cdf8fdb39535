from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from pellucid.reports.contents import BoxPx
from pellucid.reports.picture_svg import PictureStore, draw_boxed, draw_patch, encode_picture


def _decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def _random_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_encode_picture_small_is_lossless():
    picture = _random_picture(8, 12)
    decoded = np.asarray(_decode(encode_picture(picture, max_side_px=224, quality=80)))
    assert np.array_equal(decoded, picture)


def test_encode_picture_large_is_jpeg_within_the_side():
    decoded = _decode(encode_picture(_random_picture(300, 600), max_side_px=224, quality=80))
    assert (decoded.format, decoded.size) == ("JPEG", (224, 112))


def test_picture_store_same_picture_twice_is_held_once():
    store = PictureStore()
    first = store.add(_random_picture(8, 8), max_side_px=10)
    assert store.add(_random_picture(8, 8).copy(), max_side_px=20) == first
    assert str(store.definitions()).count("data:image") == 1


def test_picture_store_same_bytes_other_shape_are_two():
    store = PictureStore()
    store.add(np.zeros((2, 8, 3), np.uint8), max_side_px=10)
    store.add(np.zeros((4, 4, 3), np.uint8), max_side_px=10)
    assert len(store) == 2


def test_picture_store_larger_wish_later_wins():
    store = PictureStore()
    for side in (100, 200, 150):
        store.add(_random_picture(400, 400), max_side_px=side)
    uri = str(store.definitions()).partition('href="')[2].partition('"')[0]
    assert _decode(uri).size == (200, 200)


def test_draw_boxed_box_is_in_pixels_of_the_original():
    store = PictureStore()
    embedded = store.add(_random_picture(300, 600), max_side_px=100)
    svg = draw_boxed(embedded, BoxPx(10, 20, 40, 80), side_px=50)
    assert svg.get("viewBox") == "0 0 600 300"
    outline = svg.findall("rect")[-1].attrib
    assert [outline[name] for name in ("x", "y", "width", "height")] == ["20", "10", "60", "30"]


def test_draw_patch_shows_only_the_box_at_its_own_shape():
    store = PictureStore()
    embedded = store.add(_random_picture(300, 600), max_side_px=100)
    svg = draw_patch(embedded, BoxPx(10, 20, 40, 80), side_px=50)
    assert svg.get("viewBox") == "20 10 60 30"
    assert (svg.get("width"), svg.get("height")) == ("50", "25")


def test_draw_patch_label_is_spoken_and_escaped():
    store = PictureStore()
    embedded = store.add(_random_picture(8, 8), max_side_px=100)
    svg = draw_patch(embedded, BoxPx(0, 0, 4, 4), side_px=50, label="<b>")
    assert (svg.get("role"), svg.get("aria-label")) == ("img", "<b>")
