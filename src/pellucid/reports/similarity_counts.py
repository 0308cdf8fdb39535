"""How similar test images are to each prototype, where it is found, and where their paths end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.data import ImageSet
from pellucid.prototree import FittedTree, PatchSource
from pellucid.prototree.routing import TURNING_DISTANCE
from pellucid.reports.contents import LeafVisits, SimilarityHistogram

BINS = 20
"""Bins of a histogram over [0, 1]: an even number, so that one edge is the threshold ½."""


_FEW = 5


@dataclass(frozen=True)
class SimilarityCounts:
    """What a set of images does in a tree: one histogram a branch, one count a leaf.

    ``found_in`` has for each branch some patches of the images whose greedy path goes right there,
    evenly from the most to the least similar one.
    """

    histograms: tuple[SimilarityHistogram, ...]
    leaf_visits: tuple[LeafVisits, ...]
    found_in: tuple[tuple[PatchSource, ...], ...]


@torch.inference_mode()
def count_similarities(
    fitted: FittedTree, images: ImageSet, indices: Tensor, *, bins: int = BINS
) -> SimilarityCounts:
    """Send images down the tree and count.

    Args:
        fitted: The tree.
        images: Where the images are.
        indices: Which of them, for example those of the test split.
        bins: Equal bins over [0, 1]; similarity 1 counts in the last.
    """
    tree = fitted.tree.eval()
    topology = tree.topology
    comes_by = np.zeros((topology.leaves, topology.branches), dtype=bool)
    for leaf, path in enumerate(topology.paths):
        comes_by[leaf, [branch for branch, _ in path]] = True
    majority = tree.leaf_log_distributions().argmax(1).cpu().numpy()
    everywhere = np.zeros((topology.branches, bins), dtype=np.int64)
    passing = np.zeros_like(everywhere)
    ended = np.zeros(topology.leaves, dtype=np.int64)
    right = np.zeros_like(ended)
    branches = np.arange(topology.branches)
    found: list[list[PatchSource]] = [[] for _ in branches]
    seen = 0
    for pixels, labels, _ in fitted.normalized_batches(images, indices):
        answers = tree.answer(pixels)
        similarity = torch.exp(-answers.distances).cpu().numpy()
        bin_of = np.minimum((similarity * bins).astype(np.int64), bins - 1)
        leaves = answers.greedy_leaf.cpu().numpy()
        passes = comes_by[leaves]
        where = np.broadcast_to(branches, bin_of.shape)
        np.add.at(everywhere, (where, bin_of), 1)
        np.add.at(passing, (where[passes], bin_of[passes]), 1)
        holds = passes & (answers.distances <= TURNING_DISTANCE).cpu().numpy()
        for row, branch in np.argwhere(holds):
            down, across = answers.positions[row, branch].tolist()
            found[branch].append(
                PatchSource(
                    image=int(indices[seen + row]),
                    label=int(labels[row]),
                    row=down,
                    column=across,
                    distance=float(answers.distances[row, branch]),
                )
            )
        seen += len(leaves)
        ended += np.bincount(leaves, minlength=topology.leaves)
        is_right = majority[leaves] == labels.cpu().numpy()
        right += np.bincount(leaves[is_right], minlength=topology.leaves)
    return SimilarityCounts(
        histograms=tuple(
            SimilarityHistogram(tuple(map(int, all_images)), tuple(map(int, coming_by)))
            for all_images, coming_by in zip(everywhere, passing, strict=True)
        ),
        leaf_visits=tuple(
            LeafVisits(int(all_images), int(right_ones))
            for all_images, right_ones in zip(ended, right, strict=True)
        ),
        found_in=tuple(_spread(sorted(patches, key=lambda one: one.distance)) for patches in found),
    )


def _spread(patches: Sequence[PatchSource]) -> tuple[PatchSource, ...]:
    """Return a few of them at even ranks, with the first and the last."""
    ranks = np.linspace(0, len(patches) - 1, min(_FEW, len(patches))).round().astype(int)
    return tuple(patches[rank] for rank in ranks)
