from __future__ import annotations

import json
import shutil

import pytest

from pellucid.cli import evaluate, main
from pellucid.evaluation import ExplanationEvaluation, TreeExplainer
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


@pytest.mark.parametrize("options", [[], ["--explanations"]])
def test_evaluate_other_folder_of_one_picture_a_class_works(
    pellucid, finished_run, tmp_path, options
):
    other = make_photos(tmp_path / "new", count=1, seed=1)
    outcome = pellucid("evaluate", finished_run, other, "--json", *options)
    assert outcome.code == 0, outcome.err
    assert outcome.json["data"]["test"] == 3
    assert not any("validation" in caution for caution in outcome.json["cautions"])


@pytest.mark.parametrize("options", [[], ["--explanations"]])
def test_evaluate_other_folder_of_one_class_works(pellucid, finished_run, tmp_path, options):
    other = make_photos(tmp_path / "new", classes=("dog",), count=6, seed=1)
    outcome = pellucid("evaluate", finished_run, other, "--json", *options)
    assert outcome.code == 0, outcome.err
    assert outcome.json["test"]["images"] == 6
    said = [*outcome.json["cautions"], *outcome.json.get("explanations", {}).get("findings", [])]
    assert not any("not shown to do better" in sentence for sentence in said)


def test_evaluate_other_folder_of_one_foreign_class_is_named(pellucid, finished_run, tmp_path):
    outcome = pellucid("evaluate", finished_run, make_photos(tmp_path / "new", classes=("cow",)))
    assert outcome.code == 3
    assert "class 'cow' is none of the tree's" in outcome.err


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


@pytest.fixture(scope="module")
def measured_run(tmp_path_factory, finished_run):
    """A copy of the finished run whose explanations were measured."""
    run = tmp_path_factory.mktemp("measured") / "run"
    shutil.copytree(finished_run, run)
    (run / "report.html").write_text("old")
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr(evaluate, "print_lines", printed.extend)
        assert main(["evaluate", str(run), "--explanations", "--quiet"]) == 0
    return run, printed


def test_evaluate_explanations_prints_findings_and_table_after_the_accuracy(measured_run):
    _, printed = measured_run
    text = "\n".join(printed)
    assert text.index("greedy (one path)") < text.index("How far the explanations can be trusted")
    assert "Whether this tree looks at the background could not be measured" in text
    assert "measure" in text
    assert "95 % interval" in text
    assert "chance" in text
    assert "deletion curve, area" in text
    assert "not measured (needs pictures whose parts are known" in text


def test_evaluate_explanations_writes_them_and_draws_the_report_anew(measured_run):
    run, printed = measured_run
    kept = ExplanationEvaluation.from_dict(json.loads((run / "explanations.json").read_text()))
    assert kept.images == 6
    assert (run / "report.html").read_text() != "old"
    assert f"report  {run / 'report.html'}" in printed


def test_evaluate_explanations_json_is_one_object_with_both(pellucid, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    outcome = pellucid("evaluate", run, "--explanations", "--images", "4", "--json")
    assert outcome.code == 0
    assert outcome.json["test"]["images"] == 6
    assert outcome.json["explanations"]["images"] == 4
    names = [measure["name"] for measure in outcome.json["explanations"]["measures"]]
    assert "single_deletion" in names


def test_evaluate_explanations_of_other_images_are_not_written(pellucid, finished_run, tmp_path):
    other = make_photos(tmp_path / "new", count=3, seed=1)
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    outcome = pellucid("evaluate", run, other, "--explanations", "--quiet")
    assert outcome.code == 0
    assert "9 test images of new" in outcome.out
    assert not (run / "explanations.json").exists()


def test_evaluate_images_without_explanations_is_refused(pellucid, finished_run):
    outcome = pellucid("evaluate", finished_run, "--images", "5")
    assert outcome.code == 2
    assert "--images must come with --explanations, got --images 5 alone." in outcome.err


def test_evaluate_images_out_of_range_is_refused_by_its_flag(pellucid, finished_run):
    outcome = pellucid("evaluate", finished_run, "--explanations", "--images", "0")
    assert outcome.code == 2
    assert "--images must be an integer >= 1, got 0" in outcome.err


def test_evaluate_explanations_interrupted_ends_with_one_line(pellucid, finished_run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TreeExplainer, "importance", stop)
    outcome = pellucid("evaluate", finished_run, "--explanations", "--quiet")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert "interrupted" in outcome.err
    assert not (finished_run / "explanations.json").exists()
