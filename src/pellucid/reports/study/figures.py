"""The figures of a study's page, each with its words: from a result to drawn rows and panels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pellucid.regularization.penalty_path import PenaltyPath
from pellucid.regularization.record import RunRecord
from pellucid.regularization.weight_measures import LayerHistogram
from pellucid.reports.study.arm_styles import Arms
from pellucid.reports.study.curves import Band, Line, collect_band, draw_panel, shared_limits
from pellucid.reports.study.path_figures import draw_against_strength, draw_tradeoff
from pellucid.reports.study.weight_histograms import ShareScale, draw_histogram, draw_share_scale
from pellucid.reports.study.wording import (
    write_amount,
    write_strength,
)
from pellucid.reports.wording import percent

_VALIDATION_DASHES = (5.0, 2.5)


@dataclass(frozen=True, eq=False)
class Panel:
    """One drawn panel and what stands above it."""

    title: str
    swatch: Markup
    svg: Markup


@dataclass(frozen=True, eq=False)
class PanelGroup:
    """Panels with the same axes.

    Attributes:
        key: Name for ids.
        heading: Of the group.
        caption: What is seen and how to read it.
        panels: In order.
        by_arm: Whether all arms share one panel, so that a legend is needed.
        is_cut: Whether a band runs out at the top.
    """

    key: str
    heading: str
    caption: str
    panels: tuple[Panel, ...]
    by_arm: bool
    is_cut: bool = False


@dataclass(frozen=True, eq=False)
class LayerPanels:
    """The histograms of one layer."""

    layer: str
    scale: Markup
    panels: tuple[Panel, ...]


_TOGETHER = (
    "Penalty is the value of what an arm adds to the cross-entropy, without any ramp; "
    "the objective is cross-entropy on the training images plus penalty. Objectives of "
    "different arms are different quantities: only their course can be compared, not "
    "their height."
)


def draw_curve_groups(records: Sequence[RunRecord], arms: Arms) -> tuple[PanelGroup, ...]:
    """Return the curves by epoch: fit and validation of each arm, then all arms on one panel."""
    by_arm = {name: [r for r in records if r.arm == name] for name in arms.titles}
    by_arm = {name: own for name, own in by_arm.items() if any(r.history for r in own)}

    def collect(quantity: str) -> dict[str, Band]:
        return {
            name: collect_band([r.history for r in own], quantity) for name, own in by_arm.items()
        }

    bands = {
        quantity: collect(quantity)
        for quantity in (
            "train_loss",
            "validation_loss",
            "train_accuracy",
            "validation_accuracy",
            "penalty",
            "objective",
        )
    }
    best = {name: float(np.median([r.best.epoch + 1 for r in own])) for name, own in by_arm.items()}
    has_validation = any(not band.is_empty for band in bands["validation_loss"].values())
    groups = []
    for key, heading, share in (
        ("loss", "Cross-entropy, arm by arm", False),
        ("accuracy", "Accuracy, arm by arm", True),
    ):
        groups.append(
            _draw_arm_by_arm(key, heading, share, bands, arms, best if has_validation else {})
        )
    # Where nothing is penalized the objective is the cross-entropy, which stands above.
    is_penalized = any(row.get("penalty") for r in records for row in r.history)
    together = [
        ("penalty", "Penalty", "penalty", False),
        ("objective", "Objective", "objective", False),
    ] * is_penalized
    if has_validation:
        together = [
            ("validation_loss", "Cross-entropy on validation images", "between", False),
            ("validation_accuracy", "Accuracy on validation images", "between-accuracy", True),
            *together,
        ]
    panels = []
    for quantity, title, key, share in together:
        own = {name: band for name, band in bands[quantity].items() if not band.is_empty}
        if not own:
            continue
        lines = [Line(band, arms.style(name), marked=True) for name, band in own.items()]
        limits = shared_limits(list(own.values()), share=share)
        label = f"{title} by epoch. At the end: " + _ends(own, arms, share)
        svg = draw_panel(lines, limits=limits, share=share, name=f"all-{key}", label=label)
        panels.append(Panel(title, Markup(), svg))
    if panels:
        groups.append(
            PanelGroup(
                "together",
                "All arms together",
                _TOGETHER if is_penalized else "The middle seed of each arm.",
                tuple(panels),
                by_arm=True,
            )
        )
    return tuple(group for group in groups if group.panels)


def _draw_arm_by_arm(
    key: str,
    heading: str,
    share: bool,
    bands: Mapping[str, Mapping[str, Band]],
    arms: Arms,
    best: Mapping[str, float],
) -> PanelGroup:
    train, validation = bands[f"train_{key}"], bands[f"validation_{key}"]
    limits = shared_limits([*train.values(), *validation.values()], share=share)
    panels = []
    for name, band in train.items():
        style = arms.style(name)
        lines = [
            Line(band, style, dashes=()),
            Line(validation[name], style, dashes=_VALIDATION_DASHES, point_epoch=best.get(name)),
        ]
        if all(line.band.is_empty for line in lines):
            continue
        label = f"{heading.split(',')[0]} of {arms.title(name)} by epoch. At the end: " + ", ".join(
            f"{what} {_write(one.middle, share)}"
            for what, one in (("training", band), ("validation", validation[name]))
            if not one.is_empty
        )
        svg = draw_panel(
            lines, limits=limits, share=share, name=f"{key}-{style.index}", label=label
        )
        panels.append(Panel(arms.title(name), style.swatch(), svg))
    caption = (
        "Solid: training images. Dashed: validation images."
        if best
        else ("Training images; there are no validation images.")
    )
    if best:
        caption += " The ring is the best checkpoint of the middle seed."
        if key == "loss":
            caption += (
                " Where the dashed line turns up while the solid one falls, the arm over-fits."
            )
        else:
            caption += " The distance between the two lines is the gap."
    everything = [*train.values(), *validation.values()]
    is_cut = any(
        not band.is_empty and float(np.nanmax(band.high)) > limits[1] for band in everything
    )
    return PanelGroup(key, heading, caption, tuple(panels), by_arm=False, is_cut=is_cut)


def _write(values: np.ndarray, share: bool) -> str:
    finite = values[np.isfinite(values)]
    value = float(finite[-1]) if len(finite) else math.nan
    return percent(value) if share else write_amount(value)


def _ends(bands: Mapping[str, Band], arms: Arms, share: bool) -> str:
    return ", ".join(
        f"{arms.title(name)} {_write(band.middle, share)}" for name, band in bands.items()
    )


def draw_layers(histograms: Sequence[LayerHistogram], arms: Arms) -> tuple[LayerPanels, ...]:
    """Return the histograms layer by layer; in a layer all arms share both axes."""
    layers: dict[str, list[LayerHistogram]] = {}
    for one in histograms:
        layers.setdefault(one.layer, []).append(one)
    drawn = []
    for layer, own in layers.items():
        shares = [
            count / one.total for one in own for count in (*one.counts, one.zeros) if count > 0
        ]
        scale = ShareScale.down_to(min(shares, default=1.0))
        panels = []
        for one in own:
            style = arms.style(one.arm)
            svg = draw_histogram(
                one.edges,
                one.counts,
                zeros=one.zeros,
                total=one.total,
                scale=scale,
                style=style,
                label=f"weights of {layer} in {arms.title(one.arm)}: "
                f"{percent(one.zeros / one.total if one.total else 0.0)} exactly zero",
            )
            panels.append(Panel(arms.title(one.arm), style.swatch(), svg))
        drawn.append(LayerPanels(layer, draw_share_scale(scale), tuple(panels)))
    return tuple(drawn)


def draw_path(path: PenaltyPath) -> tuple[Panel, ...]:
    """Return accuracy and zeros against strength, and accuracy against zeros."""
    accuracies = np.asarray(path.accuracy, dtype=float)
    zeros = np.asarray(path.exact_zeros, dtype=float)
    span = " to ".join(map(write_strength, (min(path.strengths), max(path.strengths))))
    order = np.argsort(path.strengths)
    ends = [percent(float(zeros[i].mean())) for i in (order[0], order[-1])]
    accuracy = draw_against_strength(
        path.strengths,
        accuracies,
        is_accuracy=True,
        knee=path.knee,
        name="path-accuracy",
        label=f"Validation accuracy at strengths from {span}",
    )
    sparsity = draw_against_strength(
        path.strengths,
        zeros,
        is_accuracy=False,
        knee=path.knee,
        name="path-zeros",
        label=f"Share of weights that are exactly zero at strengths from {span}: "
        f"{' to '.join(ends)}",
    )
    tradeoff = draw_tradeoff(
        zeros.mean(axis=1),
        accuracies.mean(axis=1),
        frontier=path.pareto,
        knee=path.knee,
        name="path-tradeoff",
        label="Validation accuracy against the share of weights that are exactly zero",
    )
    return (
        Panel("Validation accuracy against strength", Markup(), accuracy),
        Panel("Zeros against strength", Markup(), sparsity),
        Panel("Validation accuracy against zeros", Markup(), tradeoff),
    )
