"""Curves of several trainings by epoch: the middle seed as a line, the others as a band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pellucid.reports.figure_svg import (
    create_figure,
    page_settings,
    write_figure,
    write_percent_tick,
)
from pellucid.reports.study.arm_styles import ArmStyle

MANY_SEEDS = 10
_MOST_POINTS = 200
_SIZE_IN = (4.4, 2.9)
_MARKERS = 6
_MOST_ABOVE = 1.5


@dataclass(frozen=True, eq=False)
class Band:
    """One quantity of one arm by epoch, over its seeds.

    Attributes:
        epochs: Counted from 1, shape (points,).
        middle: Median over the seeds; NaN where no seed has a finite value.
        low: Lowest seed; with `MANY_SEEDS` or more, the one that a tenth lies below.
        high: Highest seed, likewise.
    """

    epochs: NDArray[np.float64]
    middle: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def is_empty(self) -> bool:
        """Whether no seed has a value anywhere."""
        return not np.isfinite(self.middle).any()


@dataclass(frozen=True, eq=False)
class Line:
    """A band and how to draw it.

    Attributes:
        band: Over the seeds.
        style: Of the arm.
        dashes: Instead of the arm's own; ``()`` is solid.
        marked: With the arm's markers.
        point_epoch: Epoch, from 1, at which a ring is drawn on the line, if any.
    """

    band: Band
    style: ArmStyle
    dashes: tuple[float, ...] | None = None
    marked: bool = False
    point_epoch: float | None = None


def collect_band(histories: Sequence[Sequence[Mapping[str, object]]], quantity: str) -> Band:
    """Return a quantity of several trainings by epoch, thinned to what an eye can tell apart.

    Args:
        histories: A row an epoch; of different length where a training was cut short.
        quantity: Name in the rows; a missing or non-finite value leaves a gap.
    """
    length = max((len(history) for history in histories), default=0)
    values = np.full((max(len(histories), 1), length), np.nan)
    for i, history in enumerate(histories):
        for epoch, row in enumerate(history):
            value = row.get(quantity)
            if isinstance(value, int | float) and math.isfinite(value):
                values[i, epoch] = value
    kept = np.arange(length)
    if length > _MOST_POINTS:
        kept = np.unique(np.linspace(0, length - 1, _MOST_POINTS).round().astype(int))
    values = values[:, kept]
    filled = np.isfinite(values).any(axis=0)
    edge = 10.0 if len(histories) >= MANY_SEEDS else 0.0
    bounds = np.full((3, len(kept)), np.nan)
    if filled.any():
        bounds[:, filled] = np.nanpercentile(values[:, filled], [edge, 50, 100 - edge], axis=0)
    return Band(kept.astype(np.float64) + 1, bounds[1], bounds[0], bounds[2])


def shared_limits(bands: Sequence[Band], *, share: bool) -> tuple[float, float]:
    """Return the ends of a value axis for several panels.

    A band may be cut off at the top: at one and a half times the highest line, so that one
    diverged seed does not flatten all curves.

    Args:
        bands: Of all panels.
        share: The values are shares, in [0, 1].
    """
    filled = [band for band in bands if not band.is_empty]
    if not filled:
        return 0.0, 1.0
    low = min(float(np.nanmin(band.low)) for band in filled)
    high = max(float(np.nanmax(band.high)) for band in filled)
    top = max(float(np.nanmax(band.middle)) for band in filled)
    high = min(high, _MOST_ABOVE * top) if top > 0 else high
    low = max(low, 0.0) if share or low < 0.35 * high else low
    if not share and 0 <= low < 0.35 * high:
        low = 0.0
    room = 0.04 * (high - low) or 0.05 * max(abs(high), 1e-3)
    return (low if low == 0 else low - room), (min(high + room, 1.005) if share else high + room)


def draw_panel(
    lines: Sequence[Line],
    *,
    limits: tuple[float, float],
    share: bool,
    name: str,
    label: str,
) -> Markup:
    """Return one panel of curves.

    Args:
        lines: What to draw, the first at the back.
        limits: Ends of the value axis.
        share: Write values in percent.
        name: Of the figure on its page.
        label: What is seen, in words.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    with page_settings():
        figure = create_figure(*_SIZE_IN)
        axes = figure.add_axes((0.125, 0.155, 0.855, 0.815))
        for line in lines:
            _draw_line(axes, line)
        epochs = max(
            (float(line.band.epochs[-1]) for line in lines if len(line.band.epochs)), default=1
        )
        axes.set_xlim(min(0.5, 1 - 0.02 * epochs), max(epochs + 0.5, 1.02 * epochs))
        axes.set_ylim(*limits)
        axes.set_xlabel("epoch", labelpad=1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.grid(axis="y")
        if share:
            axes.yaxis.set_major_formatter(FuncFormatter(write_percent_tick))
        colors = {line.style.stand_in: line.style.page_color for line in lines}
        return write_figure(figure, name=name, label=label, colors=colors)


def _draw_line(axes, line: Line) -> None:
    band, color = line.band, line.style.stand_in
    if band.is_empty:
        return
    dashes = line.style.dashes if line.dashes is None else line.dashes
    few = len(band.epochs) == 1
    axes.fill_between(band.epochs, band.low, band.high, color=color, alpha=0.16, linewidth=0)
    (drawn,) = axes.plot(band.epochs, band.middle, color=color, linewidth=1.8)
    if dashes:
        drawn.set_linestyle((0, tuple(length / 1.8 for length in dashes)))
    if line.marked or few:
        drawn.set_marker(line.style.marker)
        drawn.set_markersize(5)
        step = max(1, len(band.epochs) // _MARKERS)
        # Each arm starts at another epoch, so that markers of equal curves do not cover each other.
        drawn.set_markevery((line.style.index * step // 4 % step if step > 1 else 0, step))
    if line.point_epoch is not None:
        nearest = int(np.abs(band.epochs - line.point_epoch).argmin())
        ring = {"marker": "o", "markersize": 8, "fillstyle": "none", "markeredgewidth": 1.6}
        axes.plot([band.epochs[nearest]], [band.middle[nearest]], color=color, **ring)
