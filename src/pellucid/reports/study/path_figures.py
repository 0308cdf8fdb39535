"""The penalty path: accuracy and zeros against strength, and what accuracy each sparsity costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pellucid.reports.figure_svg import (
    INK,
    SOFT,
    VALIDATION,
    create_figure,
    page_settings,
    write_figure,
    write_percent_tick,
)
from pellucid.reports.study.wording import write_strength

_SIZE_IN = (4.4, 2.9)
_PLACE = (0.135, 0.18, 0.825, 0.79)


def place_strengths(strengths: Sequence[float]) -> NDArray[np.float64]:
    """Return where strengths lie on the axis: their logarithm, and 0 one step left of the least."""
    positive = sorted(strength for strength in strengths if strength > 0)
    logs = [math.log10(strength) for strength in positive]
    step = float(np.median(np.diff(logs))) if len(set(logs)) > 1 else 0.5
    zero = (logs[0] if logs else 0.0) - max(step, 0.2)
    return np.array([math.log10(s) if s > 0 else zero for s in strengths])


def draw_against_strength(
    strengths: Sequence[float],
    shares: NDArray[np.float64],
    *,
    is_accuracy: bool,
    knee: int | None,
    name: str,
    label: str,
) -> Markup:
    """Return shares against strength on a logarithmic axis, seeds as dots, their mean as a line.

    Args:
        strengths: In any order, 0 for no penalty.
        shares: Of each strength and seed, shape (strengths, seeds).
        is_accuracy: Draw in the color of validation accuracy, else in the page's ink.
        knee: Position of the strength that is marked, or None.
        name: Of the figure on its page.
        label: What is seen, in words.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    places = place_strengths(strengths)
    order = places.argsort()
    with page_settings():
        figure = create_figure(*_SIZE_IN)
        axes = figure.add_axes(_PLACE)
        if knee is not None:
            axes.axvline(places[knee], color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)))
        color = VALIDATION if is_accuracy else INK
        flat = np.repeat(places, shares.shape[1])
        axes.plot(flat, shares.ravel(), "o", color=color, markersize=3.5, alpha=0.45)
        means = shares.mean(axis=1)[order]
        marker = "s" if is_accuracy else "D"
        axes.plot(places[order], means, marker=marker, color=color, markersize=5, linewidth=1.8)
        ticks = _choose_ticks(strengths, places)
        axes.set_xticks([places[i] for i in ticks], [write_strength(strengths[i]) for i in ticks])
        axes.set_xlabel("strength, on a logarithmic axis", labelpad=2)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(write_percent_tick))
        axes.grid(axis="y")
        return write_figure(figure, name=name, label=label)


def draw_tradeoff(
    zeros: NDArray[np.float64],
    accuracy: NDArray[np.float64],
    *,
    frontier: Sequence[int],
    knee: int | None,
    name: str,
    label: str,
) -> Markup:
    """Return accuracy against the share of zeros, a point a strength.

    Args:
        zeros: Mean share of exact zeros, shape (strengths,).
        accuracy: Mean accuracy, shape (strengths,).
        frontier: Positions that no other strength beats in both.
        knee: Position that is ringed, or None.
        name: Of the figure on its page.
        label: What is seen, in words.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    on = sorted(frontier, key=lambda i: zeros[i])
    off = [i for i in range(len(zeros)) if i not in set(on)]
    with page_settings():
        figure = create_figure(*_SIZE_IN)
        axes = figure.add_axes(_PLACE)
        axes.plot(zeros[off], accuracy[off], "x", color=SOFT, markersize=6, markeredgewidth=1.6)
        axes.plot(zeros[on], accuracy[on], "o-", color=VALIDATION, markersize=6, linewidth=1.8)
        if knee is not None:
            ring = {"fillstyle": "none", "markersize": 13, "markeredgewidth": 1.6}
            axes.plot(zeros[[knee]], accuracy[[knee]], "o", color=INK, **ring)
        axes.set_xlabel("weights that are exactly zero", labelpad=2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(FuncFormatter(write_percent_tick))
        axes.margins(0.06)
        axes.grid()
        return write_figure(figure, name=name, label=label)


def _choose_ticks(strengths: Sequence[float], places: NDArray[np.float64]) -> list[int]:
    """Return positions of strengths to write on the axis: 0, and others with room between them."""
    order = [int(i) for i in places.argsort()]
    width = float(places.max() - places.min()) or 1.0
    chosen: list[int] = []
    for i in order:
        if not chosen or (places[i] - places[chosen[-1]]) / width >= 0.17:
            chosen.append(i)
    return chosen
