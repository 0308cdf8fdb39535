"""A small convolutional network whose latent cells see patches, not the whole image."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid._checks import check_integer

LEAST_PATCH_SIZE_PX = 7
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

    With ``patch_size_px`` a cell sees at most that many pixels each way. The stride is then at most
    a quarter of it (4 for 13 to 28 px), so that patches overlap; there are 3×3 convolutions while
    they fit, the coarse ones first, then 1×1 convolutions, and the network is twice as wide.

    Source: Brendel and Bethge 2019 (BagNets: 1×1 instead of 3×3 convolutions bound the receptive
    field). Deviation: no residual connections, few layers.

    Args:
        image_size: Height and width in pixels; decides the stride, so that the latent map has 8 to
            15 rows and columns (of a square image of at least 8 px), and at least 2 of each.
        patch_size_px: What a cell may see each way, in pixels, >= 7; None sets no bound.

    Raises:
        UsageError: ``patch_size_px`` is no such number.
    """

    def __init__(self, image_size: tuple[int, int], *, patch_size_px: int | None = None) -> None:
        super().__init__()
        halvings = _count_halvings(image_size)
        if patch_size_px is None:
            layers = _free_layers(halvings)
        else:
            check_integer(
                "patch_size_px",
                patch_size_px,
                low=LEAST_PATCH_SIZE_PX,
                remedy="Use about the size of the parts that tell the classes apart.",
            )
            layers = _bounded_layers(halvings, patch_size_px)
        self._is_bounded = patch_size_px is not None
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return the latent map."""
        if self._is_bounded:
            # A fifth faster on a CPU; the free network stays the same bit for bit as it was.
            images = images.contiguous(memory_format=torch.channels_last)
        return self.layers(images)


def default_patch_size_px(image_size: tuple[int, int]) -> int | None:
    """Return the patch size that trees take by default, or None where no bound is needed.

    Where the free network has stride 8 or more (from 64 px on), a cell of it sees two fifths of the
    image. With half the stride, ``7 s - 3`` pixels are about an eighth of it: 25 px of 64 to 127,
    53 px of 128 to 255. Both accuracy and explanations of creatures are better so: see
    docs/measurements/explanations.md.
    """
    stride = 2 ** _count_halvings(image_size) // 2
    return 7 * stride - 3 if stride >= 4 else None


def _free_layers(halvings: int) -> list[nn.Module]:
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
    return layers


def _bounded_layers(halvings: int, patch_size_px: int) -> list[nn.Module]:
    """Return layers of a field of at most ``patch_size_px``, at a stride of at most a quarter."""
    halvings = min(halvings, int(math.log2((patch_size_px + 3) / 4)))
    strides = [2**stage for stage in range(1, halvings + 1)] or [1]
    # What a cell sees of the first convolution, and a convolution and a pooling for each halving.
    seen = 3 + sum(3 * stride for stride in strides[:-1])
    extra = dict.fromkeys(strides, 0)
    for stride in reversed(strides):  # one more 3x3 convolution there adds 2 strides to the field
        fitting = (patch_size_px - seen) // (2 * stride)
        extra[stride] = min(fitting, _MOST_CONVOLUTIONS)
        seen += 2 * stride * extra[stride]
    layers: list[nn.Module] = _convolution(3, _FIRST_WIDTH, stride=2 if halvings else 1)
    channels = _FIRST_WIDTH
    for stage, stride in enumerate(strides, start=1):
        width, is_last = _width(stage), stride == strides[-1]
        kernels = [3] * (extra[stride] + (not is_last))
        if is_last:
            kernels += [1] * (_MOST_CONVOLUTIONS - len(kernels))
        for kernel in kernels:
            layers += _convolution(channels, width, kernel=kernel)
            channels = width
        if not is_last:
            layers.append(nn.MaxPool2d(2))
    return layers


_MOST_CONVOLUTIONS = 2


def _convolution(inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> list[nn.Module]:
    # The normalization that follows has the bias.
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _width(stage: int) -> int:
    return min(_FIRST_WIDTH * 2**stage, _MAXIMAL_WIDTH)


def _count_halvings(image_size: tuple[int, int]) -> int:
    height, width = image_size
    wanted = int(math.log2(max(1.0, math.sqrt(height * width) / _LATENT_TARGET)))
    possible = int(math.log2(max(2, min(height, width)) / 2))  # at least 2 rows and columns
    return max(0, min(wanted, possible))
