from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pellucid._checks import DataError, UsageError
from pellucid.data import Augmentation, load_data
from pellucid.prototree import TreeRecipe
from pellucid.prototree.tree_run import (
    TreeRun,
    TreeSettings,
    check_free,
    load_settings_data,
    renumber_classes,
    threads_set,
)

SETTINGS = TreeSettings.of(
    "digits",
    TreeRecipe(depth=1, augmentation=Augmentation(flip=True), prototype_size=(1, 2)),
    image_size=8,
    seed=3,
    threads=1,
    device="cpu",
)


@pytest.fixture(scope="module")
def data():
    return load_settings_data(SETTINGS)


def test_tree_settings_survive_being_written(tmp_path, data):
    run = TreeRun.create(SETTINGS, data, tmp_path / "run")
    assert TreeRun.open(run.path).settings == SETTINGS


def test_tree_settings_from_before_patch_sizes_have_no_bound():
    config = TreeSettings.of("digits").to_config()
    del config["recipe"]["patch_size_px"]
    assert TreeSettings.from_config(config, Path("runs/old")).recipe.patch_size_px == 0


def test_tree_settings_write_down_the_number_of_threads():
    assert TreeSettings.of("digits").threads == torch.get_num_threads()


def test_tree_settings_make_a_folder_s_path_absolute(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert TreeSettings.of("photos").data == str(tmp_path / "photos")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be"),
        ({"threads": 0}, "threads must be"),
        ({"image_size": 3}, "image_size must be"),
    ],
)
def test_tree_settings_out_of_range_raise(options, message):
    with pytest.raises(UsageError, match=message):
        TreeSettings.of("digits", **options)


def test_tree_settings_of_another_command_s_run_raise():
    with pytest.raises(DataError, match="is not the run of a prototype tree"):
        TreeSettings.from_config({"command": "study", "arms": 3}, Path("runs/study"))


def test_load_data_gives_the_splits_of_the_run(tmp_path, data):
    run = TreeRun.create(SETTINGS, data, tmp_path / "run")
    splits = {name: part[:-1] for name, part in data.splits.to_json().items()}
    run.run.write_json("splits", splits)
    assert run.load_data().splits.to_json() == splits


def test_load_data_that_has_changed_raises(tmp_path, data):
    run = TreeRun.create(SETTINGS, data, tmp_path / "run")
    run.run.environment["data_digest"] = "another"
    with pytest.raises(DataError, match="the data has changed"):
        run.load_data()


def test_load_data_that_is_gone_raises(tmp_path, data):
    run = TreeRun.create(replace(SETTINGS, data=str(tmp_path / "gone")), data, tmp_path / "run")
    with pytest.raises(DataError, match="is not there"):
        run.load_data()


def test_load_tree_of_an_unfinished_run_says_to_resume(tmp_path, data):
    run = TreeRun.create(SETTINGS, data, tmp_path / "run")
    with pytest.raises(DataError, match=r"pellucid fit --resume"):
        run.load_tree()


def test_discard_if_untrained_removes_the_folder(tmp_path, data):
    run = TreeRun.create(SETTINGS, data, tmp_path / "run")
    run.discard_if_untrained()
    assert not run.path.exists()


def test_discard_if_untrained_keeps_what_is_not_ours(tmp_path, data):
    run = TreeRun.create(SETTINGS, data, tmp_path / "run")
    (run.path / "notes.txt").write_text("mine")
    run.discard_if_untrained()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_discard_if_untrained_keeps_a_run_with_a_checkpoint(tmp_path, data):
    run = TreeRun.create(SETTINGS, data, tmp_path / "run")
    run.run.save_checkpoint("last", {"a": torch.zeros(1)}, {})
    run.discard_if_untrained()
    assert TreeRun.open(run.path).settings == SETTINGS


def test_read_result_of_an_unfinished_run_is_none(tmp_path, data):
    assert TreeRun.create(SETTINGS, data, tmp_path / "run").read_result() is None


def test_renumber_classes_counts_in_the_tree_s_order():
    images = load_data("digits", image_size=8).images
    names = tuple(reversed(images.class_names))
    renumbered = renumber_classes(images, names)
    assert renumbered.class_names == names
    assert torch.equal(renumbered.labels, 9 - images.labels)
    assert images.class_names[0] == "0"


def test_renumber_classes_unknown_class_raises():
    images = load_data("digits", image_size=8).images
    with pytest.raises(DataError, match="class '9' is none of the tree's classes '0'"):
        renumber_classes(images, tuple("012345678"))


def test_threads_set_puts_the_number_back():
    before = torch.get_num_threads()
    with threads_set(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_check_free_accepts_new_and_empty_folders(tmp_path):
    check_free(None)
    check_free(tmp_path)
    check_free(tmp_path / "new")


def test_check_free_folder_with_files_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"which is not empty\. Use another -o"):
        check_free(tmp_path)
