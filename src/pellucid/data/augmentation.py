"""Random shifts, turns, scales, flips and tones of a batch, on the batch's device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid._checks import UsageError, check_number

if TYPE_CHECKING:  # settings are checked without loading it
    import torch
    from torch import Tensor

_DRAWS_PER_IMAGE = 7


@dataclass(frozen=True)
class Augmentation:
    """How far training images are varied; all zero (the default) leaves them as they are.

    Each image of a batch gets its own values, uniform within the limits. Geometry is one affine map
    about the image's center, sampled bilinearly; what comes in from outside is the image's
    reflection. Tones are clipped to [0, 1].

    Args:
        shift_fraction: Shift by up to this share of height and width, each way; [0, 0.5].
        rotate_degrees: Turn by up to this angle, each way; [0, 180].
        scale: Enlarge or shrink by a factor in [1 - scale, 1 + scale]; [0, 0.9].
        flip: Mirror left and right with probability 1/2. Not for digits or letters: their
            labels would change.
        brightness: Add up to this, each way, in units of [0, 1].
        contrast: Multiply the distance from the image's mean by a factor in
            [1 - contrast, 1 + contrast]; [0, 1].

    Raises:
        UsageError: A limit is out of range.
    """

    shift_fraction: float = 0.0
    rotate_degrees: float = 0.0
    scale: float = 0.0
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        check_number("shift_fraction", self.shift_fraction, low=0, high=0.5)
        check_number("rotate_degrees", self.rotate_degrees, low=0, high=180)
        check_number("scale", self.scale, low=0, high=0.9)
        check_number("brightness", self.brightness, low=0, high=1)
        check_number("contrast", self.contrast, low=0, high=1)

    @property
    def is_identity(self) -> bool:
        """Whether images pass unchanged."""
        return not (self._moves or self._tones)

    @property
    def _moves(self) -> bool:
        return bool(self.shift_fraction or self.rotate_degrees or self.scale or self.flip)

    @property
    def _tones(self) -> bool:
        return bool(self.brightness or self.contrast)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Vary a batch.

        Seven numbers per image are drawn from ``generator`` whatever the settings (none if all are
        zero). With a generator on the CPU every device gets the same values.

        Args:
            images: Float (b, 3, H, W) in [0, 1].
            generator: Source of all randomness.

        Returns:
            Float (b, 3, H, W) in [0, 1], on the images' device.
        """
        import torch

        if not images.is_floating_point() or images.dim() != 4:
            raise UsageError(
                "images must be float (b, 3, height, width) in [0, 1], "
                f"got {images.dtype} {tuple(images.shape)}. Use to_unit(images) first."
            )
        if self.is_identity:
            return images
        draws = torch.rand(
            (len(images), _DRAWS_PER_IMAGE), generator=generator, device=generator.device
        ).to(device=images.device, dtype=images.dtype)
        if self._moves:
            images = self._move(images, draws)
        if self._tones:
            images = self._change_tones(images, draws)
        return images

    def _move(self, images: Tensor, draws: Tensor) -> Tensor:
        import torch
        import torch.nn.functional as F

        height, width = images.shape[2:]
        signed = 2 * draws - 1
        down, right = (self.shift_fraction * signed[:, 0], self.shift_fraction * signed[:, 1])
        angle = math.radians(self.rotate_degrees) * signed[:, 2]
        factor = 1 + self.scale * signed[:, 3]
        mirror = torch.where(draws[:, 4] < 0.5, -1.0, 1.0).to(draws) if self.flip else 1.0
        # grid_sample asks, for each output point, where in the input to look, both in coordinates
        # that run from -1 to 1 over each axis. So this is the inverse map, output to input: undo
        # the shift, the turn, the scale, then the mirror. Turning mixes axes of different unit
        # lengths, hence the aspect ratio.
        cosine, sine = torch.cos(angle) / factor, torch.sin(angle) / factor
        across = (cosine * mirror, sine * (height / width) * mirror)
        along = (-sine * (width / height), cosine)
        x_shift, y_shift = 2 * right, 2 * down
        theta = torch.stack(
            [
                torch.stack([*across, -(across[0] * x_shift + across[1] * y_shift)], dim=1),
                torch.stack([*along, -(along[0] * x_shift + along[1] * y_shift)], dim=1),
            ],
            dim=1,
        )
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(
            images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )

    def _change_tones(self, images: Tensor, draws: Tensor) -> Tensor:
        signed = (2 * draws - 1)[:, :, None, None, None]
        center = images.mean(dim=(1, 2, 3), keepdim=True)
        stretched = center + (images - center) * (1 + self.contrast * signed[:, 5])
        return (stretched + self.brightness * signed[:, 6]).clamp(0, 1)
