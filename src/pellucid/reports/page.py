"""Pages: the report of a tree, and the explanation of one image; one HTML file each."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import jinja2
from markupsafe import Markup

from pellucid.reports.contents import (
    AccuracyRow,
    BoxPx,
    DecisionStep,
    ExplainedImage,
    OtherWay,
    PrototypePicture,
    TreeReport,
)
from pellucid.reports.curves import draw_curve
from pellucid.reports.embedded_script import embed_json
from pellucid.reports.interactive.script import page_script
from pellucid.reports.interactive.view_data import (
    FEW_PROTOTYPES,
    describe_images,
    describe_tree,
    neighbor_side_px,
    source_side_px,
)
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
    color_of_class,
    count_leaves_below,
    draw_map,
    draw_part,
    has_own_colors,
    largest_shares,
)
from pellucid.reports.wording import (
    flatten_configuration,
    percent,
    plain_number,
    write_distance,
    write_measure,
    write_verdict,
)

_LN2 = math.log(2)


@dataclass(frozen=True, eq=False)
class _PartView:
    root: int
    level: int
    branches: int
    way: tuple[tuple[int, bool], ...]  # the branches above it, and whether each was present
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


@functools.cache
def template_environment() -> jinja2.Environment:
    """Return what renders the templates: all text is escaped, and a missing name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pellucid.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["ln2"] = _LN2
    environment.filters["percent"] = percent
    environment.filters["distance"] = write_distance
    environment.filters["plain"] = plain_number
    environment.filters["measure"] = write_measure
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


class _Illustrator:
    """Draws the pictures of one page; knows which are embedded and how large."""

    def __init__(self, prototypes: Sequence[PrototypePicture]) -> None:
        self.store = PictureStore()
        self._side_px = source_side_px(len(prototypes))
        self._neighbor_px = neighbor_side_px(len(prototypes))
        self._shows_neighbors = len(prototypes) <= FEW_PROTOTYPES
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

    def card(
        self,
        prototype: PrototypePicture,
        report: TreeReport | None,
        parents: Mapping[int, tuple[int, bool]],
    ) -> _CardView:
        branch = prototype.branch
        boxed, patch = self._pair(
            self.embedded[branch],
            prototype.box,
            150,
            f"prototype of branch {branch}",
            prototype.image_name,
        )
        neighbors = []
        for near in prototype.neighbors if self._shows_neighbors else ():
            embedded = self.store.add(near.picture, max_side_px=self._neighbor_px)
            what = f"training patch, class {near.class_name},"
            pair = self._pair(embedded, near.box, 54, what, near.image_name)
            neighbors.append(
                _NeighborView(*pair, near.class_name, near.image_name, float(near.distance))
            )
        same = sum(near.class_name == prototype.class_name for near in prototype.neighbors)
        leads = ("", "", "", "")
        if report is not None:
            leads = (
                *_describe_child(report, int(report.right_child[branch]), self.prototypes),
                *_describe_child(report, int(report.left_child[branch]), self.prototypes),
            )
        parent = parents[branch][0] if branch in parents else None
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


def _find_parents(report: TreeReport) -> dict[int, tuple[int, bool]]:
    """Return for each branch but the root its parent, and whether it is the present child."""
    sides = ((report.left_child, False), (report.right_child, True))
    return {
        int(child): (parent, present)
        for side, present in sides
        for parent, child in enumerate(side)
        if child >= 0
    }


def _way_to(branch: int, parents: Mapping[int, tuple[int, bool]]) -> tuple[tuple[int, bool], ...]:
    way: list[tuple[int, bool]] = []
    while branch in parents:
        way.append(parents[branch])
        branch = way[-1][0]
    return tuple(reversed(way))


def _describe_child(
    report: TreeReport, child: int, with_card: Mapping[int, object]
) -> tuple[str, str]:
    if child >= 0:
        return f"branch {child}", f"#{'branch' if child in with_card else 'node'}-{child}"
    share = largest_shares(report.leaf_distributions[~child], report.class_names, count=1)[0]
    return f"leaf {~child}: {share.class_name} {percent(share.probability, 0)}", f"#leaf-{~child}"


