"""Creatures: generated pictures with annotated parts that can be taken off and exchanged."""

from __future__ import annotations

from pellucid.data.creatures.creature_images import (
    DEFAULT_IMAGE_SIZE,
    Creatures,
    PartAnnotations,
)
from pellucid.data.creatures.settings import CreatureSettings, Difficulty

__all__ = ["DEFAULT_IMAGE_SIZE", "CreatureSettings", "Creatures", "Difficulty", "PartAnnotations"]
