"""Pages: the report of a tree, and the explanation of one image; one HTML file each."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import jinja2
import numpy as np
from markupsafe import Markup

from pellucid.reports.contents import (
    AccuracyRow,
    BoxPx,
    DecisionStep,
    ExplainedImage,
    PrototypePicture,
    TreeReport,
)
from pellucid.reports.curves import draw_curve
from pellucid.reports.picture_svg import (
    EmbeddedPicture,
    PictureStore,
    add_element,
    draw_boxed,
    draw_patch,
    to_markup,
)
from pellucid.reports.tree_layout import choose_levels, lay_out_tree, split_tree
from pellucid.reports.tree_svg import (
    ClassShare,
    count_leaves_below,
    draw_map,
    draw_part,
    largest_shares,
)

_LN2 = math.log(2)
_ON_ITS_PATCH = 1e-4  # a prototype nearer than this to its patch is that patch, to a reader


@dataclass(frozen=True, eq=False)
class _PartView:
    root: int
    level: int
    branches: int
    leaves: int
    svg: Markup


@dataclass(frozen=True, eq=False)
class _NeighborView:
    boxed: Markup
    patch: Markup
    class_name: str
    image_name: str
    distance: float


@dataclass(frozen=True, eq=False)
class _CardView:
    prototype: PrototypePicture
    boxed: Markup
    patch: Markup
    neighbors: tuple[_NeighborView, ...]
    same_class: int
    parent: int | None
    present: str  # where each answer leads, in words; empty where the tree is not on the page
    present_href: str
    absent: str
    absent_href: str


@dataclass(frozen=True, eq=False)
class _StepView:
    step: DecisionStep
    boxed: Markup
    patch: Markup
    prototype: PrototypePicture | None
    prototype_boxed: Markup
    prototype_patch: Markup


@dataclass(frozen=True, eq=False)
class _ExplainedView:
    image: ExplainedImage
    anchor: str
    picture: Markup
    shares: tuple[ClassShare, ...]
    steps: tuple[_StepView, ...]


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] as ``97.8 %``; "not measured" for None or NaN."""
    if value is None or not math.isfinite(value):
        return "not measured"
    return f"{100 * value:.{digits}f} %"


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


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pellucid.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["ln2"] = _LN2
    environment.filters["percent"] = percent
    environment.filters["plain"] = plain_number
    return environment


def _draw_interval(row: AccuracyRow, axis_low: float) -> Markup:
    """Return the interval as a line with a point, on an axis from ``axis_low`` to 1."""

    def along(value: float) -> float:
        return 4 + 132 * (value - axis_low) / (1 - axis_low)

    svg = ET.Element("svg", {"class": "interval", "viewBox": "0 0 140 16", "aria-hidden": "true"})
    svg.set("width", "140")
    svg.set("height", "16")
    ends = {"x1": 4.0, "x2": 136.0, "y1": 8, "y2": 8}
    add_element(svg, "line", {"class": "axis", **ends})
    span = {"x1": along(row.low), "x2": along(row.high), "y1": 8, "y2": 8}
    add_element(svg, "line", {"class": "span", **span})
    add_element(svg, "circle", {"class": "dot", "cx": along(row.value), "cy": 8, "r": 4})
    return to_markup(svg)


def write_verdict(report: TreeReport) -> str:
    """Return the one sentence a reader takes away: how often right, and what the pictures are."""
    parts = []
    row = report.headline_row
    if row is not None:
        who = "The hard tree" if "greedy" in row.label.lower() else f"The tree ({row.label})"
        parts.append(
            f"{who} answers {round(row.value * row.n)} of {row.n} test images right "
            f"({percent(row.value)}; 95 % interval {100 * row.low:.1f} to {percent(row.high)})"
        )
    if report.prototypes:
        distances = np.array([prototype.distance for prototype in report.prototypes])
        count = len(distances)
        covered = np.median(
            [
                BoxPx(*p.box).height * BoxPx(*p.box).width / (p.picture.shape[0] * p.picture.shape[1])
                for p in report.prototypes
            ]
        )
        if distances.max() < _ON_ITS_PATCH:
            parts.append(
                f"each of its {count} pictures is a real training patch and lies within "
                f"{distances.max():.1g} of the prototype it stands for"
            )
        else:
            parts.append(
                f"its {count} pictures are real training patches that only resemble the "
                f"prototypes: up to {distances.max():.2g} away (median {np.median(distances):.2g})"
            )
        parts.append(f"a box covers {percent(float(covered), 0)} of its picture in the median")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""


