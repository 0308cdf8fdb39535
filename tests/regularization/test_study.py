from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from pellucid import DataError, UsageError
from pellucid.regularization.arms import Arm, named_arm
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.study import StudySettings, run_study
from pellucid.regularization.study_data import StudyData
from pellucid.regularization.trained_networks import compact_run, load_trained
from pellucid.runs import Run

DATA = StudyData(data="digits", train_images=60, image_size=(8, 8), validation_fraction=0.05)
BASE = NetworkRecipe(network="small_mlp", epochs=3, batch_size=20)


def make_settings(**changes) -> StudySettings:
    options = {
        "arms": ["none", "l1"],
        "strengths": {"l1": 0.02},
        "seeds": 2,
        "base": BASE,
        "processes": 2,
        "backend": "sequential",
    } | changes
    return StudySettings.of(DATA, options.pop("arms"), **options)


def comparable(result) -> dict:
    """Return all of a result but where and how fast it was made."""
    shown = result.to_json()
    for name in ("seconds", "run", "compaction"):
        shown.pop(name)
    return shown


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_study(make_settings(), out=tmp_path_factory.mktemp("studies") / "whole")


def test_run_study_has_a_record_for_each_arm_and_seed(whole):
    assert [(r.arm, r.seed) for r in whole.records] == [
        ("none", 0),
        ("none", 1),
        ("l1", 0),
        ("l1", 1),
    ]
    assert all(len(record.history) == 3 for record in whole.records)


def test_run_study_history_objective_is_cross_entropy_plus_penalty(whole):
    for record in whole.records:
        for row in record.history:
            assert row["objective"] == pytest.approx(row["train_loss"] + row["penalty"])
    assert whole.records[0].history[-1]["penalty"] == 0
    assert whole.records[2].history[-1]["penalty"] > 0


def test_run_study_json_has_the_promised_keys(whole):
    shown = json.loads(json.dumps(whole.to_json(), allow_nan=False))
    assert set(shown["arms"]) == {"none", "l1"}
    for arm in shown["arms"].values():
        assert {"mean", "low", "high"} <= set(arm["test"])
        assert {"gap", "exact_zeros"} <= set(arm)
    [comparison] = shown["comparisons"]
    assert {"a", "b", "difference", "low", "high", "p", "p_holm"} <= set(comparison)
    assert isinstance(shown["verdict"], str)
    assert shown["verdict"]


def test_run_study_result_file_is_what_was_returned(whole):
    stored = json.loads((whole.folder / "result.json").read_text())
    assert stored == json.loads(json.dumps(whole.to_json()))


def test_run_study_same_seed_starts_from_the_same_weights_in_every_arm(whole):
    run = Run.open(whole.folder)
    first = {arm: run.load_checkpoint(f"{arm}-seed0")[1]["record"] for arm in ("none", "l1")}
    # After one epoch of a weak penalty the two are still close; other seeds are not.
    other = run.load_checkpoint("none-seed1")[1]["record"]
    losses = [row["history"][0]["train_loss"] for row in (first["none"], first["l1"], other)]
    assert abs(losses[0] - losses[1]) < abs(losses[0] - losses[2])


def test_run_study_test_answers_agree_with_the_network_that_was_kept(whole):
    run = Run.open(whole.folder)
    trained = load_trained(run, "l1", 1)
    data = DATA.load()
    pixels = data.images.read(data.splits.test)
    with torch.no_grad():
        answers = trained.module(trained.normalization(pixels)).argmax(1)
    expected = (answers == data.images.labels[data.splits.test]).numpy()
    record = whole.records[3]
    assert np.array_equal(record.last.test_correct, expected)
    assert record.last.test_accuracy == pytest.approx(expected.mean())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_run_study_backends_give_the_same_numbers(whole, tmp_path, backend):
    pytest.importorskip({"loky": "joblib", "dask": "distributed", "ray": "ray"}[backend])
    other = run_study(make_settings(backend=backend), out=tmp_path / "other")
    assert comparable(other) == comparable(whole)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at_epoch", [1, 7])
