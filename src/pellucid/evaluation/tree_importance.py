"""Which pixels a prototype tree's answer rests on, worked out from the tree itself."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from pellucid.evaluation.replacements import blur
from pellucid.prototree import FittedTree
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.routing import distributed, path_log_probabilities

_STEPS = 16
_BLUR = 1 / 8
"""Deviation of the blurred image from which gradients are integrated, of the longer side."""


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

    ``sum over branches of weight_n / sim_n * IG(sim_n)``: what a branch is worth comes exactly from
    the tree (`weigh_branches`), and where in the image its similarity comes from is found by
    integrated gradients from the blurred image, since the middle of a box counts for more than
    its edge, and a receptive field is larger than what the network uses of it. Over all pixels a
    branch's map adds up to ``sim_n`` less its value in the blurred image, but for the finite steps.

    Source: Sundararajan, Taly and Yan 2017, integrated gradients. Deviation: of the answer made
    linear in the similarities, not of the answer itself; a blur is the baseline. Chosen on
    validation images of creatures among eleven ways: see docs/concepts/explanation-measures.md.

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
    # sim / sim_0 as one exponential: neither can then underflow by itself.
    slopes = torch.zeros_like(sharp)
    with torch.enable_grad():
        for step in range(_STEPS):
            between = blurred + (step + 0.5) / _STEPS * (sharp - blurred)
            between.requires_grad_()
            moved, _ = tree.distances(tree.latent(between))
            worth = (weights * torch.exp(distances - moved)).sum()
            slopes += torch.autograd.grad(worth, between)[0]
    return (slopes / _STEPS * (sharp - blurred)).sum(1)
