"""What a set of creatures is to be like."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pellucid._checks import UsageError, check_integer, check_number
from pellucid.data.creatures.class_table import MOST_CLASSES

_MOST_PER_CLASS = 10**6


@dataclass(frozen=True)
class Difficulty:
    """How hard the pictures are; every amount is in [0, 1].

    Args:
        pose: How far size, turn, place and the joints vary; with 0 all stand upright in the middle,
            with more than 0 half of them are mirrored.
        occlusion: Probability of each of two leaves and blades in front of the creature, and how
            large they are.
        clutter: Share of the objects behind the creature that are there, and how strong the
            background's pattern is.
        shortcut: Probability that the background of a *training or validation* image is that of its
            class. With 1 it gives the class away there; test images have it at random always.

    Raises:
        UsageError: An amount is out of range.
    """

    pose: float = 0.5
    occlusion: float = 0.3
    clutter: float = 0.5
    shortcut: float = 0.0

    def __post_init__(self) -> None:
        for name in ("pose", "occlusion", "clutter", "shortcut"):
            check_number(name, getattr(self, name), low=0, high=1)


@dataclass(frozen=True)
class CreatureSettings:
    """Which creatures, how many pictures of them, and how hard.

    A picture depends on ``seed``, ``difficulty``, the classes, its split and its number there, so
    more pictures in one split leave those of all splits as they are.

    Args:
        classes: Kinds of creatures, in [2, 256].
        train_per_class: Training images of each class.
        validation_per_class: Validation images of each class; may be 0.
        test_per_class: Test images of each class; may be 0.
        difficulty: See ``Difficulty``.
        seed: Of the classes and of every picture.

    Raises:
        UsageError: A number is out of range.
    """

    classes: int = 20
    train_per_class: int = 100
    validation_per_class: int = 11
    test_per_class: int = 50
    difficulty: Difficulty = field(default_factory=Difficulty)
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("classes", self.classes, low=2, high=MOST_CLASSES)
        check_integer("train_per_class", self.train_per_class, low=1, high=_MOST_PER_CLASS)
        for name in ("validation_per_class", "test_per_class"):
            check_integer(name, getattr(self, name), low=0, high=_MOST_PER_CLASS)
        check_integer("seed", self.seed, low=0, high=2**32 - 1)
        if not isinstance(self.difficulty, Difficulty):
            raise UsageError(
                f"difficulty must be a Difficulty, got {self.difficulty!r}. "
                "Use Difficulty(pose=1.0, occlusion=0.5)."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as JSON-ready values."""
        return asdict(self)
