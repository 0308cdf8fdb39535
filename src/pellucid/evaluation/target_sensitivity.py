"""Target sensitivity: does the explanation change with the class that is explained?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pellucid.evaluation.measure import Definition, Measure

TARGET_SENSITIVITY = Definition(
    "target_sensitivity",
    "target sensitivity",
    "higher",
    "share",
    "share of cases in which parts shared with another class get more importance for that class "
    "than for a class that lacks them (FunnyBirds 2023; where the model itself agrees)",
)


@dataclass(frozen=True)
class RivalClasses:
    """For each image two other classes that share different parts with its own.

    Attributes:
        rows: Which images have such classes, (m,).
        classes: The two classes, (m, 2).
        shared: Which parts each of them shares with the image's class, bool (m, 2, parts).
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    shared: NDArray[np.bool_]


def choose_rivals(
    class_parts: NDArray[np.int64], labels: NDArray[np.int64], *, seed: int = 0
) -> RivalClasses:
    """Choose for each image two classes that share parts with its class, but not the same ones.

    Both share equally many parts with it, two if there is such a pair, else one; among all pairs
    one is drawn. Images of a class without any pair are left out.

    Source: Hesse et al. 2023, target sensitivity. Deviation: a pair is drawn, not the first; one
    shared part where there are no classes that share two.

    Args:
        class_parts: Variant of each part of each class, (classes, parts).
        labels: Class of each image, (n,).
        seed: Of the draw.
    """
    generator = np.random.default_rng(seed)
    pairs = {int(label): _list_pairs(class_parts, int(label)) for label in np.unique(labels)}
    rows = np.array([row for row, label in enumerate(labels) if pairs[int(label)]], dtype=np.int64)
    chosen = np.zeros((len(rows), 2), dtype=np.int64)
    for number, row in enumerate(rows):
        own = pairs[int(labels[row])]
        chosen[number] = own[generator.integers(len(own))]
    shared = class_parts[chosen] == class_parts[labels[rows]][:, None]
    return RivalClasses(rows, chosen, shared)


def _list_pairs(class_parts: NDArray[np.int64], label: int) -> list[tuple[int, int]]:
    same = class_parts == class_parts[label]
    for count in (2, 1):
        fit = [c for c in np.flatnonzero(same.sum(axis=1) == count) if c != label]
        pairs = [(int(a), int(b)) for a, b in combinations(fit, 2) if not (same[a] & same[b]).any()]
        if pairs:
            return pairs
    return []


def agrees(by_kept_parts: NDArray[np.float64], rivals: RivalClasses) -> NDArray[np.bool_]:
    """Return for which images the model itself uses the shared parts as one would think, (m,).

    Removing the parts shared with the first class must cost that class more than removing those
    shared with the second, and the other way round.

    Args:
        by_kept_parts: Probabilities with each set of parts, (n, 2**parts, classes), all images.
        rivals: For some of them.
    """
    bits = 1 << np.arange(rivals.shared.shape[2])
    kept = bits.sum() - (rivals.shared * bits).sum(axis=2)
    found = by_kept_parts[rivals.rows[:, None, None], kept[:, :, None], rivals.classes[:, None, :]]
    # found[image, whose parts are removed, class]
    return (found[:, 0, 0] < found[:, 1, 0]) & (found[:, 1, 1] < found[:, 0, 1])


def measure_target_sensitivity(
    importance: NDArray[np.float64],
    rivals: RivalClasses,
    agreed: NDArray[np.bool_],
    *,
    seed: int = 0,
) -> Measure:
    """Return the share of cases in which shared parts matter more for the class that shares them.

    Each image gives two cases, the parts shared with its one rival and those with its other; the
    interval is over images. Equal importance is no success, so a map that does not depend on the
    class gets 0. Chance is 1/2.

    Args:
        importance: Of each part for each of the two classes, (m, 2, parts).
        rivals: The classes.
        agreed: Which images count; see `agrees`.
        seed: Of the bootstrap.
    """
    if not agreed.any():
        return TARGET_SENSITIVITY.unknown(
            "there are no classes that share different parts and of which the model uses these"
        )
    pooled = np.einsum("mcp,msp->mcs", importance, rivals.shared.astype(float))
    first = pooled[:, 0, 0] > pooled[:, 1, 0]
    second = pooled[:, 1, 1] > pooled[:, 0, 1]
    cases = np.stack([first, second], axis=1).mean(axis=1)
    return TARGET_SENSITIVITY.of_mean(cases[agreed], chance=0.5, seed=seed)
