"""Does the model look at the background, and do its prototypes lie there?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import binom
from torch import Tensor

from pellucid.evaluation.explained_model import Matches
from pellucid.evaluation.measure import Definition, Measure
from pellucid.evaluation.part_checks import RELEVANT_DROP
from pellucid.evaluation.purity import TOP

BACKGROUND_INDEPENDENCE = Definition(
    "background_independence",
    "background independence",
    "higher",
    "share",
    "share of the visible background objects whose real removal costs the answer less than 5 % of "
    "its probability (FunnyBirds 2023)",
)
CHANGED_ANSWERS = Definition(
    "background_changes_answer",
    "answers changed by another background",
    "lower",
    "share",
    "share of answers that are another one when the same creature is rendered before another "
    "background, mean of several backgrounds",
)
IMPORTANCE_THERE = Definition(
    "importance_on_background",
    "importance on the background",
    "lower",
    "share",
    "share of all positive importance for the answer that is on pixels off the creature, mean over "
    "images; low says nothing where the explanation is not faithful",
)
PROTOTYPES_THERE = Definition(
    "prototypes_on_background",
    "prototypes on the background",
    "lower",
    "share",
    "share of prototypes whose 10 most similar patches have their middle off the creature more "
    "often than on it",
)


def measure_independence(
    drops: NDArray[np.float64], visible: NDArray[np.bool_], *, seed: int = 0
) -> Measure:
    """Return the share of visible objects that cost less than 5 % when they are removed.

    Source: Hesse et al. 2023, background independence. Deviation: of the answer's probability
    instead of the true class's logit; objects hidden by others are left out.

    Args:
        drops: Loss of the answer's probability as a share of itself, (n, objects).
        visible: Which objects there are, (n, objects).
        seed: Of the bootstrap over images.
    """
    count = visible.sum(axis=1)
    some = count > 0
    if not some.any():
        return BACKGROUND_INDEPENDENCE.unknown("no background object is visible in any image")
    calm = ((drops < RELEVANT_DROP) & visible).sum(axis=1)[some] / count[some]
    return BACKGROUND_INDEPENDENCE.of_mean(calm, weights=count[some].astype(float), seed=seed)


def measure_changed_answers(
    answers: NDArray[np.int64], before_others: NDArray[np.int64], *, seed: int = 0
) -> Measure:
    """Return how often another background changes the answer.

    Args:
        answers: Of the images as they are, (n,).
        before_others: Before each of several other backgrounds, (n, backgrounds).
        seed: Of the bootstrap over images.
    """
    changed = (before_others != answers[:, None]).mean(axis=1)
    return CHANGED_ANSWERS.of_mean(changed, seed=seed)


def measure_importance_there(
    importance: Float[Tensor, "images height width"],
    creature: Bool[Tensor, "images height width"],
    *,
    seed: int = 0,
) -> Measure:
    """Return the share of the positive importance that lies off the creature.

    Images without any positive importance are left out. Chance is the share of the area.
    """
    positive = importance.double().clamp_min(0)
    total = positive.sum((1, 2))
    some = total > 0
    share = (positive * ~creature).sum((1, 2))[some] / total[some]
    area = float((~creature).float().mean())
    return IMPORTANCE_THERE.of_mean(share.numpy(), chance=area, seed=seed)


def lie_off(matches: Matches, creature: Bool[Tensor, "images height width"]) -> NDArray[np.bool_]:
    """Return for each prototype whether most of its ten nearest patches lie off the creature."""
    nearest = matches.similarity.argsort(dim=0, descending=True, stable=True)[:TOP]
    numbers = torch.arange(nearest.shape[1])
    size = torch.tensor(creature.shape[1:])
    place = matches.middles[nearest, numbers].floor().long()
    row, column = torch.minimum(place, size - 1).clamp_min(0).unbind(2)
    is_off = ~creature[nearest, row, column]
    return (is_off.double().mean(0) > 0.5).numpy()


def measure_prototypes_there(
    matches: Matches, creature: Bool[Tensor, "images height width"]
) -> Measure:
    """Return the share of prototypes that lie on the background.

    Chance is the probability that most of ten random pixels lie there.
    """
    is_off = lie_off(matches, creature)
    share = float((~creature).float().mean())
    return PROTOTYPES_THERE.of_share(is_off, chance=_most_of(min(TOP, len(creature)), share))


def _most_of(count: int, share: float) -> float:
    return float(binom.sf(count // 2, count, share))
