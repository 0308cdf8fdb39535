"""The report of a study: from its result to one page that stands alone."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from pellucid.regularization.presets import REFERENCE_FAULTS
from pellucid.regularization.result import StudyResult
from pellucid.reports.page import template_environment, write_page
from pellucid.reports.study.arm_styles import Arms, define_markers
from pellucid.reports.study.figures import (
    Panel,
    draw_curve_groups,
    draw_layers,
    draw_path,
)
from pellucid.reports.study.seed_plots import plot_comparisons, plot_seeds
from pellucid.reports.study.statements import (
    PathWords,
    describe_path,
    describe_power,
    list_cautions,
    split_recipes,
)
from pellucid.reports.study.tables import (
    tabulate_arms,
    tabulate_compaction,
    tabulate_sparsity,
    tabulate_tests,
)
from pellucid.reports.study.wording import (
    count_of,
    write_seconds,
    write_seeds,
    write_strength,
)
from pellucid.reports.wording import flatten_configuration, percent

_HEADINGS = {"last": "After the last epoch", "best": "At the best checkpoint"}


_DIRECTIONS = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_SENTENCES = 8  # more than these, and the middle ones are folded away


@dataclass(frozen=True)
class _VerdictView:
    first: tuple[str, ...]
    further: tuple[str, ...]
    limits: str


@dataclass(frozen=True, eq=False)
class _ArmView:
    title: str
    swatch: Markup
    line_swatch: Markup
    objective: str
    differs: str


@dataclass(frozen=True, eq=False)
class _PathView(PathWords):
    panels: tuple[Panel, ...]


@dataclass(frozen=True, eq=False)
class _TuningView:
    title: str
    swatch: Markup
    learning_rate: str
    strength: str
    accuracy: str
    chosen: bool


def _say_running(result: StudyResult) -> str:
    """Return the arms whose training figures were taken while the weights moved, or ``"all"``."""
    # A recipe that does not say (a tree's) takes them from the training loop itself.
    moving = [arm.title for arm in result.arms if arm.recipe.get("train_metrics") != "evaluation"]
    return "all" if len(moving) == len(result.arms) else " and ".join(moving)


def write_study_report(result: StudyResult, path: str | Path) -> Path:
    """Write the page to ``path``: all of it, or nothing; return the path."""
    return write_page(render_study(result), path)


def render_study(result: StudyResult) -> str:
    """Return the study as one HTML page that needs no network, no script and no other file."""
    arms = Arms.of([(arm.name, arm.title) for arm in result.arms])
    has_validation = result.data.validation > 0
    # Without validation images nothing selects a checkpoint: both moments are the last epoch.
    moments = ("last", "best") if has_validation else ("last",)
    plots = plot_comparisons(result.comparisons, arms)
    seed_plots = plot_seeds(result.summaries, result.records, arms)
    shared_recipe, own_settings = split_recipes(result.arms)
    seeds = sorted({record.seed for record in result.records})
    path = None
    if result.path is not None:
        words = describe_path(result.path)
        path = _PathView(**vars(words), panels=draw_path(result.path))
    views = {
        "arm_tables": tabulate_arms(result.summaries, arms),
        "comparisons": [
            (
                moment,
                _HEADINGS[moment],
                plots[moment],
                tabulate_tests([c for c in result.comparisons if c.moment == moment], arms),
            )
            for moment in moments
            if moment in plots
        ],
        "seed_plots": [
            (moment, _HEADINGS[moment], seed_plots[moment])
            for moment in moments
            if moment in seed_plots
        ],
        "curves": draw_curve_groups(result.records, arms),
        "running": _say_running(result),
        "layers": draw_layers(result.histograms, arms),
        "sparsity": tabulate_sparsity(result.records, arms),
        "path": path,
        "compaction": tabulate_compaction(result.compaction, arms) if result.compaction else None,
        "power": describe_power(result.power) if result.power and len(arms.titles) > 1 else None,
        "tuning": _view_tuning(result, arms),
    }
    return (
        _study_environment()
        .get_template("study.html.j2")
        .render(
            **views,
            result=result,
            title=result.title,
            subtitle=_write_subtitle(result, seeds),
            headline=_split_brackets(result.verdict[0]) if result.verdict else (),
            verdict=_split_verdict(result.verdict[1:]),
            sections=_list_sections(views),
            warnings=list_cautions(result),
            arms=[
                _ArmView(
                    arm.title,
                    arms.style(arm.name).swatch(),
                    arms.style(arm.name).swatch(line=True),
                    arm.objective,
                    own_settings[arm.name],
                )
                for arm in result.arms
            ],
            seeds=len(seeds),
            has_validation=has_validation,
            any_broken=any(record.status != "finished" for record in result.records),
            faults=REFERENCE_FAULTS if result.preset == "reference" else (),
            data_note=_write_data_note(result),
            data_facts=_list_data_facts(result, seeds),
            shared_recipe=shared_recipe,
            seconds=write_seconds(result.seconds),
            environment=list(flatten_configuration(result.environment)),
            pictures=define_markers(),
        )
    )


@functools.cache
def _study_environment() -> jinja2.Environment:
    return template_environment().overlay(finalize=_show_controls)


def _show_controls(value: object) -> object:
    """Write out what would reverse the text after it: names stand in the middle of sentences."""
    return value.translate(_DIRECTIONS) if isinstance(value, str) else value


def _split_brackets(sentence: str) -> list[tuple[str, bool]]:
    """Return the parts of a sentence, and whether each is a remark in brackets."""
    parts = re.split(r"(\([^()]*\))", sentence)
    return [(part, i % 2 == 1) for i, part in enumerate(parts) if part]


def _split_verdict(sentences: Sequence[str]) -> _VerdictView:
    """Return what is read at once, what is opened, and the last sentence: what is not known."""
    if len(sentences) <= _SENTENCES:
        return _VerdictView(tuple(sentences), (), "")
    return _VerdictView(
        tuple(sentences[: _SENTENCES - 2]), tuple(sentences[_SENTENCES - 2 : -1]), sentences[-1]
    )


def _write_subtitle(result: StudyResult, seeds: Sequence[int]) -> str:
    data = result.data
    return (
        f"{data.name}: {count_of(data.train, 'training image')} of {data.image_size[0]} × "
        f"{data.image_size[1]} px in {count_of(data.classes, 'class', 'classes')}; "
        f"{count_of(len(result.arms), 'arm')}, {count_of(len(seeds), 'seed')}, "
        f"{count_of(len(result.records), 'training')}"
    )


def _write_data_note(result: StudyResult) -> str:
    if result.data.note or result.data.wrong_labels <= 0:
        return result.data.note
    return f"{percent(result.data.wrong_labels, 0)} of the training labels are wrong on purpose."


def _list_data_facts(result: StudyResult, seeds: Sequence[int]) -> list[tuple[str, str]]:
    data = result.data
    return [
        ("data", data.name),
        ("images for training", count_of(data.train, "image")),
        ("images for validation, to select by", count_of(data.validation, "image")),
        ("images for testing, looked at once", count_of(data.test, "image")),
        ("classes", str(data.classes)),
        ("image size (height × width)", f"{data.image_size[0]} × {data.image_size[1]} px"),
        ("wrong training labels", percent(data.wrong_labels)),
        ("seeds, the same in every arm", write_seeds(seeds)),
    ]


def _view_tuning(result: StudyResult, arms: Arms) -> list[_TuningView]:
    return [
        _TuningView(
            arms.title(row.arm),
            arms.style(row.arm).swatch(),
            write_strength(row.learning_rate),
            "none" if row.strength is None else write_strength(row.strength),
            percent(row.validation_accuracy) + (" (collapsed)" if row.collapsed else ""),
            row.chosen,
        )
        for row in result.tuning
    ]


def _list_sections(views: dict[str, object]) -> list[tuple[str, str]]:
    """Return anchor and name of each section that the page has."""
    sections = (
        ("arms", "Arms", True),
        ("differences", "Differences", views["comparisons"]),
        ("seeds", "Seeds", True),
        ("curves", "Curves", views["curves"]),
        ("weights", "Weights", views["layers"] or views["sparsity"]),
        ("path", "Strength", views["path"]),
        ("compaction", "Removed", views["compaction"]),
        ("power", "Power", views["power"]),
        ("tuning", "Tuning", views["tuning"]),
        ("protocol", "Protocol", True),
    )
    return [(anchor, name) for anchor, name, shown in sections if shown]
