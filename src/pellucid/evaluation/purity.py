"""Purity: do the patches that a prototype is found in show one and the same part?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pellucid.evaluation.explained_model import Matches
from pellucid.evaluation.measure import Definition, Measure
from pellucid.evaluation.pixel_boxes import draw_places, fill_boxes, windows_around

PURITY_TOP_10 = Definition(
    "purity_top_10",
    "purity of the 10 nearest patches",
    "higher",
    "share",
    "mean over prototypes of the share of their 10 most similar patches that show the commonest "
    "part (PIP-Net 2023; window of 1/7 of the image's side, by masks)",
)
PURITY = Definition(
    "purity",
    "purity where present",
    "higher",
    "share",
    "mean over prototypes of the share of the images they are found present in whose patch shows "
    "the commonest part (after PIP-Net 2023)",
)
TOP = 10
WINDOW = 32 / 224
"""Side of the window that a patch shows, as a share of the image's; the original's."""

_DRAWS = 20
NOTHING = -1


def shown_parts(
    masks: Bool[Tensor, "n parts height width"], centers_px: Float[Tensor, "n 2"]
) -> Int[Tensor, " n"]:
    """Return the part with the most visible pixels in the window around each place, or -1."""
    size = (masks.shape[2], masks.shape[3])
    inside = fill_boxes(windows_around(centers_px, size, share=WINDOW), size)
    counts = (masks & inside[:, None]).flatten(2).sum(2)
    return torch.where(counts.amax(1) > 0, counts.argmax(1), NOTHING)


def purity_of(shown: Int[Tensor, " n"]) -> float:
    """Return the share of the commonest part among all; what shows no part counts against it."""
    parts = shown[shown != NOTHING]
    return float(parts.bincount().max()) / len(shown) if len(parts) else 0.0


def measure_purity(
    matches: Matches, masks: Bool[Tensor, "images parts height width"], *, seed: int = 0
) -> tuple[Measure, Measure]:
    """Return the purity of the ten nearest patches, and of those where a prototype is present.

    Chance: a prototype that is found at one random place, the same in all images, so that what
    images have in common by their layout does not count as knowledge.

    Source: Nauta et al. 2023 (PIP-Net), purity. Deviation: a patch shows the part with the most
    pixels in its window, not every part whose middle is there; test images; prototypes that are
    present in fewer than two images have no second figure.
    """
    nearest = matches.similarity.argsort(dim=0, descending=True, stable=True)[:TOP]
    by_top = [nearest[:, number] for number in range(nearest.shape[1])]
    present = [matches.present[:, number].nonzero()[:, 0] for number in range(len(by_top))]
    numbers = [number for number, rows in enumerate(present) if len(rows) >= 2]
    return (
        _measure(PURITY_TOP_10, matches, masks, list(range(len(by_top))), by_top, seed),
        _measure(PURITY, matches, masks, numbers, [present[number] for number in numbers], seed),
    )


def _measure(
    definition: Definition,
    matches: Matches,
    masks: Tensor,
    numbers: list[int],
    images: list[Tensor],
    seed: int,
) -> Measure:
    if not numbers:
        return definition.unknown("no prototype is present in two images")
    generator = torch.Generator().manual_seed(seed)
    size = (masks.shape[2], masks.shape[3])
    found, chance = [], []
    for number, rows in zip(numbers, images, strict=True):
        own = masks[rows]
        found.append(purity_of(shown_parts(own, matches.middles[rows, number])))
        for _ in range(_DRAWS):
            places = draw_places(1, size, generator=generator).expand(len(rows), 2)
            chance.append(purity_of(shown_parts(own, places)))
    return definition.of_mean(np.array(found), chance=float(np.mean(chance)), seed=seed)
