"""Training curves as SVG text that takes its colors from the page, in light and in dark mode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pellucid.reports.figure_svg import (
    SHADE,
    TRAIN,
    VALIDATION,
    create_figure,
    page_settings,
    write_figure,
)


def _series(metrics: Sequence[Mapping[str, object]], name: str) -> list[float]:
    values = [row.get(name) for row in metrics]
    return [
        float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
        for value in values
    ]


def _shade_warm_up(axes, metrics: Sequence[Mapping[str, object]], epochs: list[float]) -> None:
    warm = [
        epoch
        for epoch, row in zip(epochs, metrics, strict=True)
        if "warm" in str(row.get("phase", "")).lower()
    ]
    if warm:
        axes.axvspan(min(warm) - 0.5, max(warm) + 0.5, color=SHADE, linewidth=0, label="warm-up")


def draw_curve(metrics: Sequence[Mapping[str, object]], quantity: str) -> Markup:
    """Return the curve of ``quantity`` ("loss" or "accuracy") by epoch, train and validation.

    Args:
        metrics: rows with epoch, phase, train_<quantity> and validation_<quantity>; a missing,
            None or non-finite value leaves a gap.
        quantity: "loss" or "accuracy" (in [0, 1], drawn in percent).
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    ordinal = [float(i) for i in range(1, len(metrics) + 1)]
    given = _series(metrics, "epoch")
    epochs = ordinal if any(math.isnan(epoch) for epoch in given) else given
    with page_settings():
        figure = create_figure(6.0, 3.1, layout="constrained")
        axes = figure.add_subplot()
        _shade_warm_up(axes, metrics, epochs)
        for part, color, marker in (("train", TRAIN, "o"), ("validation", VALIDATION, "s")):
            values = _series(metrics, f"{part}_{quantity}")
            if not all(math.isnan(value) for value in values):
                style = "-" if part == "train" else "--"
                size = 3.5 if len(values) <= 60 else 0
                axes.plot(
                    epochs, values, style, color=color, marker=marker, markersize=size, label=part
                )
        axes.set_xlabel("epoch")
        axes.set_title(quantity, loc="left")
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="best")
        return write_figure(
            figure,
            name=f"curve-{quantity}",
            label=f"training and validation {quantity} by epoch",
        )
