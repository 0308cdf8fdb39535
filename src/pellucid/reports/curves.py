"""Training curves as SVG text that takes its colors from the page, in light and in dark mode."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

# Matplotlib knows no CSS: it draws in these colors, which are then replaced by the page's.
_INK, _TRAIN, _VALIDATION, _SHADE = "#010203", "#020304", "#030405", "#040506"
_PAGE_COLORS = {
    _INK: "currentColor",
    _TRAIN: "var(--train)",
    _VALIDATION: "var(--validation)",
    _SHADE: "var(--shade)",
}
_SETTINGS: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pellucid",
    "font.family": ["sans-serif"],
    "font.size": 11.0,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "path.simplify": False,
}


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
        axes.axvspan(min(warm) - 0.5, max(warm) + 0.5, color=_SHADE, linewidth=0, label="warm-up")


def draw_curve(metrics: Sequence[Mapping[str, object]], quantity: str) -> Markup:
    """Return the curve of ``quantity`` ("loss" or "accuracy") by epoch, train and validation.

    Args:
        metrics: rows with epoch, phase, train_<quantity> and validation_<quantity>; a missing,
            None or non-finite value leaves a gap.
        quantity: "loss" or "accuracy" (in [0, 1], drawn in percent).
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    ordinal = [float(i) for i in range(1, len(metrics) + 1)]
    given = _series(metrics, "epoch")
    epochs = ordinal if any(math.isnan(epoch) for epoch in given) else given
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not change the report
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]  # keys are a Literal type there
        figure = Figure(figsize=(6.0, 3.1), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _shade_warm_up(axes, metrics, epochs)
        for part, color, marker in (("train", _TRAIN, "o"), ("validation", _VALIDATION, "s")):
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
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_fit_into_page(buffer.getvalue(), quantity))


def _fit_into_page(text: str, quantity: str) -> str:
    """Drop what would leak into the page (style, ids, sizes) and take the page's colors."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)  # it would style the page
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    prefix = f"curve-{quantity}-"
    text = text.replace(' id="', f' id="{prefix}').replace("url(#", f"url(#{prefix}")
    text = text.replace('href="#', f'href="#{prefix}')
    text = re.sub(r"font: (\d+(?:\.\d+)?)px [^;\"]*", r"font-size: \1px", text)
    for drawn, shown in _PAGE_COLORS.items():
        text = text.replace(drawn, shown)
    label = f"training and validation {quantity} by epoch"
    return text.replace("<svg ", f'<svg class="curve" role="img" aria-label="{label}" ', 1)
