"""Tuning with an equal budget: as many candidates for every arm, judged on validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid._checks import UsageError
from pellucid.regularization.arms import Arm, greatest_strength, set_strength
from pellucid.regularization.recipe import NetworkRecipe

_DECADES = 1.0
"""Candidates lie within a factor of 10 of the usual value, each way, on a logarithmic scale."""

LEARNING_RATE = "learning_rate"


@dataclass(frozen=True)
class Candidate:
    """One value of an arm's knob.

    Attributes:
        arm: The arm's name with ``-tryN`` and its changed recipe.
        knob: What was varied: the arm's strength, or the learning rate where it has none.
        value: The value.
    """

    arm: Arm
    knob: str
    value: float


@dataclass(frozen=True)
class TuningRow:
    """What one candidate gave.

    Attributes:
        arm: Name of the arm.
        knob: What was varied.
        value: Its value.
        validation_accuracy: Mean over the seeds after the last epoch, in [0, 1].
        chosen: Whether the arm went on with it.
    """

    arm: str
    knob: str
    value: float
    validation_accuracy: float
    chosen: bool


def list_candidates(arm: Arm, count: int) -> tuple[Candidate, ...]:
    """Return ``count`` candidates of an arm.

    An arm without a strength (``none``, say) gets as many learning rates, so that none is better
    off for having been tried more often.

    Args:
        arm: From `named_arm`, or with a `NetworkRecipe` of one's own.
        count: How many, at least 1; the middle one of an odd number is the arm's own value, unless
            the range is cut off at the strengths that make sense.

    Raises:
        UsageError: the arm is not a network's.
    """
    if not isinstance(arm.recipe, NetworkRecipe):
        raise UsageError(
            f"tune must be 0 with arm {arm.name!r}: only arms of networks can be tuned. Leave "
            "the arm or --tune out."
        )
    if arm.knob:
        middle = arm.strength or 1.0
        values = _spread(middle, count, greatest=greatest_strength(arm.knob))
        changed = [set_strength(arm.recipe, arm.knob, value) for value in values]
        knob = arm.knob
    else:
        values = _spread(arm.recipe.learning_rate, count)
        changed = [replace(arm.recipe, learning_rate=value) for value in values]
        knob = LEARNING_RATE
    return tuple(
        Candidate(Arm(f"{arm.name}-try{number}", recipe, arm.knob), knob, value)
        for number, (recipe, value) in enumerate(zip(changed, values, strict=True))
    )


def choose(
    arms: Mapping[str, Sequence[Candidate]], trials: Mapping[str, Sequence[Mapping[str, Any]]]
) -> tuple[tuple[Arm, ...], tuple[TuningRow, ...]]:
    """Choose for each arm the candidate of highest mean validation accuracy, the first on a tie.

    A candidate that collapsed or diverged at a seed is chosen only where all did so.

    Args:
        arms: Candidates by arm.
        trials: By the candidate's name, ``validation_accuracy`` and ``collapsed`` of each seed.

    Returns:
        The arms to go on with, under their own names, and a row for each candidate.
    """
    accuracy = {
        name: float(np.mean([trial["validation_accuracy"] for trial in several]))
        for name, several in trials.items()
    }
    sound = {
        name: not any(trial["collapsed"] for trial in several) for name, several in trials.items()
    }
    chosen: list[Arm] = []
    rows: list[TuningRow] = []
    for name, candidates in arms.items():
        best = max(candidates, key=lambda one: (sound[one.arm.name], accuracy[one.arm.name]))
        chosen.append(replace(best.arm, name=name))
        rows += [
            TuningRow(name, one.knob, one.value, accuracy[one.arm.name], one is best)
            for one in candidates
        ]
    return tuple(chosen), tuple(rows)


def list_path(arm: Arm, points: int) -> tuple[tuple[Arm, ...], tuple[float, ...]]:
    """Return an arm at ``points`` strengths, from weak to strong, and the strengths.

    They run from a tenth of the arm's strength to thirty times it (of ``max_norm``, where less is
    more, from ten times to a third). The first is trained for all
    epochs; each later one starts from the weights of the one before, for a third of the epochs
    (Friedman, Hastie and Tibshirani 2010, "Regularization Paths": warm starts; there from strong
    to weak, here from weak to strong, since a network of zeros does not come to life again).

    Raises:
        UsageError: the arm has no strength, or is not a network's.
    """
    if not arm.knob or not isinstance(arm.recipe, NetworkRecipe):
        raise UsageError(
            f"path must be an arm with a strength, got {arm.name!r}. Use l1, l2 or group_lasso."
        )
    middle = arm.strength or 1.0
    greatest = greatest_strength(arm.knob)
    strengths = np.geomspace(middle / 10, min(middle * 30, greatest), points).tolist()
    if arm.knob == "max_norm":  # the smaller the limit, the stronger
        strengths = np.geomspace(middle * 10, middle / 3, points).tolist()
    arms = []
    for number, strength in enumerate(strengths):
        recipe = set_strength(arm.recipe, arm.knob, strength)
        if number:
            recipe = replace(
                recipe,
                epochs=max(1, round(recipe.epochs / 3)),
                penalty=replace(recipe.penalty, ramp=0.0),
            )
        arms.append(Arm(f"{arm.name}-{number}", recipe, arm.knob))
    return tuple(arms), tuple(strengths)


def _spread(middle: float, count: int, *, greatest: float = float("inf")) -> list[float]:
    """Return values around ``middle`` on a logarithmic scale, none above ``greatest``."""
    low, high = middle / 10**_DECADES, min(middle * 10**_DECADES, greatest)
    if count == 1:
        return [middle]
    return np.geomspace(low, high, count).tolist()
