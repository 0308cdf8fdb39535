from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pellucid.cli import main
from tests.data.test_cifar10 import write_archive

HERE = ["--backend", "sequential", "--jobs", "2"]
QUICK = ["--size", "8", "--train-images", "60", "--epochs", "2", "--seeds", "2", *HERE]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits"
    arms = ["--arms", "none,group_lasso", "--strength", "group_lasso=0.02"]
    more = ["--epochs", "12", "--batch-size", "20"]
    assert main(["study", "-o", str(path), "--quiet", *QUICK, *arms, *more]) == 0
    return path


def test_study_json_is_one_object_with_the_promised_keys(pellucid, tmp_path):
    outcome = pellucid("study", "-o", tmp_path / "run", "--json", *QUICK)
    assert outcome.code == 0
    result = outcome.json
    assert set(result["arms"]) == {"none", "l1", "l2"}
    for arm in result["arms"].values():
        low, mean, high = (arm["test"][name] for name in ("low", "mean", "high"))
        assert 0 <= low <= mean <= high <= 1
    assert len(result["comparisons"]) == 3
    for comparison in result["comparisons"]:
        assert {"a", "b", "difference", "low", "high", "p", "p_holm"} <= set(comparison)
    assert result["verdict"]
    assert Path(result["report"]).stat().st_size < 2e6


def test_study_says_table_and_verdict(pellucid, tmp_path):
    outcome = pellucid("study", "-o", tmp_path / "run", "--no-report", *QUICK)
    assert outcome.code == 0
    assert "95 % interval" in outcome.out
    assert "zeros" in outcome.out
    assert not (tmp_path / "run" / "report.html").exists()


def test_study_photos_with_a_tree_as_an_arm(pellucid, photos, tmp_path):
    outcome = pellucid(
        *("study", photos, "-o", tmp_path / "run", "--json", "--arms", "none,tree"),
        *("--epochs", "2", "--seeds", "2", "--size", "16", *HERE),
    )
    assert outcome.code == 0, outcome.err
    [comparison] = outcome.json["comparisons"]
    assert {comparison["a"], comparison["b"]} == {"none", "tree"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arms", "none,elasticnet"], "elastic_net"),
        (["--arms", "none,none"], "'none' is named twice"),
        (["--arms", ","], "must name at least one arm"),
        (["--strength", "l1"], "must be ARM=STRENGTH"),
        (["--strength", "l1=much"], "must be a number, got 'much'"),
        (["--strength", "l1=-1"], "strength of l1"),
        (["--strength", "l7=1"], "--strength must be of an arm of the study"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--path", "cosine"], "--path must be an arm with a strength, got 'cosine'"),
        (["--tune", "-1"], "--tune must be"),
        (["--backend", "slurm"], "--backend must be one of"),
        (["--optimizer", "adamw"], "--optimizer must be one of"),
        (["--preset", "original"], "--preset must be one of"),
        (["--preset", "reference", "--arms", "none"], "--arms cannot be given with --preset"),
        (["--resume", "nowhere", "--seeds", "3"], "--out, --jobs, --backend cannot be given"),
        (["--network", "resnet99"], "--network must be"),
        (["--size", "8", "--network", "small_cnn"], "at least 12x12 px"),
    ],
)
def test_study_bad_option_is_one_line_and_exit_2(pellucid, tmp_path, options, message):
    outcome = pellucid("study", "-o", tmp_path / "run", *HERE, *options)
    assert outcome.code == 2, outcome.err
    assert message in outcome.err
    assert outcome.err.strip().count("\n") <= 1
    assert not (tmp_path / "run").exists()


def test_study_resume_of_another_folder_is_refused(pellucid, finished_run):
    outcome = pellucid("study", "--resume", finished_run)
    assert outcome.code == 3
    assert "is not" in outcome.err
    assert "study" in outcome.err


def test_study_resume_of_a_finished_study_gives_its_result(pellucid, study):
    before = json.loads((study / "result.json").read_text())
    outcome = pellucid("study", "--resume", study, "--json", "--no-report")
    assert outcome.code == 0
    assert outcome.json["arms"] == before["arms"]
    assert outcome.json["verdict"] == before["verdict"]


CUT = ["--size", "8", "--train-images", "100", "--epochs", "40", "--seeds", "3", "--jobs", "2"]


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    """The result of a study with the options `CUT` that was not interrupted."""
    path = tmp_path_factory.mktemp("studies") / "whole"
    assert main(["study", "-o", str(path), "--quiet", "--no-report", *CUT]) == 0
    return json.loads((path / "result.json").read_text())