class _Illustrator:
    """Draws the pictures of one page; knows which are embedded and how large."""

    def __init__(self, prototypes: Sequence[PrototypePicture]) -> None:
        self.store = PictureStore()
        self._side_px = 448 if len(prototypes) <= 64 else 224
        self._neighbor_px = 160 if len(prototypes) <= 64 else 96
        self.prototypes = {prototype.branch: prototype for prototype in prototypes}
        self.embedded = {
            prototype.branch: self.store.add(prototype.picture, max_side_px=self._side_px)
            for prototype in prototypes
        }

    def _pair(
        self, embedded: EmbeddedPicture, box: BoxPx, side_px: float, what: str, name: str
    ) -> tuple[Markup, Markup]:
        boxed = draw_boxed(embedded, box, side_px=side_px, label=f"{what} boxed in {name}")
        patch = draw_patch(embedded, box, side_px=side_px, label=f"{what} enlarged")
        return to_markup(boxed), to_markup(patch)

    def card(self, prototype: PrototypePicture, report: TreeReport | None) -> _CardView:
        branch = prototype.branch
        boxed, patch = self._pair(
            self.embedded[branch],
            prototype.box,
            150,
            f"prototype of branch {branch}",
            prototype.image_name,
        )
        neighbors = []
        for near in prototype.neighbors:
            embedded = self.store.add(near.picture, max_side_px=self._neighbor_px)
            what = f"training patch, class {near.class_name},"
            pair = self._pair(embedded, near.box, 56, what, near.image_name)
            neighbors.append(
                _NeighborView(*pair, near.class_name, near.image_name, float(near.distance))
            )
        same = sum(near.class_name == prototype.class_name for near in prototype.neighbors)
        leads = ("", "", "", "")
        parent = None
        if report is not None:
            leads = (
                *_describe_child(report, int(report.right_child[branch])),
                *_describe_child(report, int(report.left_child[branch])),
            )
            above = np.flatnonzero(
                (np.asarray(report.left_child) == branch)
                | (np.asarray(report.right_child) == branch)
            )
            parent = int(above[0]) if len(above) else None
        return _CardView(prototype, boxed, patch, tuple(neighbors), same, parent, *leads)

    def explained(
        self, image: ExplainedImage, class_names: Sequence[str], anchor: str
    ) -> _ExplainedView:
        embedded = self.store.add(image.picture, max_side_px=448)
        steps = []
        for step in image.steps:
            what = f"patch nearest to branch {step.branch}"
            boxed, patch = self._pair(embedded, step.box, 112, what, image.name)
            prototype = self.prototypes.get(step.branch)
            theirs = (Markup(), Markup())
            if prototype is not None:
                what = f"prototype of branch {step.branch}"
                source = self.embedded[step.branch]
                theirs = self._pair(source, prototype.box, 112, what, prototype.image_name)
            steps.append(_StepView(step, boxed, patch, prototype, *theirs))
        whole = to_markup(draw_patch(embedded, embedded.whole, side_px=180, label=image.name))
        shares = largest_shares(image.class_probabilities, class_names, count=5)
        return _ExplainedView(image, anchor, whole, shares, tuple(steps))


def _describe_child(report: TreeReport, child: int) -> tuple[str, str]:
    if child >= 0:
        return f"branch {child}", f"#branch-{child}"
    share = largest_shares(report.leaf_distributions[~child], report.class_names, count=1)[0]
    return f"leaf {~child}: {share.class_name} {percent(share.probability, 0)}", f"#leaf-{~child}"


def render_report(report: TreeReport) -> str:
    """Return the report as one HTML page that needs no network, no script and no other file."""
    illustrator = _Illustrator(report.prototypes)
    layout = lay_out_tree(report.left_child, report.right_child)
    levels = choose_levels(layout.levels - 1, layout.rows)
    below = count_leaves_below(report)
    parts = tuple(
        _PartView(
            root=part.branches[0] if part.branches else -1,
            level=part.level,
            branches=len(part.branches),
            leaves=sum(end < 0 for end in part.ends),
            svg=draw_part(report, part, illustrator.embedded, below),
        )
        for part in split_tree(report.left_child, report.right_child, levels=levels)
    )
    axis_low = math.floor(10 * min([0.9, *(row.low for row in report.accuracy)])) / 10
    cards = tuple(
        illustrator.card(prototype, report)
        for prototype in sorted(report.prototypes, key=lambda prototype: prototype.branch)
    )
    explained = tuple(
        illustrator.explained(image, report.class_names, f"image-{i}")
        for i, image in enumerate(report.explained)
    )
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            title=report.title,
            warnings=report.warnings,
            verdict=write_verdict(report),
            accuracy=[(row, _draw_interval(row, axis_low)) for row in report.accuracy],
            axis_low=axis_low,
            branches=len(report.left_child),
            leaves=layout.rows,
            depth=layout.levels - 1,
            tree_map=draw_map(report) if len(parts) > 1 else None,
            parts=parts,
            cards=cards,
            explained=explained,
            curves=[draw_curve(report.metrics, name) for name in ("loss", "accuracy")]
            if report.metrics
            else [],
            configuration=list(flatten_configuration(report.configuration)),
            pictures=illustrator.store.definitions(),  # last: by now every picture is known
        )
    )


def render_explanation(
    explained: ExplainedImage,
    prototypes: Iterable[PrototypePicture],
    *,
    class_names: Sequence[str],
    title: str | None = None,
    subtitle: str = "",
    warnings: Sequence[str] = (),
) -> str:
    """Return one image's decision path as a page of its own, with a card for each branch on it.

    Args:
        explained: the image, its answer and its path.
        prototypes: the tree's prototypes; those not on the path are left out of the page.
        class_names: the classes in the order of ``explained.class_probabilities``.
        title: heading of the page; by default names the image.
        subtitle: line below it, for example which run answered.
        warnings: shown first.
    """
    on_path = {step.branch for step in explained.steps}
    illustrator = _Illustrator([p for p in prototypes if p.branch in on_path])
    view = illustrator.explained(explained, class_names, "image-0")
    cards = tuple(
        illustrator.card(illustrator.prototypes[step.branch], None)
        for step in explained.steps
        if step.branch in illustrator.prototypes
    )
    return (
        _environment()
        .get_template("explanation.html.j2")
        .render(
            title=title or f"Why {explained.name} is answered {explained.predicted_class}",
            subtitle=subtitle,
            warnings=tuple(warnings),
            view=view,
            cards=cards,
            pictures=illustrator.store.definitions(),
        )
    )


def write_report(report: TreeReport, path: str | Path) -> Path:
    """Write the report to ``path``: all of it, or nothing; return the path."""
    return write_page(render_report(report), path)


def write_page(text: str, path: str | Path) -> Path:
    """Write a page to ``path`` by way of a temporary file beside it; return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder name that is not UTF-8 reaches us as lone surrogates, which have no encoding.
    data = text.encode("utf-8", errors="backslashreplace")
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes it private; a report is to be passed on
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    return target
