from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pellucid import DataError, UsageError
from pellucid.data import (
    Creatures,
    CreatureSettings,
    RejectedFile,
    load_creatures,
    load_data,
)
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


def test_load_data_creatures_come_with_fixed_training_and_test_images():
    data = load_data("creatures", image_size=(24, 32))
    assert isinstance(data.images, Creatures)
    assert data.name == "creatures"
    assert data.images.image_size == (24, 32)
    splits = data.splits
    assert [len(part) for part in (splits.train, splits.test, splits.validation)] == [
        2000,
        1000,
        220,
    ]
    other = load_data("creatures", image_size=(24, 32), seed=3, validation_fraction=0)
    assert torch.equal(other.splits.train, splits.train)
    assert torch.equal(other.splits.test, splits.test)
    assert len(other.splits.validation) == 0
    some = torch.tensor([0, 1999, 2000, 2999])
    assert torch.equal(other.images.read(some), data.images.read(some))


@pytest.mark.parametrize("name", ["creatures-hard", "creatures-shortcut"])
def test_load_data_creatures_of_other_difficulty_have_the_same_classes(name):
    plain, other = load_data("creatures"), load_data(name)
    assert other.name == name
    assert torch.equal(plain.images.class_parts, other.images.class_parts)
    assert plain.images.digest != other.images.digest
    assert other.images.image_size == (64, 64)


def test_load_creatures_without_settings_is_the_built_in_set():
    assert load_creatures().images.digest == load_data("creatures").images.digest


def test_load_creatures_draws_what_it_always_drew():
    # The same on every machine. When it changes, results on creatures change: say so in the
    # changelog, under numerical changes.
    assert load_creatures().images.digest.startswith("f9ceae2494e14d3f")


def test_load_creatures_takes_settings():
    settings = CreatureSettings(classes=3, train_per_class=2, test_per_class=1)
    data = load_creatures(settings, image_size=16)
    assert data.images.settings == settings
    assert len(data.splits.train) == 6
    assert data.images.read(data.splits.test).shape == (3, 3, 16, 16)


def test_load_creatures_bad_size_is_refused():
    with pytest.raises(UsageError, match="image_size must be an integer"):
        load_creatures(image_size=2)


def test_load_data_misspelt_creatures_suggests_the_right_name():
    with pytest.raises(UsageError, match="Did you mean 'creatures'"):
        load_data("creature")


def test_load_data_wrong_archive_is_refused(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"is not the archive .* its SHA-256 is .*\(14 bytes\)"):
        load_data(path, cache=tmp_path)
