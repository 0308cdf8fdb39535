from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from pellucid.data import pictures
from pellucid.data.pictures import (
    PictureError,
    convert_picture,
    decode_picture,
    pillow_warnings_settled,
    read_header,
    read_picture,
    resize_picture,
)
from tests.data.picture_files import draw_picture, save_bomb, save_picture, save_truncated


def pixel(path, row=0, column=0):
    return np.asarray(read_picture(path))[row, column].tolist()


def kind_of(read, path):
    with pytest.raises(PictureError, match=r"\w") as caught:
        read(path)
    assert str(path) in str(caught.value)
    return caught.value.kind


def test_read_picture_grey_is_repeated(tmp_path):
    Image.new("L", (5, 4), 77).save(tmp_path / "a.png")
    assert pixel(tmp_path / "a.png") == [77, 77, 77]


def test_read_picture_16_bit_grey_is_scaled(tmp_path):
    values = np.array([[0, 128 * 257], [65535, 1]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        grey = np.asarray(read_picture(tmp_path / name))[:, :, 1]
        assert grey.tolist() == [[0, 128], [255, 0]]


def test_read_picture_bilevel_is_black_and_white(tmp_path):
    Image.new("1", (5, 4), 1).save(tmp_path / "a.png")
    assert pixel(tmp_path / "a.png") == [255, 255, 255]


def test_read_picture_palette_gives_its_colors(tmp_path):
    image = Image.new("P", (5, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.gif")
    assert pixel(tmp_path / "a.gif") == [10, 20, 30]


def test_read_picture_transparent_palette_becomes_white(tmp_path):
    image = Image.new("P", (5, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=b"\xff\x00")
    assert pixel(tmp_path / "a.png") == [255, 255, 255]


def test_read_picture_alpha_is_composited_on_white(tmp_path):
    Image.new("RGBA", (5, 4), (0, 0, 0, 51)).save(tmp_path / "a.png")
    Image.new("LA", (5, 4), (0, 51)).save(tmp_path / "b.png")
    assert pixel(tmp_path / "a.png") == [204, 204, 204]
    assert pixel(tmp_path / "b.png") == [204, 204, 204]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_read_picture_transparency_is_the_same_in_bands_as_at_once(tmp_path, monkeypatch, mode):
    noise = np.random.default_rng(0).integers(0, 256, (31, 17, 4), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        layers = image.convert("RGBA")
    white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    expected = np.asarray(Image.alpha_composite(white, layers).convert("RGB"))
    monkeypatch.setattr(pictures, "_BAND_PIXELS", 40)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "a.png")), expected)


def test_read_picture_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert min(pixel(tmp_path / "a.jpg")) > 250


def test_read_picture_floating_point_is_refused(tmp_path):
    Image.new("F", (5, 4), 0.5).save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match="floating-point pixels have no agreed range"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_read_picture_exif_rotated_is_turned_upright(tmp_path, ending):
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (0, 0, 20, 20))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise: left becomes top
    path = tmp_path / f"a.{ending}"
    image.save(path, exif=exif)
    picture = read_picture(path)
    assert picture.size == (20, 40)
    assert pixel(path, 5, 10)[0] > 240
    assert pixel(path, 35, 10)[0] < 15
    if ending != "tif":
        assert read_header(path) == (40, 20)


def test_read_header_gives_height_then_width(tmp_path):
    assert read_header(save_picture(tmp_path / "a.png", size=(30, 70))) == (30, 70)


def test_read_header_does_not_decode(tmp_path, monkeypatch):
    path = save_picture(tmp_path / "a.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert read_header(path) == (40, 50)


def test_read_picture_animation_gives_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (5, 4), (shade, 0, 0)) for shade in (200, 10)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixel(tmp_path / "a.gif") == [200, 0, 0]


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "gif", "webp"])
def test_read_picture_truncated_is_named_so(tmp_path, ending):
    assert kind_of(read_picture, save_truncated(tmp_path / f"a.{ending}")) == "truncated"


