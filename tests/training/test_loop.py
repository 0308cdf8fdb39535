from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pellucid import DataError
from pellucid.data import Augmentation
from pellucid.runs import Run
from pellucid.training import Interrupted, choose_batch_size, train
from tests.training.toy_task import COUNT, ToyTask, toy_images, toy_plan, weights

TRAINING, VALIDATION = torch.arange(0, 28), torch.arange(28, COUNT)
NONE = torch.arange(0)


class Accident(Exception):
    pass


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(tmp_path / "run", command="fit", config={"data": "toy"})


def fit(task: ToyTask, *, run: Run | None = None, resume: bool = False, **options):
    validation = options.pop("validation", VALIDATION)
    watch = {"on_epoch": options.pop("on_epoch")} if "on_epoch" in options else {}
    return train(
        task,
        options.pop("images", toy_images()),
        training=options.pop("training", TRAINING),
        validation=validation,
        plan=toy_plan(**options),
        run=run,
        resume=resume,
        quiet=True,
        **watch,
    )


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_weights(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


# ---------------------------------------------------------------- the ordinary course


def test_train_finishes_and_learns():
    task = ToyTask()
    result = fit(task, epochs=6)
    assert (result.status, result.epochs_done) == ("finished", 6)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert [row["epoch"] for row in result.history] == list(range(6))


def test_train_twice_gives_the_same_weights_bit_for_bit():
    first, second = ToyTask(), ToyTask()
    rows = [fit(task).history for task in (first, second)]
    assert_same_weights(weights(first), weights(second))
    assert without_seconds(rows[0]) == without_seconds(rows[1])


def test_train_other_seed_gives_other_weights():
    first, second = ToyTask(), ToyTask()
    fit(first, seed=1)
    fit(second, seed=2)
    assert not torch.equal(first.module[3].weight, second.module[3].weight)


def test_train_with_and_without_a_run_gives_the_same_weights(run):
    first, second = ToyTask(), ToyTask()
    fit(first)
    fit(second, run=run)
    assert_same_weights(weights(first), weights(second))


def test_train_leaves_the_global_random_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    fit(ToyTask())
    assert torch.equal(torch.rand(3), expected)


def test_train_learning_rates_are_scaled_in_a_step_and_given_back():
    seen = []
    task = ToyTask(at_step=lambda *_: seen.append(task.optimizer.param_groups[0]["lr"]))
    fit(task, epochs=2)
    expected = [0.05 / (1 + epoch + step / 3) for epoch in range(2) for step in range(3)]
    assert seen == pytest.approx(expected)
    assert task.optimizer.param_groups[0]["lr"] == 0.05


def test_train_every_step_is_absorbed_once():
    task = ToyTask()
    fit(task, epochs=3, validation=NONE)
    assert task.module.seen.item() == 3 * 24  # 28 images make three batches of 8


def test_train_batch_larger_than_the_set_uses_nearly_all_images():
    task = ToyTask()
    fit(task, epochs=2, batch_size=1000, validation=NONE)
    assert task.module.seen.item() == 2 * 27  # three steps of nine


def test_train_no_images_is_refused():
    with pytest.raises(DataError, match="training must hold at least one image, got 0"):
        fit(ToyTask(), training=NONE)


def test_train_metrics_rows_are_the_history(run):
    result = fit(ToyTask(), run=run)
    assert run.metrics() == list(result.history)


def test_train_evaluation_uses_no_augmentation_and_fixed_weights():
    task = ToyTask()
    result = fit(task, epochs=1, augmentation=Augmentation())
    plan, images = toy_plan(), toy_images()
    task.module.eval()
    with torch.no_grad():
        answers = task.predict(plan.normalization(images.read(VALIDATION)))
    accuracy = (answers.argmax(1) == images.labels[VALIDATION]).double().mean().item()
    assert result.history[0]["validation_accuracy"] == pytest.approx(accuracy)
    loss = torch.nn.functional.nll_loss(answers, images.labels[VALIDATION]).item()
    assert result.history[0]["validation_loss"] == pytest.approx(loss, rel=1e-6)


# ---------------------------------------------------------------- the best epoch


def test_train_leaves_the_weights_of_the_best_epoch():
    task, snapshots = ToyTask(), []

    def remember(epoch: int, step: int) -> None:
        if step == 0:
            snapshots.append(weights(task))
        if epoch >= 3:  # forgets all it knew
            with torch.no_grad():
                task.module[3].weight.zero_()

    task.at_step = remember
    result = fit(task, epochs=6)
    scores = [(row["validation_accuracy"], -row["validation_loss"]) for row in result.history]
    assert scores[result.best_epoch] == max(scores)
    assert result.best_epoch < 5  # or the next line would test nothing
    assert_same_weights(weights(task), snapshots[result.best_epoch + 1])


def test_train_without_validation_the_last_epoch_stands(run):
    result = fit(ToyTask(), run=run, validation=NONE)
    assert result.best_epoch == 3
    assert "validation_accuracy" not in result.history[0]


def test_train_epochs_before_the_first_selectable_one_are_never_best():
    result = fit(ToyTask(learning_rate=1e-9), epochs=5, first_selectable_epoch=3)
    assert result.best_epoch >= 3


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("validation", [VALIDATION, NONE], ids=["validation", "no validation"])
@pytest.mark.parametrize("when", [(0, 1), (2, 0), (2, 1), (3, 2)])
def test_train_resumed_equals_uninterrupted_bit_for_bit(run, when, validation):
    whole = ToyTask()
    expected = fit(whole, validation=validation)

    def fail(*now):
        if now == when:
            raise Accident

    with pytest.raises(Accident):
        fit(ToyTask(at_step=fail), run=run, validation=validation)
    resumed = ToyTask()
    result = fit(resumed, run=Run.open(run.path), resume=True, validation=validation)
    assert resumed.epochs == list(range(when[0], 4))
    assert_same_weights(weights(resumed), weights(whole))
    assert without_seconds(run.metrics()) == without_seconds(expected.history)
    assert without_seconds(result.history) == without_seconds(expected.history)
    assert (result.status, result.best_epoch) == ("finished", expected.best_epoch)


def test_train_resumed_optimizer_equals_uninterrupted_bit_for_bit(run, tmp_path):
    def fail(*now):
        if now == (2, 1):
            raise Accident

    with pytest.raises(Accident):
        fit(ToyTask(at_step=fail), run=run)
    fit(ToyTask(), run=run, resume=True)
    other = Run.create(tmp_path / "other", command="fit", config={})
    fit(ToyTask(), run=other)
    ours, theirs = (each.load_checkpoint("last") for each in (run, other))
    assert_same_weights(ours[0], theirs[0])
    assert ours[1]["optimizer"] == theirs[1]["optimizer"]


def test_train_resumed_tells_where_it_starts(run):
    fit(ToyTask(), run=run, epochs=2)
    told: list[int] = []
    fit(ToyTask(), run=run, epochs=4, resume=True, on_epoch=told.append)
    assert told == [2, 3, 4]


def test_train_resumed_when_finished_trains_no_more(run):
    first, second = ToyTask(), ToyTask()
    fit(first, run=run)
    result = fit(second, run=run, resume=True)
    assert second.epochs == []
    assert (result.status, result.epochs_done) == ("finished", 4)
    assert_same_weights(weights(second), weights(first))


def test_train_resumed_without_a_checkpoint_starts_at_the_beginning(run):
    task = ToyTask()
    fit(task, run=run, resume=True)
    assert task.epochs == [0, 1, 2, 3]


def test_train_metrics_row_without_its_checkpoint_is_cut_off_on_resuming(run):
    fit(ToyTask(), run=run, epochs=2)
    run.append_metrics({"epoch": 2, "train_loss": -1.0})  # as if killed before the checkpoint
    fit(ToyTask(), run=run, resume=True)
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2, 3]
    assert run.metrics()[2]["train_loss"] > 0


