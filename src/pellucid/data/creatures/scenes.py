"""From seed, scene numbers and variants to pictures: pose, colors, order of painting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.data.creatures.anatomy import (
    BELLY_TINT,
    BODY_COLORS,
    BODY_TABLE,
    FACE,
    JOINTS,
    PAINT_ORDER,
    PART_NAMES,
    PLAY_DEGREES,
    TABLES,
    PieceTable,
)
from pellucid.data.creatures.draws import Draws
from pellucid.data.creatures.scenery import (
    BACKGROUNDS,
    MOST_OBJECTS,
    background_objects,
    class_backgrounds,
    leaves,
    make_eggs,
    paint_background,
)
from pellucid.data.creatures.settings import Difficulty
from pellucid.data.creatures.shapes import Canvas, Eggs, join_eggs, unit_vectors

# Codes of the label map; 0 is the background. A pair's right piece has a code of its own.
PART_CODES = 1 + 2 * np.arange(len(PART_NAMES))
BODY_CODE = 1 + 2 * len(PART_NAMES)
OBJECT_CODE = BODY_CODE + 1
LEAF_CODE = OBJECT_CODE + MOST_OBJECTS
LABEL_CODES = LEAF_CODE + 1
ABSENT = -1
_BLOCK_PIXELS = 2**18


@dataclass(frozen=True)
class Scenes:
    """What some pictures show, apart from their size.

    Attributes:
        seed: Of the set.
        numbers: A number for each scene, int64 (b,).
        variants: Of each part, ``ABSENT`` where it is left out, int64 (b, parts).
        shortcut: Class whose background is shown where the draw says so, -1 for none, int64 (b,).
        difficulty: See ``Difficulty``.
        background_seed: Redraws what is behind the creature; None leaves it.
        objects: Which background objects may be there, bool (b, objects).
    """

    seed: int
    numbers: NDArray[np.int64]
    variants: NDArray[np.int64]
    shortcut: NDArray[np.int64]
    difficulty: Difficulty
    background_seed: int | None
    objects: NDArray[np.bool_]

    def rows(self, start: int, stop: int) -> Scenes:
        """Return scenes ``start`` to ``stop``."""
        return Scenes(
            self.seed,
            self.numbers[start:stop],
            self.variants[start:stop],
            self.shortcut[start:stop],
            self.difficulty,
            self.background_seed,
            self.objects[start:stop],
        )


@dataclass(frozen=True)
class Rendering:
    """Pictures and what their pixels show.

    Attributes:
        pixels: uint8 (b, 3, height, width).
        labels: See ``Canvas``; empty unless asked for.
        touched: See ``Canvas``; empty unless asked for.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int8]
    touched: NDArray[np.int32]


