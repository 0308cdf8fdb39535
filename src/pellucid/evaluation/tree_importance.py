"""Which pixels a prototype tree's answer rests on, worked out from the tree itself."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pellucid.prototree import FittedTree
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.routing import distributed, path_log_probabilities

_SPREAD = 1 / 6
"""Standard deviation of a patch's weights, as a share of its box's sides."""


def weigh_branches(
    tree: ProtoTree, distances: Float[Tensor, "batch branches"], classes: Int[Tensor, " batch"]
) -> Float[Tensor, "batch branches"]:
    """Return how much of a class's probability is lost when one prototype is not in the image.

    The soft answer is linear in each similarity: ``p = reach (sim R + (1 - sim) L) + rest``, where
    ``R`` and ``L`` are what the subtrees below the branch answer. Without the prototype ``sim`` is
    0, and ``reach sim (R - L)`` is lost. As ``sim = exp(-d)``, that is exactly ``-dp/dd``.

    Args:
        tree: The tree.
        distances: Of each image to each prototype, >= 0.
        classes: The class of each image whose probability is asked for.
    """
    with torch.enable_grad():
        distances = distances.detach().requires_grad_()
        paths = path_log_probabilities(distances, tree.topology)
        answers = distributed(paths, tree.leaf_log_distributions().detach()).exp()
        chosen = answers.gather(1, classes[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, distances)
    return -slope


def explain_pixels(
    fitted: FittedTree,
    images: Float[Tensor, "batch 3 height width"],
    classes: Int[Tensor, " batch"],
) -> Float[Tensor, "batch height width"]:
    """Return how much of one class's probability rests on each pixel.

    Each branch's weight is what `weigh_branches` says, negative where finding the prototype speaks
    against the class. It is spread over the box of the branch's nearest patch, as a bell around its
    middle that adds up to 1, since the middle of a receptive field counts for more than its edge.

    Args:
        fitted: The tree.
        images: Normalized, on the tree's device.
        classes: One an image.
    """
    tree = fitted.tree
    with torch.no_grad():
        distances, positions = tree.distances(tree.latent(images))
    weights = weigh_branches(tree, distances, classes)
    bells_down, bells_across = _bells(fitted)
    rows, columns = positions.to(weights.device).unbind(2)
    down, across = bells_down.to(weights)[rows], bells_across.to(weights)[columns]
    return torch.einsum("bn,bny,bnx->byx", weights, down, across)


def _bells(fitted: FittedTree) -> tuple[Tensor, Tensor]:
    """Return the weights of pixel rows for each latent row, and of columns for each column."""
    (rows, columns), (height, width) = fitted.receptive_field.latent_size, fitted.image_size
    prototype_rows, prototype_columns = fitted.recipe.prototype_size
    boxes = [fitted.patch_box(row, 0) for row in range(rows - prototype_rows + 1)]
    down = torch.stack([_bell(box.top, box.bottom, height) for box in boxes])
    boxes = [fitted.patch_box(0, column) for column in range(columns - prototype_columns + 1)]
    across = torch.stack([_bell(box.left, box.right, width) for box in boxes])
    return down, across


def _bell(start: int, stop: int, length: int) -> Tensor:
    place = torch.arange(length) + 0.5
    spread = max(0.5, _SPREAD * (stop - start))
    bell = torch.exp(-0.5 * ((place - (start + stop) / 2) / spread) ** 2)
    bell[:start] = bell[stop:] = 0
    return bell / bell.sum()