def test_train_metrics_row_before_the_first_checkpoint_is_cut_off_on_resuming(run):
    run.append_metrics({"epoch": 0, "train_loss": -1.0})
    fit(ToyTask(), run=run, resume=True)
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2, 3]
    assert run.metrics()[0]["train_loss"] > 0


# ---------------------------------------------------------------- signals and kills


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_train_signal_stops_with_the_checkpoint_intact(run, number, code):
    whole, resumed = ToyTask(), ToyTask()
    fit(whole)
    stop = lambda *now: os.kill(os.getpid(), number) if now == (2, 1) else None  # noqa: E731
    with pytest.raises(Interrupted, match="--resume") as caught:
        fit(ToyTask(at_step=stop), run=run)
    assert caught.value.exit_code == code
    assert str(run.path) in str(caught.value)
    assert run.load_checkpoint("last")[1]["epochs_done"] == 2
    fit(resumed, run=run, resume=True)
    assert_same_weights(weights(resumed), weights(whole))


_CHILD = """
import sys, time, torch
torch.set_num_threads(1)
from pellucid.runs import Run
from pellucid.training import train
from tests.training.toy_task import ToyTask, toy_images, toy_plan
path, resume = sys.argv[1:]
run = Run.open(path)
task = ToyTask(at_step=lambda epoch, step: time.sleep(0.01))
print("training", flush=True)
train(task, toy_images(), training=torch.arange(0, 28), validation=torch.arange(28, 40),
      plan=toy_plan(epochs=8), run=run, resume=resume == "resume", quiet=True)
"""


