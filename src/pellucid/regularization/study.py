"""A study: arms times seeds on the same images, trained side by side, compared and put in words."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid._checks import DataError, UsageError
from pellucid.data import LabelledData
from pellucid.regularization.arms import Arm
from pellucid.regularization.penalty_path import PenaltyPath, make_path
from pellucid.regularization.record import RunRecord
from pellucid.regularization.result import StudyResult
from pellucid.regularization.study_jobs import (
    FinishedRun,
    Job,
    plan_jobs,
    plan_path,
    plan_runs,
    run_job,
)
from pellucid.regularization.study_settings import COMMAND, StudySettings
from pellucid.regularization.summary import describe_arm, summarize_study
from pellucid.regularization.tuning import TuningRow, choose, list_candidates, list_path
from pellucid.regularization.workers import run_in_workers
from pellucid.runs import Run
from pellucid.training import Progress

_WORK = "work"
_CLOCK = "clock"
Notify = Callable[[str], None]
Watch = Callable[[int, int], None]


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
        command=COMMAND,
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
