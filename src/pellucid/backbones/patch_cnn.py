"""A small convolutional network whose latent cells see patches, not the whole image."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

_FIRST_WIDTH = 32
_MAXIMAL_WIDTH = 512
_LATENT_TARGET = 8


class PatchCnn(nn.Module):
    """3×3 convolutions, each with batch normalization and ReLU; few, so that cells see patches.

    The first convolution has stride 2; each further halving is a convolution and a 2×2 max-pooling;
    two convolutions follow at full stride. At stride ``s >= 2`` a latent cell sees a square of
    ``7 s - 3`` pixels (25 px of 32, 53 px of 64, 109 px of 224), cut off at the image's edges: two
    fifths of the image for the median cell at 32 px. At stride 1 it sees 5 px. A ResNet cut at the
    same stride sees all of the image.

    Args:
        image_size: Height and width in pixels; decides the stride, so that the latent map has 8 to
            15 rows and columns (of a square image of at least 8 px), and at least 2 of each.
    """

    def __init__(self, image_size: tuple[int, int]) -> None:
        super().__init__()
        halvings = _count_halvings(image_size)
        layers: list[nn.Module] = []
        channels = 3
        if halvings:
            layers += _convolution(channels, _FIRST_WIDTH, stride=2)
            channels = _FIRST_WIDTH
        for stage in range(halvings - 1):
            width = _width(stage)
            layers += [*_convolution(channels, width), nn.MaxPool2d(2)]
            channels = width
        for width in (_width(max(0, halvings - 1)), _width(max(1, halvings))):
            layers += _convolution(channels, width)
            channels = width
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return the latent map."""
        return self.layers(images)


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> list[nn.Module]:
    # The normalization that follows has the bias.
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _width(stage: int) -> int:
    return min(_FIRST_WIDTH * 2**stage, _MAXIMAL_WIDTH)


def _count_halvings(image_size: tuple[int, int]) -> int:
    height, width = image_size
    wanted = int(math.log2(max(1.0, math.sqrt(height * width) / _LATENT_TARGET)))
    possible = int(math.log2(max(2, min(height, width)) / 2))  # at least 2 rows and columns
    return max(0, min(wanted, possible))
