"""Preservation, deletion, distractibility: are the parts called important the ones that matter?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.evaluation.measure import Definition, Measure

PRESERVATION = Definition(
    "preservation_check",
    "preservation check",
    "higher",
    "share",
    "share of answers that stay when all parts not called important are really removed "
    "(FunnyBirds 2023; threshold chosen on the other half of the images)",
)
DELETION = Definition(
    "deletion_check",
    "deletion check",
    "higher",
    "share",
    "share of answers that change when the parts called important are really removed "
    "(FunnyBirds 2023; threshold chosen on the other half of the images)",
)
DISTRACTIBILITY = Definition(
    "distractibility",
    "distractibility",
    "higher",
    "share",
    "share of the parts and background objects whose removal costs < 5 % that are not called "
    "important (FunnyBirds 2023; higher is less distracted)",
)
THRESHOLDS = np.linspace(0.01, 0.5, 80)
"""Shares of all positive importance above which a part is called important; the original's."""

RELEVANT_DROP = 0.05
"""Share of the answer's probability that a part must cost to be relevant; the original's."""

_SHUFFLES = 20


@dataclass(frozen=True)
class PartEvidence:
    """What an explanation says of parts and objects, and what is so.

    Attributes:
        importance: Of the parts, then of the background objects, (n, parts + objects).
        total: All positive importance of the image, (n,).
        visible: Which of them are in the image, (n, parts + objects).
        drops: Loss of the answer's probability when one is removed, as a share of the probability
            before; what is not visible is not looked at. (n, parts + objects).
        answers: The answer, (n,).
        answers_by_kept_parts: The answer with each set of parts, (n, 2**parts).
    """

    importance: NDArray[np.float64]
    total: NDArray[np.float64]
    visible: NDArray[np.bool_]
    drops: NDArray[np.float64]
    answers: NDArray[np.int64]
    answers_by_kept_parts: NDArray[np.int64]

    @property
    def parts(self) -> int:
        """How many of the columns are parts."""
        return int(self.answers_by_kept_parts.shape[1]).bit_length() - 1


def check_parts(
    evidence: PartEvidence, importance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return preservation, deletion and distractibility of each image at each threshold.

    Args:
        evidence: What is so; its own importance is not looked at.
        importance: What is said instead, (n, parts + objects).

    Returns:
        Three of shape (n, thresholds) in [0, 1]; distractibility is NaN where everything matters.
    """
    rows = np.arange(len(importance))[:, None]
    limits = THRESHOLDS[None, :, None] * evidence.total[:, None, None]
    is_important = (importance[:, None, :] > limits) & evidence.visible[:, None, :]
    bits = 1 << np.arange(evidence.parts)
    kept = (is_important[:, :, : evidence.parts] * bits).sum(axis=2)
    answers = evidence.answers[:, None]
    preserved = evidence.answers_by_kept_parts[rows, kept] == answers
    everything = bits.sum()
    changed = evidence.answers_by_kept_parts[rows, everything - kept] != answers
    irrelevant = evidence.visible & (evidence.drops < RELEVANT_DROP)
    count = irrelevant.sum(axis=1)[:, None]
    distracted = (is_important & irrelevant[:, None, :]).sum(axis=2)
    spared = np.where(count > 0, 1 - distracted / np.maximum(count, 1), np.nan)
    return preserved.astype(float), changed.astype(float), spared


def score_parts(
    evidence: PartEvidence, importance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the three scores of each image, each at the threshold that suits the others best.

    The images are halved (even and odd ones); for each half the threshold is the one with the
    highest ``preservation / 2 + deletion / 2 + distractibility`` on the other half.
    """
    scores = check_parts(evidence, importance)
    found = tuple(np.full(len(importance), np.nan) for _ in range(3))
    halves = [np.arange(start, len(importance), 2) for start in (0, 1)]
    for half, other in (halves, halves[::-1]):
        if not len(half):
            continue
        judged = other if len(other) else half
        preserved, changed, spared = (score[judged] for score in scores)
        known = ~np.isnan(spared[:, 0])
        total = preserved.mean(axis=0) / 2 + changed.mean(axis=0) / 2
        if known.any():
            total = total + spared[known].mean(axis=0)
        best = int(total.argmax())
        for score, column in zip(scores, found, strict=True):
            column[half] = score[half, best]
    return found[0], found[1], found[2]


def measure_part_checks(evidence: PartEvidence, *, seed: int = 0) -> tuple[Measure, ...]:
    """Return preservation check, deletion check and distractibility.

    Chance: the same importances handed out at random to the parts and objects of the image.

    Source: Hesse et al. 2023, sections on completeness. Deviation: the threshold is not chosen on
    the images that are scored, and is relative to the positive importance; irrelevance is judged by
    probabilities; hidden parts are never important; the explained class is the model's answer.
    """
    preserved, changed, spared = score_parts(evidence, evidence.importance)
    generator = np.random.default_rng(seed)
    shuffled = [
        score_parts(evidence, shuffle_visible(evidence.importance, evidence.visible, generator))
        for _ in range(_SHUFFLES)
    ]
    by_chance = [float(np.nanmean([run[number] for run in shuffled])) for number in range(2)]
    known = ~np.isnan(spared)
    distracted = [run[2][known] for run in shuffled]
    return (
        PRESERVATION.of_share(preserved > 0, chance=by_chance[0]),
        DELETION.of_share(changed > 0, chance=by_chance[1]),
        DISTRACTIBILITY.of_mean(
            spared[known], chance=float(np.mean(distracted)) if known.any() else None, seed=seed
        ),
    )


def shuffle_visible(
    importance: NDArray[np.float64], visible: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the importances of each row in a random order among its visible columns."""
    shuffled = importance.copy()
    for row, there in enumerate(visible):
        shuffled[row, there] = generator.permutation(importance[row, there])
    return shuffled
