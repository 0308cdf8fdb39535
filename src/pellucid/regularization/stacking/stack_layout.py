"""How the values of many networks lie side by side, and the list of steps that computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._checks import PellucidError

DrawMask = Callable[[tuple[int, ...], float], Tensor]
"""Gives the dropout masks of all seeds, already divided by what is kept: (seeds, *shape)."""


class CannotStack(PellucidError):
    """The networks must be trained one at a time; says which operation is the reason."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node = node
        self.reason = reason


@dataclass
class Pass:
    """What one pass through the networks needs besides the images.

    Attributes:
        parameters: Stacked, each of shape (networks, *shape).
        buffers: The same for running statistics; changed in place while training.
        draw: Masks for dropout; None turns it off.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    draw: DrawMask | None = None


# A value in a pass: the tensor, and how many networks' worth of it there are (those of the seeds
# before the fan-out).
Value = tuple[Tensor, int]
Step = Callable[[Pass, list[Value]], Value]


class FanOut:
    """Turns a value that exists once a seed into one that exists once a network."""

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self.networks = len(seeds)
        self._index = torch.tensor(seeds)
        distinct = sorted(set(seeds))
        arms = len(seeds) // len(distinct)
        # Every seed with as many networks, one after another: plain groups of a convolution.
        self.even = list(seeds) == [seed for seed in distinct for _ in range(arms)]

    def index(self, device: torch.device) -> Tensor:
        """Return the number of each network's seed, on a device."""
        if self._index.device != device:
            self._index = self._index.to(device)
        return self._index

    def deep(self, value: Tensor, count: int) -> Tensor:
        """Spread (count, batch, features) to (networks, batch, features)."""
        if count == self.networks:
            return value
        if count == 1:
            return value.expand(self.networks, *value.shape[1:])
        return value.index_select(0, self.index(value.device))

    def wide(self, value: Tensor, count: int) -> Tensor:
        """Spread (batch, count * channels, height, width) to as many channels as networks need."""
        if count == self.networks:
            return value
        last = value.permute(0, 2, 3, 1).unflatten(3, (count, -1))
        if count == 1:
            last = last.expand(-1, -1, -1, self.networks, -1)
        else:
            last = last.index_select(3, self.index(value.device))
        return last.flatten(3).permute(0, 3, 1, 2)


class Program:
    """The steps of one mode, in order, with the slots of their inputs."""

    def __init__(self, fan: FanOut) -> None:
        self.fan = fan
        self.steps: list[tuple[Step, tuple[int, ...], int, tuple[int, ...]]] = []
        self.slots = 1
        self.output = 0

    def __call__(self, images: Tensor, sets: int, state: Pass) -> Tensor:
        """Return the output, deep: (networks, batch, classes)."""
        values: list[Any] = [None] * self.slots
        values[0] = (images, sets)
        for step, inputs, output, last_used in self.steps:
            values[output] = step(state, [values[slot] for slot in inputs])
            for slot in last_used:
                values[slot] = None
        return self.fan.deep(*values[self.output])
