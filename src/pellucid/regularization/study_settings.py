"""What a study compares, and how: checked, and printable, before anything heavy is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid._checks import UsageError, check_integer
from pellucid.regularization.arms import Arm, check_strengths, named_arm
from pellucid.regularization.backends import check_backend
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.study_data import StudyData
from pellucid.regularization.tuning import list_candidates, list_path

COMMAND = "study"
"""Name of the command in a run folder's settings."""


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
            "command": COMMAND,
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
