"""Rows of a table drawn on one axis: seeds as dots, above their mean and its interval.

A strip is as wide as its cell: it places things in percent of its width, so that text and markers
keep their size on a narrow screen, and all strips of a column share one axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from pellucid.reports.picture_svg import add_element, to_markup
from pellucid.reports.study.arm_styles import LEFT_ID, RIGHT_ID, ArmStyle

_MARGIN = 0.03  # of the width, left and right, for markers at the ends
_DOTS_PX = 9  # height of the middle of the dots
_SPREAD_PX = 5  # dots of many seeds lie at several heights, so that equal ones can be seen
_FEW_SEEDS = 3
_HALF_LABEL_PX = 30


@dataclass(frozen=True)
class StripAxis:
    """The axis that the strips of one column share.

    Attributes:
        low: Left end, in the unit of the values.
        high: Right end.
        ticks: Values with a number on the axis.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, values: Iterable[float], *, least_span: float = 0.01) -> StripAxis:
        """Return an axis with round ticks over all finite values; over [0, 1] if there are none."""
        from matplotlib.ticker import MaxNLocator

        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        room = max(0.0, least_span - (high - low)) / 2 + 0.02 * (high - low)
        low, high = low - room, high + room
        found = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)
        step = float(found[1] - found[0])
        inside = [float(t) for t in found if low - 1e-9 * step <= t <= high + 1e-9 * step]
        # A tick within reach of an end becomes the end.
        low = min(low, float(max((t for t in found if t <= low), default=low)))
        high = max(high, float(min((t for t in found if t >= high), default=high)))
        ticks = [float(t) for t in found if low - 1e-9 * step <= t <= high + 1e-9 * step]
        return cls(low, high, tuple(ticks if len(ticks) <= 7 else inside))

    def along(self, value: float) -> float:
        """Return the share of the strip's width at which a value lies, its ends clipped."""
        share = (value - self.low) / (self.high - self.low)
        return _MARGIN + (1 - 2 * _MARGIN) * min(max(share, 0.0), 1.0)

    def place(self, value: float) -> str:
        """Return `along` as SVG writes it."""
        return f"{100 * self.along(value):.2f}%"


def draw_scale(axis: StripAxis, write: Callable[[float], str]) -> Markup:
    """Return the numbers of an axis, to stand above its strips."""
    svg = ET.Element("svg", {"class": "strip scale", "height": "18", "aria-hidden": "true"})
    last = -math.inf
    for tick in axis.ticks:
        # About 200 px are certain on the narrowest screens.
        if (axis.along(tick) - last) * 200 < _HALF_LABEL_PX:
            continue
        last = axis.along(tick)
        add_element(svg, "text", {"x": axis.place(tick), "y": 13}, write(tick))
    return to_markup(svg)


def draw_strip(
    axis: StripAxis,
    dots: Sequence[float],
    *,
    style: ArmStyle | None,
    label: str,
    mean: float | None = None,
    interval: tuple[float, float] | None = None,
    second_interval: tuple[float, float] | None = None,
    zero: float | None = None,
) -> Markup:
    """Return one row of a plot.

    Args:
        axis: Shared by the column.
        dots: A value a seed, the seeds in the same order in every row; NaN is left out, and one
            beyond the axis is an arrowhead at its end.
        style: Of the arm; None draws in the page's ink.
        label: What is seen, in words.
        mean: Of the dots.
        interval: Around the mean, drawn thick below the dots; without a cap where it leaves the
            axis.
        second_interval: Drawn thin and dashed below the first.
        zero: Value at which to draw a line over the whole height.
    """
    height = 42 if second_interval is not None else 32
    color = "ink" if style is None else style.css_class
    svg = ET.Element("svg", {"class": f"strip {color}", "height": str(height), "role": "img"})
    svg.set("aria-label", label)
    for tick in axis.ticks:
        _draw_upright(svg, axis, tick, height, "grid")
    if zero is not None:
        _draw_upright(svg, axis, zero, height, "zero")
    marker = "m0" if style is None else style.marker_id
    for i, value in enumerate(dots):
        if math.isfinite(value):
            shown = LEFT_ID if value < axis.low else RIGHT_ID if value > axis.high else marker
            dot: dict[str, object] = {"class": "seed" if shown == marker else "seed beyond"}
            y = f"{_DOTS_PX + _offset(i, len(dots)):g}"
            add_element(svg, "use", {**dot, "href": f"#{shown}", "x": axis.place(value), "y": y})
    if interval is not None:
        _draw_span(svg, axis, interval, 24, "span")
    if mean is not None and axis.low <= mean <= axis.high:
        add_element(svg, "use", {"class": "mean", "href": "#mean", "x": axis.place(mean), "y": 24})
    if second_interval is not None:
        _draw_span(svg, axis, second_interval, 36, "second")
    return to_markup(svg)


def _offset(index: int, count: int) -> float:
    """Return how far from the middle a dot lies: a fixed pattern, neighbors far apart."""
    if count <= _FEW_SEEDS:
        return 0.0
    return round(_SPREAD_PX * (2 * ((index * 0.618034) % 1) - 1), 1)


def _draw_upright(
    svg: ET.Element, axis: StripAxis, value: float, height: int, css_class: str
) -> None:
    if axis.low <= value <= axis.high:
        x = axis.place(value)
        add_element(svg, "line", {"class": css_class, "x1": x, "x2": x, "y1": 0, "y2": height})


def _draw_span(
    svg: ET.Element, axis: StripAxis, span: tuple[float, float], y: int, css_class: str
) -> None:
    if all(map(math.isfinite, span)):
        ends: dict[str, object] = {"x1": axis.place(span[0]), "x2": axis.place(span[1])}
        add_element(svg, "line", {"class": css_class, **ends, "y1": y, "y2": y})
        for end in (axis.place(value) for value in span if axis.low <= value <= axis.high):
            cap = {"class": f"{css_class} cap", "x1": end, "x2": end, "y1": y - 4, "y2": y + 4}
            add_element(svg, "line", cap)