def render_report(report: TreeReport, *, live: bool = False) -> str:
    """Return the report as one HTML page that needs no network and no other file.

    The tree is a view to work with, drawn by the script in the page; where scripts are off, the
    tree, its prototypes and the paths of its images stand there as still pictures.

    Args:
        report: What the page shows.
        live: Give the reader a place to drop an image of their own, which is sent to
            ``explain`` beside the page (multipart field ``image``) and answered with what
            `pellucid.reports.interactive.describe_image` returns, or ``{"error": "..."}``.
    """
    illustrator = _Illustrator(report.prototypes)
    layout = lay_out_tree(report.left_child, report.right_child)
    levels = choose_levels(layout.levels - 1, layout.rows)
    below = count_leaves_below(report)
    parents = _find_parents(report)
    parts = tuple(
        _PartView(
            root=part.branches[0] if part.branches else -1,
            level=part.level,
            branches=len(part.branches),
            way=_way_to(part.branches[0], parents) if part.branches else (),
            svg=draw_part(report, part, illustrator.embedded, below),
        )
        for part in split_tree(report.left_child, report.right_child, levels=levels)
    )
    axis_low = math.floor(10 * min([0.9, *(row.low for row in report.accuracy)])) / 10
    cards = tuple(
        illustrator.card(prototype, report, parents)
        for prototype in sorted(report.prototypes, key=lambda prototype: prototype.branch)
    )
    explained = tuple(
        illustrator.explained(image, report.class_names, f"image-{i}")
        for i, image in enumerate(report.explained)
    )
    data = {
        "tree": describe_tree(report, illustrator.store),
        "images": describe_images(report.explained, illustrator.store),
        "live": live,
    }
    script, source = page_script(live)
    policy = f"script-src {source}; require-trusted-types-for 'script'; trusted-types 'none'; "
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            live=live,
            data=embed_json(data),
            script=script,
            script_source=policy + ("connect-src 'self'; " if live else ""),
            image_source="data: blob:" if live else "data:",
            title=report.title,
            warnings=report.warnings,
            verdict=write_verdict(report),
            accuracy=[(row, _draw_interval(row, axis_low)) for row in report.accuracy],
            axis_low=axis_low,
            branches=len(report.left_child),
            leaves=layout.rows,
            depth=layout.levels - 1,
            tree_map=draw_map(report) if len(parts) > 1 else None,
            class_colors=[
                (name, color_of_class(i, len(report.class_names)))
                for i, name in enumerate(report.class_names)
            ]
            if has_own_colors(len(report.class_names))
            else [],
            parts=parts,
            cards=cards,
            explained=explained,
            curves=[draw_curve(report.metrics, name) for name in ("loss", "accuracy")]
            if report.metrics
            else [],
            configuration=list(flatten_configuration(report.configuration)),
            stored=illustrator.store.definitions(),  # last: by now every picture is known
            pictures="",
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
    runner_up: OtherWay | None = None,
) -> str:
    """Return one image's decision path as a page of its own, with a card for each branch on it.

    Args:
        explained: the image, its answer and its path.
        prototypes: the tree's prototypes; those not on the path are left out of the page.
        class_names: the classes in the order of ``explained.class_probabilities``.
        title: heading of the page; by default names the image.
        subtitle: line below it, for example which run answered.
        warnings: shown first.
        runner_up: what would lead to the runner-up, if any leaf answers with it.
    """
    on_path = {step.branch for step in explained.steps}
    illustrator = _Illustrator([p for p in prototypes if p.branch in on_path])
    view = illustrator.explained(explained, class_names, "image-0")
    cards = tuple(
        illustrator.card(illustrator.prototypes[step.branch], None, {})
        for step in explained.steps
        if step.branch in illustrator.prototypes
    )
    return (
        template_environment()
        .get_template("explanation.html.j2")
        .render(
            title=title or f"Why {explained.name} is answered {explained.predicted_class}",
            subtitle=subtitle,
            warnings=tuple(warnings),
            view=view,
            cards=cards,
            runner_up=runner_up,
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
    handle, temporary = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
    )
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
