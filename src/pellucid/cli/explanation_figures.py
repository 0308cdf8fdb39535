"""``pellucid evaluate RUN --explanations``: measure, keep in the run folder, print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pellucid.cli.fit_run import REPORT_FILE, rebuild_report
from pellucid.cli.output import make_table
from pellucid.evaluation.explained_model import TreeExplainer
from pellucid.evaluation.explanations import (
    DEFAULT_IMAGES,
    ExplanationEvaluation,
    evaluate_explanations,
)
from pellucid.evaluation.measure import Measure
from pellucid.prototree.tree_run import TreeRun, threads_set
from pellucid.reports.run_figures import EXPLANATIONS_FILE


def evaluate_run_explanations(
    path: str | Path,
    data: str | Path | None = None,
    *,
    images: int | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> tuple[ExplanationEvaluation, Path | None]:
    """Measure the explanations of a run's tree; write ``explanations.json`` and the report anew.

    Figures of other images than the run's own are not written down: the report is about its own.

    Args:
        path: The run folder.
        data: Other images of the same classes; None takes the run's own.
        images: How many test images to use at most; None takes the library's default.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
        quiet: No progress.

    Returns:
        The figures, and the report that shows them now, or None.

    Raises:
        DataError: the run or the data cannot be used, or there are no images to judge it by.
        UsageError: ``images`` is out of range.
    """
    run = TreeRun.open(path)
    with threads_set(run.settings.threads):
        fitted = run.load_tree(device=device or "auto")
        unprojected = run.load_tree(device=device or "auto", projected=False)
        if data is None:
            judged_data = run.load_data(quiet=quiet)
        else:
            judged_data = run.load_other_images(
                data, fitted.class_names, image_size=fitted.image_size, quiet=quiet
            )
        evaluation = evaluate_explanations(
            TreeExplainer(fitted, unprojected=unprojected),
            judged_data,
            images=DEFAULT_IMAGES if images is None else images,
            seed=run.settings.seed,
            quiet=quiet,
        )
        if judged_data.images.digest != run.run.environment.get("data_digest"):
            return evaluation, None
        run.run.write_json(EXPLANATIONS_FILE, evaluation.to_dict())
        if not (run.path / REPORT_FILE).is_file():  # fitted with --no-report
            return evaluation, None
        return evaluation, rebuild_report(run.path, quiet=quiet)


def describe_explanations(evaluation: ExplanationEvaluation, page: Path | None) -> list[str]:
    """Return findings and table as lines for a terminal.

    Args:
        evaluation: The figures.
        page: The report that shows them, or None.
    """
    known = [measure for measure in evaluation.measures if measure.value is not None]
    images = f"{evaluation.images} test image{'' if evaluation.images == 1 else 's'}"
    lines = [
        "",
        f"How far the explanations can be trusted, measured on {images} of {evaluation.data} in "
        f"{evaluation.seconds:.1f} s:",
        "",
        *(f"- {finding}" for finding in evaluation.findings),
        "",
        *make_table(
            [
                ("measure", "value", "95 % interval", "chance", "better", "cases"),
                *(_write_row(measure) for measure in known),
            ]
        ),
    ]
    for why, labels in _group_unknown(evaluation.measures).items():
        lines += ["", f"not measured ({why}): {'; '.join(labels)}"]
    if page is not None:
        lines += ["", f"report  {page}"]
    return lines


def _write_row(measure: Measure) -> tuple[str, ...]:
    interval = "-"
    if measure.low is not None and measure.high is not None:
        interval = f"{_write(measure, measure.low)} to {_write(measure, measure.high)}"
    return (
        measure.label,
        _write(measure, measure.value),
        interval,
        _write(measure, measure.chance),
        measure.better,
        str(measure.total),
    )


def _write(measure: Measure, value: float | None) -> str:
    if value is None:
        return "-"
    if measure.unit == "correlation":
        return f"{value:.2f}"
    if measure.unit == "count":
        return f"{value:.1f}"
    return f"{round(100 * value, 1) + 0.0:.1f} %"  # no -0.0


def _group_unknown(measures: Iterable[Measure]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for measure in measures:
        if measure.value is None:
            found.setdefault(measure.note, []).append(measure.label)
    return found


def with_explanations(
    result: Mapping[str, Any], evaluation: ExplanationEvaluation
) -> dict[str, Any]:
    """Return the result of ``--json`` with the figures added."""
    return {**result, "explanations": evaluation.to_dict()}
