from __future__ import annotations

import os
import sys

import pytest

from pellucid import DataError, UsageError
from pellucid.data.folders import as_text, list_folder


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(listing):
    return [(file.part, file.class_name, file.name) for file in listing.files]


def kinds(listing):
    return [(problem.path, problem.kind) for problem in listing.problems]


def test_list_folder_class_folders_are_sorted_by_name(tmp_path):
    touch(tmp_path, "b/2.png", "b/1.PNG", "a/x.JpEg")
    listing = list_folder(tmp_path)
    assert not listing.has_splits
    assert found(listing) == [("", "a", "a/x.JpEg"), ("", "b", "b/1.PNG"), ("", "b", "b/2.png")]


def test_list_folder_nested_pictures_belong_to_the_top_class(tmp_path):
    touch(tmp_path, "a/deep/er/1.png", "b/1.png")
    assert found(list_folder(tmp_path))[0] == ("", "a", "a/deep/er/1.png")


def test_list_folder_hidden_and_other_files_are_ignored(tmp_path):
    touch(tmp_path, "a/1.png", "a/._1.png", "a/.x/1.png", "a/notes.txt", ".git/1.png", "README.md")
    touch(tmp_path, "__MACOSX/a/1.png")
    listing = list_folder(tmp_path)
    assert found(listing) == [("", "a", "a/1.png")]
    assert listing.problems == ()


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_list_folder_split_folders_are_recognized(tmp_path, validation):
    touch(tmp_path, "Train/a/1.png", f"{validation}/a/2.png", "TEST/a/3.png")
    listing = list_folder(tmp_path)
    assert listing.has_splits
    assert [(part, name) for part, name, _ in found(listing)] == [
        ("train", "a"),
        ("validation", "a"),
        ("test", "a"),
    ]


def test_list_folder_train_beside_other_classes_is_a_class(tmp_path):
    touch(tmp_path, "train/1.png", "bus/1.png", "car/1.png")
    listing = list_folder(tmp_path)
    assert not listing.has_splits
    assert {file.class_name for file in listing.files} == {"train", "bus", "car"}


def test_list_folder_split_without_classes_says_so(tmp_path):
    touch(tmp_path, "train/1.png", "test/2.png")
    listing = list_folder(tmp_path)
    assert listing.files == ()
    assert "train has no class folders" in listing.problems[0].detail


def test_list_folder_test_without_train_says_so(tmp_path):
    touch(tmp_path, "test/a/1.png", "val/a/1.png")
    assert "test and val but no train" in list_folder(tmp_path).problems[0].detail


def test_list_folder_class_only_in_test_is_named(tmp_path):
    touch(tmp_path, "train/a/1.png", "test/a/2.png", "test/z/3.png")
    listing = list_folder(tmp_path)
    assert kinds(listing) == [("test/z/3.png", "unknown_class")]
    assert [part for part, *_ in found(listing)] == ["train", "test"]


def test_list_folder_empty_class_is_named(tmp_path):
    touch(tmp_path, "a/1.png", "b/readme.txt")
    assert kinds(list_folder(tmp_path)) == [("b", "empty_class")]


def test_list_folder_pictures_outside_classes_are_named_once(tmp_path):
    touch(tmp_path, "a/1.png", "2.png", "3.png")
    listing = list_folder(tmp_path)
    assert kinds(listing) == [(".", "unlabelled")]
    assert "2 pictures lie outside any class folder, the first is 2.png" in str(listing.problems[0])


def test_list_folder_class_name_may_be_any_text(tmp_path):
    touch(tmp_path, "<img onerror=alert(1)>/1.png", "größe 😀/1.png")
    names = {file.class_name for file in list_folder(tmp_path).files}
    assert names == {"<img onerror=alert(1)>", "größe 😀"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_list_folder_name_that_is_not_utf8_becomes_valid_text(tmp_path):
    touch(tmp_path, os.fsdecode(b"caf\xe9/1.png"))
    file = list_folder(tmp_path).files[0]
    assert file.class_name == "caf\ufffd"
    assert file.path.exists()
    file.name.encode()


def test_list_folder_link_to_itself_ends(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    names = [file.name for file in list_folder(tmp_path).files]
    assert "a/1.png" in names
    assert len(names) < 10


def test_list_folder_linked_class_is_read(tmp_path):
    touch(tmp_path, "store/1.png", "root/a/1.png")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "store", target_is_directory=True)
    assert [file.name for file in list_folder(tmp_path / "root").files] == ["a/1.png", "b/1.png"]


def test_list_folder_missing_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="gone must be a folder of images, but it does not exist"):
        list_folder(tmp_path / "gone")


def test_list_folder_file_is_refused(tmp_path):
    touch(tmp_path, "a.png")
    with pytest.raises(UsageError, match="but it is a file"):
        list_folder(tmp_path / "a.png")


def test_list_folder_unlistable_folder_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="cannot be listed: Permission denied"):
        list_folder(tmp_path)


def test_as_text_valid_name_is_unchanged():
    assert as_text("größe") == "größe"
