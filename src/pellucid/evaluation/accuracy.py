"""Accuracy of the three ways a tree answers, with intervals, and how well they agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from pellucid._checks import DataError
from pellucid.data import ImageSet
from pellucid.prototree import FittedTree, path_margin


@dataclass(frozen=True)
class Proportion:
    """A share of images with its 95 % Wilson interval.

    Attributes:
        count: Images for which something holds.
        total: All images, >= 1.
        low: Lower end of the interval, in [0, 1].
        high: Upper end of the interval, in [0, 1].
    """

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, holds: Tensor) -> Proportion:
        """Measure a boolean tensor of shape (images,)."""
        count, total = int(holds.sum()), len(holds)
        # Source: Wilson 1927, as scipy computes it.
        interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
        return cls(count, total, float(interval.low), float(interval.high))

    @property
    def value(self) -> float:
        """The share itself."""
        return self.count / self.total


@dataclass(frozen=True)
class TreeEvaluation:
    """What a tree does on images it was not trained on.

    Attributes:
        distributed: Accuracy of the mixture of all leaves.
        most_probable_leaf: Accuracy of the leaf with the highest path probability.
        greedy: Accuracy of the greedy walk.
        fidelity_greedy: Share of images on which greedy and distributed agree.
        fidelity_most_probable_leaf: The same for the most probable leaf.
        path_lengths: Mean, least and greatest number of turns of the greedy walk.
        path_margin: Median certified radius of the greedy walks.
        predictions: Greedy class of each image, in the order of the indices.
    """

    distributed: Proportion
    most_probable_leaf: Proportion
    greedy: Proportion
    fidelity_greedy: Proportion
    fidelity_most_probable_leaf: Proportion
    path_lengths: tuple[float, int, int]
    path_margin: float
    predictions: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dictionaries."""
        return asdict(self)


@torch.inference_mode()
def evaluate_tree(fitted: FittedTree, images: ImageSet, indices: Tensor) -> TreeEvaluation:
    """Measure all three ways of answering on the images at ``indices``.

    Raises:
        DataError: ``indices`` is empty.
    """
    if len(indices) == 0:
        raise DataError("evaluation needs at least one image, got 0. Add test images.")
    tree = fitted.tree.eval()
    majority = tree.leaf_log_distributions().argmax(1)
    rows = []
    for pixels, labels, _ in fitted.normalized_batches(images, indices):
        answers = tree.answer(pixels)
        soft = answers.log_probabilities.argmax(1)
        likely = majority[answers.most_probable_leaf]
        margin = path_margin(answers.distances, answers.greedy_leaf, tree.topology)
        rows.append(
            (labels, soft, likely, majority[answers.greedy_leaf], answers.greedy_leaf, margin)
        )
    labels, soft, likely, greedy, leaves, margins = (
        torch.cat(column).cpu() for column in zip(*rows, strict=True)
    )
    lengths = np.asarray(tree.topology.leaf_depths)[leaves.numpy()]
    return TreeEvaluation(
        distributed=Proportion.of(soft == labels),
        most_probable_leaf=Proportion.of(likely == labels),
        greedy=Proportion.of(greedy == labels),
        fidelity_greedy=Proportion.of(greedy == soft),
        fidelity_most_probable_leaf=Proportion.of(likely == soft),
        path_lengths=(float(lengths.mean()), int(lengths.min()), int(lengths.max())),
        path_margin=float(margins.median()),
        predictions=tuple(greedy.tolist()),
    )
