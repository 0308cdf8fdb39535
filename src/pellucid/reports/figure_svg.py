"""Matplotlib figures as SVG text that takes its colors from the page, in light and in dark mode."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Matplotlib knows no CSS: it draws in these colors, which are then replaced by the page's.
INK, TRAIN, VALIDATION, SHADE, SOFT = "#010203", "#020304", "#030405", "#040506", "#050607"
_PAGE_COLORS = {
    INK: "currentColor",
    TRAIN: "var(--train)",
    VALIDATION: "var(--validation)",
    SHADE: "var(--shade)",
    SOFT: "var(--soft)",
}
_SETTINGS: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pellucid",
    "font.family": ["sans-serif"],
    "font.size": 11.0,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "path.simplify": False,
}
_COORDINATES = re.compile(r' (d|x|y|x1|x2|y1|y2|transform)="([^"]*)"')
_CURVE_LENGTH = 600  # a longer path is a curve or a band, a shorter one a marker or a line
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")


@contextlib.contextmanager
def page_settings() -> Iterator[None]:
    """Draw with the page's settings, whatever the user's matplotlibrc says."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]  # keys are a Literal type there
        yield


def create_figure(width_in: float, height_in: float, **options: object) -> Figure:
    """Return an empty figure that draws SVG; a 72nd of an inch is a unit of the SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), **options)  # type: ignore[arg-type]
    FigureCanvasSVG(figure)
    return figure


def write_figure(
    figure: Figure, *, name: str, label: str, colors: Mapping[str, str] | None = None
) -> Markup:
    """Return a figure as SVG text without what would leak into the page (style, ids, sizes).

    Args:
        figure: Without text that a user wrote: colors are replaced wherever they stand.
        name: Of the figure on its page; makes its ids its own.
        label: What is seen, for those who do not see it; any text.
        colors: CSS colors by the stand-in that was drawn with, besides the ones given here.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)  # it would style the page
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # no link leads to a group
    text = text.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    text = text.replace('href="#', f'href="#{name}-')
    text = re.sub(r"font: (\d+(?:\.\d+)?)px [^;\"]*", r"font-size: \1px", text)
    text = _COORDINATES.sub(_shorten, text)
    text = re.sub(r">\s+<", "><", text)
    for drawn, shown in {**_PAGE_COLORS, **(colors or {})}.items():
        text = text.replace(drawn, shown)
    opening = f'<svg class="curve" role="img" aria-label="{escape(label)}" '
    return Markup(text.replace("<svg ", opening, 1))


def write_percent_tick(share: float, _: object = None) -> str:
    """Return a share on an axis as ``80 %``, as the page writes it."""
    return f"{round(100 * share, 6):g}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def _shorten(attribute: re.Match[str]) -> str:
    """Return an attribute with few decimals: curves need a tenth of a unit, markers a hundredth."""
    digits = 1 if len(attribute[2]) > _CURVE_LENGTH else 2
    numbers = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.{digits}f}", attribute[2])
    return f' {attribute[1]}="{" ".join(numbers.split())}"'
