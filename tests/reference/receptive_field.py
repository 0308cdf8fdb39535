"""Slow and obvious twins of ``pellucid.backbones.receptive_field``."""

from __future__ import annotations

import torch
from torch import nn


def rows_seen_one_by_one(network: nn.Module, image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (first, one past last) pixel row of each latent row: one NaN row at a time."""
    network = network.double().eval()
    seen: list[list[int]] = []
    for row in range(image_size[0]):
        image = torch.ones(1, 3, *image_size, dtype=torch.float64)
        image[:, :, row] = torch.nan
        with torch.no_grad():
            touched = network(image)[0].isnan().any(dim=0).any(dim=1).tolist()
        seen = seen or [[] for _ in touched]
        for latent_row, is_touched in enumerate(touched):
            if is_touched:
                seen[latent_row].append(row)
    return [(min(rows), max(rows) + 1) for rows in seen]


def fields_by_formula(layers: list[tuple[int, int, int, int]], size: int) -> list[tuple[int, int]]:
    """Return the unclipped fields along one axis of a stack of convolutions and poolings.

    Args:
        layers: (kernel, stride, padding, dilation) of each.
        size: Pixels along the axis.
    """
    fields = [(pixel, pixel + 1) for pixel in range(size)]
    for kernel, stride, padding, dilation in layers:
        reach = dilation * (kernel - 1)
        out = (len(fields) + 2 * padding - reach - 1) // stride + 1
        merged = []
        for index in range(out):
            first = index * stride - padding
            inputs = [i for i in range(first, first + reach + 1, dilation) if 0 <= i < len(fields)]
            real = [fields[i] for i in inputs if fields[i] is not None]
            merged.append((min(f for f, _ in real), max(s for _, s in real)) if real else None)
        fields = merged
    return fields
