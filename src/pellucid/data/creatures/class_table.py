"""Which variant of each part a class has, and what the classes are called."""

from __future__ import annotations

import itertools
import textwrap

import numpy as np
from numpy.typing import NDArray

from pellucid.data.creatures.draws import Draws

PARTS = 5
VARIANTS = 4
MOST_CLASSES = 256
_FAR = 3  # parts in which a new kind differs from every other
_FIRST_SYLLABLES = textwrap.wrap("BiLoMuTaNeFiZoPaWuKiRuDoJeSaVoHu", 2)
_LAST_SYLLABLES = textwrap.wrap("bolaminorafukipusadugovetoniwalu", 2)


def choose_classes(classes: int, seed: int) -> NDArray[np.int64]:
    """Choose the variants of every class.

    Classes 2k and 2k+1 are twins: they differ in one part only, part ``k mod 5``. A class that is
    no twin of another differs from it in at least two parts, and the first of each pair from the
    first of all others in three, as long as there is room for it (for up to about 60 classes).
    Variants are used about equally often.

    Args:
        classes: How many, in [2, 256].
        seed: Decides among equally good choices.

    Returns:
        Variant of each part, int64 (classes, 5), all rows different.
    """
    rows = np.array(list(itertools.product(range(VARIANTS), repeat=PARTS)))
    rows = rows[np.argsort(Draws(seed, np.zeros(1, np.int64)).unit("classes", len(rows))[0])]
    usage = np.zeros((PARTS, VARIANTS), dtype=np.int64)
    chosen: list[NDArray[np.int64]] = []
    nearest = others = np.full(len(rows), PARTS)  # distance to all chosen, to all but the last
    for number in range(classes):
        if number % 2:
            differs = rows != chosen[-1]
            is_twin = (differs.sum(axis=1) == 1) & differs[:, (number // 2) % PARTS]
            fit = np.where(is_twin & (nearest > 0), np.minimum(others, 2), -1)
        else:
            fit = np.where(nearest > 0, np.minimum(nearest, _FAR), -1)
        load = usage[np.arange(PARTS), rows].sum(axis=1)
        best = rows[np.lexsort((load, -fit))[0]]
        chosen.append(best)
        usage[np.arange(PARTS), best] += 1
        others, nearest = nearest, np.minimum(nearest, (rows != best).sum(axis=1))
    return np.stack(chosen)


def name_classes(classes: int) -> tuple[str, ...]:
    """Return a short invented name for each of up to 256 classes, all different."""
    count = len(_FIRST_SYLLABLES)
    return tuple(
        _FIRST_SYLLABLES[number % count]
        + _LAST_SYLLABLES[(number // count + 5 * number) % len(_LAST_SYLLABLES)]
        for number in range(classes)
    )
