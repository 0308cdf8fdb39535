"""A study cut into jobs: which runs are trained together by one process, and what comes back."""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from pellucid.data import LabelledData, Normalization, measure_channels
from pellucid.regularization.arms import Arm
from pellucid.regularization.collapse import is_collapsed
from pellucid.regularization.measurement import record_outcome
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.record import run_file_name
from pellucid.regularization.stacking.stacked_training import stack_key, train_stack
from pellucid.regularization.study_data import StudyData
from pellucid.regularization.weight_measures import measure_layers
from pellucid.runs import Run
from pellucid.training import Outcome, Recipe

Item = TypeVar("Item")

_LARGEST_STACK = 16
"""Networks trained side by side by one process; more do not fit its caches."""


@dataclass(frozen=True)
class PlannedRun:
    """One arm at one seed.

    Attributes:
        arm: Name of the arm.
        seed: Its seed.
        recipe: How it is trained.
        file_name: Of its checkpoint in the study's folder.
    """

    arm: str
    seed: int
    recipe: NetworkRecipe | Recipe
    file_name: str


@dataclass(frozen=True)
class Job:
    """What one process does at one go.

    Attributes:
        name: Unique in the study.
        stages: One after the other, each from the weights of the one before; the runs of a stage
            are trained side by side. All but penalty paths have one stage.
        is_trial: Only validation accuracy and zeros are kept; the test images are not looked at.
    """

    name: str
    stages: tuple[tuple[PlannedRun, ...], ...]
    is_trial: bool = False

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """The runs of all stages."""
        return tuple(run for stage in self.stages for run in stage)

    @property
    def epochs(self) -> int:
        """All epochs of all runs, for the progress shown."""
        return sum(_epochs(run.recipe) for run in self.runs)


@dataclass(frozen=True)
class FinishedRun:
    """What goes into a run's file: the weights of both moments, and what was measured, as JSON."""

    file_name: str
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def plan_runs(
    arms: Sequence[Arm], seeds: Sequence[int], *, prefix: str = ""
) -> tuple[PlannedRun, ...]:
    """Return every arm at every seed, seeds first: those of one seed share its data order.

    Args:
        arms: With unique names.
        seeds: All different.
        prefix: Of the file names.
    """
    return tuple(
        PlannedRun(arm.name, seed, arm.recipe, prefix + run_file_name(arm.name, seed))
        for seed in seeds
        for arm in arms
    )


def plan_jobs(
    runs: Sequence[PlannedRun], processes: int, *, is_trial: bool = False
) -> tuple[Job, ...]:
    """Put runs that can be stacked together, and share each such group out over the processes.

    The layout decides the last bits of the results, so it depends on nothing but the arguments.

    Args:
        runs: From `plan_runs`.
        processes: How many work at the same time.
        is_trial: See `Job`.
    """
    prefix = "trial-" if is_trial else ""
    groups: dict[object, list[PlannedRun]] = {}
    jobs: list[Job] = []
    for run in runs:
        if isinstance(run.recipe, NetworkRecipe):
            groups.setdefault(stack_key(run.recipe), []).append(run)
        else:  # a long one: they go first, so that no process is left with one at the end
            jobs.append(Job(f"{prefix}{run.file_name}", ((run,),), is_trial))
    for number, group in enumerate(groups.values()):
        parts = _share_out(group, max(processes, math.ceil(len(group) / _LARGEST_STACK)))
        for part, chosen in enumerate(parts):
            jobs.append(Job(f"{prefix}stack{number}-part{part}", (chosen,), is_trial))
    return tuple(jobs)


def plan_path(
    arms: Sequence[Arm], seeds: Sequence[int], processes: int, *, prefix: str = "path-"
) -> tuple[Job, ...]:
    """Return jobs that go through ``arms`` in order, each starting from the weights before.

    Args:
        arms: The same arm at rising strengths.
        seeds: Shared out over the processes.
        processes: How many work at the same time.
        prefix: Of names of jobs and files.
    """
    return tuple(
        Job(
            f"{prefix}part{part}",
            tuple(plan_runs([arm], chosen, prefix=prefix) for arm in arms),
            is_trial=True,
        )
        for part, chosen in enumerate(_share_out(seeds, processes))
    )


