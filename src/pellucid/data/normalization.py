"""Pixels to numbers of mean 0 and variance 1 per channel, measured on the training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid._checks import UsageError, check_number

if TYPE_CHECKING:  # settings are checked without loading it
    from torch import Tensor

    from pellucid.data.image_sets import ImageSet

_LEVELS = 256
_MEASURE_BATCH = 512
# A channel of one constant value would have no spread to divide by.
_SMALLEST_DEVIATION = 1 / 255

ChannelValues = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """Per-channel mean and standard deviation in units of [0, 1] (black to white).

    Args:
        mean: Subtracted from each channel.
        deviation: Divides each channel; > 0.
    """

    mean: ChannelValues
    deviation: ChannelValues

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            if len(values) != 3:
                raise UsageError(f"{name} must have 3 entries, one per channel, got {values!r}.")
            low = 0.0 if name == "deviation" else -float("inf")
            for value in values:
                check_number(name, value, low=low, open_low=name == "deviation")

    def __call__(self, images: Tensor) -> Tensor:
        """Normalize uint8 images, or float images in [0, 1], of shape (b, 3, H, W)."""
        return normalize(images, self.mean, self.deviation)

    def to_json(self) -> dict[str, list[float]]:
        """Return both as JSON-ready values."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}


def to_unit(images: Tensor) -> Tensor:
    """Turn uint8 images into float32 in [0, 1] on their device; float images pass unchanged."""
    import torch

    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(_LEVELS - 1)
    if not images.is_floating_point():
        raise UsageError(f"images must be uint8 or float in [0, 1], got {images.dtype}.")
    return images


def normalize(images: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Return ``(images / 255 - mean) / deviation`` per channel, on the images' device.

    Args:
        images: uint8 (b, 3, H, W), or float in [0, 1].
        mean: One per channel, in units of [0, 1].
        deviation: One per channel, in units of [0, 1], > 0.
    """
    import torch

    unit = to_unit(images)
    shift = torch.tensor(list(mean), dtype=unit.dtype, device=unit.device).view(1, -1, 1, 1)
    scale = torch.tensor(list(deviation), dtype=unit.dtype, device=unit.device).view(1, -1, 1, 1)
    return (unit - shift) / scale


def measure_channels(images: ImageSet, indices: Tensor) -> tuple[ChannelValues, ChannelValues]:
    """Measure the mean and standard deviation of each channel over some images.

    Counts of the 256 levels are summed as integers, so the result is exact to rounding and does not
    depend on the order or the batching of the images.

    Args:
        images: The set.
        indices: Which images (the training split), int64 (n,), n >= 1.

    Returns:
        (mean, deviation), three each, in units of [0, 1]; a deviation is at least 1/255.

    Raises:
        UsageError: ``indices`` is empty.
    """
    import torch

    from pellucid.data.batching import batches

    if len(indices) == 0:
        raise UsageError("indices must name at least one image, got none.")
    counts = torch.zeros(3, _LEVELS, dtype=torch.int64)
    for pixels, _, _ in batches(images, indices, batch_size=_MEASURE_BATCH):
        for channel in range(3):
            counts[channel] += torch.bincount(pixels[:, channel].flatten(), minlength=_LEVELS)
    level = torch.arange(_LEVELS, dtype=torch.float64) / (_LEVELS - 1)
    share = counts.to(torch.float64) / counts.sum(dim=1, keepdim=True)
    mean = share @ level
    variance = (share * (level - mean[:, None]) ** 2).sum(dim=1)
    deviation = variance.sqrt().clamp(min=_SMALLEST_DEVIATION)
    return _three(mean), _three(deviation)


def _three(values: Tensor) -> ChannelValues:
    red, green, blue = values.tolist()
    return red, green, blue
