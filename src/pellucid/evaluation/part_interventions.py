"""What a model answers when parts, objects or the background of a creature are really changed.

Every set of the five parts is rendered and answered once. Whatever an explanation then says is
important, what happens without it is looked up, for a random explanation just as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pellucid.data import Creatures
from pellucid.evaluation.checked_answers import ask_probabilities
from pellucid.evaluation.explained_model import ExplainedModel

Tick = Callable[[int], None]
"""Is told how many more images were answered."""

_BATCH_IMAGES = 64


@dataclass(frozen=True)
class PartInterventions:
    """Answers to renderings of the same images with changes, and where parts and objects are.

    Attributes:
        by_kept_parts: Probabilities with each set of parts, (n, 2**parts, classes); bit ``p`` of
            the set's number says whether part ``p`` is there: the last set is the plain image.
        without_object: Probabilities without one background object, NaN where it is not visible.
        parts: Pixels whose color a part has a share in (`PartAnnotations.touched`).
        part_masks: Pixels where a part is topmost.
        centers_px: (row, column) of the middle of each part, NaN where it is hidden.
        objects: Visible pixels of each background object.
        creature: Body and parts.
    """

    by_kept_parts: Float[Tensor, "images sets classes"]
    without_object: Float[Tensor, "images objects classes"]
    parts: Bool[Tensor, "images parts height width"]
    part_masks: Bool[Tensor, "images parts height width"]
    centers_px: Float[Tensor, "images parts 2"]
    objects: Bool[Tensor, "images objects height width"]
    creature: Bool[Tensor, "images height width"]

    @property
    def plain(self) -> Float[Tensor, "images classes"]:
        """Probabilities of the images as they are."""
        return self.by_kept_parts[:, -1]

    @property
    def without_part(self) -> Float[Tensor, "images parts classes"]:
        """Probabilities without one part."""
        count = self.parts.shape[1]
        everything = 2**count - 1
        return self.by_kept_parts[:, [everything ^ (1 << part) for part in range(count)]]


def intervene(
    model: ExplainedModel,
    images: Creatures,
    indices: Int[Tensor, " n"],
    *,
    tick: Tick | None = None,
) -> PartInterventions:
    """Render the images with every set of parts and without each object, and ask the model.

    Args:
        model: Whose answers.
        images: The creatures.
        indices: Which of them, at least one.
        tick: Is told of progress; in all `count_renderings` images.
    """
    tick = tick or (lambda _: None)
    chunks = [_intervene_some(model, images, part, tick) for part in indices.split(_BATCH_IMAGES)]
    return PartInterventions(*(torch.cat(column) for column in zip(*chunks, strict=True)))


def count_renderings(images: Creatures, count: int) -> int:
    """Return how many images `intervene` reports for ``count`` of them."""
    return count * (2 ** len(images.part_names) + images.most_objects)


def _intervene_some(
    model: ExplainedModel, images: Creatures, indices: Tensor, tick: Tick
) -> tuple[Tensor, ...]:
    count = len(images.part_names)
    found = images.annotations(indices)
    variants = images.variants(indices)
    answers = []
    for kept in range(2**count):
        absent = torch.tensor([not kept >> part & 1 for part in range(count)])
        answers.append(
            ask_probabilities(
                model, images.render(indices, variants=variants.masked_fill(absent, -1))
            )
        )
        tick(len(indices))
    by_kept_parts = torch.stack(answers, dim=1)
    without_object = by_kept_parts.new_full(
        (len(indices), images.most_objects, by_kept_parts.shape[2]), torch.nan
    )
    is_visible = found.objects.flatten(2).any(2)
    for number in range(images.most_objects):
        there = is_visible[:, number]
        if there.any():
            pixels = images.without_objects(indices[there], [number])
            without_object[there, number] = ask_probabilities(model, pixels)
        tick(len(indices))
    return (
        by_kept_parts,
        without_object,
        found.touched,
        found.masks,
        found.centers_px.to(torch.float32),
        found.objects,
        found.creature,
    )


def pool_by_region(
    importance: Float[Tensor, "images height width"],
    regions: Bool[Tensor, "images regions height width"],
) -> Float[Tensor, "images regions"]:
    """Return the sum of the importance over each region's pixels.

    Source: Hesse et al. 2023, part importance of an attribution map. Deviation: a part's pixels are
    those it has a share in, where the original widens a mask by two pixels for the same purpose.
    """
    return torch.einsum("ihw,irhw->ir", importance.double(), regions.double())


def score_drops(
    before: Float[Tensor, "images classes"],
    after: Float[Tensor, "images changes classes"],
    classes: Int[Tensor, " images"],
) -> np.ndarray:
    """Return how much probability of its class each image loses by each change, (n, changes)."""
    rows = torch.arange(len(before))
    return (before[rows, classes][:, None] - after[rows, :, classes]).double().numpy()
