"""What is behind a creature and in front of it: patterns, objects, leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pellucid.data.creatures.anatomy import COLORS
from pellucid.data.creatures.draws import Draws
from pellucid.data.creatures.shapes import Eggs, Floats, unit_vectors

MOST_OBJECTS = 6
_MOST_LEAVES = 2
# Upper and lower color of a background.
HUES = np.array(
    [
        [(0.66, 0.83, 0.96), (0.88, 0.95, 0.98)],  # sky
        [(0.70, 0.89, 0.78), (0.90, 0.96, 0.88)],  # mint
        [(0.98, 0.80, 0.66), (0.99, 0.92, 0.82)],  # peach
        [(0.80, 0.75, 0.95), (0.94, 0.91, 0.98)],  # lavender
        [(0.93, 0.86, 0.64), (0.97, 0.94, 0.82)],  # sand
        [(0.96, 0.75, 0.81), (0.99, 0.90, 0.91)],  # rose
        [(0.36, 0.40, 0.62), (0.62, 0.57, 0.76)],  # dusk
        [(0.36, 0.58, 0.50), (0.62, 0.77, 0.58)],  # forest
    ]
)
PATTERN_NAMES = ("hills", "stripes", "dots", "checks", "zigzag")
BACKGROUNDS = len(HUES) * len(PATTERN_NAMES)
# The creatures' own colors, so that a color alone does not tell a part from a thing.
_OBJECT_COLORS = np.array(
    [
        COLORS[name]
        for name in (
            *("coral", "sun", "teal", "violet", "orange", "sky", "red"),
            *("leaf", "navy", "pink", "mint", "lilac", "lemon"),
        )
    ]
)
# Round, box, drop, banana: square, taper, bend (of the length), width (of the length).
_OBJECT_FORMS = np.array(
    [(0.0, 0.0, 0.0, 1.0), (0.9, 0.0, 0.0, 0.85), (0.5, 0.9, 0.0, 0.8), (0.2, 0.0, 0.5, 0.4)]
)
_LEAF_COLORS = np.array(
    [(0.36, 0.56, 0.30), (0.50, 0.64, 0.28), (0.62, 0.46, 0.28), (0.30, 0.48, 0.42)]
)


def class_backgrounds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the background of each class where it is a shortcut; all differ for 40 classes."""
    hue = labels % len(HUES)
    pattern = (labels // len(HUES) + labels) % len(PATTERN_NAMES)
    return hue + len(HUES) * pattern


def paint_background(
    draws: Draws,
    backgrounds: NDArray[np.int64],
    image_size: tuple[int, int],
    *,
    contrast: float,
) -> Floats:
    """Return new pictures with a shaded, patterned background, float32 (3, b, height, width).

    Args:
        draws: Turn, period and phase of the patterns, and a tint.
        backgrounds: Hue and pattern of each image as one number, see ``class_backgrounds``.
        image_size: (height, width), px.
        contrast: Of the pattern, in [0, 1].
    """
    height, width = image_size
    count = len(backgrounds)
    side = min(image_size)
    period = (draws.uniform("period", 1, 0.16, 0.28) * side).astype(np.float32)
    cosine, sine = unit_vectors(draws.uniform("pattern turn", 1, -60.0, 60.0))
    phase = draws.unit("phase", 2).astype(np.float32)
    hue, pattern = backgrounds % len(HUES), backgrounds // len(HUES)
    colors = (HUES[hue] + draws.uniform("tint", 3, -0.03, 0.03)[:, None]).astype(np.float32)

    row = (np.arange(height) + 0.5).astype(np.float32)[:, None]
    column = (np.arange(width) + 0.5).astype(np.float32)
    shown = np.empty((count, height, width), np.float32)
    for number in range(len(PATTERN_NAMES)):
        of = np.flatnonzero(pattern == number)
        if not len(of):
            continue
        long = period[of, :, None]
        across_x, across_y = (
            (values[of] / period[of]).astype(np.float32)[..., None] for values in (cosine, sine)
        )
        s = column * across_x + row * across_y + phase[of, :1, None]
        t = row * across_x - column * across_y + phase[of, 1:, None]
        shown[of] = _PATTERNS[number](s, t, long, row - np.float32(0.72 * height))
    weight = shown * np.float32(contrast)
    down = row / np.float32(height)
    pixels = np.empty((3, count, height, width), np.float32)
    for channel, plane in enumerate(pixels):
        top, bottom = (colors[:, place, channel, None, None] for place in (0, 1))
        plane[:] = top + (bottom - top) * down
        plane += weight * (top * np.float32(0.80) - plane)
    return pixels


def _wave(s: Floats) -> Floats:
    """Return a triangular wave of period 1 between -1 and 1."""
    return np.abs(s - np.floor(s) - np.float32(0.5)) * 4 - 1


def _hills(s: Floats, t: Floats, period: Floats, down: Floats) -> Floats:
    arch = s * np.float32(0.4) - np.floor(s * np.float32(0.4)) - np.float32(0.5)
    return np.clip(down + (np.float32(0.25) - arch * arch) * 4 * period + np.float32(0.5), 0, 1)


def _stripes(s: Floats, t: Floats, period: Floats, down: Floats) -> Floats:
    return np.clip(_wave(s) * (period / 4) + np.float32(0.5), 0, 1)


def _dots(s: Floats, t: Floats, period: Floats, down: Floats) -> Floats:
    s, t = s - np.floor(s) - np.float32(0.5), t - np.floor(t) - np.float32(0.5)
    return np.clip((np.float32(0.28) - np.sqrt(s * s + t * t)) * period + np.float32(0.5), 0, 1)


def _checks(s: Floats, t: Floats, period: Floats, down: Floats) -> Floats:
    s, t = s * np.float32(0.5), t * np.float32(0.5)
    s, t = (np.clip(_wave(wave) * (period / 2), -0.5, 0.5) for wave in (s, t))
    return 2 * s * t + np.float32(0.5)


def _zigzag(s: Floats, t: Floats, period: Floats, down: Floats) -> Floats:
    return _stripes(s + np.float32(0.2) * _wave(t), t, period, down)


_PATTERNS = (_hills, _stripes, _dots, _checks, _zigzag)


def background_objects(
    draws: Draws, image_size: tuple[int, int], *, clutter: float, first_code: int
) -> Eggs:
    """Return up to six objects for each image, each a form and a smaller one on it."""
    count, side = MOST_OBJECTS, min(image_size)
    present = draws.unit("object", count) < clutter
    size = draws.uniform("object size", count, 0.05, 0.10) * side
    x = draws.unit("object x", count) * image_size[1]
    y = draws.unit("object y", count) * image_size[0]
    form = _OBJECT_FORMS[draws.choice("object form", count, len(_OBJECT_FORMS))]
    cosine, sine = unit_vectors(draws.uniform("object turn", count, -180.0, 180.0))
    outer = _OBJECT_COLORS[draws.choice("object color", count, len(_OBJECT_COLORS))]
    inner = _OBJECT_COLORS[draws.choice("object mark", count, len(_OBJECT_COLORS))]
    code = np.broadcast_to(first_code + np.arange(count), present.shape)

    def layered(large: NDArray, small: NDArray) -> NDArray:
        stacked = np.stack([large, small], axis=2)
        return stacked.reshape(len(present), 2 * count, *large.shape[2:])

    along = layered(size, 0.45 * size)
    kind = layered(form, form)
    square, taper, bend, width = (kind[..., number] for number in range(4))
    color = layered(outer, 0.5 * inner + 0.5)
    is_outer = layered(np.ones_like(size), np.zeros_like(size))
    return make_eggs(
        present=layered(present, present),
        code=layered(code, code),
        x=layered(x, x),
        y=layered(y, y),
        cosine=layered(cosine, cosine),
        sine=layered(sine, sine),
        along=along,
        across=along * width,
        taper=taper,
        bend=along * bend,
        square=square,
        outline_px=is_outer * 0.014 * side,
        color=color,
    )


def leaves(
    draws: Draws,
    center_x: NDArray[np.float64],
    center_y: NDArray[np.float64],
    size_px: NDArray[np.float64],
    *,
    occlusion: float,
    code: int,
) -> Eggs:
    """Return up to two leaves in front of each creature, each with a vein.

    Args:
        draws: Of the scenes.
        center_x: Column of the creature's origin (b,), px.
        center_y: Row of it.
        size_px: The creature's size (b,).
        occlusion: How probable a leaf is and how large, in [0, 1].
        code: Of all leaves.
    """
    count = _MOST_LEAVES
    present = draws.unit("leaf", count) < occlusion
    size = size_px[:, None]
    away_x, away_y = unit_vectors(draws.uniform("leaf place", count, -180.0, 180.0))
    far = draws.uniform("leaf distance", count, 0.05, 0.42) * size
    along = draws.uniform("leaf length", count, 0.11, 0.15) * (0.6 + 0.8 * occlusion) * size
    cosine, sine = unit_vectors(draws.uniform("leaf turn", count, -180.0, 180.0))
    color = _LEAF_COLORS[draws.choice("leaf color", count, len(_LEAF_COLORS))]
    bend = along * draws.uniform("leaf bend", count, -0.25, 0.25)
    zeros = np.zeros_like(along)

    def layered(leaf: NDArray, vein: NDArray) -> NDArray:
        return np.concatenate([leaf, vein], axis=1)

    x, y = center_x[:, None] + away_x * far, center_y[:, None] + away_y * far
    return make_eggs(
        present=layered(present, present),
        code=np.full((len(present), 2 * count), code),
        x=layered(x, x),
        y=layered(y, y),
        cosine=layered(cosine, cosine),
        sine=layered(sine, sine),
        along=layered(along, 0.8 * along),
        across=layered(0.5 * along, 0.05 * along),
        taper=layered(zeros + 0.6, zeros),
        bend=layered(bend, 0.64 * bend),
        square=zeros.repeat(2, axis=1),
        outline_px=layered(0.014 * size + zeros, zeros),
        color=layered(color, 0.75 * color + 0.25),
    )


def make_eggs(*, color: NDArray[np.float64], **numbers: NDArray) -> Eggs:
    """Return eggs with outlines in a darker shade of their own color."""
    floats = {
        name: np.ascontiguousarray(values, dtype=np.float32)
        for name, values in numbers.items()
        if name not in ("present", "code")
    }
    return Eggs(
        present=numbers["present"],
        code=numbers["code"],
        color=color.astype(np.float32),
        outline_color=(0.36 * color + 0.05).astype(np.float32),
        **floats,
    )