def run_job(
    job: Job, data: StudyData, digest: str, work: Path | None, device: str
) -> list[FinishedRun]:
    """Train the runs of one job and measure them; called in a worker process.

    Args:
        job: What to train.
        data: On what.
        digest: Of the images, as the study knows them.
        work: Folder for checkpoints and progress, or None where the worker cannot see the study's.
        device: Name of the device.
    """
    with _one_thread():
        images = data.load(digest=digest)
        heard = _ProgressFile(work, job)
        finished: list[FinishedRun] = []
        before: list[Outcome] = []
        for number, stage in enumerate(job.stages):
            run = None if work is None else _open_or_create(work / f"{job.name}-stage{number}")
            # A later stage that is cut off starts from what this one gave.
            keep_end = number + 1 < len(job.stages)
            before = _train_stage(stage, images, device, run, before, heard, keep_end)
            heard.finish_stage(stage)
            for planned, outcome in zip(stage, before, strict=True):
                make = _trial if job.is_trial else _record
                finished.append(make(planned, outcome, images))
        return finished


def _train_stage(
    stage: Sequence[PlannedRun],
    data: LabelledData,
    device: str,
    run: Run | None,
    before: Sequence[Outcome],
    heard: _ProgressFile,
    keep_end: bool,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    networks: list[tuple[NetworkRecipe, int]] = []
    for planned in stage:
        recipe, seed = planned.recipe, planned.seed
        if isinstance(recipe, NetworkRecipe):
            networks.append((recipe, seed))
            continue
        where = torch.device(device)
        outcomes.append(
            recipe.fit(
                data,
                seed=seed,
                run=run,
                device=where,
                resume=True,
                quiet=True,
                on_epoch=heard.write,
            )
        )
    if networks:  # then there are no others: see `plan_jobs`
        outcomes = train_stack(
            networks,
            data,
            device=torch.device(device),
            run=run,
            resume=True,
            initial=[outcome.last.weights for outcome in before] or None,
            on_epoch=heard.write,
            train_metrics=networks[0][0].train_metrics,
            keep_end=keep_end,
        )
    return outcomes


def _record(planned: PlannedRun, outcome: Outcome, data: LabelledData) -> FinishedRun:
    # The best checkpoint is kept even where it is the last one: a file has always both.
    tensors = {f"last.{name}": value for name, value in outcome.last.weights.items()}
    tensors |= {f"best.{name}": value for name, value in outcome.best.weights.items()}
    record = record_outcome(planned.arm, planned.seed, outcome, data)
    state: dict[str, Any] = {"record": record.to_json()}
    recipe = planned.recipe
    if isinstance(recipe, NetworkRecipe) and isinstance(recipe.network, str):
        normalization = recipe.normalization or Normalization(
            *measure_channels(data.images, data.splits.train)
        )
        state["network"] = {
            "network": recipe.network,
            "classes": len(data.images.class_names),
            "image_size": data.images.image_size,
            "normalization": normalization.to_json(),
        }
    return FinishedRun(planned.file_name, tensors, state)


def _trial(planned: PlannedRun, outcome: Outcome, data: LabelledData) -> FinishedRun:
    final = outcome.history[-1] if outcome.history else {}
    layers = measure_layers(outcome.last.weights)
    sizes = [math.prod(layer.shape) for layer in layers]
    zeros = sum(layer.exact_zeros * size for layer, size in zip(layers, sizes, strict=True))
    labels = data.images.labels[data.splits.train]
    trained = outcome.status == "finished"
    state = {
        # One that diverged in its first epoch has no row, and is right about nothing.
        "validation_accuracy": final.get("validation_accuracy", 0.0),
        "exact_zeros": zeros / max(1, sum(sizes)),
        "collapsed": not trained or is_collapsed(final["train_accuracy"], labels),
    }
    return FinishedRun(planned.file_name, {}, state)


class _ProgressFile:
    """How many epochs a job has done, for whoever watches the study's folder."""

    def __init__(self, work: Path | None, job: Job) -> None:
        self._path = None if work is None else work / f"{job.name}.epochs"
        self._runs = len(job.stages[0])
        self._before = 0

    def write(self, epochs_done: int, _rows: object = None) -> None:
        if self._path is not None:
            self._path.write_text(str(self._before + epochs_done * self._runs))

    def finish_stage(self, stage: Sequence[PlannedRun]) -> None:
        self._before += sum(_epochs(run.recipe) for run in stage)
        self.write(0)


def _open_or_create(folder: Path) -> Run:
    if (folder / "config.json").is_file():
        return Run.open(folder)
    shutil.rmtree(folder, ignore_errors=True)  # its process was killed while making it
    return Run.create(folder, command="study-job", config={"job": folder.name})


def _share_out(items: Sequence[Item], parts: int) -> list[tuple[Item, ...]]:
    """Cut into ``parts`` stretches whose lengths differ by at most one; none is empty."""
    parts = min(parts, len(items))
    edges = [len(items) * part // parts for part in range(parts + 1)]
    return [tuple(items[a:b]) for a, b in itertools.pairwise(edges)]


def _epochs(recipe: NetworkRecipe | Recipe) -> int:
    return int(recipe.describe().get("epochs", 1))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