def test_run_study_resumed_equals_uninterrupted(whole, tmp_path, at_epoch):
    def stop(done: int, total: int) -> None:
        if done >= at_epoch:
            raise Killed

    with pytest.raises(Killed):
        run_study(make_settings(), out=tmp_path / "cut", progress=stop)
    resumed = run_study(make_settings(), out=tmp_path / "cut", resume=True)
    assert comparable(resumed) == comparable(whole)
    for record in whole.records:
        ours, _ = Run.open(tmp_path / "cut").load_checkpoint(record.file_name)
        theirs, _ = Run.open(whole.folder).load_checkpoint(record.file_name)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_study_data_of_other_images_than_the_studys_is_refused():
    digest = DATA.load().images.digest
    assert DATA.load(digest=digest).images.digest == digest
    with pytest.raises(DataError, match="are not those of the study"):
        DATA.load(digest="0" * 64)


def test_run_study_tune_without_validation_images_is_refused_before_training(tmp_path):
    bare = StudyData(data="digits", train_images=60, image_size=(8, 8), validation_fraction=0.0)
    settings = StudySettings.of(bare, ["none"], tune=2, base=BASE, backend="sequential")
    with pytest.raises(UsageError, match="validation_fraction must be above 0 with tune or path"):
        run_study(settings, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_run_study_objective_names_everything_that_changes_it(tmp_path):
    arms = ["label_smoothing", "mixup", "dropout", "weight_decay"]
    base = replace(BASE, epochs=1)
    settings = make_settings(arms=arms, strengths={}, base=base, seeds=1)
    said = {arm.name: arm.objective for arm in run_study(settings, out=tmp_path / "x").arms}
    assert "0.1 is spread evenly over all classes" in said["label_smoothing"]
    assert "Beta(0.2, 0.2)" in said["mixup"]
    assert "30 % of the activations" in said["dropout"]
    assert "learning rate times 0.05" in said["weight_decay"]


def test_run_study_resumed_with_other_settings_is_refused(whole):
    with pytest.raises(DataError, match="was made with other settings: arms"):
        run_study(make_settings(strengths={"l1": 0.5}), out=whole.folder, resume=True)


def test_run_study_tuning_tries_each_arm_equally_and_chooses_by_validation(tmp_path):
    result = run_study(make_settings(tune=3, strengths={}), out=tmp_path / "tuned")
    for arm in ("none", "l1"):
        rows = [row for row in result.tuning if row.arm == arm]
        assert len(rows) == 3
        best = max(row.validation_accuracy for row in rows)
        [chosen] = [row for row in rows if row.chosen]
        assert chosen.validation_accuracy == best
        if arm == "l1":
            assert next(a for a in result.arms if a.name == "l1").recipe["penalty"][
                "l1"
            ] == pytest.approx(chosen.strength)


def test_run_study_trials_leave_the_test_images_alone(tmp_path):
    result = run_study(make_settings(tune=2), out=tmp_path / "tuned")
    run = Run.open(result.folder)
    tensors, state = run.load_checkpoint("trial-l1-try0-seed0")
    assert not tensors
    assert set(state) == {"validation_accuracy", "exact_zeros", "collapsed"}


def test_run_study_path_zeros_rise_with_the_strength(tmp_path):
    settings = make_settings(path="l1", path_points=4, strengths={"l1": 0.1})
    path = run_study(settings, out=tmp_path / "path").path
    assert path is not None
    assert len(path.strengths) == 4
    zeros = [np.mean(row) for row in path.exact_zeros]
    assert zeros[0] < zeros[-1]
    assert zeros[-1] > 0.5
    assert path.knee in range(4)


@dataclass(frozen=True)
class Fixed:
    """Answers class 0 whatever it sees: a recipe of another kind than a network's."""

    def describe(self):
        return {"model": "fixed"}

    def fit(self, data, *, seed, run, device, resume, quiet, on_epoch):
        from pellucid.training import Outcome, Snapshot

        def predict(pixels):
            answers = torch.full((len(pixels), len(data.images.class_names)), -10.0)
            answers[:, 0] = 0.0
            return torch.log_softmax(answers, 1)

        snapshot = Snapshot(0, {"w": torch.ones(2, 2)}, predict)
        row = dict.fromkeys(
            ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"), 0.1
        )
        row |= {"epoch": 0, "penalty": 0.0, "objective": 0.1, "seconds": 0.0}
        return Outcome("finished", (row,), snapshot, snapshot, 0.0)


def test_run_study_any_recipe_is_an_arm_and_collapse_is_flagged(tmp_path):
    settings = make_settings(arms=["none", Arm("fixed", Fixed())], strengths={})
    result = run_study(settings, out=tmp_path / "x")
    assert [r.status for r in result.records if r.arm == "fixed"] == ["collapsed"] * 2
    [summary] = [s for s in result.summaries if s.arm == "fixed" and s.moment == "last"]
    assert summary.collapsed == (0, 1)
    assert summary.test_accuracy.mean == pytest.approx(0.1, abs=0.03)


def test_compact_run_strong_l1_keeps_the_answers(tmp_path):
    base = replace(BASE, epochs=12)
    settings = make_settings(arms=["group_lasso"], strengths={"group_lasso": 0.02}, base=base)
    result = run_study(settings, out=tmp_path / "study")
    compacted = compact_run(result.folder, onnx=False)
    assert compacted.row.removed_units > 0
    assert compacted.row.after.parameters < compacted.row.before.parameters
    assert compacted.row.largest_difference <= 1e-5 * max(1, compacted.row.largest_logit)
    assert compacted.weights.is_file()
    assert [row.name for row in result.compaction] == ["group_lasso"]


def test_compact_run_unknown_arm_is_refused(whole):
    with pytest.raises(UsageError, match="arm must be one of the study's none, l1, got 'l2'"):
        compact_run(whole.folder, arm="l2")


def test_settings_same_arm_twice_is_refused():
    with pytest.raises(UsageError, match="'l1' is named twice"):
        make_settings(arms=["l1", "l1"])


def test_settings_path_without_strength_is_refused_before_training():
    with pytest.raises(UsageError, match="path must be an arm with a strength, got 'cosine'"):
        make_settings(path="cosine")


def test_to_frame_without_pandas_says_what_to_install(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        whole.to_frame()


def test_to_frame_has_a_row_for_each_run_and_moment(whole):
    pytest.importorskip("pandas")
    frame = whole.to_frame()
    assert len(frame) == 8
    assert {"arm", "seed", "moment", "test_accuracy", "gap", "exact_zeros"} <= set(frame.columns)


class RecordingLogger:
    def __init__(self):
        self.scalars, self.histograms = [], []

    def log_scalars(self, step, values):
        self.scalars.append((step, values))

    def log_histogram(self, step, name, values):
        self.histograms.append((step, name, values))

    def close(self):
        pass


def test_log_gives_every_curve_and_every_layer(whole):
    logger = RecordingLogger()
    whole.log(logger)
    assert len(logger.scalars) == 4 * 3
    assert {"l1/seed1/train_loss", "l1/seed1/penalty"} <= set(logger.scalars[-1][1])
    assert len(logger.histograms) == 4 * 3
    assert logger.histograms[0][1] == "none/seed0/fc1.weight"


def test_named_arm_of_the_default_study_is_what_the_specification_measured():
    arm = named_arm("l1", NetworkRecipe())
    assert isinstance(arm.recipe, NetworkRecipe)
    assert arm.recipe.penalty.l1 == 6e-4
