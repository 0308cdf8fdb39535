"""A trained network as a plain function of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pellucid.data import Normalization
from pellucid.regularization.recipe import NetworkFactory
from pellucid.regularization.small_networks import create_network


@dataclass(frozen=True)
class NetworkAnswers:
    """A trained network as a function of uint8 images; can be sent to another process.

    Attributes:
        network: Name or factory, as in the recipe.
        classes: Number of classes.
        image_size: Height and width in pixels.
        normalization: Of the images.
        weights: State dict.
    """

    network: str | NetworkFactory
    classes: int
    image_size: tuple[int, int]
    normalization: Normalization
    weights: Mapping[str, Tensor]

    @cached_property
    def module(self) -> torch.nn.Module:
        """Return the network by itself, in evaluation mode; it takes normalized images."""
        module = create_network(
            self.network, classes=self.classes, image_size=self.image_size, seed=0
        )
        floating = [value for value in self.weights.values() if value.is_floating_point()]
        module.to(floating[0].dtype).load_state_dict(dict(self.weights))
        return module.eval()

    def __call__(self, images: Tensor) -> Tensor:
        """Return log-probabilities, shape (batch, classes), of uint8 images."""
        module = self.module.to(images.device)
        dtype = next(module.parameters()).dtype
        with torch.inference_mode():
            parts = [
                torch.log_softmax(module(self.normalization(part).to(dtype)), 1)
                for part in images.split(256)
            ]
            return torch.cat(parts) if parts else torch.empty(0, self.classes, dtype=dtype)
