from __future__ import annotations

import json
import shutil

import pytest

from tests.cli.sample_photos import make_photos


def test_evaluate_measures_the_run_s_test_images_again(pellucid, finished_run):
    result = json.loads((finished_run / "result.json").read_text())
    outcome = pellucid("evaluate", finished_run, "--json")
    assert outcome.code == 0
    assert outcome.json["test"] == result["test"]
    assert outcome.json["data"] == result["data"]


def test_evaluate_own_data_by_name_measures_only_its_test_images(pellucid, finished_run, photos):
    assert pellucid("evaluate", finished_run, photos, "--json").json["test"]["images"] == 6


def test_evaluate_other_folder_measures_all_its_images(pellucid, finished_run, tmp_path):
    other = make_photos(tmp_path / "new", classes=("dog", "cat"), count=4, seed=1)
    result = pellucid("evaluate", finished_run, other, "--json").json
    assert result["test"]["images"] == 8
    assert result["data"]["train"] == 0


def test_evaluate_other_folder_counts_classes_as_the_tree_does(pellucid, finished_run, tmp_path):
    whole = make_photos(tmp_path / "whole", count=4, seed=1)
    parts = [tmp_path / name for name in ("without_cat", "without_owl")]
    right = []
    for part, missing in zip(parts, ("cat", "owl"), strict=True):
        shutil.copytree(whole, part)
        shutil.rmtree(part / missing)
        found = pellucid("evaluate", finished_run, part, "--json").json["test"]
        right.append(found["greedy"] * found["images"])
    everything = pellucid("evaluate", finished_run, whole, "--json").json["test"]
    dogs_twice = sum(right) - everything["greedy"] * 12
    assert 0 <= round(dogs_twice, 6) <= 4


def test_evaluate_folder_with_splits_measures_its_test_images(pellucid, finished_run, tmp_path):
    make_photos(tmp_path / "new" / "train", count=3, seed=1)
    make_photos(tmp_path / "new" / "test", count=2, seed=2)
    result = pellucid("evaluate", finished_run, tmp_path / "new", "--json").json
    assert result["test"]["images"] == 6


def test_evaluate_unknown_class_is_refused_with_a_guess(pellucid, finished_run, tmp_path):
    other = make_photos(tmp_path / "new", classes=("cat", "dgo"), count=2)
    outcome = pellucid("evaluate", finished_run, other)
    assert outcome.code == 3
    assert "class 'dgo' is none of the tree's" in outcome.err
    assert "Did you mean 'dog'?" in outcome.err


def test_evaluate_prints_a_table(pellucid, finished_run):
    outcome = pellucid("evaluate", finished_run)
    assert "greedy (one path)" in outcome.out
    assert "soft, before projection" in outcome.out


@pytest.mark.parametrize("command", ["evaluate", "report", "explain"])
def test_command_on_a_folder_that_is_no_run_is_bad_data(pellucid, photos, command):
    outcome = pellucid(command, photos, *(["x.png"] if command == "explain" else []))
    assert outcome.code == 3
    assert "is not a run folder" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_command_on_a_damaged_model_is_bad_data(pellucid, finished_run, tmp_path, command):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    model = run / "model.safetensors"
    model.write_bytes(model.read_bytes()[:1000])
    outcome = pellucid(command, run)
    assert outcome.code == 3
    assert "model.safetensors" in outcome.err
    assert outcome.err.count("\n") == 1


def test_evaluate_unfinished_run_says_to_resume_it(pellucid, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "model.safetensors").unlink()
    outcome = pellucid("evaluate", run)
    assert outcome.code == 3
    assert f"pellucid fit --resume {run}" in outcome.err


def test_evaluate_run_of_another_kind_is_bad_data(pellucid, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "config.json").write_text('{"command": "study"}')
    outcome = pellucid("evaluate", run)
    assert outcome.code == 3
    assert "is not the run of a prototype tree" in outcome.err
