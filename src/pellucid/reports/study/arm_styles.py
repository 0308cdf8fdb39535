"""How each arm of a study looks in every figure: a color, a marker and a dash of its own.

Colors are told apart with any kind of color vision, in light and in dark mode; markers and dashes
tell the arms apart in print. Where there are more arms than colors, a color comes back with
another marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from pellucid.reports.picture_svg import add_element, to_markup

COLORS = 8  # the page's style defines as many, a0 to a7

# Each marker: matplotlib's name, and a path around (0, 0) of about the same area.
_MARKERS = (
    ("o", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"),
    ("s", "M-3.6-3.6h7.2v7.2h-7.2z"),
    ("^", "M0-4.6L4.6 3.4H-4.6z"),
    ("D", "M0-4.8L4.8 0L0 4.8L-4.8 0z"),
    ("v", "M0 4.6L4.6-3.4H-4.6z"),
    ("P", "M-1.6-4.4h3.2v2.8h2.8v3.2h-2.8v2.8h-3.2v-2.8h-2.8v-3.2h2.8z"),
    ("X", "M-4.4-2.4L-2.4-4.4L0-2L2.4-4.4L4.4-2.4L2 0L4.4 2.4L2.4 4.4L0 2L-2.4 4.4L-4.4 2.4L-2 0z"),
    ("p", "M0-4.7L4.5-1.4L2.8 3.8H-2.8L-4.5-1.4z"),
    ("<", "M-4.6 0L3.4-4.6V4.6z"),
    ("*", "M0-5.4L1.4-1.9L5.1-1.7L2.3.7L3.2 4.4L0 2.4L-3.2 4.4L-2.3.7L-5.1-1.7L-1.4-1.9z"),
    (">", "M4.6 0L-3.4-4.6V4.6z"),
)
LEFT_ID, RIGHT_ID = "beyond-left", "beyond-right"  # arrowheads for what lies beyond an axis
_DASHES = ((), (6, 2.5), (1.5, 2), (7, 2, 1.5, 2), (3, 2), (9, 3), (5, 2, 1.5, 2, 1.5, 2))


@dataclass(frozen=True)
class ArmStyle:
    """The look of the arm at one place in a study's order.

    Attributes:
        index: Of the arm, from 0.
    """

    index: int

    @property
    def css_class(self) -> str:
        """Class of the page's style that fills with the arm's color."""
        return f"a{self.index % COLORS}"

    @property
    def page_color(self) -> str:
        """The color as the page names it."""
        return f"var(--a{self.index % COLORS})"

    @property
    def stand_in(self) -> str:
        """The color to draw with in matplotlib, see `figure_svg.write_figure`."""
        return f"#0a{self.index % COLORS:02x}a0"

    @property
    def marker(self) -> str:
        """Matplotlib's name of the marker."""
        return _MARKERS[self.index % len(_MARKERS)][0]

    @property
    def marker_id(self) -> str:
        """Id of the marker's path on the page."""
        return f"m{self.index % len(_MARKERS)}"

    @property
    def dashes(self) -> tuple[float, ...]:
        """Lengths of dashes and gaps in units of a figure; none is a solid line."""
        return tuple(map(float, _DASHES[self.index % len(_DASHES)]))

    def swatch(self, *, line: bool = False) -> Markup:
        """Return the marker, on a piece of the arm's line if ``line``, to stand before its name."""
        width = 30 if line else 14
        svg = ET.Element("svg", {"class": f"swatch {self.css_class}", "aria-hidden": "true"})
        svg.set("width", str(width))
        svg.set("height", "14")
        if line:
            dashes = " ".join(f"{length:g}" for length in self.dashes)
            ends: dict[str, object] = {"x1": 0, "x2": width, "y1": 7, "y2": 7}
            add_element(svg, "line", {"class": "stroke", **ends, "stroke-dasharray": dashes})
        add_element(svg, "use", {"href": f"#{self.marker_id}", "x": width // 2, "y": 7})
        return to_markup(svg)


@dataclass(frozen=True)
class Arms:
    """The arms of a study in their order: how each is called and how it looks.

    Attributes:
        titles: Shown names by name.
        styles: By name.
    """

    titles: Mapping[str, str]
    styles: Mapping[str, ArmStyle]

    @classmethod
    def of(cls, named: Sequence[tuple[str, str]]) -> Arms:
        """Take (name, title) pairs."""
        return cls(dict(named), {name: ArmStyle(i) for i, (name, _) in enumerate(named)})

    def title(self, name: str) -> str:
        """Return the shown name, or the name of an arm that the study does not list."""
        return self.titles.get(name, name)

    def style(self, name: str) -> ArmStyle:
        """Return the look, that of a new arm for one that the study does not list."""
        return self.styles.get(name, ArmStyle(len(self.styles)))


def define_markers() -> Markup:
    """Return the hidden ``<svg>`` with every marker, also those of means and of ends of axes.

    It must stand before the first figure.
    """
    svg = ET.Element("svg", {"class": "store", "aria-hidden": "true", "width": "0"})
    svg.set("height", "0")
    defs = add_element(svg, "defs")
    for i, (_, path) in enumerate(_MARKERS):
        add_element(defs, "path", {"id": f"m{i}", "d": path})
    add_element(defs, "path", {"id": LEFT_ID, "d": "M-6 0L2-5V5z"})
    add_element(defs, "path", {"id": RIGHT_ID, "d": "M6 0L-2-5V5z"})
    add_element(defs, "path", {"id": "mean", "d": "M0-6.5L6.5 0L0 6.5L-6.5 0z"})
    return to_markup(svg)
