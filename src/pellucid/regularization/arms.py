"""Arms by name: what a study compares, as a person asks for it on a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pellucid._checks import UsageError, check_number, did_you_mean
from pellucid.regularization.named_penalties import (
    PENALTY_NAMES,
    default_strength,
    named_penalty,
)
from pellucid.regularization.recipe import NetworkRecipe

if TYPE_CHECKING:
    from pellucid.training import Recipe

PLAIN_ALTERNATIVES: dict[str, float | None] = {
    "weight_decay": 0.05,
    "dropout": 0.3,
    "label_smoothing": 0.1,
    "mixup": 0.2,
    "shifts": 0.1,
    "flips": None,
    "cosine": None,
}
"""What is no penalty, with its usual strength; None where there is nothing to set."""


@dataclass(frozen=True)
class Arm:
    """One way to train, under a name.

    Attributes:
        name: Letters, digits, ``_``, ``+``, ``-`` and ``.``; unique in a study.
        recipe: How.
        knob: What ``--strength`` and ``--tune`` set, such as ``"l1"``; "" where there is none.
        strength: The knob's value, or None without one.
    """

    name: str
    recipe: NetworkRecipe | Recipe
    knob: str = ""
    strength: float | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", self.name):
            raise UsageError(
                "name of an arm must consist of letters, digits, '_', '+', '-' and '.', got "
                f"{self.name!r}. It becomes a file name."
            )


def named_arm(name: str, base: NetworkRecipe, *, strength: float | None = None) -> Arm:
    """Return the arm ``name``: ``base`` with one change, or several joined by ``+``.

    Args:
        name: One of `arm_names`, or such as ``"l1+shifts"``: first a penalty, then others.
        base: The recipe that is changed.
        strength: Of the first part; None takes its usual one.

    Raises:
        UsageError: the name is unknown, is named twice, or has no strength to set.
    """
    parts = name.split("+")
    recipe = base
    for position, part in enumerate(parts):
        recipe = set_strength(recipe, part, strength if position == 0 else None)
        if part in parts[:position] or (position and part in PENALTY_NAMES):
            raise UsageError(
                f"arm {name!r} must name one penalty, first, and then each alternative once. "
                "Use elastic_net for L1 and L2 together, sparse_group_lasso for L1 and groups."
            )
    usual = usual_strength(parts[0])
    if usual is None:
        return Arm(name, recipe)
    return Arm(name, recipe, parts[0], usual if strength is None else strength)


def arm_names() -> tuple[str, ...]:
    """Return the names that `named_arm` knows."""
    return (*PENALTY_NAMES, *PLAIN_ALTERNATIVES)


def usual_strength(name: str) -> float | None:
    """Return the strength of ``name`` where none is given, or None where it has none."""
    if name in PENALTY_NAMES:
        return default_strength(name)
    return PLAIN_ALTERNATIVES[name]


def greatest_strength(name: str) -> float:
    """Return the upper end of the strengths that make sense for ``name``."""
    return {"dropout": 0.9, "label_smoothing": 0.9, "shifts": 0.5}.get(name, float("inf"))


def check_strengths(strengths: Mapping[str, float], names: Sequence[str]) -> None:
    """Refuse a strength of an arm that is not in the study, or that has none.

    Raises:
        UsageError: so it is.
    """
    for name, value in strengths.items():
        if name not in names:
            together = ",".join([*names, name])
            raise UsageError(
                f"strength must be of an arm of the study ({', '.join(names)}), got {name!r}. "
                f"{did_you_mean(name, names) or f'Add the arm: --arms {together}'}"
            )
        check_number(f"strength of {name}", value, low=0, open_low=True)


def set_strength(recipe: NetworkRecipe, name: str, strength: float | None) -> NetworkRecipe:
    """Return ``recipe`` with ``name`` at a strength; all else, such as a ramp, stays.

    Args:
        recipe: What is changed.
        name: One of `arm_names`.
        strength: None takes the usual one.

    Raises:
        UsageError: the name is unknown, or has no strength.
    """
    if name in PENALTY_NAMES:
        terms = named_penalty(name, strength)
        penalty = replace(
            recipe.penalty, l1=terms.l1, l2=terms.l2, group=terms.group, max_norm=terms.max_norm
        )
        return replace(recipe, penalty=penalty)
    if name not in PLAIN_ALTERNATIVES:
        raise UsageError(
            f"arm must be one of {', '.join(arm_names())}, or several joined by '+', got "
            f"{name!r}. {did_you_mean(name, arm_names())}".rstrip()
        )
    usual = PLAIN_ALTERNATIVES[name]
    if usual is None and strength is not None:
        raise UsageError(f"strength must be left out for the arm {name!r}, got {strength!r}.")
    value = usual if strength is None else strength
    augmentation = recipe.augmentation
    match name:
        case "weight_decay":
            return replace(recipe, decoupled_weight_decay=value)
        case "shifts":
            return replace(recipe, augmentation=replace(augmentation, shift_fraction=value))
        case "flips":
            return replace(recipe, augmentation=replace(augmentation, flip=True))
        case "cosine":
            return replace(recipe, schedule="cosine")
        case _:  # dropout, label_smoothing, mixup: the recipe's own names
            return replace(recipe, **{name: value})
