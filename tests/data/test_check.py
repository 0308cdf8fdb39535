from __future__ import annotations

import json
import shutil

import pytest

from pellucid import UsageError
from pellucid.data import check as check_module
from pellucid.data import check_folder
from tests.data.picture_files import fill_classes, save_bomb, save_picture, save_truncated


def kinds(report):
    return {(problem.path, problem.kind) for problem in report.problems}


def test_check_folder_sound_folder_is_ok(tmp_path):
    fill_classes(tmp_path, {"a": 3, "b": 2})
    report = check_folder(tmp_path)
    assert report.ok
    assert report.images == {"a": 3, "b": 2}
    assert (report.layout, report.parts) == ("classes", {})


def test_check_folder_names_each_bad_file(tmp_path):
    fill_classes(tmp_path, {"a": 3, "<img onerror=alert(1)>": 3})
    save_truncated(tmp_path / "a" / "cut.jpg")
    save_bomb(tmp_path / "a" / "bomb.png")
    (tmp_path / "a" / "text.jpg").write_text("hello")
    (tmp_path / "a" / "nothing.png").touch()
    (tmp_path / "empty").mkdir()
    report = check_folder(tmp_path)
    assert kinds(report) == {
        ("a/cut.jpg", "truncated"),
        ("a/bomb.png", "too_large"),
        ("a/text.jpg", "not_an_image"),
        ("a/nothing.png", "empty_file"),
        ("empty", "empty_class"),
    }
    assert report.images == {"<img onerror=alert(1)>": 3, "a": 3}
    assert not report.ok
    assert len(report.rejected) == 4
    assert [problem.path for problem in report.warnings] == ["empty"]


def test_check_folder_copies_are_named_by_how_they_relate(tmp_path):
    for part, start in (("train", 0), ("test", 50)):
        fill_classes(tmp_path / part, {"a": 3, "b": 3}, start=start)
    train = tmp_path / "train"
    shutil.copy(train / "a" / "000.png", train / "a" / "copy.png")
    shutil.copy(train / "a" / "000.png", train / "b" / "copy.png")
    shutil.copy(train / "a" / "001.png", tmp_path / "test" / "a" / "copy.png")
    shutil.copy(train / "a" / "002.png", tmp_path / "test" / "b" / "copy.png")
    report = check_folder(tmp_path)
    assert kinds(report) == {
        ("train/a/copy.png", "duplicate"),
        ("train/b/copy.png", "conflicting_label"),
        ("test/a/copy.png", "leaked"),
        ("test/b/copy.png", "leaked"),
        ("test/b/copy.png", "conflicting_label"),
    }
    assert report.rejected == ()
    assert report.parts == {"train": 8, "test": 8}
    assert report.layout == "splits"


def test_check_folder_class_without_a_usable_picture_is_dropped(tmp_path):
    fill_classes(tmp_path, {"a": 2, "b": 2})
    save_truncated(tmp_path / "c" / "1.png")
    report = check_folder(tmp_path)
    assert kinds(report) == {("c/1.png", "truncated"), ("c", "empty_class")}
    assert list(report.images) == ["a", "b"]


def test_check_folder_class_without_a_usable_training_picture_is_dropped(tmp_path):
    fill_classes(tmp_path / "train", {"a": 2, "b": 2})
    fill_classes(tmp_path / "test", {"a": 1, "c": 1}, start=50)
    save_truncated(tmp_path / "train" / "c" / "1.png")
    report = check_folder(tmp_path)
    assert kinds(report) == {
        ("train/c/1.png", "truncated"),
        ("train/c", "empty_class"),
        ("test/c/000.png", "unknown_class"),
    }
    assert report.images == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no pictures were found"),
        ({"a": 2}, "only one class has usable pictures, 'a' with 2"),
    ],
)
def test_check_folder_without_two_classes_says_what_it_found(tmp_path, counts, words):
    fill_classes(tmp_path, counts)
    problem = check_folder(tmp_path).problems[-1]
    assert problem.kind == "layout"
    assert words in problem.detail
    assert "Expected DIR/class/picture.png or DIR/{train,val,test}/class" in problem.detail


def test_check_folder_loose_pictures_only_says_so(tmp_path):
    save_picture(tmp_path / "1.png")
    assert "lie outside any class folder" in check_folder(tmp_path).problems[-1].detail


def test_check_folder_report_is_json(tmp_path):
    fill_classes(tmp_path, {"a": 1})
    stored = json.loads(json.dumps(check_folder(tmp_path).to_dict()))
    assert stored["ok"] is False
    assert stored["images"] == {"a": 1}
    assert stored["problems"][0]["kind"] == "layout"


def test_check_folder_more_files_than_one_window_keeps_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(check_module, "_WINDOW", 4)
    fill_classes(tmp_path, {"a": 7, "b": 6})
    (tmp_path / "b" / "002.png").write_bytes(b"broken")
    report = check_folder(tmp_path)
    assert report.images == {"a": 7, "b": 5}
    assert kinds(report) == {("b/002.png", "not_an_image")}


def test_check_folder_missing_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        check_folder(tmp_path / "gone")


def test_check_folder_quiet_writes_nothing(tmp_path, capsys):
    fill_classes(tmp_path, {"a": 1, "b": 1})
    check_folder(tmp_path, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_check_folder_file_removed_meanwhile_is_unreadable(tmp_path, monkeypatch):
    fill_classes(tmp_path, {"a": 2, "b": 2})

    def remove_first(path):
        if path.name == "001.png" and path.parent.name == "a":
            raise FileNotFoundError(2, "No such file or directory")
        return str(path)

    monkeypatch.setattr(check_module, "hash_file", remove_first)
    assert kinds(check_folder(tmp_path)) == {("a/001.png", "unreadable")}
