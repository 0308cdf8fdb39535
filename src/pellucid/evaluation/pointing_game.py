"""The pointing game: does the most important pixel lie where it should?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from pellucid.evaluation.measure import Definition, Measure

POINTING = Definition(
    "pointing_game",
    "pointing game",
    "higher",
    "share",
    "share of images whose most important pixel lies on a part, not on body or background "
    "(Zhang et al. 2016; no tolerance around the parts)",
)
POINTING_DECISIVE = Definition(
    "pointing_game_decisive",
    "pointing game, decisive part",
    "higher",
    "share",
    "share of images whose most important pixel lies on the part whose real removal costs the "
    "answer most (after Zhang et al. 2016)",
)


def measure_pointing(
    importance: Float[Tensor, "images height width"],
    parts: Bool[Tensor, "images parts height width"],
    drops: NDArray[np.float64],
) -> tuple[Measure, Measure]:
    """Return how often the most important pixel lies on a part, and on the one that matters most.

    Chance is the share of the image that these parts cover. The first of equally important pixels
    counts.

    Args:
        importance: Of each pixel for the answer.
        parts: Pixels that a part has a share in.
        drops: Loss of the answer's probability when a part is removed, -inf of one that is hidden,
            (n, parts).
    """
    place = importance.flatten(1).argmax(1)
    rows = torch.arange(len(place))
    any_part = parts.any(1).flatten(1)
    decisive = parts[rows, torch.from_numpy(drops.argmax(axis=1))].flatten(1)
    return (
        POINTING.of_share(any_part[rows, place].numpy(), chance=float(any_part.float().mean())),
        POINTING_DECISIVE.of_share(
            decisive[rows, place].numpy(), chance=float(decisive.float().mean())
        ),
    )
