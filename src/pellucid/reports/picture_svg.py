"""Pictures in a page: each is embedded once, and shown any number of times, whole or cropped.

A picture is an ``<image>`` in one hidden ``<svg>``; each showing is a ``<use>`` of it inside a
small ``<svg>`` whose view box is in the pixels of the original, so that boxes need no scaling and
the embedded copy may be smaller than the original.
"""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from markupsafe import Markup
from PIL import Image

from pellucid.reports.contents import BoxPx

# Below this many pixels a side, enlarged pixels look better sharp than smeared.
_PIXELATED_BELOW_PX = 128
_LOSSLESS_UP_TO_PX = 72
_MANY_PICTURES = 200


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture in the page: the id of its ``<image>`` and the size of the original."""

    identifier: str
    height_px: int
    width_px: int

    @property
    def whole(self) -> BoxPx:
        """The box around all of it."""
        return BoxPx(0, 0, self.height_px, self.width_px)


def add_element(
    parent: ET.Element, tag: str, attributes: dict[str, object] | None = None, text: str = ""
) -> ET.Element:
    """Append a child element; numbers are written short, text is escaped on output."""
    written = {
        name: f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in (attributes or {}).items()
    }
    child = ET.SubElement(parent, tag, written)
    if text:
        child.text = text
    return child


def to_markup(element: ET.Element) -> Markup:
    """Return the element as text that templates do not escape again."""
    return Markup(ET.tostring(element, encoding="unicode"))


class PictureStore:
    """The pictures of one page, each held once by its content."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[EmbeddedPicture, np.ndarray, int]] = {}

    def add(self, picture: np.ndarray, *, max_side_px: int) -> EmbeddedPicture:
        """Hold a uint8 picture (height, width, 3), to be embedded at ``max_side_px`` or more."""
        digest = hashlib.blake2b(np.ascontiguousarray(picture).tobytes(), digest_size=16)
        digest.update(repr(picture.shape).encode())
        key = digest.digest()
        held = self._held.get(key)
        if held is None:
            embedded = EmbeddedPicture(f"p{len(self._held)}", *picture.shape[:2])
            self._held[key] = (embedded, picture, max_side_px)
            return embedded
        if held[2] < max_side_px:
            self._held[key] = (held[0], picture, max_side_px)
        return held[0]

    def __len__(self) -> int:
        return len(self._held)

    def definitions(self) -> Markup:
        """Return the hidden ``<svg>`` with every picture; put it before the first use."""
        svg = ET.Element("svg", {"class": "store", "aria-hidden": "true", "width": "0"})
        svg.set("height", "0")
        defs = add_element(svg, "defs")
        quality = 76 if len(self._held) > _MANY_PICTURES else 88
        for embedded, picture, max_side_px in self._held.values():
            attributes: dict[str, object] = {
                "id": embedded.identifier,
                "width": embedded.width_px,
                "height": embedded.height_px,
                "preserveAspectRatio": "none",
                "href": encode_picture(picture, max_side_px=max_side_px, quality=quality),
            }
            if max(embedded.height_px, embedded.width_px) < _PIXELATED_BELOW_PX:
                attributes["class"] = "px"
            add_element(defs, "image", attributes)
        return to_markup(svg)


def encode_picture(picture: np.ndarray, *, max_side_px: int, quality: int) -> str:
    """Return a data URI: PNG for small pictures, JPEG for the others, shrunk to ``max_side_px``."""
    grey = bool((picture[..., 0] == picture[..., 1]).all() and (picture == picture[..., :1]).all())
    image = Image.fromarray(np.ascontiguousarray(picture[..., 0] if grey else picture))
    image.thumbnail((max_side_px, max_side_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= _LOSSLESS_UP_TO_PX:
        image.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _fit(box: BoxPx, side_px: float) -> tuple[float, float]:
    scale = side_px / max(box.height, box.width)
    return box.height * scale, box.width * scale


def _view(
    embedded: EmbeddedPicture, view: BoxPx, *, side_px: float, label: str, kind: str
) -> ET.Element:
    height, width = _fit(view, side_px)
    svg = ET.Element(
        "svg",
        {
            "class": kind,
            "viewBox": f"{view.left} {view.top} {view.width} {view.height}",
            "width": f"{width:.6g}",
            "height": f"{height:.6g}",
        },
    )
    if label:
        svg.set("role", "img")
        svg.set("aria-label", label)
        add_element(svg, "title", text=label)
    else:
        svg.set("aria-hidden", "true")
    add_element(svg, "use", {"href": f"#{embedded.identifier}"})
    return svg


def draw_boxed(
    embedded: EmbeddedPicture, box: BoxPx, *, side_px: float, label: str = ""
) -> ET.Element:
    """Return an ``<svg>`` of the whole picture with the box outlined, fit into a square."""
    svg = _view(embedded, embedded.whole, side_px=side_px, label=label, kind="boxed")
    outline = BoxPx(*box)
    for kind in ("box-under", "box-over"):  # dark under light: seen on any picture
        attributes: dict[str, object] = {
            "class": kind,
            "x": outline.left,
            "y": outline.top,
            "width": outline.width,
            "height": outline.height,
        }
        add_element(svg, "rect", attributes)
    return svg


def draw_patch(
    embedded: EmbeddedPicture, box: BoxPx, *, side_px: float, label: str = ""
) -> ET.Element:
    """Return an ``<svg>`` of what is inside the box, enlarged to fit into a square."""
    return _view(embedded, BoxPx(*box), side_px=side_px, label=label, kind="patch")
