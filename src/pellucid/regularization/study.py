"""A study: arms times seeds on the same images, trained side by side, compared and put in words."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid._checks import DataError, UsageError, check_integer
from pellucid.data import LabelledData
from pellucid.regularization.arms import Arm, check_strengths, named_arm
from pellucid.regularization.penalty_path import PenaltyPath, make_path
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.record import RunRecord
from pellucid.regularization.result import StudyResult
from pellucid.regularization.study_data import StudyData
from pellucid.regularization.study_jobs import (
    FinishedRun,
    Job,
    plan_jobs,
    plan_path,
    plan_runs,
    run_job,
)
from pellucid.regularization.summary import describe_arm, summarize_study
from pellucid.regularization.tuning import TuningRow, choose, list_candidates, list_path
from pellucid.regularization.workers import check_backend, run_in_workers
from pellucid.runs import Run
from pellucid.training import Progress

_COMMAND = "study"
_WORK = "work"
_CLOCK = "clock"
Notify = Callable[[str], None]
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class StudySettings:
    """All that is needed to make a study again.

    Attributes:
        data: Which images.
        arms: What is compared, at least one; names are unique.
        seeds: Each arm is trained once at each; a seed decides the start and the order of images.
        path: An arm whose strength is also varied over a path, or None.
        path_points: Strengths on the path.
        tune: Candidates tried for each arm on the validation images; 0 takes the strengths given.
        processes: Trainings that run at the same time; part of the settings, because the layout of
            the stacks decides the last bits of the results.
        backend: Of joblib: ``"loky"``, ``"dask"``, ``"ray"`` or ``"sequential"``.
        device: Name of the device.
        preset: ``"reference"`` or None; only named in the report.
        request: What the command line was given, to resume by and to repeat; not used here.
    """

    data: StudyData
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    path: Arm | None = None
    path_points: int = 10
    tune: int = 0
    processes: int = 2
    backend: str = "loky"
    device: str = "cpu"
    preset: str | None = None
    request: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.arms:
            raise UsageError("arms must name at least one arm, got none. Use none,l1,l2.")
        names = [arm.name for arm in self.arms]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(f"arms must differ, but {twice[0]!r} is named twice.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"seeds must be different integers, got {list(self.seeds)}.")
        for seed in self.seeds:
            check_integer("seed", seed, low=0, high=2**32 - 1)
        check_integer("path_points", self.path_points, low=2, high=100)
        check_integer("tune", self.tune, low=0, high=100)
        check_integer("processes", self.processes, low=1, high=1024)
        check_backend(self.backend)
        # What is wrong with a candidate or a path is said now, not after the training.
        if self.tune:
            for arm in self.arms:
                list_candidates(arm, self.tune)
        if self.path is not None:
            list_path(self.path, self.path_points)

    @classmethod
    def of(
        cls,
        data: str | Path | StudyData = "digits",
        arms: Sequence[str | Arm] = ("none", "l1", "l2"),
        *,
        strengths: Mapping[str, float] | None = None,
        seeds: int | Sequence[int] = 5,
        base: NetworkRecipe | None = None,
        path: str | None = None,
        path_points: int = 10,
        tune: int = 0,
        processes: int | None = None,
        backend: str = "loky",
        device: str = "cpu",
    ) -> StudySettings:
        """Return settings from what a person says, with the usual for the rest.

        Args:
            data: A built-in name, a folder, an archive or a `StudyData`.
            arms: Names (see `pellucid.regularization.arm_names`), or arms of one's own.
            strengths: Of arms by name; the others have their usual ones.
            seeds: How many (0, 1, ...), or which.
            base: The recipe that the named arms change.
            path: Name of an arm to follow over a path of strengths.
            path_points: Strengths on the path.
            tune: Candidates for each arm.
            processes: None takes one a core, at most 8.
            backend: Of joblib.
            device: Name of the device.

        Raises:
            UsageError: a value is out of range or a name unknown.
        """
        base = base or NetworkRecipe()
        strengths = dict(strengths or {})
        names = [arm if isinstance(arm, str) else arm.name for arm in arms]
        check_strengths(strengths, [*names, path] if path else names)
        for arm in arms:
            if not isinstance(arm, str) and arm.name in strengths:
                raise UsageError(
                    f"strength must be of an arm that is given by its name, got {arm.name!r}, "
                    "which has a recipe of its own. Set it there, or leave the strength out."
                )
        if isinstance(seeds, int):
            check_integer("seeds", seeds, low=1, high=10_000)
        return cls(
            data=data if isinstance(data, StudyData) else StudyData.of(data),
            arms=tuple(
                named_arm(arm, base, strength=strengths.get(arm)) if isinstance(arm, str) else arm
                for arm in arms
            ),
            seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
            path=None if path is None else named_arm(path, base, strength=strengths.get(path)),
            path_points=path_points,
            tune=tune,
            processes=usual_processes() if processes is None else processes,
            backend=backend,
            device=device,
        )

    @property
    def command_line(self) -> str:
        """What repeats the study from a shell, or "" where it was made from Python."""
        return str(self.request.get("command_line", ""))

    def to_config(self) -> dict[str, Any]:
        """Return plain values: what the run folder's ``config.json`` holds."""
        return {
            "command": _COMMAND,
            "data": self.data.data,
            "data_settings": dict(vars(self.data)),
            "arms": {arm.name: arm.recipe.describe() for arm in self.arms},
            "seeds": self.seeds,
            "path": None if self.path is None else self.path.recipe.describe(),
            "path_points": self.path_points,
            "tune": self.tune,
            "processes": self.processes,
            "device": self.device,
            "preset": self.preset,
            "request": self.request,
        }


