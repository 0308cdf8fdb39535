from __future__ import annotations

from pathlib import Path

import pytest

from pellucid import DataError, UsageError
from pellucid.data import RejectedFile, load_data
from tests.data.picture_files import fill_classes, save_truncated


def test_load_data_folder_gives_name_classes_and_rejected_files(tmp_path):
    root = tmp_path / "birds"
    fill_classes(root, {"wren": 5, "<img onerror=alert(1)>": 5})
    save_truncated(root / "wren" / "cut.jpg")
    (root / "empty").mkdir()
    data = load_data(str(root))
    assert data.name == "birds"
    assert data.images.class_names == ("<img onerror=alert(1)>", "wren")
    assert [(bad.path, bad.kind) for bad in data.rejected] == [("wren/cut.jpg", "truncated")]
    assert isinstance(data.rejected[0], RejectedFile)
    assert [(found.path, found.kind) for found in data.warnings] == [("empty", "empty_class")]
    assert data.images.image_size == (32, 32)


def test_load_data_strict_refuses_a_bad_file(tmp_path):
    fill_classes(tmp_path, {"a": 3, "b": 3})
    save_truncated(tmp_path / "a" / "cut.jpg")
    with pytest.raises(DataError, match=r"1 problem: a/cut.jpg: truncated"):
        load_data(tmp_path, strict=True)


def test_load_data_image_size_is_height_then_width(tmp_path):
    fill_classes(tmp_path, {"a": 3, "b": 3})
    assert load_data(tmp_path, image_size=(48, 32)).images.pixels.shape[2:] == (48, 32)


def test_load_data_misspelt_name_suggests_the_right_one():
    with pytest.raises(UsageError, match=r"'digits', 'cifar10', .* got 'digit'. Did you mean 'dig"):
        load_data("digit")


def test_load_data_missing_path_says_so(tmp_path):
    with pytest.raises(UsageError, match="there is no such file or folder"):
        load_data(tmp_path / "gone")


def test_load_data_path_called_like_a_built_in_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no such file or folder"):
        load_data(Path("digits"))


def test_load_data_single_picture_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"photo.jpg is a single file of another kind"):
        load_data(tmp_path / "photo.jpg")


@pytest.mark.parametrize("data", ["", 3, None])
def test_load_data_no_name_is_refused(data):
    with pytest.raises(UsageError, match="data must be 'digits'"):
        load_data(data)


@pytest.mark.parametrize("size", [0, 2, 5000, (32,), (32, 0), "32", 32.0, True])
def test_load_data_bad_image_size_is_refused(size):
    with pytest.raises(UsageError, match="image_size must be"):
        load_data("digits", image_size=size)


@pytest.mark.parametrize("name", ["validation_fraction", "test_fraction"])
def test_load_data_fraction_out_of_range_is_refused(name):
    with pytest.raises(UsageError, match=rf"{name} must be a number in \[0, 1\), got 1.5"):
        load_data("digits", **{name: 1.5})


def test_load_data_wrong_archive_is_refused(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"is not the archive .* its SHA-256 is .*\(14 bytes\)"):
        load_data(path, cache=tmp_path)
