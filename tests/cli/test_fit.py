from __future__ import annotations

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pellucid.prototree.recipe import TreeTask
from pellucid.training import Interrupted
from tests.cli.sample_photos import (
    QUICK,
    make_photos,
    write_bomb,
    write_truncated_jpeg,
)


def test_fit_json_is_one_object_with_the_promised_keys(pellucid, photos, tmp_path):
    outcome = pellucid("fit", photos, "-o", tmp_path / "run", "--json", *QUICK)
    assert outcome.code == 0
    result = outcome.json
    assert {"run", "status", "data", "test", "prototypes", "leaves", "seconds"} <= set(result)
    assert result["run"] == str(tmp_path / "run")
    assert result["status"] == "finished"
    assert {name: result["data"][name] for name in ("name", "classes", "images", "test")} == {
        "name": "photos",
        "classes": 3,
        "images": 30,
        "test": 6,
    }
    assert len(result["data"]["digest"]) == 64
    shares = [
        "distributed",
        "most_probable_leaf",
        "greedy",
        "fidelity_greedy",
        "distributed_before_projection",
    ]
    for name in shares:
        low, high = result["test"]["intervals"][name]
        assert 0 <= low <= result["test"][name] <= high <= 1
    assert Path(result["report"]).is_file()


def test_fit_writes_all_that_a_run_needs(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert names == {
        "checkpoints",
        "config.json",
        "environment.json",
        "evaluation.json",
        "metrics.jsonl",
        "model.safetensors",
        "prototypes",
        "prototypes.json",
        "report.html",
        "result.json",
        "splits.json",
        "unprojected.safetensors",
    }


def test_fit_without_json_says_accuracy_report_and_next_commands(pellucid, finished_run):
    outcome = pellucid("fit", "--resume", finished_run)
    assert "of 6 test images right" in outcome.out
    assert f"report  {finished_run / 'report.html'}" in outcome.out
    assert f"pellucid explain {finished_run} IMAGE" in outcome.out


def test_fit_output_has_no_color(pellucid, finished_run):
    outcome = pellucid("fit", "--resume", finished_run)
    assert "\x1b" not in outcome.out + outcome.err


def test_fit_quiet_says_nothing_on_stderr(pellucid, photos, tmp_path):
    outcome = pellucid("fit", photos, "-o", tmp_path / "run", "--quiet", "--no-report", *QUICK)
    assert outcome.err == ""
    assert not (tmp_path / "run" / "report.html").exists()


def test_fit_shows_progress_with_time_left_on_stderr(pellucid, photos, tmp_path):
    outcome = pellucid("fit", photos, "-o", tmp_path / "run", "--no-report", *QUICK)
    assert re.search(r"2/2: 100%, .* step/s, .* so far, 00:00 left", outcome.err)
    assert "2/2" not in outcome.out


def test_fit_stderr_in_a_file_holds_plain_lines(photos, tmp_path):
    command = [sys.executable, "-m", "pellucid", "fit", str(photos), "-o", str(tmp_path / "run")]
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([*command, "--no-report", *QUICK], stderr=log, check=True)
    said = (tmp_path / "log").read_bytes()
    assert b"\r" not in said
    assert b"\x1b" not in said
    assert said.count(b"% ") + said.count(b"%,") == 1


def test_fit_same_seed_gives_the_same_tree(pellucid, finished_run, photos, tmp_path):
    pellucid("fit", photos, "-o", tmp_path / "run", "--quiet", "--no-report", *QUICK)
    again = load_file(tmp_path / "run" / "model.safetensors")
    for name, tensor in load_file(finished_run / "model.safetensors").items():
        assert torch.equal(again[name], tensor), name


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["nodata"], 2, "data must be 'digits', 'cifar10'.*got 'nodata'"),
        (["./no/such/folder"], 2, "no such file or folder"),
        (["--depth", "0"], 2, r"--depth must be an integer in \[1, 16\], got 0"),
        (["--depth", "99"], 2, r"--depth must be .* got 99"),
        (["--depth", "two"], 2, "--depth must be an integer, got 'two'"),
        (["--epochs", "0"], 2, "--epochs must be an integer >= 1, got 0"),
        (["--epochs", "3", "--warm-up-epochs", "3"], 2, "--warm-up-epochs must be less than"),
        (["--learning-rate", "-1"], 2, r"--learning-rate must be .* got -1"),
        (["--learning-rate", "nan"], 2, r"--learning-rate must be .* got nan"),
        (["--backbone-learning-rate", "0"], 2, "--backbone-learning-rate must be"),
        (["--size", "3"], 2, r"--size must be an integer in \[4, 1024\], got 3"),
        (["--size", "4x"], 2, "--size must be pixels"),
        (["--seed", "-1"], 2, "--seed must be"),
        (["--threads", "0"], 2, "--threads must be"),
        (["--batch-size", "0"], 2, "--batch-size must be"),
        (["--top-k", "0"], 2, "--top-k must be"),
        (["--test-fraction", "1"], 2, "--test-fraction must be"),
        (["--validation-fraction", "-0.1"], 2, "--validation-fraction must be"),
        (["--prototype-initialization", "patch"], 2, "Did you mean 'patches'"),
        (["--device", "gpu"], 2, "--device must be available"),
        (["--augment", "shift=2"], 2, "--augment: shift_fraction must be"),
        (["--augment", "flip", "--no-augment"], 2, "not allowed with"),
        (["a", "b"], 2, "cannot use 'b'"),
        (["--resume", "no-run"], 3, "run must be an existing run folder"),
        (["--resume", "no-run", "--depth", "3"], 2, "--depth cannot be given with it"),
        (["photos", "--resume", "no-run"], 2, "DATA cannot be given with it"),
    ],
)
def test_fit_bad_argument_is_one_line_and_leaves_nothing(
    pellucid, tmp_path, monkeypatch, options, code, message
):
    monkeypatch.chdir(tmp_path)
    outcome = pellucid("fit", *options)
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.startswith("pellucid: error: ")
    assert outcome.err.count("\n") == 1
    assert re.search(message, outcome.err), outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backbone", "resnet81"], "Did you mean 'resnet18'"),
        (["--stage", "2"], "--stage must be None"),
        (["--weights", "none.safetensors"], "weights must be 'hub' or an existing file"),
    ],
)
def test_fit_backbone_that_cannot_be_made_leaves_no_run(
    pellucid, photos, tmp_path, options, message
):
    outcome = pellucid("fit", photos, "-o", tmp_path / "run", "--quiet", *options)
    assert outcome.code in (2, 3)
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_fit_out_that_is_not_empty_is_refused_before_the_data_is_read(pellucid, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    outcome = pellucid("fit", "no-such-data", "-o", tmp_path)
    assert outcome.code == 2
    assert "which is not empty" in outcome.err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_fit_out_that_is_a_run_proposes_to_resume_it(pellucid, photos, finished_run):
    outcome = pellucid("fit", photos, "-o", finished_run)
    assert outcome.code == 2
    assert f"--resume {finished_run}" in outcome.err


def test_fit_folder_with_one_class_is_bad_data(pellucid, tmp_path):
    outcome = pellucid("fit", make_photos(tmp_path / "one", classes=("cat",), count=3), "--quiet")
    assert outcome.code == 3
    assert "only one class" in outcome.err


@pytest.fixture(scope="module")
def nasty(tmp_path_factory) -> Path:
    root = make_photos(
        tmp_path_factory.mktemp("nasty") / "nasty",
        classes=("<img onerror=alert(1)>", "a\nb", "c\x1b[31md"),
        count=5,
    )
    write_truncated_jpeg(root / "a\nb" / "cut.jpg")
    write_bomb(root / "a\nb" / "bomb.png")
    (root / "a\nb" / "text.jpg").write_text("not a picture")
    (root / "empty").mkdir()
    return root


def test_fit_folder_with_bad_files_names_each_and_goes_on(pellucid, nasty, tmp_path):
    outcome = pellucid("fit", nasty, "-o", tmp_path / "run", *QUICK)
    assert outcome.code == 0
    for text in (
        "skipped a\\nb/cut.jpg: truncated",
        "skipped a\\nb/bomb.png: too_large",
        "skipped a\\nb/text.jpg: not_an_image",
        "warning: empty: empty_class",
    ):
        assert text in outcome.err
    assert "\x1b" not in outcome.out + outcome.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "&lt;img onerror=alert(1)&gt;" in page
    assert "<img onerror" not in page
    assert "3 files could not be used" in page


def test_fit_quiet_still_names_bad_files(pellucid, nasty, tmp_path):
    outcome = pellucid("fit", nasty, "-o", tmp_path / "run", "--quiet", "--no-report", *QUICK)
    assert outcome.err.count("\n") == 4
    assert "bomb.png" in outcome.err


def test_fit_strict_refuses_a_folder_with_bad_files(pellucid, nasty, tmp_path):
    outcome = pellucid("fit", nasty, "-o", tmp_path / "run", "--strict", "--quiet", *QUICK)
    assert outcome.code == 3
    assert "4 problems" in outcome.err
    assert not (tmp_path / "run").exists()


def test_fit_without_test_images_says_so(pellucid, photos, tmp_path):
    options = (
        "-o",
        tmp_path / "run",
        "--quiet",
        "--test-fraction",
        "0",
        "--validation-fraction",
        "0",
    )
    outcome = pellucid("fit", photos, *options, *QUICK, "--json")
    assert outcome.code == 0
    assert outcome.json["test"]["greedy"] is None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "There are no test images" in page
    assert "There are no validation images" in page


def test_fit_resume_of_a_finished_run_says_its_result_again(pellucid, finished_run):
    result = json.loads((finished_run / "result.json").read_text())
    outcome = pellucid("fit", "--resume", finished_run, "--json", "--quiet")
    assert outcome.code == 0
    assert outcome.json == result


def test_fit_interrupted_says_how_to_go_on_and_resuming_gives_the_same_tree(
    pellucid, photos, finished_run, tmp_path, monkeypatch
):
    run = tmp_path / "my run"
    begin = TreeTask.begin_epoch

    def stop_in_second_epoch(self, epoch, steps):
        if epoch == 1:
            raise Interrupted(signal.SIGTERM)
        return begin(self, epoch, steps)

    with monkeypatch.context() as patch:
        patch.setattr(TreeTask, "begin_epoch", stop_in_second_epoch)
        outcome = pellucid("fit", photos, "-o", run, "--quiet", *QUICK)
    assert outcome.code == 143
    assert outcome.err == (
        f"pellucid: interrupted by SIGTERM. Continue with: pellucid fit --resume '{run}'\n"
    )
    assert pellucid("fit", "--resume", run, "--quiet").code == 0
    resumed = load_file(run / "model.safetensors")
    for name, tensor in load_file(finished_run / "model.safetensors").items():
        assert torch.equal(resumed[name], tensor), name


def test_fit_interrupted_while_measuring_can_be_resumed(pellucid, photos, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pellucid.cli.fit_run.evaluate_tree", stop)
        outcome = pellucid("fit", photos, "-o", tmp_path / "run", "--quiet", *QUICK)
    assert outcome.code == 130
    assert "interrupted by SIGINT. Continue with: pellucid fit --resume" in outcome.err
    assert pellucid("fit", "--resume", tmp_path / "run", "--quiet", "--json").json["test"]


def test_fit_interrupted_by_a_signal_in_another_process_can_be_resumed(pellucid, photos, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "pellucid", "fit", str(photos), "-o", str(run), "--quiet"]
    process = subprocess.Popen(
        [*command, *QUICK, "--epochs", "500"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 130
    assert said == f"pellucid: interrupted by SIGINT. Continue with: pellucid fit --resume {run}\n"


def test_fit_resume_after_the_data_changed_is_refused(pellucid, tmp_path, monkeypatch):
    data = make_photos(tmp_path / "photos", count=5)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TreeTask, "begin_epoch", stop)
        pellucid("fit", data, "-o", tmp_path / "run", "--quiet", *QUICK)
    shutil.copy(data / "cat" / "00.png", data / "cat" / "99.png")
    outcome = pellucid("fit", "--resume", tmp_path / "run")
    assert outcome.code == 3
    assert "the data has changed" in outcome.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--backbone", "resnet81"], 2, "--backbone must be .*got 'resnet81'"),
        (["--stage", "2"], 2, "--stage must be None for backbone 'patch_cnn', got 2"),
        (["--weights", "hub"], 2, "got 'hub': none are published"),
        (["--weights", "none.safetensors"], 3, "existing file, got .*none.safetensors"),
        (["--weights", "none.pth", "--backbone", "resnet18"], 3, "existing file, got .*none.pth"),
        (["--device", "gpu"], 2, "--device must be available"),
    ],
)
def test_fit_wrong_backbone_or_device_is_refused_before_the_data_is_read(
    pellucid, tmp_path, monkeypatch, options, code, message
):
    def read(*_, **__):
        raise AssertionError("the data was read")

    monkeypatch.setattr("pellucid.cli.fit_run.load_settings_data", read)
    monkeypatch.chdir(tmp_path)
    outcome = pellucid("fit", "digits", *QUICK, *options)
    assert outcome.code == code
    assert re.search(message, outcome.err), outcome.err
    assert list(tmp_path.iterdir()) == []


def test_fit_diverged_keeps_the_last_good_state_and_exits_4(
    pellucid, photos, tmp_path, monkeypatch
):
    step = TreeTask.step
    begin = TreeTask.begin_epoch
    epochs = []

    def begin_epoch(self, epoch, steps):
        epochs.append(epoch)
        return begin(self, epoch, steps)

    def poisoned(self, images, labels):
        return step(self, images * (math.nan if epochs[-1] == 2 else 1.0), labels)

    monkeypatch.setattr(TreeTask, "begin_epoch", begin_epoch)
    monkeypatch.setattr(TreeTask, "step", poisoned)
    options = [*QUICK, "--epochs", "3"]
    outcome = pellucid("fit", photos, "-o", tmp_path / "run", "--json", "--quiet", *options)
    assert outcome.code == 4
    assert outcome.json["status"] == "diverged"
    assert "training diverged" in outcome.err
    assert f"kept in {tmp_path / 'run'}" in outcome.err
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert "Training diverged" in (tmp_path / "run" / "report.html").read_text()
    assert pellucid("fit", "--resume", tmp_path / "run", "--quiet").code == 4


def test_fit_diverged_before_the_tree_was_trained_leaves_no_model(pellucid, photos, tmp_path):
    run = tmp_path / "run"
    options = [*QUICK, "--learning-rate", "1e30"]
    outcome = pellucid("fit", photos, "-o", run, "--quiet", *options)
    assert outcome.code == 4
    assert outcome.out == ""
    assert "so there is no model. Use a lower --learning-rate." in outcome.err
    for name in ("model.safetensors", "unprojected.safetensors", "report.html"):
        assert not (run / name).exists()
    again = pellucid("fit", "--resume", run, "--quiet", "--json")
    assert again.code == 4
    assert again.json["prototypes"] == 0
    assert again.json["test"]["greedy"] is None
    evaluated = pellucid("evaluate", run, "--quiet")
    assert evaluated.code == 3
    assert "--resume" not in evaluated.err  # it would diverge again
    assert "--learning-rate below 1e+30, for example 0.002" in evaluated.err


def test_fit_diverged_by_its_only_step_is_said_to_have_diverged(pellucid, photos, tmp_path):
    options = [*QUICK, "--learning-rate", "1e30", "--batch-size", "64", "--warm-up-epochs", "0"]
    outcome = pellucid("fit", photos, "-o", tmp_path / "run", "--quiet", *options)
    assert outcome.code == 4
    assert "training diverged: a loss was not finite" in outcome.err


def test_fit_while_another_process_trains_in_the_folder_is_refused(pellucid, photos, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "pellucid", "fit", str(photos), "-o", str(run), "--quiet"]
    process = subprocess.Popen(
        [*command, *QUICK, "--epochs", "5000"], stderr=subprocess.DEVNULL, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        for options in (["--resume", run], [photos, "-o", run]):
            outcome = pellucid("fit", *options, "--quiet")
            assert outcome.code == 2
            assert f"is in use: process {process.pid} is training in it." in outcome.err
            assert outcome.err.count("\n") == 1
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["epochs"] == 5000
