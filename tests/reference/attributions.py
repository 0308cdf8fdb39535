"""Attributions spelled out: hooks and loops, one image at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def grad_cam(network: nn.Module, layer: nn.Module, image: Tensor, label: int) -> Tensor:
    """Return the weighted sum of the layer's channels, before the relu; image (3, h, w)."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    hook = layer.register_forward_hook(keep)
    network.zero_grad()
    network(image[None].requires_grad_())[0, label].backward()
    hook.remove()
    network.zero_grad()
    (maps,) = seen
    assert maps.grad is not None
    total = torch.zeros_like(maps[0, 0])
    for channel in range(maps.shape[1]):
        weight = maps.grad[0, channel].mean()
        total = total + weight * maps[0, channel]
    return total.detach()


def enlarge(coarse: Tensor, height: int, width: int) -> Tensor:
    """Return a map at another size: bilinear between the middles of cells, constant outside."""
    rows, columns = coarse.shape
    large = torch.zeros(height, width, dtype=coarse.dtype)
    for y in range(height):
        for x in range(width):
            row = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            column = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(row), int(column)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            down, across = row - top, column - left
            large[y, x] = (1 - down) * (
                (1 - across) * coarse[top, left] + across * coarse[top, right]
            ) + down * ((1 - across) * coarse[bottom, left] + across * coarse[bottom, right])
    return large


def integrated_gradients(
    network: nn.Module, image: Tensor, blank: Tensor, label: int, *, steps: int
) -> Tensor:
    """Return (h, w): even steps by the midpoint rule instead of Gauss and Legendre's nodes."""
    total = torch.zeros_like(image)
    for step in range(steps):
        place = (blank + (step + 0.5) / steps * (image - blank)).detach()[None].requires_grad_()
        (slope,) = torch.autograd.grad(network(place)[0, label], place)
        total += slope[0] / steps
    return (total * (image - blank)).sum(0)
