from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.regularization import study_jobs
from pellucid.regularization.arms import Arm, named_arm
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.study_data import StudyData
from pellucid.regularization.study_jobs import (
    Job,
    PlannedRun,
    plan_jobs,
    plan_path,
    plan_runs,
    run_job,
)
from pellucid.training import Outcome, Snapshot

BASE = NetworkRecipe(epochs=2)


@dataclass(frozen=True)
class OtherRecipe:
    def describe(self):
        return {"epochs": 7}


def arms(*names):
    return [named_arm(name, BASE) for name in names]


@settings(deadline=None, max_examples=30)
@given(seeds=st.integers(1, 40), processes=st.integers(1, 5))
def test_plan_jobs_every_run_is_in_exactly_one_job(seeds, processes):
    runs = plan_runs(arms("none", "l1", "dropout"), range(seeds))
    planned = [run for job in plan_jobs(runs, processes) for run in job.runs]
    assert sorted(run.file_name for run in planned) == sorted(run.file_name for run in runs)
    assert len({run.file_name for run in runs}) == len(runs)


def test_plan_jobs_three_arms_and_five_seeds_fill_two_processes_evenly():
    jobs = plan_jobs(plan_runs(arms("none", "l1", "l2"), range(5)), 2)
    assert [len(job.runs) for job in jobs] == [7, 8]


def test_plan_jobs_what_cannot_be_stacked_together_is_apart():
    other = Arm("long", replace(BASE, epochs=5))
    jobs = plan_jobs(plan_runs([*arms("none", "l1"), other], [0, 1]), 1)
    assert [{run.arm for run in job.runs} for job in jobs] == [{"none", "l1"}, {"long"}]


def test_plan_jobs_other_recipes_come_first_and_alone():
    jobs = plan_jobs(plan_runs([*arms("none"), Arm("tree", OtherRecipe())], [0, 1]), 2)
    assert [[run.arm for run in job.runs] for job in jobs] == [
        ["tree"],
        ["tree"],
        ["none"],
        ["none"],
    ]
    assert jobs[0].epochs == 7


@pytest.mark.parametrize("processes", [1, 2, 9])
def test_plan_path_each_seed_goes_through_all_strengths_in_order(processes):
    steps = [named_arm("l1", BASE, strength=value) for value in (0.1, 0.2, 0.3)]
    steps = [replace(arm, name=f"l1-{number}") for number, arm in enumerate(steps)]
    jobs = plan_path(steps, range(3), processes)
    assert sorted(run.seed for job in jobs for run in job.stages[0]) == [0, 1, 2]
    for job in jobs:
        assert [{run.arm for run in stage} for stage in job.stages] == [
            {"l1-0"},
            {"l1-1"},
            {"l1-2"},
        ]


@dataclass(frozen=True)
class TellingRecipe:
    """Trains nothing; keeps what a watcher of the job would read after each epoch."""

    folder: Path

    def describe(self):
        return {"epochs": 2}

    def fit(self, data, *, seed, run, device, resume, quiet, on_epoch):
        read = []
        for epochs_done in (1, 2):
            on_epoch(epochs_done)
            read.append((self.folder / "own-0.epochs").read_text())
        snapshot = Snapshot(0, {}, lambda pixels: torch.zeros(len(pixels), 10))
        row = {"train_accuracy": 0.5, "validation_accuracy": 0.5}
        return Outcome("finished", (row,), snapshot, snapshot, 0.0, {"read": read})


def test_run_job_recipe_of_its_own_tells_its_epochs_while_it_trains(tmp_path, monkeypatch):
    data = StudyData(data="digits", train_images=20)
    digest = data.load().images.digest
    run = PlannedRun("own", 0, TellingRecipe(tmp_path), "own-0")
    outcomes = []
    monkeypatch.setattr(
        study_jobs, "_trial", lambda planned, outcome, data: outcomes.append(outcome)
    )
    run_job(Job("own-0", ((run,),), is_trial=True), data, digest, tmp_path, "cpu")
    assert outcomes[0].details["read"] == ["1", "2"]
    assert (tmp_path / "own-0.epochs").read_text() == "2"
