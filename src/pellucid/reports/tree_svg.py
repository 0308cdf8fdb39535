"""The tree as SVG: a picture at each branch, class bars at each leaf, and a map of the whole."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from markupsafe import Markup

from pellucid.reports.contents import PrototypePicture, TreeReport
from pellucid.reports.picture_svg import (
    EmbeddedPicture,
    add_element,
    draw_boxed,
    draw_patch,
    to_markup,
)
from pellucid.reports.tree_layout import (
    TreePart,
    lay_out_tree,
    preorder,
    smallest_row_height_px,
)

_SIDE_PX = 70.0  # of a picture at a branch
_CAPTION_PX = 17.0
_BETWEEN_PX = 4.0  # picture and patch
_EDGE_PX = 68.0  # horizontal room of an edge
_LEAF_WIDTH_PX = 176.0
_BAR_ROW_PX = 16.0
_GAP_PX = 14.0
_MARGIN_PX = 6.0
_FEW_CLASSES = 10
BRANCH_WIDTH_PX = 2 * _SIDE_PX + _BETWEEN_PX
_BRANCH_HEIGHT_PX = _CAPTION_PX + _SIDE_PX
_LEAF_HEIGHT_PX = _CAPTION_PX + 3 * _BAR_ROW_PX


@dataclass(frozen=True)
class ClassShare:
    """One class bar: the class, its name, its probability and the CSS class of its color."""

    class_name: str
    probability: float
    color: str


def has_own_colors(classes: int) -> bool:
    """Return whether there are few enough classes to give each a color of its own."""
    return classes <= _FEW_CLASSES


def color_of_class(index: int, classes: int) -> str:
    """Return the CSS class that colors a class: its own among few classes, else one for all."""
    return f"k{index}" if has_own_colors(classes) else "kx"


def largest_shares(
    probabilities: np.ndarray, class_names: Sequence[str], *, count: int
) -> tuple[ClassShare, ...]:
    """Return the at most ``count`` most probable classes, the first of equals first.

    A class that would be written as 0 % is left out.
    """
    values = np.asarray(probabilities, dtype=float)
    order = np.argsort(-values, kind="stable")[:count]
    order = [int(i) for rank, i in enumerate(order) if rank == 0 or values[i] >= 0.005]
    return tuple(
        ClassShare(class_names[i], float(values[i]), color_of_class(i, len(class_names)))
        for i in order
    )


def text_width_px(text: str, font_px: float, *, bold: bool = False) -> float:
    """Return about how wide a line of sans-serif text is; wide fonts (DejaVu) are the measure."""
    em = 0.0
    for character in text:
        if unicodedata.combining(character):
            continue
        if unicodedata.east_asian_width(character) in "WF":
            em += 1.0
        elif character in "mwMW@%<>=+~#&":
            em += 0.95
        elif character in "ijlItfr .,:;'|!()[]":
            em += 0.4
        else:
            em += 0.72 if character.isupper() else 0.63
    return em * font_px * (1.12 if bold else 1.0)


def shorten(text: str, width_px: float, font_px: float, *, bold: bool = False) -> str:
    """Return ``text``, cut and ended with an ellipsis where it is wider than ``width_px``."""
    if text_width_px(text, font_px, bold=bold) <= width_px:
        return text
    kept = text
    while kept and text_width_px(f"{kept}…", font_px, bold=bold) > width_px:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"


def _draw_leaf(parent: ET.Element, leaf: int, report: TreeReport, left: float, mid: float) -> None:
    shares = largest_shares(report.leaf_distributions[leaf], report.class_names, count=3)
    spoken = ", ".join(f"{share.class_name} {_percent(share.probability)}" for share in shares)
    group = add_element(parent, "g", {"id": f"leaf-{leaf}", "class": "leaf", "role": "img"})
    group.set("aria-label", f"leaf {leaf}: {spoken}")
    add_element(group, "title", text=f"leaf {leaf}: {spoken}")
    top = mid - (_CAPTION_PX + len(shares) * _BAR_ROW_PX) / 2
    add_element(group, "text", {"class": "small", "x": left, "y": top + 11}, f"leaf {leaf}")
    name_px, bar_px = 92.0, 44.0
    for position, share in enumerate(shares):
        y = top + _CAPTION_PX + position * _BAR_ROW_PX
        kind = "name first" if position == 0 else "name"
        name = shorten(share.class_name, name_px - 5, 12, bold=position == 0)
        add_element(group, "text", {"class": kind, "x": left, "y": y + 11.5}, name)
        bar = {"class": "track", "x": left + name_px, "y": y + 2, "height": 11, "width": bar_px}
        add_element(group, "rect", {**bar})
        bar |= {"class": share.color, "width": max(bar_px * share.probability, 0.75)}
        add_element(group, "rect", {**bar})
        attributes = {"class": "number", "x": left + _LEAF_WIDTH_PX, "y": y + 11.5}
        add_element(group, "text", {**attributes}, _percent(share.probability))


def _draw_branch(
    parent: ET.Element,
    branch: int,
    prototype: PrototypePicture | None,
    embedded: EmbeddedPicture | None,
    left: float,
    mid: float,
) -> None:
    top = mid - _SIDE_PX / 2  # the pictures are centered on the row, the caption stands above
    if prototype is None or embedded is None:
        label = f"branch {branch}: no picture"
    else:
        label = (
            f"branch {branch}: patch of {prototype.image_name}, class {prototype.class_name}; "
            "go to its card"
        )
    link = add_element(parent, "a", {"id": f"node-{branch}"})
    if prototype is not None:
        link.set("href", f"#branch-{branch}")
    link.set("class", "branch")
    link.set("aria-label", label)
    add_element(link, "title", text=label)
    frame = {"class": "frame", "x": left - 4, "y": top - _CAPTION_PX - 1, "rx": 5}
    size = {"width": BRANCH_WIDTH_PX + 8, "height": _BRANCH_HEIGHT_PX + 5}
    add_element(link, "rect", {**frame, **size})
    caption = f"branch {branch}"
    add_element(link, "text", {"class": "caption", "x": left, "y": top - 5}, caption)
    if prototype is None or embedded is None:
        attributes = {"class": "track", "x": left, "y": top, "width": BRANCH_WIDTH_PX}
        add_element(link, "rect", {**attributes, "height": _SIDE_PX})
        return
    name_left = left + BRANCH_WIDTH_PX
    room_px = BRANCH_WIDTH_PX - text_width_px(caption, 12, bold=True) - 6
    name = shorten(prototype.class_name, room_px, 11.5)
    add_element(link, "text", {"class": "number", "x": name_left, "y": top - 5}, name)
    for position, draw in enumerate((draw_boxed, draw_patch)):
        svg = draw(embedded, prototype.box, side_px=_SIDE_PX)
        height, width = float(svg.get("height", 0)), float(svg.get("width", 0))
        cell = left + position * (_SIDE_PX + _BETWEEN_PX)
        svg.set("x", f"{cell + (_SIDE_PX - width) / 2:.6g}")
        svg.set("y", f"{top + (_SIDE_PX - height) / 2:.6g}")
        link.append(svg)


def _draw_continuation(
    parent: ET.Element, branch: int, leaves: int, left: float, mid: float
) -> None:
    label = f"branch {branch} and the {leaves} leaves below it: next figure"
    link = add_element(parent, "a", {"href": f"#part-{branch}", "class": "branch"})
    link.set("aria-label", label)
    add_element(link, "title", text=label)
    frame = {"class": "more", "x": left, "y": mid - 20, "rx": 20, "height": 40}
    add_element(link, "rect", {**frame, "width": _LEAF_WIDTH_PX})
    caption = {"class": "caption", "x": left + 16, "y": mid - 2}
    add_element(link, "text", {**caption}, f"branch {branch} →")
    below = {"class": "small", "x": left + 16, "y": mid + 12}
    add_element(link, "text", {**below}, f"{leaves} leaves, next figure")


def _draw_edge(
    parent: ET.Element, start: tuple[float, float], stop: tuple[float, float], kind: str
) -> None:
    (x0, y0), (x1, y1) = start, stop
    turn, radius = x0 + 9, min(8.0, abs(y1 - y0) / 2)
    down = 1 if y1 > y0 else -1
    line = (
        f"M{x0:.1f} {y0:.1f}H{turn - radius:.1f}Q{turn:.1f} {y0:.1f} {turn:.1f} "
        f"{y0 + down * radius:.1f}V{y1 - down * radius:.1f}Q{turn:.1f} {y1:.1f} "
        f"{turn + radius:.1f} {y1:.1f}H{x1:.1f}"
    )
    add_element(parent, "path", {"class": f"edge {kind}", "d": line})
    add_element(parent, "text", {"class": "small end", "x": x1 - 1, "y": y1 - 4}, kind)


def count_leaves_below(report: TreeReport) -> np.ndarray:
    """Return how many leaves lie below each branch: shape (branches,)."""
    count = np.zeros(len(report.left_child), dtype=np.int64)
    for node in reversed(preorder(report.left_child, report.right_child)):
        if node >= 0:
            for child in (int(report.left_child[node]), int(report.right_child[node])):
                count[node] += count[child] if child >= 0 else 1
    return count


def draw_part(
    report: TreeReport,
    part: TreePart,
    embedded: Mapping[int, EmbeddedPicture],
    leaves_below: np.ndarray,
) -> Markup:
    """Return one part of the tree as SVG: pictures at branches, class bars at leaves.

    Args:
        report: the tree and what its nodes show.
        part: which nodes.
        embedded: the picture of each branch that has one.
        leaves_below: leaves below each branch, shape (branches,).
    """
    layout = lay_out_tree(part.left_child, part.right_child)
    row_px = smallest_row_height_px(
        branch_height_px=_BRANCH_HEIGHT_PX + 8, leaf_height_px=_LEAF_HEIGHT_PX, gap_px=_GAP_PX
    )
    level_px = BRANCH_WIDTH_PX + _EDGE_PX
    prototypes = {prototype.branch: prototype for prototype in report.prototypes}
    width = 2 * _MARGIN_PX + (layout.levels - 1) * level_px + _LEAF_WIDTH_PX
    height = 2 * _MARGIN_PX + layout.rows * row_px + _CAPTION_PX

    def place(level: int, row: float) -> tuple[float, float]:
        return _MARGIN_PX + level * level_px, _MARGIN_PX + _CAPTION_PX + (row + 0.5) * row_px

    svg = ET.Element("svg", {"class": "tree", "viewBox": f"0 0 {width:.0f} {height:.0f}"})
    svg.set("width", f"{width:.0f}")
    svg.set("height", f"{height:.0f}")
    edges = add_element(svg, "g", {"aria-hidden": "true"})
    for local, branch in enumerate(part.branches):
        left, mid = place(int(layout.branch_level[local]), float(layout.branch_row[local]))
        children = ((part.right_child[local], "present"), (part.left_child[local], "absent"))
        for child, kind in children:
            level = layout.branch_level[child] if child >= 0 else layout.leaf_level[~child]
            row = layout.branch_row[child] if child >= 0 else layout.leaf_row[~child]
            stop_left, stop_mid = place(int(level), float(row))
            start = (left + BRANCH_WIDTH_PX + 4, mid)
            _draw_edge(edges, start, (stop_left - 6, stop_mid), kind)
        _draw_branch(svg, branch, prototypes.get(branch), embedded.get(branch), left, mid)
    for local, end in enumerate(part.ends):
        left, mid = place(int(layout.leaf_level[local]), float(layout.leaf_row[local]))
        if end < 0:
            _draw_leaf(svg, ~end, report, left, mid)
        else:
            _draw_continuation(svg, end, int(leaves_below[end]), left, mid)
    return to_markup(svg)


def draw_map(report: TreeReport) -> Markup:
    """Return the whole tree in one small SVG without pictures: points link to the figures."""
    layout = lay_out_tree(report.left_child, report.right_child)
    row_px = max(1.2, min(14.0, 620.0 / layout.rows))
    width, margin, leaf_px = 1000.0, 8.0, 46.0
    level_px = (width - 2 * margin - leaf_px) / max(1, layout.levels - 1)
    height = layout.rows * row_px + 2 * margin
    classes = len(report.class_names)
    svg = ET.Element("svg", {"class": "map", "viewBox": f"0 0 {width:.0f} {height:.0f}"})

    def place(level: int, row: float) -> tuple[float, float]:
        return margin + level * level_px, margin + (row + 0.5) * row_px

    weight = {"class": "dense"} if row_px < 4 else {}
    lines = add_element(svg, "g", {"aria-hidden": "true", **weight})
    for branch in range(len(report.left_child)):
        x0, y0 = place(int(layout.branch_level[branch]), float(layout.branch_row[branch]))
        for child in (int(report.right_child[branch]), int(report.left_child[branch])):
            kind = "present" if child == int(report.right_child[branch]) else "absent"
            level = layout.branch_level[child] if child >= 0 else layout.leaf_level[~child]
            row = layout.branch_row[child] if child >= 0 else layout.leaf_row[~child]
            x1, y1 = place(int(level), float(row))
            mid = (x0 + x1) / 2
            line = f"M{x0:.1f} {y0:.1f}C{mid:.1f} {y0:.1f} {mid:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
            add_element(lines, "path", {"class": f"thin {kind}", "d": line})
    for branch in range(len(report.left_child)):
        x, y = place(int(layout.branch_level[branch]), float(layout.branch_row[branch]))
        link = add_element(svg, "a", {"href": f"#node-{branch}"})
        link.set("aria-label", f"branch {branch} in the tree")
        add_element(link, "title", text=f"branch {branch}")
        radius = max(min(2.0, 0.7 * row_px), 6.0 - 0.6 * float(layout.branch_level[branch]))
        add_element(link, "circle", {"class": "dot", "cx": x, "cy": y, "r": radius})
    for leaf in range(layout.rows):
        x, y = place(int(layout.leaf_level[leaf]), float(layout.leaf_row[leaf]))
        best = int(np.argmax(report.leaf_distributions[leaf]))
        share = float(report.leaf_distributions[leaf][best])
        link = add_element(svg, "a", {"href": f"#leaf-{leaf}", "tabindex": -1})
        label = f"leaf {leaf}: {report.class_names[best]} {_percent(share)}"
        link.set("aria-label", label)
        add_element(link, "title", text=label)
        bar = {"class": color_of_class(best, classes), "x": x, "y": y - row_px * 0.4}
        size = {"width": max(2.0, leaf_px * share), "height": row_px * 0.8}
        add_element(link, "rect", {**bar, **size})
    return to_markup(svg)
