"""Deletion and insertion: how fast does the answer go, or come, with the most important pixels?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from pellucid.evaluation.checked_answers import ask_probabilities
from pellucid.evaluation.explained_model import ExplainedModel
from pellucid.evaluation.measure import Definition, Measure
from pellucid.evaluation.part_interventions import Tick
from pellucid.evaluation.replacements import blur

DELETION_CURVE = Definition(
    "deletion_curve",
    "deletion curve, area",
    "lower",
    "share",
    "mean probability of the answer, as a share of that for the whole image, while the most "
    "important pixels are replaced by the mean color first (RISE 2018)",
)
INSERTION_CURVE = Definition(
    "insertion_curve",
    "insertion curve, area",
    "higher",
    "share",
    "mean probability of the answer, as a share of that for the whole image, while the most "
    "important pixels of a blurred image become sharp first (RISE 2018)",
)
STEPS = 10
_BLUR = 1 / 8
_SMOOTH = 1 / 16


def curve_areas(
    model: ExplainedModel,
    images: UInt8[Tensor, "images 3 height width"],
    classes: Int[Tensor, " images"],
    importance: Float[Tensor, "images height width"],
    *,
    tick: Tick | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the area under the deletion and the insertion curve of each image.

    A curve has ``STEPS + 1`` points, at equal steps of the share of replaced pixels, and its area
    is that of the trapezoids, as a share of the probability of the image as it is.

    Source: Petsiuk, Das and Saenko 2018 (RISE). Deviation: relative to the whole image, so that
    models that are less sure can be compared; ten steps; the mean color is that of the image.
    """
    tick = tick or (lambda _: None)
    rank = importance.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    rank = rank.view(importance.shape)[:, None]
    pixels = rank[0].numel()
    mean = images.float().mean((2, 3), keepdim=True).round().to(torch.uint8)
    blurred = blur(images, deviation_px=_BLUR * max(images.shape[2:]))
    rows = torch.arange(len(images))
    points: list[list[Tensor]] = [[], []]
    for step in range(STEPS + 1):
        is_replaced = rank < round(step / STEPS * pixels)
        for number, (first, last) in enumerate(((images, mean), (blurred, images))):
            mixed = torch.where(is_replaced, last, first)
            points[number].append(ask_probabilities(model, mixed)[rows, classes].double())
            tick(len(images))
    whole = points[0][0]
    deletion, insertion = (torch.trapezoid(torch.stack(p), dim=0) / STEPS / whole for p in points)
    return deletion.numpy(), insertion.numpy()


def random_importance(
    count: int, image_size: tuple[int, int], *, seed: int = 0
) -> Float[Tensor, "images height width"]:
    """Return smooth random maps: noise under a bell of a sixteenth of the longer side."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(256, (count, 3, *image_size), generator=generator).to(torch.uint8)
    return blur(noise, deviation_px=_SMOOTH * max(image_size)).float().sum(1)


def measure_curves(
    areas: tuple[NDArray[np.float64], NDArray[np.float64]],
    random_areas: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    seed: int = 0,
) -> tuple[Measure, Measure]:
    """Return both areas, means over the images, beside those of random smooth maps."""
    return (
        DELETION_CURVE.of_mean(areas[0], chance=float(random_areas[0].mean()), seed=seed),
        INSERTION_CURVE.of_mean(areas[1], chance=float(random_areas[1].mean()), seed=seed),
    )
