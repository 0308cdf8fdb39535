from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid import DataError
from pellucid.data import InMemoryImages, StreamedImages, batches
from pellucid.data.folder_images import choose_image_size, read_folder
from pellucid.data.folders import list_folder
from tests.data.picture_files import fill_classes, save_picture, save_truncated


def part_names(data, part):
    return [data.images.names[index] for index in getattr(data.splits, part).tolist()]


def test_read_folder_held_and_streamed_give_equal_batches(tmp_path):
    fill_classes(tmp_path, {"a": 9, "b": 8})
    fill_classes(tmp_path / "c", {"nested": 5}, start=100, ending="jpg")
    save_truncated(tmp_path / "a" / "004.png")
    held = read_folder(tmp_path, image_size=(24, 16))
    streamed = read_folder(tmp_path, image_size=(24, 16), memory_limit_bytes=0)
    assert isinstance(held.images, InMemoryImages)
    assert isinstance(streamed.images, StreamedImages)
    assert held.splits.to_json() == streamed.splits.to_json()
    assert held.images.digest == streamed.images.digest
    both = [
        list(
            batches(
                data.images,
                torch.arange(21),
                batch_size=4,
                generator=torch.Generator().manual_seed(1),
            )
        )
        for data in (held, streamed)
    ]
    assert len(both[0]) == len(both[1]) == 6
    for first, second in zip(*both, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_read_folder_rejected_files_leave_no_gap(tmp_path):
    fill_classes(tmp_path, {"a": 4, "b": 4})
    save_truncated(tmp_path / "a" / "001.png")
    data = read_folder(tmp_path, image_size=(40, 50))
    assert data.images.names[:2] == ("a/000.png", "a/002.png")
    assert data.images.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    for index in range(7):
        original = np.asarray(data.images.original(index)).transpose(2, 0, 1)
        assert np.array_equal(data.images.read(torch.tensor([index]))[0].numpy(), original)


def test_read_folder_without_splits_cuts_test_and_validation(tmp_path):
    fill_classes(tmp_path, {"a": 20, "b": 20})
    splits = read_folder(tmp_path).splits
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (28, 4, 8)


def test_read_folder_train_and_test_keeps_test_and_cuts_validation(tmp_path):
    fill_classes(tmp_path / "train", {"a": 10, "b": 10})
    fill_classes(tmp_path / "test", {"a": 3, "b": 2}, start=50)
    data = read_folder(tmp_path)
    assert {name.split("/")[0] for name in part_names(data, "test")} == {"test"}
    assert {name.split("/")[0] for name in part_names(data, "validation")} == {"train"}
    assert (len(data.splits.train), len(data.splits.validation), len(data.splits.test)) == (
        18,
        2,
        5,
    )


def test_read_folder_train_and_val_keeps_val_and_cuts_test(tmp_path):
    fill_classes(tmp_path / "train", {"a": 10, "b": 10})
    fill_classes(tmp_path / "val", {"a": 3, "b": 2}, start=50)
    data = read_folder(tmp_path)
    assert {name.split("/")[0] for name in part_names(data, "validation")} == {"val"}
    assert (len(data.splits.train), len(data.splits.validation), len(data.splits.test)) == (
        16,
        5,
        4,
    )


def test_read_folder_only_train_cuts_both(tmp_path):
    fill_classes(tmp_path / "train", {"a": 20, "b": 20})
    splits = read_folder(tmp_path).splits
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (28, 4, 8)


def test_read_folder_copies_never_lie_in_two_cut_splits(tmp_path):
    fill_classes(tmp_path, {"a": 10, "b": 10})
    for index in range(10):
        for copy in range(3):
            source = tmp_path / "a" / f"{index:03}.png"
            shutil.copy(source, tmp_path / "a" / f"copy-{index:03}-{copy}.png")
    data = read_folder(tmp_path, validation_fraction=0.3, test_fraction=0.3)
    content = [
        {data.images.pixels[index].numpy().tobytes() for index in getattr(data.splits, part)}
        for part in ("train", "validation", "test")
    ]
    assert not content[0] & content[1]
    assert not content[0] & content[2]
    assert not content[1] & content[2]


def test_read_folder_strict_names_ten_problems_and_counts_the_rest(tmp_path):
    fill_classes(tmp_path, {"a": 2, "b": 2})
    for index in range(12):
        (tmp_path / "a" / f"bad{index:02}.png").write_text("text")
    with pytest.raises(DataError, match=r"12 problems: a/bad00.png: not_an_image.*and 2 more"):
        read_folder(tmp_path, strict=True)


def test_read_folder_strict_accepts_a_sound_folder(tmp_path):
    fill_classes(tmp_path, {"a": 2, "b": 2})
    assert read_folder(tmp_path, strict=True).report.ok


def test_read_folder_one_usable_class_is_refused_with_its_bad_files(tmp_path):
    fill_classes(tmp_path, {"a": 2})
    save_truncated(tmp_path / "b" / "1.png")
    with pytest.raises(DataError, match=r"only one class .*Expected DIR/class.*b/1.png: truncated"):
        read_folder(tmp_path)


def test_read_folder_streamed_file_removed_later_is_named(tmp_path):
    fill_classes(tmp_path, {"a": 2, "b": 2})
    data = read_folder(tmp_path, memory_limit_bytes=0)
    (tmp_path / "a" / "000.png").unlink()
    with pytest.raises(DataError, match=r"000.png: no such file"):
        data.images.read(torch.tensor([0]))


def test_read_folder_digest_follows_content_and_label(tmp_path):
    fill_classes(tmp_path / "one", {"a": 2, "b": 2})
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    first = read_folder(tmp_path / "one", image_size=(32, 32)).images.digest
    assert read_folder(tmp_path / "two", image_size=(64, 64)).images.digest == first
    save_picture(tmp_path / "two" / "a" / "000.png", 99)
    assert read_folder(tmp_path / "two").images.digest != first
    (tmp_path / "one" / "a").rename(tmp_path / "one" / "z")
    assert read_folder(tmp_path / "one").images.digest != first


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(20, 300)], 32),
        ([(70, 80)], 64),
        ([(40, 99), (100, 150), (500, 100)], 96),
        ([(300, 300)], 128),
    ],
)
def test_choose_image_size_suits_the_median_shorter_side(tmp_path, sizes, side):
    for number, size in enumerate(sizes):
        save_picture(tmp_path / "a" / f"{number}.png", number, size)
    assert choose_image_size(list_folder(tmp_path).files) == (side, side)


def test_choose_image_size_unreadable_pictures_give_the_smallest(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_text("text")
    assert choose_image_size(list_folder(tmp_path).files) == (32, 32)


def test_read_folder_mixed_modes_are_all_rgb(tmp_path):
    for index, mode in enumerate(["L", "P", "CMYK", "RGB"]):
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
            ending = "jpg" if mode == "CMYK" else "png"
            shade = 10 * index + (name == "b")
            Image.new("RGB", (20, 30 + shade), (shade, 0, 0)).convert(mode).save(
                tmp_path / name / f"{index}.{ending}"
            )
    data = read_folder(tmp_path)
    assert data.report.ok
    assert data.images.pixels.shape == (8, 3, 32, 32)
