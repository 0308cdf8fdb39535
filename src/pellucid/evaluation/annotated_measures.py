"""Every measure that needs to know where the parts are: those on creatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data import Creatures
from pellucid.evaluation.background import (
    BACKGROUND_INDEPENDENCE,
    CHANGED_ANSWERS,
    IMPORTANCE_THERE,
    PROTOTYPES_THERE,
    measure_changed_answers,
    measure_importance_there,
    measure_independence,
    measure_prototypes_there,
)
from pellucid.evaluation.checked_answers import ask_matches, ask_probabilities
from pellucid.evaluation.consistency import (
    CONSISTENCY,
    STABILITY,
    add_noise,
    measure_consistency,
)
from pellucid.evaluation.explained_model import ExplainedModel, Matches, PrototypeModel
from pellucid.evaluation.measure import Definition, Measure
from pellucid.evaluation.part_checks import (
    DELETION,
    DISTRACTIBILITY,
    PRESERVATION,
    PartEvidence,
    measure_part_checks,
)
from pellucid.evaluation.part_interventions import (
    PartInterventions,
    Tick,
    count_renderings,
    intervene,
    pool_by_region,
    score_drops,
)
from pellucid.evaluation.pointing_game import POINTING, POINTING_DECISIVE, measure_pointing
from pellucid.evaluation.purity import PURITY, PURITY_TOP_10, measure_purity
from pellucid.evaluation.single_deletion import SINGLE_DELETION, measure_single_deletion
from pellucid.evaluation.target_sensitivity import (
    TARGET_SENSITIVITY,
    agrees,
    choose_rivals,
    measure_target_sensitivity,
)

BACKGROUNDS = 3
Explain = Callable[[Tensor, Tensor], Tensor]
"""Importance (b, height, width) of uint8 images (b, 3, height, width) for classes (b,)."""

_OF_EXPLANATIONS = (
    SINGLE_DELETION,
    PRESERVATION,
    DELETION,
    DISTRACTIBILITY,
    TARGET_SENSITIVITY,
    POINTING,
    POINTING_DECISIVE,
)
_OF_MODELS = (BACKGROUND_INDEPENDENCE, CHANGED_ANSWERS, IMPORTANCE_THERE)
_OF_PROTOTYPES = (PROTOTYPES_THERE, PURITY_TOP_10, PURITY, CONSISTENCY, STABILITY)


def not_annotated() -> tuple[Measure, ...]:
    """Return all of them without values, for images whose parts are not known."""
    why = "needs pictures whose parts are known and can be removed, such as creatures"
    found: tuple[Definition, ...] = (*_OF_EXPLANATIONS, *_OF_MODELS, *_OF_PROTOTYPES)
    return tuple(definition.unknown(why) for definition in found)


def count_steps(images: Creatures, count: int) -> int:
    """Return how many images are answered for ``count`` of them, without those explained."""
    return count_renderings(images, count) + BACKGROUNDS * count


def measure_annotated(
    model: ExplainedModel,
    images: Creatures,
    indices: Tensor,
    pixels: Tensor,
    answers: Tensor,
    importance: Tensor,
    *,
    explain: Explain,
    matches: Matches | None,
    seed: int,
    tick: Tick,
) -> tuple[Measure, ...]:
    """Measure a model on creatures.

    Args:
        model: The model.
        images: The creatures.
        indices: Which of them, (n,).
        pixels: The same images as they are, uint8 (n, 3, height, width).
        answers: The model's answers, (n,).
        importance: Of the pixels for these answers, (n, height, width).
        explain: Gives importance for other classes.
        matches: Where prototypes are found, or None.
        seed: Of everything random.
        tick: Is told of progress; in all `count_steps` images.
    """
    changed = intervene(model, images, indices, tick=tick)
    rows = torch.arange(len(indices))
    before = changed.plain[rows, answers].double().numpy()[:, None]
    drops = score_drops(changed.plain, changed.without_part, answers)
    object_drops = score_drops(changed.plain, changed.without_object, answers) / before
    # The map that knows nothing is the same everywhere: a part's importance is its area.
    part_importance, object_importance, total = _pool(importance, changed)
    blind_part, blind_object, blind_total = _pool(torch.ones_like(importance), changed)
    visible = changed.parts.flatten(2).any(2).numpy()
    has_object = ~np.isnan(object_drops)
    evidence = PartEvidence(
        importance=np.concatenate([part_importance, object_importance], axis=1),
        total=total,
        visible=np.concatenate([visible, has_object], axis=1),
        drops=np.concatenate([drops / before, np.nan_to_num(object_drops)], axis=1),
        answers=answers.numpy(),
        answers_by_kept_parts=changed.by_kept_parts.argmax(2).numpy(),
    )
    blind = replace(
        evidence,
        importance=np.concatenate([blind_part, blind_object], axis=1),
        total=blind_total,
    )
    return (
        measure_single_deletion(part_importance, drops, visible, blind=blind_part, seed=seed),
        *measure_part_checks(evidence, blind, seed=seed),
        _measure_target_sensitivity(images, indices, pixels, changed, explain, seed),
        *measure_pointing(importance, changed.parts, np.where(visible, drops, -np.inf)),
        measure_independence(object_drops, has_object, seed=seed),
        measure_changed_answers(
            answers.numpy(), _answer_before_others(model, images, indices, tick), seed=seed
        ),
        measure_importance_there(importance, changed.creature, seed=seed),
        *_measure_prototypes(model, pixels, matches, changed, seed),
    )


def _pool(importance: Tensor, changed: PartInterventions) -> tuple[NDArray[np.float64], ...]:
    """Return the importance of parts and of objects, and all positive importance, by image."""
    return (
        pool_by_region(importance, changed.parts).numpy(),
        pool_by_region(importance, changed.objects).numpy(),
        importance.double().clamp_min(0).sum((1, 2)).numpy(),
    )


def _measure_target_sensitivity(
    images: Creatures,
    indices: Tensor,
    pixels: Tensor,
    changed: PartInterventions,
    explain: Explain,
    seed: int,
) -> Measure:
    # The class that the creature was made of, whatever its label says.
    own = (images.variants(indices)[:, None] == images.class_parts).all(2).int().argmax(1)
    rivals = choose_rivals(images.class_parts.numpy(), own.numpy(), seed=seed)
    agreed = agrees(changed.by_kept_parts.numpy(), rivals)
    rows = torch.from_numpy(rivals.rows[agreed])
    importance = np.zeros((len(agreed), 2, changed.parts.shape[1]))
    if len(rows):
        for number in range(2):
            classes = torch.from_numpy(rivals.classes[agreed, number])
            importance[agreed, number] = pool_by_region(
                explain(pixels[rows], classes), changed.parts[rows]
            ).numpy()
    return measure_target_sensitivity(importance, rivals, agreed, seed=seed)


def _answer_before_others(
    model: ExplainedModel, images: Creatures, indices: Tensor, tick: Tick
) -> NDArray[np.int64]:
    columns = []
    for background in range(1, BACKGROUNDS + 1):
        pixels = images.with_background(indices, background)
        columns.append(ask_probabilities(model, pixels).argmax(1).numpy())
        tick(len(indices))
    return np.stack(columns, axis=1)


def _measure_prototypes(
    model: ExplainedModel,
    pixels: Tensor,
    matches: Matches | None,
    changed: PartInterventions,
    seed: int,
) -> tuple[Measure, ...]:
    if matches is None or not isinstance(model, PrototypeModel):
        return tuple(each.unknown("only models with prototypes have it") for each in _OF_PROTOTYPES)
    noisy = ask_matches(model, add_noise(pixels, seed=seed))
    return (
        measure_prototypes_there(matches, changed.creature),
        *measure_purity(matches, changed.part_masks, seed=seed),
        *measure_consistency(matches, noisy, changed.part_masks, seed=seed),
    )
