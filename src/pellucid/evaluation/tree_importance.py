"""Which pixels a prototype tree's answer rests on, worked out from the tree itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from pellucid.evaluation.replacements import blur
from pellucid.evaluation.ward_regions import find_regions
from pellucid.prototree import FittedTree
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.routing import distributed, path_log_probabilities

_STEPS = 16
_BLUR = 1 / 8
"""Deviation of the blurred image that stands for nothing to be seen, of the longer side."""

_REGIONS = (12, 24)
"""Into how many regions an image is divided: once coarsely, once finely."""

Worth = Callable[[Tensor], Tensor]
"""What normalized images (b, 3, height, width) are worth to a class each, (b,)."""


def weigh_branches(
    tree: ProtoTree, distances: Float[Tensor, "batch branches"], classes: Int[Tensor, " batch"]
) -> Float[Tensor, "batch branches"]:
    """Return which share of a class's probability is lost when one prototype is not in the image.

    The soft answer is linear in each similarity: ``p = reach (sim R + (1 - sim) L) + rest``, where
    ``R`` and ``L`` are what the subtrees below the branch answer. Without the prototype ``sim`` is
    0, and ``reach sim (R - L)`` is lost. As ``sim = exp(-d)``, that is exactly ``-dp/dd``, and
    ``-d log p/dd`` as a share of ``p``. Negative where the prototype speaks against the class.

    Args:
        tree: The tree.
        distances: Of each image to each prototype, >= 0.
        classes: The class of each image whose probability is asked for.
    """
    with torch.enable_grad():
        distances = distances.detach().requires_grad_()
        paths = path_log_probabilities(distances, tree.topology)
        answers = distributed(paths, tree.leaf_log_distributions().detach())
        chosen = answers.gather(1, classes[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, distances)
    return -slope


def explain_pixels(
    fitted: FittedTree,
    images: UInt8[Tensor, "batch 3 height width"],
    classes: Int[Tensor, " batch"],
) -> Float[Tensor, "batch height width"]:
    """Return which share of one class's probability rests on each pixel; may be negative.

    What a branch is worth comes exactly from the tree (`weigh_branches`): with all else as it is,
    the share of the class's probability that goes with the similarities is the sum over branches of
    ``weight_n sim_n(x) / sim_n``. Where in the image that comes from is estimated in two ways,
    `integrate_gradients` and `blur_regions`, and the mean of both is taken, the second brought to
    the first one's absolute sum (`explain_worth`). The receptive field alone would not do: what the
    network uses of it may lie anywhere inside.

    Chosen on validation images of creatures: see docs/measurements/explanations.md.

    Args:
        fitted: The tree, in evaluation mode.
        images: Pixels, on the tree's device.
        classes: One an image.
    """
    tree = fitted.tree
    sharp = fitted.normalization(images)
    blurred = fitted.normalization(blur(images, deviation_px=_BLUR * max(images.shape[2:])))
    with torch.no_grad():
        distances, _ = tree.distances(tree.latent(sharp))
    weights = weigh_branches(tree, distances, classes)

    def worth(pixels: Tensor) -> Tensor:
        moved, _ = tree.distances(tree.latent(pixels))
        # sim / sim_0 as one exponential: neither can then underflow by itself.
        return (weights * torch.exp(distances - moved)).sum(1)

    return explain_worth(worth, images, sharp, blurred)


def explain_worth(
    worth: Worth,
    images: UInt8[Tensor, "batch 3 height width"],
    sharp: Float[Tensor, "batch 3 height width"],
    blurred: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch height width"]:
    """Return the mean of both estimates of which pixels ``worth`` comes from.

    Args:
        worth: Of normalized images.
        images: Pixels, in whose colors regions are found.
        sharp: The same, normalized.
        blurred: What stands for nothing to be seen, normalized.
    """
    by_gradients = integrate_gradients(worth, sharp, blurred)
    regions = find_regions(images, _REGIONS)
    by_regions = blur_regions(worth, sharp, blurred, regions, by_gradients.abs())
    sums = [found.abs().sum((1, 2), keepdim=True) for found in (by_gradients, by_regions)]
    scale = torch.where(sums[1] > 0, sums[0] / sums[1], 0)
    return (by_gradients + scale * by_regions) / 2


def integrate_gradients(
    worth: Worth,
    sharp: Float[Tensor, "batch 3 height width"],
    blurred: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch height width"]:
    """Return integrated gradients of ``worth``, summed over the channels.

    Over all pixels they add up to what ``worth`` gains from blurred to sharp, but for the finite
    steps.

    Source: Sundararajan, Taly and Yan 2017. Deviation: a blurred image is the baseline.
    """
    slopes = torch.zeros_like(sharp)
    with torch.enable_grad():
        for step in range(_STEPS):
            between = (blurred + (step + 0.5) / _STEPS * (sharp - blurred)).requires_grad_()
            slopes += torch.autograd.grad(worth(between).sum(), between)[0]
    return (slopes / _STEPS * (sharp - blurred)).sum(1)


@torch.no_grad()
def blur_regions(
    worth: Worth,
    sharp: Float[Tensor, "batch 3 height width"],
    blurred: Float[Tensor, "batch 3 height width"],
    regions: Int[Tensor, "batch counts height width"],
    shares: Float[Tensor, "batch height width"],
) -> Float[Tensor, "batch height width"]:
    """Return the loss of ``worth`` when a pixel's region is blurred, handed out to its pixels.

    Over a region the answer adds up to that region's loss; of several divisions of the image the
    mean is taken.

    Source: Zeiler and Fergus 2014, occlusion. Deviation: regions of the image instead of squares,
    after Kapishnikov et al. 2019 (XRAI), who add up attributions in them; a blur instead of gray.

    Args:
        worth: Of normalized images.
        sharp: Normalized images.
        blurred: What stands for nothing to be seen.
        regions: Numbers from 0, of each division of the image (`find_regions`).
        shares: >= 0; a region's loss is handed out in proportion, evenly where all are 0.
    """
    whole = worth(sharp)
    found = torch.zeros_like(shares)
    for labels in regions.unbind(1):
        for number in range(int(labels.max()) + 1):
            inside = labels == number
            lost = whole - worth(torch.where(inside[:, None], blurred, sharp))
            part = shares * inside
            part = torch.where(part.sum((1, 2), keepdim=True) > 0, part, inside)
            total = part.sum((1, 2), keepdim=True).clamp_min(torch.finfo(part.dtype).tiny)
            found += lost[:, None, None] * (part / total)
    return found / regions.shape[1]
