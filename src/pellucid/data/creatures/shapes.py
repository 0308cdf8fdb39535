"""Eggs: one family of shapes for everything, and how a batch of them is painted.

An egg has its own axes, ``u`` along and ``v`` across. With ``U = u / along`` its half width there
is ``w(U) = across · (1 - taper · U)``, and with ``V = (v - bend · U²) / w`` it is the set ``K ≤ 1``
of ``K² = (1 - square) · (U² + V²) + square · sqrt(U⁴ + V⁴)``: an ellipse (``square = 0``), a
rounded box (1), a drop or a triangle (``taper`` near 1), a banana (``bend``).

The distance to the edge is taken to first order, ``(K - 1) / |∇K|`` (Taubin 1994), and the edge is
a ramp one pixel wide. Every operation on pixels is one that IEEE 754 rounds exactly (+, -, ·, /,
square root, comparison), so a picture is the same to the last bit in every batch, on any number of
threads and on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# Where a pixel is covered at least this much, it belongs to the shape.
_COVERED = 0.5
_THINNEST = 0.05  # the half width's lower end, in units of `across`
_TINY = np.float32(1e-12)


@dataclass(frozen=True)
class Eggs:
    """Shapes of b images in s places, back to front; lengths in px of the canvas.

    Attributes:
        present: Whether there is a shape, bool (b, s).
        code: What the shape belongs to, for the label map, int (b, s).
        x: Column of the center, float32 (b, s); pixel centers lie at .5.
        y: Row of the center.
        cosine: Of the angle of ``u`` with the columns' direction.
        sine: Of the same angle; positive turns ``u`` downward.
        along: Half length.
        across: Half width at the middle.
        taper: In [-0.95, 0.95]; positive is narrower toward positive ``u``.
        bend: How far the ends lie to the side, px.
        square: In [0, 1]; see the module.
        outline_px: Width of the outline, inside the edge.
        color: Of the inside, float32 (b, s, 3) in [0, 1].
        outline_color: float32 (b, s, 3).
    """

    present: NDArray[np.bool_]
    code: NDArray[np.int64]
    x: Floats
    y: Floats
    cosine: Floats
    sine: Floats
    along: Floats
    across: Floats
    taper: Floats
    bend: Floats
    square: Floats
    outline_px: Floats
    color: Floats
    outline_color: Floats

    def rows(self, start: int, stop: int) -> Eggs:
        """Return the shapes of images ``start`` to ``stop``."""
        return Eggs(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})


def join_eggs(parts: list[Eggs]) -> Eggs:
    """Return all places of all parts, in this order."""
    return Eggs(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=1)
            for field in fields(Eggs)
        }
    )


def unit_vectors(degrees: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cosine and sine by rational operations only, right to 1e-7.

    The library's own may differ in the last bit between machines.
    """
    quarter = np.rint(degrees / 90.0)
    half = (degrees - 90.0 * quarter) * (np.pi / 360.0)
    squared = half * half
    tangent = half * (15.0 - squared) / (15.0 - 6.0 * squared)
    scale = 1.0 / (1.0 + tangent * tangent)
    cosine, sine = (1.0 - tangent * tangent) * scale, 2.0 * tangent * scale
    turns = quarter.astype(np.int64) % 4
    return (
        np.choose(turns, [cosine, -sine, -cosine, sine]),
        np.choose(turns, [sine, cosine, -sine, -cosine]),
    )


