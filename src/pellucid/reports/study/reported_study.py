"""A study in one call from Python, with its report at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pellucid.regularization import (
    Arm,
    NetworkRecipe,
    StudyData,
    StudyResult,
    StudySettings,
    run_study,
)
from pellucid.reports.study.report import write_study_report

REPORT_FILE = "report.html"


class Study(StudyResult):
    """What `study` returns: a `StudyResult` that can write its report."""

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report as one self-contained page and return its path.

        Args:
            path: Of the file; None takes ``report.html`` in the study's folder.
        """
        return write_study_report(self, Path(path) if path else self.folder / REPORT_FILE)


def study(
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
    out: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Study:
    """Train every arm at every seed and say which helps, by how much, and how sure that is.

    Args:
        data: ``"digits"``, ``"cifar10"``, a folder ``DIR/class/*.png``, an archive, or a
            `StudyData`.
        arms: Names (`pellucid.regularization.arm_names` lists them; ``"l1+shifts"`` joins two), or
            arms of one's own.
        strengths: Of arms by name; the others have their usual ones.
        seeds: How many (0, 1, ...), or which.
        base: The recipe that the named arms change: network, epochs, optimizer and so on.
        path: Name of an arm to follow over a path of strengths.
        path_points: Strengths on the path.
        tune: Candidates tried for each arm on the validation images; 0 tries none.
        processes: Trainings at the same time; None takes one a core, at most 8.
        backend: ``"loky"``, ``"dask"``, ``"ray"`` or ``"sequential"``.
        device: ``"cpu"`` or the name of an accelerator.
        out: Run folder, new or empty; None makes one under ``runs/``.
        resume: ``out`` is a study that was cut off, made with the same arguments.
        quiet: No progress bar.

    Raises:
        UsageError: a value is out of range or a name unknown.
        DataError: the data cannot be used, or ``out`` is not such a study.
        Interrupted: Ctrl-C or SIGTERM; finished runs are kept.

    Example:
        >>> result = study("digits", seeds=20)  # doctest: +SKIP
        >>> print(result.verdict[0])  # doctest: +SKIP
        >>> result.report("study.html")  # doctest: +SKIP
    """
    settings = StudySettings.of(
        data,
        arms,
        strengths=strengths,
        seeds=seeds,
        base=base,
        path=path,
        path_points=path_points,
        tune=tune,
        processes=processes,
        backend=backend,
        device=device,
    )
    return Study(**vars(run_study(settings, out=out, resume=resume, quiet=quiet)))
