"""What creatures are made of: a body, and five parts with four variants each, as tables of eggs.

Lengths are in units of a creature's size (about 1 from the feet to the tips of the ears); the
origin is the middle of the body, x points to the right and y down. A paired piece is given once,
for the right side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.data.creatures.class_table import PARTS, VARIANTS

# Index of a part in class tables, masks and centers; also the order of `VARIANT_NAMES`.
PART_NAMES = ("ears", "eyes", "beak", "wings", "feet")
VARIANT_NAMES = (
    ("round ears", "long ears", "pointed ears", "antennae"),
    ("round eyes", "one eye", "sleepy eyes", "square eyes"),
    ("pointed beak", "flat bill", "snout", "fangs"),
    ("round wings", "pointed wings", "butterfly wings", "paddles"),
    ("flat feet", "stilts", "hooves", "wheels"),
)
# From back to front; None is the body.
PAINT_ORDER = ("wings", "ears", "feet", None, "eyes", "beak")
# Where a part is attached, on the right side; it turns about this point.
JOINTS = {
    "ears": (0.12, -0.20),
    "eyes": (0.0, -0.09),
    "beak": (0.0, 0.06),
    "wings": (0.19, 0.03),
    "feet": (0.10, 0.26),
}
# How far a part turns at pose 1, degrees either way.
PLAY_DEGREES = {"ears": 16.0, "eyes": 0.0, "beak": 6.0, "wings": 24.0, "feet": 10.0}
# Parts that move sideways together when the creature looks aside.
FACE = ("eyes", "beak")

COLORS = {
    "white": (0.97, 0.96, 0.93),
    "ink": (0.16, 0.14, 0.20),
    "coral": (0.93, 0.45, 0.40),
    "rose": (0.97, 0.70, 0.72),
    "sun": (0.98, 0.80, 0.30),
    "cream": (0.99, 0.93, 0.74),
    "teal": (0.20, 0.62, 0.60),
    "mint": (0.60, 0.88, 0.74),
    "violet": (0.55, 0.38, 0.74),
    "lilac": (0.80, 0.70, 0.93),
    "orange": (0.97, 0.60, 0.22),
    "sky": (0.42, 0.68, 0.93),
    "pale sky": (0.74, 0.88, 0.98),
    "red": (0.82, 0.24, 0.28),
    "brick": (0.52, 0.22, 0.22),
    "leaf": (0.42, 0.70, 0.34),
    "navy": (0.20, 0.28, 0.50),
    "pink": (0.95, 0.56, 0.70),
    "plum": (0.46, 0.20, 0.38),
    "lemon": (0.96, 0.92, 0.45),
}
BODY_COLORS = np.array(
    [
        (0.74, 0.56, 0.42),  # hazel
        (0.55, 0.63, 0.76),  # slate
        (0.70, 0.57, 0.70),  # mauve
        (0.80, 0.70, 0.52),  # honey
        (0.56, 0.69, 0.58),  # sage
        (0.56, 0.46, 0.42),  # cocoa
    ]
)
BELLY_TINT = 0.45  # of white, mixed into the body's color


@dataclass(frozen=True)
class Piece:
    """One egg of a part; lengths in units of the creature, angle of ``along`` in degrees."""

    x: float
    y: float
    along: float
    across: float
    color: str
    angle: float = 0.0
    taper: float = 0.0
    bend: float = 0.0
    square: float = 0.0
    paired: bool = False
    outlined: bool = True


BODY = (
    Piece(0.0, 0.05, 0.275, 0.235, "white", angle=-90, taper=0.12, square=0.25),
    Piece(0.0, 0.17, 0.145, 0.125, "white", angle=-90, taper=0.1, square=0.2, outlined=False),
)

ANATOMY: dict[str, tuple[tuple[Piece, ...], ...]] = {
    "ears": (
        (
            Piece(0.165, -0.235, 0.095, 0.095, "coral", paired=True),
            Piece(0.17, -0.24, 0.05, 0.05, "rose", outlined=False, paired=True),
        ),
        (
            Piece(0.125, -0.345, 0.165, 0.06, "sun", angle=-80, bend=0.01, paired=True),
            Piece(
                0.127,
                -0.36,
                0.11,
                0.028,
                "cream",
                angle=-80,
                bend=0.01,
                outlined=False,
                paired=True,
            ),
        ),
        (
            Piece(
                0.165, -0.275, 0.12, 0.085, "teal", angle=-62, taper=0.92, square=0.9, paired=True
            ),
            Piece(
                0.16,
                -0.265,
                0.065,
                0.044,
                "mint",
                angle=-62,
                taper=0.92,
                square=0.9,
                outlined=False,
                paired=True,
            ),
        ),
        (
            Piece(0.125, -0.32, 0.14, 0.02, "plum", angle=-70, bend=0.03, square=0.6, paired=True),
            Piece(0.165, -0.445, 0.056, 0.056, "violet", paired=True),
        ),
    ),
    "eyes": (
        (
            Piece(0.09, -0.10, 0.075, 0.075, "white", paired=True),
            Piece(0.085, -0.095, 0.04, 0.04, "ink", outlined=False, paired=True),
            Piece(0.098, -0.115, 0.014, 0.014, "white", outlined=False, paired=True),
        ),
        (
            Piece(0.0, -0.10, 0.115, 0.105, "mint"),
            Piece(0.0, -0.095, 0.055, 0.055, "navy", outlined=False),
            Piece(0.022, -0.12, 0.02, 0.02, "white", outlined=False),
        ),
        (
            Piece(0.09, -0.09, 0.082, 0.062, "pink", bend=-0.01, paired=True),
            Piece(0.09, -0.07, 0.082, 0.036, "lemon", bend=-0.012, paired=True),
            Piece(0.085, -0.065, 0.026, 0.02, "ink", outlined=False, paired=True),
        ),
        (
            Piece(0.09, -0.10, 0.068, 0.068, "sky", square=1.0, paired=True),
            Piece(0.085, -0.10, 0.03, 0.03, "ink", square=1.0, outlined=False, paired=True),
            Piece(0.10, -0.118, 0.013, 0.013, "white", outlined=False, paired=True),
        ),
    ),
    "beak": (
        (
            Piece(0.0, 0.075, 0.095, 0.07, "orange", angle=90, taper=0.92, square=0.5),
            Piece(0.0, 0.035, 0.04, 0.012, "cream", outlined=False),
        ),
        (
            Piece(0.0, 0.095, 0.12, 0.04, "brick", bend=-0.025, square=0.3),
            Piece(0.0, 0.06, 0.14, 0.042, "lemon", bend=-0.03, square=0.3),
        ),
        (
            Piece(0.0, 0.06, 0.105, 0.08, "pink", square=0.4),
            Piece(-0.038, 0.055, 0.03, 0.018, "plum", angle=90, outlined=False),
            Piece(0.038, 0.055, 0.03, 0.018, "plum", angle=90, outlined=False),
        ),
        (
            Piece(0.0, 0.055, 0.125, 0.05, "plum", bend=-0.03, square=0.2),
            Piece(-0.06, 0.075, 0.052, 0.03, "white", angle=90, taper=0.9, square=0.7),
            Piece(0.06, 0.075, 0.052, 0.03, "white", angle=90, taper=0.9, square=0.7),
        ),
    ),
    "wings": (
        (
            Piece(0.28, 0.07, 0.15, 0.09, "sky", angle=30, bend=0.01, paired=True),
            Piece(0.30, 0.085, 0.09, 0.045, "pale sky", angle=30, outlined=False, paired=True),
        ),
        (
            Piece(
                0.30,
                -0.02,
                0.20,
                0.11,
                "red",
                angle=-35,
                taper=0.9,
                square=0.4,
                bend=-0.03,
                paired=True,
            ),
            Piece(
                0.27, 0.005, 0.12, 0.055, "coral", angle=-35, taper=0.9, outlined=False, paired=True
            ),
        ),
        (
            Piece(0.29, 0.135, 0.11, 0.075, "lilac", angle=40, paired=True),
            Piece(0.31, -0.035, 0.145, 0.10, "violet", angle=-30, taper=-0.3, paired=True),
            Piece(0.345, -0.055, 0.05, 0.045, "lilac", angle=-30, outlined=False, paired=True),
        ),
        (
            Piece(0.275, 0.05, 0.12, 0.045, "leaf", angle=20, square=0.8, paired=True),
            Piece(0.385, 0.09, 0.075, 0.075, "lemon", square=0.9, paired=True),
        ),
    ),
    "feet": (
        (
            Piece(0.12, 0.355, 0.115, 0.06, "orange", angle=4, taper=-0.25, paired=True),
            Piece(0.165, 0.362, 0.042, 0.026, "sun", outlined=False, paired=True),
        ),
        (
            Piece(0.09, 0.35, 0.11, 0.024, "pink", angle=90, square=0.8, paired=True),
            Piece(0.11, 0.45, 0.062, 0.028, "plum", square=0.4, paired=True),
        ),
        (
            Piece(
                0.11, 0.335, 0.085, 0.075, "cream", angle=90, taper=-0.25, square=0.9, paired=True
            ),
            Piece(0.11, 0.40, 0.09, 0.038, "navy", square=0.9, paired=True),
        ),
        (
            Piece(0.13, 0.355, 0.095, 0.095, "teal", paired=True),
            Piece(0.13, 0.355, 0.042, 0.042, "sun", paired=True),
        ),
    ),
}

_NUMBERS = ("x", "y", "along", "across", "angle", "taper", "bend", "square")


@dataclass(frozen=True)
class PieceTable:
    """All variants of one part (or the one of the body) side by side, both sides spelled out.

    Attributes:
        numbers: By field of ``Piece``, float64 (variants, places).
        present: Whether the variant has a piece in this place, (variants, places).
        outlined: (variants, places).
        side: 1 where the piece is the right one of a pair, -1 the left one, else 0.
        color: float64 (variants, places, 3).
    """

    numbers: dict[str, NDArray[np.float64]]
    present: NDArray[np.bool_]
    outlined: NDArray[np.bool_]
    side: NDArray[np.int64]
    color: NDArray[np.float64]


def tabulate(variants: tuple[tuple[Piece, ...], ...]) -> PieceTable:
    """Put variants side by side; a pair becomes the left piece, then the right one."""
    listed = [
        [(piece, side) for piece in pieces for side in ((-1, 1) if piece.paired else (0,))]
        for pieces in variants
    ]
    places = max(map(len, listed))
    shape = (len(listed), places)
    numbers = {name: np.zeros(shape) for name in _NUMBERS}
    present, outlined = np.zeros(shape, bool), np.zeros(shape, bool)
    side, color = np.zeros(shape, np.int64), np.zeros((*shape, 3))
    for variant, pieces in enumerate(listed):
        for place, (piece, of_side) in enumerate(pieces):
            at = variant, place
            for name in _NUMBERS:
                numbers[name][at] = getattr(piece, name)
            if of_side < 0:  # the mirror image
                numbers["x"][at] *= -1
                numbers["angle"][at] = 180 - piece.angle
                numbers["bend"][at] *= -1
            present[at], outlined[at], side[at] = True, piece.outlined, of_side
            color[at] = COLORS[piece.color]
    return PieceTable(numbers, present, outlined, side, color)


TABLES = {name: tabulate(ANATOMY[name]) for name in PART_NAMES}
BODY_TABLE = tabulate((BODY,))
assert len(PART_NAMES) == PARTS
assert all(len(names) == VARIANTS for names in VARIANT_NAMES)
