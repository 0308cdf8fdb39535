"""The main job in a run folder: train, measure, draw; and the same for a run on another day."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid._checks import DataError, PellucidError
from pellucid.backbones import create_backbone
from pellucid.cli.output import printable
from pellucid.data import LabelledData
from pellucid.evaluation.accuracy import TreeEvaluation, evaluate_tree
from pellucid.prototree import FittedTree, TreeRecipe
from pellucid.prototree.classifier import choose_device
from pellucid.prototree.tree_run import (
    MODEL_FILE,
    UNPROJECTED_FILE,
    TreeRun,
    TreeSettings,
    check_free,
    load_settings_data,
    threads_set,
)
from pellucid.reports.page import write_report
from pellucid.reports.prototype_files import write_prototypes
from pellucid.reports.run_figures import read_figures, shown_configuration
from pellucid.reports.run_pictures import picture_prototypes
from pellucid.reports.run_report import RunFigures, list_doubts, list_warnings, make_tree_report

REPORT_FILE = "report.html"
_PROBLEMS_TOLD = 20
Notify = Callable[[str], None]
"""Is told, in one line, what happens next."""


def fit_run(
    settings: TreeSettings,
    *,
    out: str | Path | None = None,
    report: bool = True,
    quiet: bool = False,
    notify: Notify | None = None,
    warn: Notify | None = None,
    created: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Do the whole main job into a fresh run folder.

    Args:
        settings: What to train on what.
        out: The folder, new or empty; None makes one under ``runs/``.
        report: Write ``report.html``.
        quiet: No progress bars.
        notify: Is told what happens.
        warn: Is told what is wrong with the data, a line each; None takes ``notify``.
        created: Is told the folder as soon as it exists.

    Returns:
        The result, as in ``result.json``: see `summarize`.

    Raises:
        UsageError: an argument is out of range, or ``out`` is not empty.
        DataError: the data cannot be used.
        Interrupted: Ctrl-C or SIGTERM; the run can be resumed.
    """
    started = time.perf_counter()
    tell = notify or _say_nothing
    # Before the data, which may take minutes to read.
    check_free(out)
    choose_device(settings.device)
    check_backbone(settings)
    data = load_settings_data(settings, quiet=quiet)
    _warn_about(data, warn or tell)
    run = TreeRun.create(settings, data, out)
    if created is not None:
        created(run.path)
    _describe(data, tell)
    tell(f"run folder {run.path}")
    try:
        with run.run.exclusive():
            return _finish(run, data, started, None, report, quiet, tell, resume=False)
    except PellucidError as error:
        if not isinstance(error, KeyboardInterrupt):
            run.discard_if_untrained()
        raise


def check_backbone(settings: TreeSettings) -> None:
    """Refuse an unknown backbone or missing weights, as far as can be told without much work.

    Raises:
        UsageError: the backbone is unknown, or cannot have that stage or those weights.
        DataError: there is no such weights file, or (of ``patch_cnn``) it does not fit.
    """
    recipe = settings.recipe
    if recipe.weights not in (None, "hub") and not Path(recipe.weights).is_file():
        raise DataError(
            f"weights must be 'hub' or an existing file, got {recipe.weights!r}. Give a "
            ".safetensors file, or leave --weights out to start from random ones."
        )
    if recipe.backbone != TreeRecipe.backbone:
        import timm

        if timm.is_model(recipe.backbone.split(".")[0]):
            return  # large ones take long to build, and fit only images of a known size
    # Our own is built in no time; of an unknown name this says what there is.
    create_backbone(
        recipe.backbone,
        image_size=settings.image_size or (64, 64),
        weights=recipe.weights,
        stage=recipe.stage,
        patch_size_px=recipe.patch_size_px or None,
    )


def resume_run(
    path: str | Path,
    *,
    device: str | None = None,
    report: bool = True,
    quiet: bool = False,
    notify: Notify | None = None,
) -> dict[str, Any]:
    """Go on with a run that was cut off; of one that has finished, return the result again.

    Raises:
        DataError: the run or its data is missing, damaged or not the same any more.
        UsageError: another process trains in the run folder.
        Interrupted: Ctrl-C or SIGTERM; the run can be resumed again.
    """
    started = time.perf_counter()
    tell = notify or _say_nothing
    run = TreeRun.open(path)
    result = run.read_result()
    if result is not None:
        tell(f"run {run.path} has already ended; this is its result")
        # The folder may have been moved since.
        there = run.path / REPORT_FILE
        return {**result, "run": str(run.path), "report": str(there) if there.is_file() else None}
    with run.run.exclusive():
        data = run.load_data(quiet=quiet)
        _describe(data, tell)
        tell(f"continuing {run.path} after {len(run.run.metrics())} epochs")
        return _finish(run, data, started, device, report, quiet, tell, resume=True)


