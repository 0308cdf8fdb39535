"""What pixels are replaced with when a region is to say nothing any more."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import conv2d, pad

from pellucid._checks import check_choice

REPLACEMENTS = ("noise", "blur", "another image")
_BLUR = 1 / 8


def replacement_pixels(
    name: str, images: UInt8[Tensor, "images 3 height width"], *, generator: torch.Generator
) -> UInt8[Tensor, "images 3 height width"]:
    """Return what to put in place of each image's pixels.

    Args:
        name: ``"noise"`` (each pixel a color drawn from those of the same image, so that the colors
            stay and all shapes go), ``"blur"`` (a bell with a deviation of an eighth of the longer
            side) or ``"another image"`` (that of the next image in a random circle).
        images: At least one; of one image alone, "another image" is itself upside down.
        generator: Of noise and circle.
    """
    check_choice("name", name, REPLACEMENTS)
    if name == "noise":
        flat = images.flatten(2)
        drawn = torch.randint(flat.shape[2], (len(flat), flat.shape[2]), generator=generator)
        return flat.gather(2, drawn[:, None].expand_as(flat)).view_as(images)
    if name == "blur":
        return blur(images, deviation_px=_BLUR * max(images.shape[2:]))
    if len(images) == 1:
        return images.flip(2)
    circle = torch.randperm(len(images), generator=generator)
    other = torch.empty_like(circle)
    other[circle] = circle.roll(1)
    return images[other]


def blur(
    images: UInt8[Tensor, "images 3 height width"], *, deviation_px: float
) -> UInt8[Tensor, "images 3 height width"]:
    """Return the images under a Gaussian bell, their edges repeated outward."""
    channels, half = images.shape[1], max(1, round(3 * deviation_px))
    place = torch.arange(-half, half + 1, dtype=torch.float32, device=images.device)
    bell = torch.exp(-0.5 * (place / deviation_px) ** 2)
    bell /= bell.sum()
    wide = pad(images.float(), (half, half, half, half), mode="replicate")
    down = conv2d(wide, bell.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    both = conv2d(down, bell.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return both.round().clamp(0, 255).to(torch.uint8)