class Canvas:
    """Pictures of some images, and on request what each pixel shows.

    Args:
        pixels: float32 (3, b, height, width), painted in place.
        annotate: Keep ``labels`` and ``touched``.

    Attributes:
        labels: Code of the topmost shape that covers at least half of the pixel, int8 (b, h, w).
        touched: Bit ``code`` is set where a shape of this code has a share in the color, however
            small, bit 0 where the background has; int32 (b, h, w).
    """

    def __init__(self, pixels: Floats, *, annotate: bool) -> None:
        self.pixels = pixels
        _, count, self.height, self.width = pixels.shape
        self._planes = pixels.reshape(3, -1)
        size = count * self.height * self.width if annotate else 0
        self._labels = np.zeros(size, np.int8)
        self._touched = np.ones(size, np.int32)
        self._annotate = annotate

    @property
    def labels(self) -> NDArray[np.int8]:
        """The label map (b, h, w)."""
        return self._labels.reshape(-1, self.height, self.width)

    @property
    def touched(self) -> NDArray[np.int32]:
        """The map of shares (b, h, w)."""
        return self._touched.reshape(-1, self.height, self.width)

    def paint(self, eggs: Eggs) -> None:
        """Paint all shapes, back to front."""
        for place in range(eggs.present.shape[1]):
            images = np.flatnonzero(eggs.present[:, place])
            if len(images):
                self._paint_place(eggs, place, images)

    def _paint_place(self, eggs: Eggs, place: int, images: NDArray[np.intp]) -> None:
        """Paint at most one shape on each image, each in its own tile of one common size."""

        def of(values: NDArray) -> NDArray:
            return values[images, place][:, None, None]

        x, y, cosine, sine = of(eggs.x), of(eggs.y), of(eggs.cosine), of(eggs.sine)
        along, across, taper = of(eggs.along), of(eggs.across), of(eggs.taper)
        bend, square = of(eggs.bend), of(eggs.square)
        widest = across * (1 + np.abs(taper))
        reach = widest + np.abs(bend)
        reach_x = np.abs(cosine) * along + np.abs(sine) * reach + 1
        reach_y = np.abs(sine) * along + np.abs(cosine) * reach + 1
        top, tall = _tile(y - reach_y, reach_y, self.height)
        left, wide = _tile(x - reach_x, reach_x, self.width)

        row = top + np.arange(tall)[None, :, None]
        column = left + np.arange(wide)[None, None, :]
        at = (images[:, None, None] * self.height + row) * self.width + column
        dx = (column + np.float32(0.5)).astype(np.float32) - x
        dy = (row + np.float32(0.5)).astype(np.float32) - y
        u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
        distance, squared = egg_distance(u, v, along, across, taper, bend, square)

        alpha = np.clip(np.float32(0.5) - distance, 0, 1)
        edge = alpha * np.clip(distance + (of(eggs.outline_px) + np.float32(0.5)), 0, 1)
        # A ball lit from above: darker toward the edge and toward the bottom.
        light = np.float32(1.07) - np.float32(0.15) * np.minimum(squared, 1)
        light = light - np.float32(0.11) * np.clip(dy / np.maximum(along, across), -1, 1)
        inside = (alpha - edge) * light
        rest = 1 - alpha
        for plane, fill, line in zip(
            self._planes,
            eggs.color[images, place].T[..., None, None],
            eggs.outline_color[images, place].T[..., None, None],
            strict=True,
        ):
            # Exactly the old color where alpha is 0, exactly free of it where alpha is 1.
            plane[at] = plane.take(at) * rest + inside * fill + edge * line
        if self._annotate:
            code = of(eggs.code)
            self._labels[at] = np.where(alpha >= _COVERED, code, self._labels.take(at))
            bit = np.left_shift(1, code).astype(np.int32)
            before = np.where(alpha < 1, self._touched.take(at), 0)
            self._touched[at] = np.where(alpha > 0, before | bit, before)


def _tile(low: Floats, reach: Floats, limit: int) -> tuple[NDArray[np.int64], int]:
    """Return where each tile starts, (n, 1, 1), and the size that suits all, within [0, limit]."""
    size = min(limit, int(np.ceil(2 * reach.max())) + 1)
    start = np.clip(np.floor(low), 0, limit - size).astype(np.int64)
    return start, size


def egg_distance(
    u: Floats,
    v: Floats,
    along: Floats,
    across: Floats,
    taper: Floats,
    bend: Floats,
    square: Floats,
) -> tuple[Floats, Floats]:
    """Return the distance to the edge, negative inside, and ``K²``; see the module.

    Deviation: the slope of a tapering side is taken at the edge, also outside, where the formula
    would fold space behind the tip; and a point is never nearer than it is to the box around.
    """
    unit_u = u / along
    squared_u = unit_u * unit_u
    width = across
    if taper.any():
        width = np.maximum(across * (1 - taper * unit_u), np.float32(_THINNEST) * across)
    aside = v - bend * np.minimum(squared_u, 1) if bend.any() else v
    unit_v = aside / width
    squared_v = unit_v * unit_v
    squared = squared_u + squared_v
    gradient_u, gradient_v = unit_u, unit_v
    if square.any():
        boxed = np.sqrt(squared_u * squared_u + squared_v * squared_v)
        gradient_u = unit_u * (1 + square * (squared_u / (boxed + _TINY) - 1))
        gradient_v = unit_v * (1 + square * (squared_v / (boxed + _TINY) - 1))
        squared = squared + square * (boxed - squared)
    gradient_u, gradient_v = gradient_u / along, gradient_v / width
    if taper.any() or bend.any():
        slope = np.clip(unit_v, -1, 1) * (across * taper / along) - (2 * bend / along) * unit_u
        gradient_u = gradient_u + gradient_v * slope
    steep = np.sqrt(gradient_u * gradient_u + gradient_v * gradient_v + _TINY)
    root = np.sqrt(squared)
    # The second term gives the very center, where both are 0, the half width as its depth.
    distance = (root - 1) * (root + np.float32(1e-6) * width) / steep
    distance = np.maximum(distance, np.abs(u) - along)
    widest = across * (1 + np.abs(taper))
    return np.maximum(distance, np.abs(aside) - widest), squared