def _finish(
    run: TreeRun,
    data: LabelledData,
    started: float,
    device: str | None,
    report: bool,
    quiet: bool,
    tell: Notify,
    *,
    resume: bool,
) -> dict[str, Any]:
    epochs_before = len(run.run.metrics())
    fit = run.train(data, device=device, resume=resume, quiet=quiet)
    # Diverged before one epoch of the tree itself: what there is was never trained.
    is_model = fit.training.status != "diverged" or fit.training.best_epoch >= 0
    evaluations: tuple[TreeEvaluation | None, TreeEvaluation | None] = (None, None)
    if is_model:
        tell("measuring on the test images")
        evaluations = _evaluate_both(fit.fitted, fit.unprojected, data)
    else:
        for name in (MODEL_FILE, UNPROJECTED_FILE):
            (run.path / name).unlink(missing_ok=True)
    run.run.write_json(
        "evaluation",
        {
            "projected": _to_dict(evaluations[0]),
            "unprojected": _to_dict(evaluations[1]),
            "status": fit.training.status,
            "epochs_done": fit.training.epochs_done,
            "best_epoch": fit.training.best_epoch,
        },
    )
    earlier = sum(row.get("seconds") or 0.0 for row in fit.training.history[:epochs_before])
    figures = RunFigures(
        evaluation=evaluations[0],
        unprojected=evaluations[1],
        metrics=fit.training.history,
        status=fit.training.status,
        epochs_done=fit.training.epochs_done,
        best_epoch=fit.training.best_epoch,
        seconds=time.perf_counter() - started + earlier,
        seed=run.settings.seed,
        configuration=shown_configuration(run, data),
    )
    page = _draw(run, fit.fitted, data, figures, report, tell) if is_model else None
    result = summarize(run, fit.fitted, data, figures, page)
    if not is_model:
        result |= {"prototypes": 0, "leaves": 0, "duplicates": []}
    run.write_result(result)
    return result


def rebuild_report(path: str | Path, *, quiet: bool = False) -> Path:
    """Draw ``report.html`` of a finished run anew, from its figures and its data.

    Raises:
        DataError: the run is not finished, or its data is not there any more.
    """
    run = TreeRun.open(path)
    fitted = run.load_tree()
    data = run.load_data(quiet=quiet)
    figures = read_figures(run, data)
    page = _draw(run, fitted, data, figures, True, _say_nothing)
    assert page is not None
    return page


