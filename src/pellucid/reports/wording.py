"""How numbers and findings are put into words, so that all pages write them alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from pellucid.reports.contents import BoxPx, TreeReport

_ON_ITS_PATCH = 1e-4  # a prototype nearer than this to its patch is that patch, to a reader


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] as ``97.8 %``; "not measured" for None or NaN."""
    if value is None or not math.isfinite(value):
        return "not measured"
    return f"{100 * value:z.{digits}f}\N{NO-BREAK SPACE}%"


def write_distance(value: float) -> str:
    """Return a latent distance; one below what float32 resolves as ``< 1e-6``."""
    if not math.isfinite(value):
        return "unbounded"
    return "<\N{NO-BREAK SPACE}1e\N{NON-BREAKING HYPHEN}6" if value < 1e-6 else f"{value:.3f}"


def write_measure(value: float, unit: str) -> str:
    """Return a measure in its unit: a ``share`` or ``relative change`` in percent."""
    if unit in ("share", "relative change"):
        text = percent(value)
    else:
        text = f"{value:z.1f}" if unit == "count" else f"{value:z.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def plain_number(value: object) -> str:
    """Return a number as people write it, anything else as its text."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            return "not measured"
        if value == int(value) and abs(value) < 1e9:
            return str(int(value))
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain_number(item) for item in value)
    return "none" if value is None else str(value)


def flatten_configuration(
    configuration: Mapping[str, object], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """Yield the settings with dotted keys, in the order given."""
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            yield from flatten_configuration(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def write_verdict(report: TreeReport) -> str:
    """Return the one sentence a reader takes away: how often right, and what the pictures are."""
    parts = []
    row = report.headline_row
    if row is not None:
        who = "The hard tree" if "greedy" in row.label.lower() else f"The tree ({row.label})"
        parts.append(
            f"{who} answers {round(row.value * row.n)} of {row.n} test images right "
            f"({percent(row.value)}; {percent(0.95, 0)} interval {100 * row.low:.1f} to "
            f"{percent(row.high)})"
        )
    if report.prototypes:
        distances = np.array([prototype.distance for prototype in report.prototypes])
        count = len(distances)
        covered = np.median(
            [
                BoxPx(*p.box).height
                * BoxPx(*p.box).width
                / (p.picture.shape[0] * p.picture.shape[1])
                for p in report.prototypes
            ]
        )
        if distances.max() < _ON_ITS_PATCH:
            near = f"within {distances.max():.0e} of" if distances.max() > 0 else "exactly on"
            each = f"each of its {count} pictures" if count > 1 else "its one picture"
            parts.append(
                f"{each} is a real training patch and lies {near} the prototype it stands for"
            )
        elif count == 1:
            parts.append(
                "its one picture is a real training patch that only resembles the prototype: "
                f"{distances.max():.2g} away"
            )
        else:
            parts.append(
                f"its {count} pictures are real training patches that only resemble the "
                f"prototypes: up to {distances.max():.2g} away (median {np.median(distances):.2g})"
            )
        parts.append(f"a box covers {percent(float(covered), 0)} of its picture in the median")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""
