"""A small convolutional network whose latent cells see patches, not the whole image."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

_FIRST_WIDTH = 32
_MAXIMAL_WIDTH = 512
_LATENT_TARGET = 8


class PatchCnn(nn.Module):
    """Blocks of (3×3 convolution, batch normalization, ReLU) twice, then 2×2 max-pooling.

    With ``n`` poolings the stride is ``s = 2**n`` pixels and each latent cell sees a square of
    ``5 s - 4`` pixels (16 px of 32, 36 px of 64, 156 px of 224): two 3×3 convolutions at stride
    ``2**i`` widen it by ``4 * 2**i`` and the pooling by ``2**i``, summed over ``i < n``. Without
    pooling there is one block, which sees 5 px. That is a quarter to a half of a square image; each
    cell of a ResNet with as many cells sees all of it.

    Args:
        image_size: Height and width in pixels; decides the number of poolings, so that the latent
            map has about 8 rows and 8 columns, and at least 2 of each.
    """

    def __init__(self, image_size: tuple[int, int]) -> None:
        super().__init__()
        poolings = _count_poolings(image_size)
        layers: list[nn.Module] = []
        channels = 3
        for block in range(max(1, poolings)):
            width = min(_FIRST_WIDTH * 2**block, _MAXIMAL_WIDTH)
            for inputs in (channels, width):
                layers += [
                    # The normalization that follows has the bias.
                    nn.Conv2d(inputs, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
            if poolings:
                layers.append(nn.MaxPool2d(2))
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


def _count_poolings(image_size: tuple[int, int]) -> int:
    height, width = image_size
    wanted = round(math.log2(math.sqrt(height * width) / _LATENT_TARGET))
    possible = int(math.log2(max(2, min(height, width)) / 2))  # at least 2 rows and columns
    return max(0, min(wanted, possible))
