"""Consistency and stability: does a prototype mean the same part everywhere, and under noise?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pellucid.evaluation.explained_model import Matches
from pellucid.evaluation.measure import Definition, Measure
from pellucid.evaluation.pixel_boxes import draw_places, fill_boxes, windows_around

CONSISTENCY = Definition(
    "consistency",
    "consistency",
    "higher",
    "share",
    "share of prototypes whose patch holds one and the same part in at least 80 % of the images "
    "they are present in (Huang et al. 2023; window of 72/224 of the side, by masks)",
)
STABILITY = Definition(
    "stability",
    "stability",
    "higher",
    "share",
    "share of images in which a present prototype's patch holds the same parts after faint noise, "
    "mean over prototypes (Huang et al. 2023)",
)
WINDOW = 72 / 224
"""Side of the region around a patch's middle, as a share of the image's; the original's."""

HELD_SHARE = 0.25
"""A region holds a part with at least this share of the part's visible pixels: a pair of ears is
held with half of one, where the original asks for the one point that marks the part."""

CONSISTENT = 0.8
NOISE = 0.2
"""Deviation of the noise, of the pixels' own deviation over all images; the original's."""

_FEWEST_IMAGES = 3
_DRAWS = 20


def held_parts(
    masks: Bool[Tensor, "n parts height width"], centers_px: Float[Tensor, "n 2"]
) -> Bool[Tensor, "n parts"]:
    """Return which parts the region around each place holds."""
    size = (masks.shape[2], masks.shape[3])
    inside = fill_boxes(windows_around(centers_px, size, share=WINDOW), size)
    counts = (masks & inside[:, None]).flatten(2).sum(2)
    return (counts > 0) & (counts >= HELD_SHARE * masks.flatten(2).sum(2))


def add_noise(
    images: UInt8[Tensor, "images 3 height width"], *, seed: int = 0
) -> UInt8[Tensor, "images 3 height width"]:
    """Return the images with independent normal noise on every pixel and channel."""
    generator = torch.Generator().manual_seed(seed)
    exact = images.to(torch.float32)
    spread = NOISE * float(exact.std()) if exact.numel() > 1 else 0.0
    noise = torch.randn(images.shape, generator=generator) * spread
    return (exact + noise).round().clamp(0, 255).to(torch.uint8)


def measure_consistency(
    matches: Matches,
    noisy: Matches,
    masks: Bool[Tensor, "images parts height width"],
    *,
    seed: int = 0,
) -> tuple[Measure, Measure]:
    """Return consistency and stability of the prototypes present in at least three images.

    Chance: a prototype that is found at one random place, the same in all images; of stability, a
    place drawn anew for the noisy image.

    Source: Huang et al. 2023 (Evaluation and Improvement of Interpretability for Self-Explainable
    Part-Prototype Networks), equations 3 to 6. Deviation: over the images in which a prototype is
    present, since a tree's prototype belongs to no class; parts by masks.

    Args:
        matches: Of the images.
        noisy: Of `add_noise` of them.
        masks: Visible pixels of each part.
        seed: Of the random places and the bootstrap.
    """
    generator = torch.Generator().manual_seed(seed)
    size = (masks.shape[2], masks.shape[3])
    consistent, chances, stable, stable_chances = [], [], [], []
    for number in range(matches.present.shape[1]):
        rows = matches.present[:, number].nonzero()[:, 0]
        if len(rows) < _FEWEST_IMAGES:
            continue
        own = masks[rows]
        held = held_parts(own, matches.middles[rows, number])
        after = held_parts(own, noisy.middles[rows, number])
        consistent.append(is_consistent(held))
        stable.append(float((held == after).all(1).float().mean()))
        for _ in range(_DRAWS):
            one, other = (
                held_parts(own, place.expand(len(rows), 2))
                for place in draw_places(2, size, generator=generator)
            )
            chances.append(is_consistent(one))
            stable_chances.append(float((one == other).all(1).float().mean()))
    if not consistent:
        why = f"no prototype is present in {_FEWEST_IMAGES} images"
        return CONSISTENCY.unknown(why), STABILITY.unknown(why)
    return (
        CONSISTENCY.of_share(np.array(consistent), chance=float(np.mean(chances))),
        STABILITY.of_mean(np.array(stable), chance=float(np.mean(stable_chances)), seed=seed),
    )


def is_consistent(held: Bool[Tensor, "n parts"]) -> bool:
    """Return whether one part is held in at least 80 % of the images."""
    return bool(held.float().mean(0).max() >= CONSISTENT)
