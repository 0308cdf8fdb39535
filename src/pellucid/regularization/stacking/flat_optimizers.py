"""SGD and Adam on one flat buffer.

PyTorch's own do the same sums; loading them takes a second in every process, and each step longer
than its arithmetic on a buffer of this size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class FlatSgd:
    """Heavy-ball momentum as PyTorch has it: ``v = momentum * v + g``, ``w = w - rate * v``.

    Args:
        parameters: The buffer; its ``grad`` is read at each step.
        momentum: In [0, 1).
    """

    def __init__(self, parameters: Tensor, *, momentum: float) -> None:
        self._parameters = parameters
        self._momentum = momentum
        self.state: dict[str, Tensor] = {}
        if momentum:
            self.state["velocity"] = torch.zeros_like(parameters)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters."""
        direction = self._parameters.grad
        assert direction is not None
        if self._momentum:
            velocity = self.state["velocity"]
            direction = torch.add(direction, velocity, alpha=self._momentum, out=velocity)
        self._parameters.add_(direction, alpha=-learning_rate)

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state as tensors and JSON."""
        return self.state, {}

    def load(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what `save` gave."""
        for name, value in self.state.items():
            value.copy_(tensors[name])


class FlatAdam:
    """Adam with PyTorch's settings: decay rates .9 and .999, ``eps`` 1e-8.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), algorithm 1.

    Args:
        parameters: The buffer; its ``grad`` is read at each step.

    Attributes:
        denominators: ``sqrt(v_hat) + eps`` of the last step, laid out like the buffer.
    """

    _first_decay, _second_decay, _epsilon = 0.9, 0.999, 1e-8

    def __init__(self, parameters: Tensor) -> None:
        self._parameters = parameters
        self._steps = 0
        self.denominators = torch.ones_like(parameters)
        self.state = {
            "first_moment": torch.zeros_like(parameters),
            "second_moment": torch.zeros_like(parameters),
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters."""
        gradient = self._parameters.grad
        assert gradient is not None
        self._steps += 1
        first, second = self.state["first_moment"], self.state["second_moment"]
        first.lerp_(gradient, 1 - self._first_decay)
        second.mul_(self._second_decay).addcmul_(gradient, gradient, value=1 - self._second_decay)
        correction = math.sqrt(1 - self._second_decay**self._steps)
        torch.sqrt(second, out=self.denominators).div_(correction).add_(self._epsilon)
        rate = learning_rate / (1 - self._first_decay**self._steps)
        self._parameters.addcdiv_(first, self.denominators, value=-rate)

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state as tensors and JSON."""
        return self.state, {"steps": self._steps}

    def load(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what `save` gave."""
        self._steps = int(rest["steps"])
        for name, value in self.state.items():
            value.copy_(tensors[name])