def render_scenes(
    scenes: Scenes, image_size: tuple[int, int], *, annotate: bool = False
) -> Rendering:
    """Render scenes at ``image_size`` (height, width), a cache-sized block at a time."""
    count = len(scenes.numbers)
    block = max(1, _BLOCK_PIXELS // (image_size[0] * image_size[1]))
    pixels = np.empty((count, 3, *image_size), np.uint8)
    kept = count if annotate else 0
    labels = np.empty((kept, *image_size), np.int8)
    touched = np.empty((kept, *image_size), np.int32)
    for start in range(0, count, block):
        stop = min(start + block, count)
        canvas = _render_block(scenes.rows(start, stop), image_size, annotate=annotate)
        bright = np.clip(canvas.pixels * np.float32(255) + np.float32(0.5), 0, 255)
        pixels[start:stop] = bright.astype(np.uint8).transpose(1, 0, 2, 3)
        if annotate:
            labels[start:stop], touched[start:stop] = canvas.labels, canvas.touched
    return Rendering(pixels, labels, touched)


def _render_block(scenes: Scenes, image_size: tuple[int, int], *, annotate: bool) -> Canvas:
    background = background_draws(scenes)
    contrast = 0.35 + 0.5 * scenes.difficulty.clutter
    pixels = paint_background(background, choose_backgrounds(scenes), image_size, contrast=contrast)
    canvas = Canvas(pixels, annotate=annotate)
    canvas.paint(arrange_eggs(scenes, image_size))
    return canvas


def background_draws(scenes: Scenes) -> Draws:
    """Return the random numbers of what is behind the creatures."""
    if scenes.background_seed is None:
        return Draws(scenes.seed, scenes.numbers)
    # Another stream than that of a set with this seed.
    return Draws(scenes.background_seed + 2**32, scenes.numbers)


def choose_backgrounds(scenes: Scenes) -> NDArray[np.int64]:
    """Return hue and pattern of each scene as one number: at random, or those of the class."""
    draws = background_draws(scenes)
    at_random = draws.choice("background", 1, BACKGROUNDS)[:, 0]
    if scenes.background_seed is not None:
        return at_random
    told = (scenes.shortcut >= 0) & (draws.unit("shortcut", 1)[:, 0] < scenes.difficulty.shortcut)
    return np.where(told, class_backgrounds(scenes.shortcut), at_random)


@dataclass(frozen=True)
class Pose:
    """Where the creatures stand, each (b,): origin and size in px, turn as a unit vector."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    size_px: NDArray[np.float64]
    cosine: NDArray[np.float64]
    sine: NDArray[np.float64]
    mirrored: NDArray[np.bool_]


def draw_pose(draws: Draws, image_size: tuple[int, int], amount: float) -> Pose:
    """Draw size, turn, mirroring and place; at pose 1 nearly everywhere, in parts beyond the edge.

    Args:
        draws: Of the scenes.
        image_size: (height, width), px.
        amount: ``Difficulty.pose``.
    """
    height, width = image_size
    size = min(image_size) * (0.86 + amount * draws.uniform("size", 1, -0.26, 0.10)[:, 0])
    cosine, sine = unit_vectors(amount * draws.uniform("turn", 1, -32.0, 32.0)[:, 0])
    aside, up = draws.uniform("place", 2, -amount, amount).T
    # A creature keeps at least 0.4 of its size between its origin and the edge.
    x = width / 2 + aside * np.maximum(width / 2 - 0.40 * size, 0)
    y = height / 2 + up * np.maximum(height / 2 - 0.44 * size, 0)
    mirrored = (draws.unit("mirrored", 1)[:, 0] < 0.5) & (amount > 0)
    return Pose(x, y, size, cosine, sine, mirrored)


def arrange_eggs(scenes: Scenes, image_size: tuple[int, int]) -> Eggs:
    """Return everything that is painted on the backgrounds, back to front."""
    draws, difficulty = Draws(scenes.seed, scenes.numbers), scenes.difficulty
    pose = draw_pose(draws, image_size, difficulty.pose)
    objects = background_objects(
        background_draws(scenes), image_size, clutter=difficulty.clutter, first_code=OBJECT_CODE
    )
    objects.present[:] &= scenes.objects.repeat(2, axis=1)
    layers = [objects]
    for name in PAINT_ORDER:
        if name is None:
            layers.append(_body(draws, pose))
        else:
            chosen = scenes.variants[:, PART_NAMES.index(name)]
            layers.append(_part(draws, pose, name, chosen, difficulty.pose))
    front = leaves(
        draws,
        pose.x,
        pose.y,
        pose.size_px,
        occlusion=difficulty.occlusion,
        code=LEAF_CODE,
    )
    return join_eggs([*layers, front])


def _body(draws: Draws, pose: Pose) -> Eggs:
    of_all = np.zeros(len(pose.x), np.int64)
    color = BODY_COLORS[draws.choice("body color", 1, len(BODY_COLORS))]
    color = color + draws.uniform("body tint", 3, -0.04, 0.04)[:, None]
    color = np.concatenate([color, color + BELLY_TINT * (1 - color)], axis=1)
    code = np.full(BODY_TABLE.side.shape[1], BODY_CODE)
    rest = np.zeros((len(of_all), 3))
    return _posed(BODY_TABLE, of_all, pose, rest, np.ones(len(of_all)), (0.0, 0.0), color, code)


def _part(draws: Draws, pose: Pose, name: str, variants: NDArray[np.int64], amount: float) -> Eggs:
    table, joint = TABLES[name], JOINTS[name]
    shown = np.maximum(variants, 0)
    turns = draws.uniform(f"{name} turn", 3, -amount, amount) * PLAY_DEGREES[name]
    scale = 1 + amount * draws.uniform(f"{name} size", 1, -0.12, 0.12)[:, 0]
    tint = draws.uniform(f"{name} tint", 3, -0.035, 0.035)
    color = table.color[shown] + tint[:, None]
    code = np.where(table.side[shown] > 0, 1, 0) + PART_CODES[PART_NAMES.index(name)]
    look = 0.0
    if name in FACE:  # a creature looks to its right, more or less; mirrored, to its left
        look = 0.025 + 0.025 * amount * draws.uniform("look", 1, -1.0, 1.0)
    eggs = _posed(table, shown, pose, turns, scale, joint, color, code, shift=look)
    eggs.present[:] &= (variants != ABSENT)[:, None]
    return eggs


def _posed(
    table: PieceTable,
    variants: NDArray[np.int64],
    pose: Pose,
    turns: NDArray[np.float64],
    scale: NDArray[np.float64],
    joint: tuple[float, float],
    color: NDArray[np.float64],
    code: NDArray[np.int64],
    *,
    shift: NDArray[np.float64] | float = 0.0,
) -> Eggs:
    """Turn pieces about their joint, then the whole creature as it stands.

    Args:
        table: The pieces.
        variants: Row of the table for each image (b,).
        pose: Of the creatures.
        turns: Degrees for the left, middle and right pieces (b, 3).
        scale: Of the part about its joint (b,).
        joint: On the right side, in units of the creature.
        color: (b, places, 3).
        code: (b, places), or (places,) for all.
        shift: To the right, in units of the creature (b, 1).
    """
    numbers = {name: values[variants] for name, values in table.numbers.items()}
    side, size = table.side[variants], scale[:, None]
    joint_x, joint_y = joint[0] * side, joint[1]
    own_cosine, own_sine = unit_vectors(np.take_along_axis(turns, side + 1, axis=1))
    away_x, away_y = (numbers["x"] - joint_x) * size, (numbers["y"] - joint_y) * size
    x = joint_x + away_x * own_cosine - away_y * own_sine + shift
    y = joint_y + away_x * own_sine + away_y * own_cosine
    cosine, sine = unit_vectors(numbers["angle"])
    cosine, sine = cosine * own_cosine - sine * own_sine, sine * own_cosine + cosine * own_sine

    flip = np.where(pose.mirrored, -1.0, 1.0)[:, None]
    x, cosine = x * flip, cosine * flip
    whole_cosine, whole_sine, px = pose.cosine[:, None], pose.sine[:, None], pose.size_px[:, None]
    along = np.maximum(numbers["along"] * size * px, 1e-3)
    return make_eggs(
        present=table.present[variants],
        code=np.broadcast_to(code, side.shape),
        x=pose.x[:, None] + px * (x * whole_cosine - y * whole_sine),
        y=pose.y[:, None] + px * (x * whole_sine + y * whole_cosine),
        cosine=cosine * whole_cosine - sine * whole_sine,
        sine=sine * whole_cosine + cosine * whole_sine,
        along=along,
        across=np.maximum(numbers["across"] * size * px, 1e-3),
        taper=numbers["taper"],
        bend=numbers["bend"] * size * px * flip,
        square=numbers["square"],
        outline_px=np.maximum(0.016 * px, 0.6) * table.outlined[variants],
        color=color,
    )
