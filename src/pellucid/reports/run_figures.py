"""What a finished run's folder says of its own measurement, read back for a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pellucid import __version__
from pellucid._checks import DataError
from pellucid.data import LabelledData
from pellucid.evaluation.accuracy import Proportion, TreeEvaluation
from pellucid.evaluation.explanations import ExplanationEvaluation
from pellucid.prototree.tree_run import TreeRun
from pellucid.reports.run_report import RunFigures

EXPLANATIONS_FILE = "explanations"


def read_figures(run: TreeRun, data: LabelledData) -> RunFigures:
    """Return what was measured when a run was finished.

    Args:
        run: A finished run.
        data: Its own data.

    Raises:
        DataError: evaluation.json is missing or damaged.
    """
    kept = run.run.read_json("evaluation")
    result = run.read_result() or {}
    metrics = run.run.metrics()
    seconds = result.get("seconds") or sum(row.get("seconds") or 0.0 for row in metrics)
    try:
        return RunFigures(
            evaluation=_from_dict(kept["projected"]),
            unprojected=_from_dict(kept["unprojected"]),
            metrics=metrics,
            status=kept["status"],
            epochs_done=kept["epochs_done"],
            best_epoch=kept["best_epoch"],
            seconds=seconds,
            seed=run.settings.seed,
            configuration=shown_configuration(run, data),
            explanations=_read_explanations(run),
        )
    except (KeyError, TypeError) as error:
        raise DataError(
            f"evaluation.json of run {str(run.path)!r} is damaged ({error!r}). Fit the tree again."
        ) from None


def shown_configuration(run: TreeRun, data: LabelledData) -> dict[str, Any]:
    """Return the settings as the page shows them: a page is passed on, the user's paths are not."""
    shown = {**run.run.config, "data": data.name, "data_digest": data.images.digest[:16]}
    recipe = dict(shown["recipe"])
    if recipe.get("weights") not in (None, "hub"):
        recipe["weights"] = Path(recipe["weights"]).name
    shown["recipe"] = recipe
    shown.pop("command", None)
    packages = run.run.environment.get("packages") or {}
    shown["device_used"] = run.run.environment.get("device_used")
    shown["versions"] = {
        "pellucid": __version__,
        "torch": packages.get("torch"),
        "timm": packages.get("timm"),
    }
    return shown


def _read_explanations(run: TreeRun) -> ExplanationEvaluation | None:
    """Return what `pellucid evaluate --explanations` kept, where it was run."""
    if not (run.path / f"{EXPLANATIONS_FILE}.json").is_file():
        return None
    return ExplanationEvaluation.from_dict(run.run.read_json(EXPLANATIONS_FILE))


def _from_dict(kept: dict[str, Any] | None) -> TreeEvaluation | None:
    if kept is None:
        return None
    fields: dict[str, Any] = {
        name: Proportion(**value) if isinstance(value, dict) else value
        for name, value in kept.items()
    }
    fields["path_lengths"] = tuple(fields["path_lengths"])
    fields["predictions"] = tuple(fields["predictions"])
    return TreeEvaluation(**fields)
