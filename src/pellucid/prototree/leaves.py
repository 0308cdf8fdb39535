"""Leaf class distributions, learned without gradients.

Each leaf holds class counts ``c``; its distribution is the softmax of them. One step adds, for
each image of class ``y``, the share of its own answer that the leaf gave:
``path_l(x) * softmax(c_l)_y / yhat_y``.

Source: Kontschieder et al. 2015, equation 11, as run over mini-batches by Nauta et al. 2021,
algorithm 1. Deviation: the softmax is mixed with a little of the uniform distribution, because
softmax of counts reaches exact zeros, and then one image makes the loss infinite.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

LEAF_FLOOR = 1e-3
"""Share of the uniform distribution in each leaf."""


def leaf_log_distributions(
    counts: Float[Tensor, "leaves classes"], *, floor: float = LEAF_FLOOR
) -> Float[Tensor, "leaves classes"]:
    """Return ``log((1 - floor) softmax(counts) + floor / classes)``, never below the floor."""
    if floor <= 0:
        return torch.log_softmax(counts, dim=1)
    return torch.softmax(counts, dim=1).mul_(1 - floor).add_(floor / counts.shape[1]).log_()


def leaf_responsibilities(
    path_log_probability: Float[Tensor, "batch leaves"],
    log_distributions: Float[Tensor, "leaves classes"],
    labels: Int[Tensor, batch],
) -> Float[Tensor, "leaves classes"]:
    """Return how much each leaf answered for each true class, summed over the batch.

    A sum over images: batches, processes and machines may be added up in any grouping. All
    entries together add up to the number of images.
    """
    answered = path_log_probability + log_distributions.index_select(1, labels).T
    share = torch.softmax(answered, dim=1)  # path_l leaf_l,y / yhat_y
    # Contiguous columns: adding up strided ones takes twice as long.
    return torch.zeros_like(log_distributions).index_add_(1, labels, share.T.contiguous())


def update_counts(
    counts: Float[Tensor, "leaves classes"],
    counts_at_epoch_start: Float[Tensor, "leaves classes"],
    responsibilities: Float[Tensor, "leaves classes"],
    *,
    batches: int,
    out: Float[Tensor, "leaves classes"] | None = None,
) -> Float[Tensor, "leaves classes"]:
    """Return the counts after one batch: forget ``1/batches`` of the old ones, add the new.

    After an epoch of ``batches`` steps the counts are those of this epoch alone. ``out`` receives
    them; it may be ``counts`` itself.
    """
    kept = torch.sub(counts, counts_at_epoch_start, alpha=1 / batches, out=out).clamp_min_(0)
    return kept.add_(responsibilities)


def fit_leaves(
    counts: Float[Tensor, "leaves classes"],
    path_log_probability: Float[Tensor, "images leaves"],
    labels: Int[Tensor, images],
    *,
    rounds: int = 10,
) -> Float[Tensor, "leaves classes"]:
    """Return the counts after full-batch leaf steps with everything else held still.

    Used after projection and pruning, which move the paths under the leaves.

    Args:
        counts: Where to start.
        path_log_probability: Of all training images.
        labels: Their classes.
        rounds: Full-batch steps; each replaces the counts.
    """
    for _ in range(rounds):
        log_distributions = leaf_log_distributions(counts)
        counts = leaf_responsibilities(path_log_probability, log_distributions, labels)
    return counts