def evaluate_run(
    path: str | Path,
    data: str | Path | None = None,
    *,
    device: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure the tree of a run on its test split, or on other images of the same classes.

    Returns:
        The result: see `summarize`.

    Raises:
        DataError: the run or the data cannot be used, or there are no images to judge it by.
    """
    started = time.perf_counter()
    run = TreeRun.open(path)
    with threads_set(run.settings.threads):
        fitted = run.load_tree(device=device or "auto")
        if data is None:
            judged_data = run.load_data(quiet=quiet)
        else:
            judged_data = run.load_other_images(
                data, fitted.class_names, image_size=fitted.image_size, quiet=quiet
            )
        judged = judged_data.splits.test
        evaluation = evaluate_tree(fitted, judged_data.images, judged)
        unprojected = evaluate_tree(
            run.load_tree(device=device or "auto", projected=False), judged_data.images, judged
        )
    earlier = run.read_result() or {}
    figures = RunFigures(
        evaluation=evaluation,
        unprojected=unprojected,
        metrics=run.run.metrics(),
        status=str(earlier.get("status", "finished")),
        seconds=time.perf_counter() - started,
        seed=run.settings.seed,
    )
    page = run.path / REPORT_FILE
    return summarize(run, fitted, judged_data, figures, page if page.is_file() else None)


def summarize(
    run: TreeRun, fitted: FittedTree, data: LabelledData, figures: RunFigures, page: Path | None
) -> dict[str, Any]:
    """Return what ``--json`` prints: where, on what, how good, how small, how long."""
    return {
        "run": str(run.path),
        "status": figures.status,
        "data": {
            "name": data.name,
            "classes": len(fitted.class_names),
            "class_names": list(fitted.class_names),
            "images": len(data.images),
            "train": len(data.splits.train),
            "validation": len(data.splits.validation),
            "test": len(data.splits.test),
            "digest": data.images.digest,
            "rejected": [problem.to_dict() for problem in data.rejected],
            "warnings": [problem.to_dict() for problem in data.warnings],
        },
        "test": _list_figures(figures.evaluation, figures.unprojected),
        "prototypes": fitted.tree.topology.branches,
        "prototypes_before_pruning": (
            fitted.pruning.prototypes_before if fitted.pruning else fitted.tree.topology.branches
        ),
        "leaves": fitted.tree.topology.leaves,
        "duplicates": [list(group) for group in fitted.duplicates()],
        "receptive_field_coverage": fitted.receptive_field.coverage,
        "backbone": fitted.recipe.backbone,
        "image_size": list(fitted.image_size),
        "epochs": len(figures.metrics),
        "best_epoch": figures.best_epoch if figures.best_epoch >= 0 else None,
        "seed": run.settings.seed,
        "seconds": round(figures.seconds, 3),
        "cautions": list(list_warnings(fitted, data, figures)),
        "doubts": list(list_doubts(data, figures)),
        "report": str(page) if page is not None else None,
    }


def _list_figures(
    evaluation: TreeEvaluation | None, unprojected: TreeEvaluation | None
) -> dict[str, Any]:
    shares = {
        "distributed": evaluation and evaluation.distributed,
        "most_probable_leaf": evaluation and evaluation.most_probable_leaf,
        "greedy": evaluation and evaluation.greedy,
        "fidelity_greedy": evaluation and evaluation.fidelity_greedy,
        "fidelity_most_probable_leaf": evaluation and evaluation.fidelity_most_probable_leaf,
        "distributed_before_projection": unprojected and unprojected.distributed,
    }
    figures: dict[str, Any] = {name: s.value if s else None for name, s in shares.items()}
    figures["images"] = evaluation.greedy.total if evaluation else 0
    figures["intervals"] = {name: [s.low, s.high] for name, s in shares.items() if s}
    if evaluation is not None:
        mean, least, greatest = evaluation.path_lengths
        figures["path_length"] = {"mean": mean, "min": least, "max": greatest}
        figures["path_margin_median"] = evaluation.path_margin
    return figures


def _draw(
    run: TreeRun,
    fitted: FittedTree,
    data: LabelledData,
    figures: RunFigures,
    report: bool,
    tell: Notify,
) -> Path | None:
    if not report:
        write_prototypes(run.run, fitted, data.images, picture_prototypes(fitted, data.images))
        return None
    tell("drawing the report")
    contents = make_tree_report(fitted, data, figures)
    write_prototypes(run.run, fitted, data.images, contents.prototypes)
    return write_report(contents, run.path / REPORT_FILE)


def _evaluate_both(
    fitted: FittedTree, unprojected: FittedTree, data: LabelledData
) -> tuple[TreeEvaluation | None, TreeEvaluation | None]:
    test = data.splits.test
    if len(test) == 0:
        return None, None
    return evaluate_tree(fitted, data.images, test), evaluate_tree(unprojected, data.images, test)


def _to_dict(evaluation: TreeEvaluation | None) -> dict[str, Any] | None:
    return None if evaluation is None else evaluation.to_dict()


def _describe(data: LabelledData, tell: Notify) -> None:
    splits = data.splits
    tell(
        f"{data.name}: {len(data.images)} images, {len(data.images.class_names)} classes; "
        f"{len(splits.train)} train, {len(splits.validation)} validate, {len(splits.test)} test"
    )


def _warn_about(data: LabelledData, warn: Notify) -> None:
    for problems, what in ((data.rejected, "skipped"), (data.warnings, "warning:")):
        for problem in problems[:_PROBLEMS_TOLD]:
            warn(f"{what} {printable(str(problem))}")
        if len(problems) > _PROBLEMS_TOLD:
            more = len(problems) - _PROBLEMS_TOLD
            warn(f"{what} {more} more; `pellucid data check DIR` names them all")


def _say_nothing(_: str) -> None:
    return None