def start_child(run: Run, resume: str) -> subprocess.Popen:
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(run.path), resume],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "training\n"
    return child


def test_train_killed_at_a_random_moment_resumes_bit_for_bit(run):
    child = start_child(run, "fresh")
    time.sleep(0.02 + int.from_bytes(os.urandom(2), "big") / 2**16 * 0.25)
    child.kill()
    child.communicate()
    whole, resumed = ToyTask(), ToyTask()
    expected = fit(whole, epochs=8)
    fit(resumed, run=Run.open(run.path), resume=True, epochs=8)
    assert_same_weights(weights(resumed), weights(whole))
    assert without_seconds(run.metrics()) == without_seconds(expected.history)


def test_train_killed_and_resumed_in_other_processes_equals_one(run):
    child = start_child(run, "fresh")
    time.sleep(0.15)
    child.kill()
    child.communicate()
    child = start_child(run, "resume")
    child.communicate(timeout=60)
    assert child.returncode == 0
    whole = ToyTask()
    expected = fit(whole, epochs=8)
    tensors, state = run.load_checkpoint("best")
    assert state["best_epoch"] == expected.best_epoch
    assert_same_weights(
        {name.removeprefix("module."): v for name, v in tensors.items() if "module." in name},
        weights(whole),
    )


# ---------------------------------------------------------------- losses that are not finite


def poison(*when: int, factor: float = math.nan):
    return lambda *now: factor if now == when else 1.0


@pytest.mark.parametrize("factor", [math.nan, math.inf])
@pytest.mark.parametrize("kept", ["run", "memory"])
def test_train_loss_not_finite_is_diverged_with_the_last_good_state(run, kept, factor):
    good, bad = ToyTask(), ToyTask(at_step=poison(2, 1, factor=factor))
    fit(good, epochs=2, validation=NONE)
    result = fit(bad, run=run if kept == "run" else None, validation=NONE)
    assert (result.status, result.epochs_done) == ("diverged", 2)
    assert_same_weights(weights(bad), weights(good))


def test_train_diverged_run_keeps_finite_checkpoints(run):
    fit(ToyTask(at_step=poison(2, 1)), run=run)
    for name in ("last", "best"):
        tensors, state = run.load_checkpoint(name)
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        assert state["epochs_done"] <= 2
    assert len(run.metrics()) == 2


def test_train_diverged_metrics_are_readable_json(run):
    fit(ToyTask(at_step=poison(1, 0)), run=run)
    for line in (run.path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


class BreaksAtTheEnd(ToyTask):
    """Its weights become NaN with the last step of an epoch, after the loss was looked at."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.bad_epoch = epoch

    def absorb(self, sums) -> None:
        super().absorb(sums)
        if self.epochs[-1] == self.bad_epoch and self._step == 3:
            with torch.no_grad():
                self.module[3].weight.fill_(math.nan)


def test_train_diverged_in_the_first_epoch_leaves_finite_weights():
    def break_weights(epoch: int, step: int) -> None:
        if step == 1:
            with torch.no_grad():
                task.module[3].weight.fill_(math.nan)

    task = ToyTask(at_step=break_weights)
    assert fit(task).status == "diverged"
    assert all(value.isfinite().all() for value in task.module.state_dict().values())


@pytest.mark.parametrize("validation", [VALIDATION, NONE], ids=["validation", "no validation"])
def test_train_weights_broken_by_the_last_step_of_an_epoch_are_diverged(run, validation):
    good, bad = ToyTask(), BreaksAtTheEnd(2)
    fit(good, epochs=2, validation=NONE)
    result = fit(bad, run=run, validation=validation)
    assert (result.status, result.epochs_done) == ("diverged", 2)
    tensors, _ = run.load_checkpoint("last")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_train_weights_broken_by_the_very_last_step_are_diverged():
    task = BreaksAtTheEnd(3)
    assert fit(task, validation=NONE).status == "diverged"


# ---------------------------------------------------------------- few images


@pytest.mark.parametrize(
    ("asked", "images", "expected"),
    [
        (64, 10_000, 64),
        (64, 512, 64),
        (64, 511, 63),
        (64, 200, 25),
        (64, 54, 9),
        (64, 15, 15),
        (64, 5, 5),
        (4, 54, 4),
        (1, 1, 1),
    ],
)
def test_choose_batch_size_gives_about_eight_steps_of_at_least_eight_images(
    asked, images, expected
):
    assert choose_batch_size(asked, images) == expected


def test_train_few_images_takes_several_steps_an_epoch():
    steps = []
    task = ToyTask(at_step=lambda epoch, step: steps.append((epoch, step)))
    fit(task, epochs=2, batch_size=64)
    assert steps == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
