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

_FEWEST_IMAGES = 2


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
    evidence: PartEvidence,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return preservation, deletion and distractibility of each image at each threshold.

    Returns:
        Three of shape (n, thresholds) in [0, 1]; distractibility is NaN where everything matters.
    """
    rows = np.arange(len(evidence.answers))[:, None]
    limits = THRESHOLDS[None, :, None] * evidence.total[:, None, None]
    is_important = (evidence.importance[:, None, :] > limits) & evidence.visible[:, None, :]
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
    evidence: PartEvidence,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the three scores of each image, each at the threshold that suits the others best.

    The images, at least two, are halved (even and odd ones); for each half the threshold is the
    one with the highest ``preservation / 2 + deletion / 2 + distractibility`` on the other half.
    """
    scores = check_parts(evidence)
    count = len(evidence.answers)
    found = tuple(np.full(count, np.nan) for _ in range(3))
    halves = [np.arange(start, count, 2) for start in (0, 1)]
    for half, other in (halves, halves[::-1]):
        preserved, changed, spared = (score[other] for score in scores)
        known = ~np.isnan(spared[:, 0])
        total = preserved.mean(axis=0) / 2 + changed.mean(axis=0) / 2
        if known.any():
            total = total + spared[known].mean(axis=0)
        best = int(total.argmax())
        for score, column in zip(scores, found, strict=True):
            column[half] = score[half, best]
    return found[0], found[1], found[2]


def measure_part_checks(
    evidence: PartEvidence, blind: PartEvidence, *, seed: int = 0
) -> tuple[Measure, ...]:
    """Return preservation check, deletion check and distractibility.

    Source: Hesse et al. 2023, sections on completeness. Deviation: the threshold is not chosen on
    the images that are scored, and is relative to the positive importance; irrelevance is judged by
    probabilities; hidden parts are never important; the explained class is the model's answer.

    Args:
        evidence: Of the explanation.
        blind: The same of one that knows nothing; what it scores is the chance level.
        seed: Of the bootstrap.
    """
    if len(evidence.answers) < _FEWEST_IMAGES:
        why = "needs two images: the threshold for one is chosen on the other"
        return tuple(each.unknown(why) for each in (PRESERVATION, DELETION, DISTRACTIBILITY))
    preserved, changed, spared = score_parts(evidence)
    kept_by_chance, changed_by_chance, spared_by_chance = score_parts(blind)
    known = ~np.isnan(spared)
    return (
        PRESERVATION.of_share(preserved > 0, chance=float(kept_by_chance.mean())),
        DELETION.of_share(changed > 0, chance=float(changed_by_chance.mean())),
        DISTRACTIBILITY.of_mean(
            spared[known],
            chance=float(spared_by_chance[known].mean()) if known.any() else None,
            seed=seed,
        ),
    )
