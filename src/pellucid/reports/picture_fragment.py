"""A few pictures with words, as HTML to be put into someone else's page, such as a notebook.

Such a page has styles and identifiers of its own: the fragment uses none, takes the page's colors
and fonts, and holds its pictures itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import numpy as np

from pellucid.reports.contents import BoxPx
from pellucid.reports.picture_svg import encode_picture

_SIDE_PX = 72
_WHOLE_PX = 120


@dataclass(frozen=True, eq=False)
class PictureRow:
    """One line: a picture with a box, beside it perhaps another one, and what they say.

    Attributes:
        text: What is said.
        note: Less important.
        picture: uint8 (height, width, 3).
        box: Outlined in it.
        other: Another one.
        other_box: Outlined in that.
    """

    text: str
    note: str
    picture: np.ndarray
    box: BoxPx
    other: np.ndarray | None = None
    other_box: BoxPx | None = None


@dataclass(frozen=True)
class _Shown:
    href: str
    height_px: int
    width_px: int
    shown_height_px: float
    shown_width_px: float
    box: BoxPx | None


def render_fragment(
    *,
    heading: str,
    summary: str,
    picture: np.ndarray,
    rows: Sequence[PictureRow],
    closing: Sequence[str] = (),
) -> str:
    """Return a heading, a picture, rows of pictures and closing lines as one HTML element.

    Args:
        heading: Above all.
        summary: Below it.
        picture: uint8 (height, width, 3).
        rows: In their order.
        closing: One line each.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pellucid.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("fragment.html.j2").render(
        heading=heading,
        summary=summary,
        whole=_show(picture, None, _WHOLE_PX),
        rows=[
            (row, _show(row.picture, row.box, _SIDE_PX), _show(row.other, row.other_box, _SIDE_PX))
            for row in rows
        ],
        closing=closing,
    )


def _show(picture: np.ndarray | None, box: BoxPx | None, side_px: int) -> _Shown | None:
    if picture is None:
        return None
    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    # Twice as many pixels as shown, for screens that have them.
    href = encode_picture(picture, max_side_px=2 * side_px, quality=85)
    return _Shown(href, height, width, round(height * scale, 2), round(width * scale, 2), box)