@pytest.mark.parametrize("side", [8_000, 11_000, 20_000])
def test_read_picture_bomb_is_refused_from_its_header(tmp_path, monkeypatch, side):
    path = save_bomb(tmp_path / "a.png", side)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert kind_of(read_picture, path) == "too_large"
    assert kind_of(read_header, path) == "too_large"


def test_read_picture_bomb_without_pillow_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(PictureError, match="20000×20000 px; pictures of more than 50 megapixels"):
        read_picture(save_bomb(tmp_path / "a.png"))


def test_read_picture_huge_file_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 100)
    assert kind_of(read_picture, save_picture(tmp_path / "a.png")) == "too_large"


def test_read_picture_text_called_jpg_is_not_an_image(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_text("no picture")
    assert kind_of(read_picture, path) == "not_an_image"


def test_read_picture_empty_file_is_named_so(tmp_path):
    (tmp_path / "a.png").touch()
    assert kind_of(read_picture, tmp_path / "a.png") == "empty_file"


def test_read_picture_damaged_header_is_unreadable(tmp_path):
    path = save_picture(tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[24] ^= 0xFF  # the bit depth
    path.write_bytes(content)
    assert kind_of(read_picture, path) == "unreadable"


def test_read_picture_damaged_pixels_are_refused(tmp_path):
    path = save_picture(tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)
    path.write_bytes(content)
    assert kind_of(read_picture, path) == "unreadable"


def test_read_picture_broken_link_is_unreadable(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert kind_of(read_picture, tmp_path / "a.png") == "unreadable"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_read_picture_named_pipe_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert kind_of(read_picture, tmp_path / "a.png") == "unreadable"


def test_read_picture_damaged_exif_is_read_past(tmp_path):
    path = tmp_path / "a.jpg"
    draw_picture(0).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken")
    with pillow_warnings_settled():
        assert read_picture(path).size == (50, 40)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "gif", "webp", "tif"])
def test_decode_picture_gives_what_read_picture_gives(tmp_path, ending):
    path = save_picture(tmp_path / f"a.{ending}")
    decoded = decode_picture(path.read_bytes())
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(read_picture(path)))


@pytest.mark.parametrize("share", [0, 0.1, 0.5])
def test_decode_picture_names_what_it_was_given_and_never_opens_it(tmp_path, share):
    content = save_picture(tmp_path / "a.png").read_bytes()
    with pytest.raises(PictureError, match=r"^/etc/passwd: ") as caught:
        decode_picture(content[: int(len(content) * share)], name="/etc/passwd")
    assert caught.value.kind == ("truncated" if share else "empty_file")


def test_decode_picture_bomb_is_refused_from_its_header(tmp_path, monkeypatch):
    content = save_bomb(tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PictureError, match="more than 50 megapixels"):
        decode_picture(content)


@pytest.mark.parametrize("kind", ["PPM", "EPS", "ICO", "PCX", "TGA"])
def test_read_picture_of_a_format_that_is_not_ours_is_no_image(tmp_path, kind):
    draw_picture(0).save(tmp_path / "a.png", kind)
    assert kind_of(read_picture, tmp_path / "a.png") == "not_an_image"


def test_convert_picture_composites_transparency_on_white():
    converted = convert_picture(Image.new("RGBA", (5, 4), (0, 0, 0, 51)))
    assert converted.mode == "RGB"
    assert converted.getpixel((0, 0)) == (204, 204, 204)


def test_convert_picture_too_large_is_refused():
    with pytest.raises(PictureError, match="10000×5001 px; pictures of more than 50 megapixels"):
        convert_picture(Image.new("1", (5001, 10000)))


def test_pillow_warnings_settled_leaves_the_filters_as_they_were():
    before = list(warnings.filters)
    with pillow_warnings_settled():
        pass
    assert list(warnings.filters) == before


def test_pictures_import_changes_no_global_of_pillow():
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS == 89_478_485


def test_resize_picture_keeps_the_whole_picture():
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (20, 0, 40, 20))
    resized = np.asarray(resize_picture(image, (10, 10)))
    assert resized.shape == (10, 10, 3)
    assert resized[:, :4].max() == 0
    assert resized[:, 6:].min() == 255