def cut_off(path, number, *, group):
    """Start a study, send it a signal while it trains; return its exit code and stderr."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pellucid",
            "study",
            "-o",
            str(path),
            *CUT,
            "--no-report",
            "--quiet",
        ],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((path / "work").glob("*.epochs")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    if group:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_study_kill_9_and_resume_give_the_table_of_an_uninterrupted_one(pellucid, tmp_path, uncut):
    cut_off(tmp_path / "cut", signal.SIGKILL, group=True)
    resumed = pellucid("study", "--resume", tmp_path / "cut", "--json", "--no-report")
    assert resumed.code == 0, resumed.err
    for name in ("arms", "comparisons", "best_checkpoint", "verdict"):
        assert resumed.json[name] == uncut[name]


@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["Ctrl-C", "TERM"]
)
def test_study_interrupted_keeps_its_state_and_says_one_line(
    pellucid, tmp_path, uncut, number, group
):
    path = tmp_path / "cut"
    code, said = cut_off(path, number, group=group)
    assert code == 128 + number
    name = signal.Signals(number).name
    assert said == (
        f"pellucid: interrupted by {name}. Continue with: pellucid study --resume {path}\n"
    )
    assert [*path.glob("work/*/checkpoints/*"), *path.glob("checkpoints/*")]
    resumed = pellucid("study", "--resume", path, "--json", "--no-report")
    assert resumed.json["arms"] == uncut["arms"]


@pytest.fixture
def archive(tmp_path):
    random = np.random.default_rng(0)
    records = random.integers(0, 256, (6 * 30, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(len(records)) % 10
    return write_archive(tmp_path / "small.tar.gz", records, per_member=30)


def test_study_reference_preset_runs_on_an_archive_in_the_format(pellucid, archive, tmp_path):
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    outcome = pellucid(
        *("study", archive, "--preset", "reference", "--sha256", digest, "--epochs", "2"),
        *("-o", tmp_path / "run", "--json", *HERE),
    )
    assert outcome.code == 0, outcome.err
    result = outcome.json
    assert result["preset"] == "reference"
    data = result["data"]
    assert (data["train"], data["validation"], data["test"]) == (150, 15, 15)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    penalties = {arm: config["arms"][arm]["penalty"] for arm in ("none", "l1", "l2")}
    terms = ("l1", "l2", "method", "include_biases")
    assert [penalties["none"][term] for term in ("l1", "l2")] == [0, 0]
    assert [penalties["l1"][term] for term in terms] == [1e-4, 0, "subgradient", False]
    assert [penalties["l2"][term] for term in terms] == [0, 1e-3, "proximal", True]
    assert config["arms"]["l1"]["normalization"] == {"mean": [0.5] * 3, "deviation": [0.5] * 3}
    assert config["seeds"] == [42]
    checkpoints = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert checkpoints == {f"{arm}-seed42.safetensors" for arm in ("none", "l1", "l2")}
    assert "reference" in Path(result["report"]).read_text()


def test_study_archive_with_another_checksum_is_refused(pellucid, archive, tmp_path):
    wrong = pellucid("study", archive, "--sha256", "0" * 64, "-o", tmp_path / "run")
    assert wrong.code == 3
    assert "its SHA-256 is" in wrong.err
    unsaid = pellucid("study", archive, "-o", tmp_path / "run")
    assert unsaid.code == 3
    assert "give its SHA-256 too" in unsaid.err
    assert not (tmp_path / "run").exists()


def test_compact_writes_a_smaller_network(pellucid, study, tmp_path):
    outcome = pellucid("compact", study, "--arm", "group_lasso", "-o", tmp_path, "--json")
    assert outcome.code == 0, outcome.err
    assert Path(outcome.json["weights"]).is_file()
    assert outcome.json["arm"] == "group_lasso"
    sizes = outcome.json["compaction"]
    assert sizes["after"]["parameters"] < sizes["before"]["parameters"]


def test_compact_says_what_was_saved(pellucid, study, tmp_path):
    outcome = pellucid("compact", study, "-o", tmp_path)
    assert outcome.code == 0
    for word in ("parameters", "multiplications an image", "largest difference of a logit"):
        assert word in outcome.out


def test_compact_of_a_tree_run_is_refused(pellucid, finished_run):
    outcome = pellucid("compact", finished_run)
    assert outcome.code == 3
    assert "is not" in outcome.err
    assert "study" in outcome.err
