"""Rectangles of pixels (top, left, bottom, right), half-open, many at a time."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def fill_boxes(
    boxes: Int[Tensor, "n 4"], image_size: tuple[int, int]
) -> Bool[Tensor, "n height width"]:
    """Return for each box which pixels are in it."""
    top, left, bottom, right = (side[:, None] for side in boxes.unbind(1))
    row, column = torch.arange(image_size[0]), torch.arange(image_size[1])
    down, across = (row >= top) & (row < bottom), (column >= left) & (column < right)
    return down[:, :, None] & across[:, None, :]


def move_boxes(
    boxes: Int[Tensor, "n 4"], image_size: tuple[int, int], *, generator: torch.Generator
) -> Int[Tensor, "n 4"]:
    """Return boxes of the same sizes at places drawn uniformly from those inside the image."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    room = torch.tensor(image_size) - sizes + 1
    start = (torch.rand(len(boxes), 2, generator=generator, dtype=torch.float64) * room).long()
    return torch.cat([start, start + sizes], dim=1)


def windows_around(
    centers_px: Float[Tensor, "n 2"], image_size: tuple[int, int], *, share: float
) -> Int[Tensor, "n 4"]:
    """Return windows of ``share`` of the image's sides around (row, column), clipped, not empty."""
    sides = torch.tensor([max(1, round(share * side)) for side in image_size])
    limits = torch.tensor(image_size)
    start = torch.floor(centers_px - sides / 2 + 0.5).long()
    stop = torch.minimum(start + sides, limits)
    start = torch.minimum(start.clamp_min(0), limits - 1)
    return torch.cat([start, torch.maximum(stop, start + 1)], dim=1)


def draw_places(
    count: int, image_size: tuple[int, int], *, generator: torch.Generator
) -> Float[Tensor, "n 2"]:
    """Return (row, column) drawn uniformly from the image."""
    return torch.rand(count, 2, generator=generator) * torch.tensor(image_size)
