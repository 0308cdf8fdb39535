"""Histograms of a layer's weights with a bar of its own for the weights that are exactly zero.

The height is the share of the layer's weights on a logarithmic scale: with a linear one, the tall
bar at zero would press all others flat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from pellucid.reports.picture_svg import add_element, to_markup
from pellucid.reports.study.arm_styles import ArmStyle
from pellucid.reports.wording import percent

_PLOT_TOP_PX, _PLOT_PX, _AXIS_PX = 16, 96, 18
_SCALE_PX = 40
_LOWEST_DECADE = -5
_MARGIN = 0.02


@dataclass(frozen=True)
class ShareScale:
    """The logarithmic axis of shares that the histograms of one layer have in common.

    Attributes:
        lowest: Power of ten at the bottom; the top is 1.
    """

    lowest: int

    @classmethod
    def down_to(cls, share: float) -> ShareScale:
        """Return the scale on which ``share`` can still be seen, of two decades at least."""
        exponent = math.floor(math.log10(share)) if share > 0 else -2
        return cls(min(-2, max(exponent, _LOWEST_DECADE)))

    def height(self, share: float) -> float:
        """Return the height of a bar in pixels, 0 for a share of 0."""
        if share <= 0:
            return 0.0
        return _PLOT_PX * max(0.03, 1 - math.log10(share) / self.lowest)

    @property
    def ticks(self) -> tuple[int, ...]:
        """The powers of ten with a line: all of them, or every second where they are many."""
        return tuple(range(0, self.lowest - 1, -1 if self.lowest >= -3 else -2))


def draw_share_scale(scale: ShareScale) -> Markup:
    """Return the numbers beside a histogram's height."""
    height = _PLOT_TOP_PX + _PLOT_PX + _AXIS_PX
    svg = ET.Element("svg", {"class": "bins scale", "width": str(_SCALE_PX)})
    svg.set("height", str(height))
    svg.set("aria-hidden", "true")
    for power in scale.ticks:
        y = _PLOT_TOP_PX + _PLOT_PX - scale.height(10.0**power) + 4
        digits = max(0, -2 - power)
        add_element(
            svg,
            "text",
            {"class": "end", "x": _SCALE_PX - 4, "y": y if power > scale.lowest else y + 2},
            f"{100 * 10.0**power:.{digits}f}\N{NO-BREAK SPACE}%",
        )
    return to_markup(svg)


def draw_histogram(
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    zeros: int,
    total: int,
    scale: ShareScale,
    style: ArmStyle,
    label: str,
) -> Markup:
    """Return the histogram of one layer in one arm, as wide as its place on the page.

    Args:
        edges: Of the bins, ascending.
        counts: Weights per bin, exact zeros left out.
        zeros: Weights that are exactly 0.
        total: All weights.
        scale: Shared by the layer's arms.
        style: Of the arm.
        label: What is seen, in words.
    """
    bottom = _PLOT_TOP_PX + _PLOT_PX
    svg = ET.Element("svg", {"class": f"bins {style.css_class}", "role": "img"})
    svg.set("height", str(bottom + _AXIS_PX))
    svg.set("aria-label", label)
    for power in scale.ticks:
        y = round(bottom - scale.height(10.0**power), 1) if power > scale.lowest else bottom
        ends: dict[str, object] = {"x1": "0", "x2": "100%", "y1": y, "y2": y}
        add_element(svg, "line", {"class": "grid", **ends})
    low, high = edges[0], edges[-1]

    def along(value: float) -> float:
        return 100 * (_MARGIN + (1 - 2 * _MARGIN) * (value - low) / (high - low))

    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        tall = scale.height(count / total) if total else 0.0
        if tall:
            # A little too wide, so that no gap shows between bars at any width of the page.
            _draw_bar(svg, along(left), along(right) - along(left) + 0.2, tall)
    add_element(svg, "line", {"class": "base", "x1": "0", "x2": "100%", "y1": bottom, "y2": bottom})
    if zeros and low < 0 < high:
        top = f"{bottom - scale.height(zeros / total):.1f}"
        place = f"{along(0):.2f}%"
        for css_class in ("halo", "zeros"):
            ends = {"x1": place, "x2": place, "y1": top, "y2": bottom}
            add_element(svg, "line", {"class": css_class, **ends})
        share = percent(zeros / total, 0 if zeros / total >= 0.1 else 1)
        add_element(svg, "text", {"class": "tip", "x": place, "y": 12}, f"{share} zero")
    limit = _round_down(min(-low, high) * 0.75) if low < 0 < high else 0.0
    for value in (-limit, 0.0, limit) if limit else (low, high):
        text = f"{value:g}".replace("-", "\N{MINUS SIGN}")
        add_element(svg, "text", {"x": f"{along(value):.2f}%", "y": bottom + 14}, text)
    return to_markup(svg)


def _draw_bar(svg: ET.Element, x: float, width: float, tall: float) -> None:
    bar = {"class": "bar", "x": f"{x:.2f}%", "width": f"{width:.2f}%", "height": f"{tall:.1f}"}
    add_element(svg, "rect", {**bar, "y": f"{_PLOT_TOP_PX + _PLOT_PX - tall:.1f}"})


def _round_down(value: float) -> float:
    """Return the next smaller of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)) * power
