"""Matches with random places, and masks of a few parts, for measures of prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.evaluation import Matches

SIZE = (14, 21)


def random_matches(images: int = 30, prototypes: int = 4, seed: int = 0) -> Matches:
    generator = torch.Generator().manual_seed(seed)
    centers = torch.rand(images, prototypes, 2, generator=generator) * torch.tensor(SIZE)
    start = (centers - 2).floor().clamp_min(0).long()
    stop = torch.minimum(start + 4, torch.tensor(SIZE))
    return Matches(
        similarity=torch.rand(images, prototypes, generator=generator),
        boxes=torch.cat([start, stop], dim=2),
        present=torch.rand(images, prototypes, generator=generator) < 0.5,
        centers_px=centers,
    )


def random_masks(images: int = 30, parts: int = 3, seed: int = 1) -> Tensor:
    """Return disjoint masks of scattered pixels."""
    generator = torch.Generator().manual_seed(seed)
    owner = torch.randint(0, 3 * parts, (images, *SIZE), generator=generator)
    return torch.stack([owner == part for part in range(parts)], dim=1)


def matches_at(places: list[list[tuple[float, float]]], present: bool = True) -> Matches:
    """Return matches whose prototypes are at the places given, [image][prototype]."""
    centers = torch.tensor(places)
    shape = centers.shape[:2]
    boxes = torch.cat([centers.long(), centers.long() + 1], dim=2)
    similarity = torch.linspace(1, 0.5, shape[0])[:, None].expand(shape)
    return Matches(similarity, boxes, torch.full(shape, present), centers)


def fixed_places(prototypes: int, seed: int = 0) -> list[tuple[float, float]]:
    """Return a random place for each prototype."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(prototypes, 2, generator=generator) * torch.tensor(SIZE)
    return [(row, column) for row, column in places.tolist()]
