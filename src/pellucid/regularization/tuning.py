"""Tuning with an equal budget: as many candidates for every arm, judged on validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid._checks import UsageError
from pellucid.regularization.arms import Arm, greatest_strength, set_strength
from pellucid.regularization.recipe import NetworkRecipe

_STRENGTH_DECADES = 1.0
"""Candidates' strengths lie within a factor of 10 of the arm's own, each way."""

_RATE_DECADES = 0.5
"""Candidates' learning rates lie within a factor of 3.2 of the arm's own, each way."""


@dataclass(frozen=True)
class Candidate:
    """One way to set an arm.

    Attributes:
        arm: The arm's name with ``-tryN`` and its changed recipe.
        learning_rate: Its learning rate.
        strength: Its strength, or None where the arm has none.
    """

    arm: Arm
    learning_rate: float
    strength: float | None


@dataclass(frozen=True)
class TuningRow:
    """What one candidate gave.

    Attributes:
        arm: Name of the arm.
        learning_rate: The candidate's.
        strength: The candidate's, or None where the arm has none.
        validation_accuracy: Mean over the seeds after the last epoch, in [0, 1].
        collapsed: Whether it collapsed or diverged at a seed.
        chosen: Whether the arm went on with it.
    """

    arm: str
    learning_rate: float
    strength: float | None
    validation_accuracy: float
    collapsed: bool
    chosen: bool


def list_candidates(arm: Arm, count: int) -> tuple[Candidate, ...]:
    """Return ``count`` candidates of an arm: first as it is, then spread around that.

    Every arm gets the same learning rates, in the same order, so that none wins by a rate that the
    others were not tried at; an arm with a strength gets another strength with each of them.
    Learning rate and strength follow a Halton sequence on logarithmic scales, which fills the
    square evenly, however many candidates there are.

    Source: Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization" (section 4
    for low-discrepancy sequences). Deviation: the first candidate is the arm itself.

    Args:
        arm: From `named_arm`, or with a `NetworkRecipe` of one's own.
        count: How many, at least 1.

    Raises:
        UsageError: the arm is not a network's.
    """
    recipe = arm.recipe
    if not isinstance(recipe, NetworkRecipe):
        raise UsageError(
            f"tune must be 0 with arm {arm.name!r}: only arms of networks can be tuned. Leave "
            "the arm or --tune out."
        )
    from scipy.stats import qmc  # slow to load

    # Of [0, 1)^2; without its first two points, the corner and one at the usual learning rate.
    points = qmc.Halton(d=2, scramble=False).random(count + 1)[2:]
    found = [Candidate(replace(arm, name=f"{arm.name}-try0"), recipe.learning_rate, arm.strength)]
    for number, (along, across) in enumerate(points, start=1):
        rate = recipe.learning_rate * 10 ** (_RATE_DECADES * (2 * along - 1))
        changed = replace(recipe, learning_rate=float(rate))
        strength = None
        if arm.knob and arm.strength is not None:
            wanted = arm.strength * 10 ** (_STRENGTH_DECADES * (2 * across - 1))
            strength = float(min(wanted, greatest_strength(arm.knob)))
            changed = set_strength(changed, arm.knob, strength)
        name = f"{arm.name}-try{number}"
        found.append(Candidate(Arm(name, changed, arm.knob, strength), float(rate), strength))
    return tuple(found)


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
            TuningRow(
                name,
                one.learning_rate,
                one.strength,
                accuracy[one.arm.name],
                not sound[one.arm.name],
                one is best,
            )
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