def usual_processes() -> int:
    """Return how many trainings run at the same time: one a usable core, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(8, cores or 1))


def run_study(
    settings: StudySettings,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    notify: Notify = lambda _: None,
    progress: Watch = lambda done, total: None,
    created: Callable[[Path], None] = lambda _: None,
) -> StudyResult:
    """Train every arm at every seed and say what came of it.

    Every finished run is kept at once in a file of its own; a study that was cut off goes on where
    it stood and gives the same result, bit for bit.

    Args:
        settings: What to compare.
        out: Run folder, new or empty; None makes one under ``runs/``.
        resume: ``out`` is a study that was cut off, made with the same settings.
        quiet: No progress on stderr.
        notify: Is told, in a line each, what happens.
        progress: Is told how many epochs of all runs are done, and of how many.
        created: Is told the folder as soon as it exists.

    Raises:
        UsageError: a value is out of range, or ``out`` is not empty.
        DataError: the data cannot be used, or ``out`` is not such a study.
        Interrupted: Ctrl-C or SIGTERM; the study can be resumed.
    """
    data = settings.data.load(quiet=quiet)
    if (settings.tune or settings.path) and len(data.splits.validation) == 0:
        raise UsageError(
            "validation_fraction must be above 0 with tune or path, which judge by validation "
            f"images, got {settings.data.validation_fraction:g}."
        )
    for arm in settings.arms:  # a network that cannot be built is said before anything is written
        describe_arm(arm, data)
    run = (_reopen if resume else _create)(settings, data, out)
    created(run.path)
    facts = settings.data.describe(data)
    notify(
        f"{facts.name}: {facts.train} train, {facts.validation} validate, {facts.test} test; "
        f"run folder {run.path}"
    )
    for problem in data.rejected:
        notify(f"left out: {problem}")
    study = _StudyRun(settings, run, notify, progress, quiet=quiet)
    with run.exclusive():
        arms, tuning = study.tune()
        records = study.train(arms)
        path = study.follow_path()
        study.clean_up()
    # Of a study that had been finished, the time it took then.
    seconds = float(run.read_json("result")["seconds"]) if _has(run, "result") else study.seconds
    notify("comparing the arms")
    result = summarize_study(
        data,
        settings.data.describe(data),
        arms=arms,
        records=records,
        weights={arm.name: study.last_weights(arm) for arm in arms},
        tuning=tuning,
        path=path,
        run=run,
        preset=settings.preset,
        command=settings.command_line,
        seconds=seconds,
    )
    run.write_json("result", result.to_json())
    return result


def _create(settings: StudySettings, data: LabelledData, out: str | Path | None) -> Run:
    run = Run.create(
        out,
        command=_COMMAND,
        config=settings.to_config(),
        environment={
            "data_digest": data.images.digest,
            "torch_threads": 1,
            "backend": settings.backend,
        },
    )
    run.write_json("splits", data.splits.to_json())
    return run


def _reopen(settings: StudySettings, data: LabelledData, out: str | Path | None) -> Run:
    if out is None:
        raise UsageError("out must be the folder of the study to resume, got None.")
    run = Run.open(out)
    # Through JSON as the stored one went, where tuples are lists.
    given = json.loads(json.dumps(settings.to_config()))
    different = [name for name in given if name != "request" and given[name] != run.config[name]]
    if different:
        raise DataError(
            f"the study in {str(run.path)!r} was made with other settings: {', '.join(different)}. "
            "Resume it with the same ones, or start a new study with another -o."
        )
    if data.images.digest != run.environment.get("data_digest"):
        raise DataError(
            f"the data has changed since the study in {str(run.path)!r} was started. Restore the "
            "files, or start a new study with another -o."
        )
    return run


class _StudyRun:
    """The run folder of a study at work: jobs that are missing are done, what is done is read."""

    def __init__(
        self,
        settings: StudySettings,
        run: Run,
        notify: Notify,
        progress: Watch,
        *,
        quiet: bool,
    ) -> None:
        self.settings, self.run, self._notify, self._progress = settings, run, notify, progress
        self._quiet = quiet
        self._work = run.path / _WORK
        self._work.mkdir(exist_ok=True)
        self._started = time.perf_counter()
        self._earlier = float(run.read_json(_CLOCK)["seconds"]) if _has(run, _CLOCK) else 0.0

    @property
    def seconds(self) -> float:
        """Wall time of the training, that of earlier processes included."""
        return self._earlier + time.perf_counter() - self._started

    def note_time(self) -> None:
        """Keep the time so far, for a process that goes on with the study."""
        self.run.write_json(_CLOCK, {"seconds": self.seconds})

    def tune(self) -> tuple[tuple[Arm, ...], tuple[TuningRow, ...]]:
        """Choose each arm's strength on the validation images; without tuning, leave it."""
        settings = self.settings
        if not settings.tune:
            return settings.arms, ()
        candidates = {arm.name: list_candidates(arm, settings.tune) for arm in settings.arms}
        tried = [one.arm for several in candidates.values() for one in several]
        self._notify(f"tuning: {settings.tune} candidates for each of {len(candidates)} arms")
        runs = plan_runs(tried, settings.seeds, prefix="trial-")
        self._do(plan_jobs(runs, settings.processes, is_trial=True))
        trials = {
            arm.name: [
                self._state(planned.file_name) for planned in runs if planned.arm == arm.name
            ]
            for arm in tried
        }
        return choose(candidates, trials)

    def train(self, arms: Sequence[Arm]) -> tuple[RunRecord, ...]:
        """Train every arm at every seed; return the records, arms in order, then seeds."""
        settings = self.settings
        self._notify(f"training: {_count(len(arms), 'arm')}, {_count(len(settings.seeds), 'seed')}")
        self._do(plan_jobs(plan_runs(arms, settings.seeds), settings.processes))
        return tuple(
            RunRecord.from_json(self._state(planned.file_name)["record"])
            for arm in arms
            for planned in plan_runs([arm], settings.seeds)
        )

    def follow_path(self) -> PenaltyPath | None:
        """Train along the penalty path, if there is one."""
        settings = self.settings
        if settings.path is None:
            return None
        arms, strengths = list_path(settings.path, settings.path_points)
        self._notify(f"following {settings.path.name} over {len(strengths)} strengths")
        self._do(plan_path(arms, settings.seeds, settings.processes))
        states = [
            [
                self._state(planned.file_name)
                for planned in plan_runs([arm], settings.seeds, prefix="path-")
            ]
            for arm in arms
        ]
        return make_path(settings.path.knob, strengths, settings.seeds, states)

    def last_weights(self, arm: Arm) -> list[dict[str, Tensor]]:
        """Return an arm's weights after the last epoch, a state dict a seed."""
        found = []
        for planned in plan_runs([arm], self.settings.seeds):
            tensors, _ = self.run.load_checkpoint(planned.file_name)
            found.append(
                {
                    name.removeprefix("last."): value
                    for name, value in tensors.items()
                    if name.startswith("last.")
                }
            )
        return found

    def clean_up(self) -> None:
        """Remove what only a resumed study would need."""
        shutil.rmtree(self._work, ignore_errors=True)

    def _do(self, jobs: Sequence[Job]) -> None:
        missing = [
            job for job in jobs if not all(self.run.has_checkpoint(r.file_name) for r in job.runs)
        ]
        if not missing:
            return
        if len(missing) < len(jobs):
            kept = sum(len(job.runs) for job in jobs if job not in missing)
            self._notify(f"{_count(kept, 'finished run')} kept from before")
        settings = self.settings
        total = sum(job.epochs for job in jobs)
        done = total - sum(job.epochs for job in missing)
        finished: set[str] = set()

        def so_far() -> int:
            return done + sum(
                _read_epochs(self._work / f"{job.name}.epochs")
                for job in missing
                if job.name not in finished
            )

        def watch() -> None:
            reached = so_far()
            bar.update(reached - bar.done)
            self._progress(reached, total)

        digest = str(self.run.environment["data_digest"])
        # A worker on another machine sees neither checkpoints nor progress files of this one.
        work = self._work if settings.backend in ("loky", "sequential") else None
        with Progress(total, "epoch", "training", quiet=self._quiet, initial=so_far()) as bar:
            results = run_in_workers(
                _run_named_job,
                [(job, settings.data, digest, work, settings.device) for job in missing],
                processes=settings.processes,
                backend=settings.backend,
                remedy=f"Continue with `pellucid study --resume {self.run.path}`.",
                watch=watch,
            )
            for name, runs in results:
                for one in runs:
                    self.run.save_checkpoint(one.file_name, one.tensors, one.state)
                finished.add(name)
                self.note_time()
                done += next(job.epochs for job in missing if job.name == name)
                watch()

    def _state(self, file_name: str) -> dict[str, Any]:
        return self.run.load_checkpoint(file_name)[1]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _has(run: Run, name: str) -> bool:
    return (run.path / f"{name}.json").is_file()


def _run_named_job(job: Job, *rest: Any) -> tuple[str, list[FinishedRun]]:
    return job.name, run_job(job, *rest)


def _read_epochs(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there yet, or just being written
        return 0
