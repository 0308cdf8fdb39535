"""Why a tree answered as it did for one image: the turns of its greedy walk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from pellucid.backbones import Box
from pellucid.prototree.fitted import FittedTree
from pellucid.prototree.routing import TURNING_DISTANCE, path_margin


@dataclass(frozen=True)
class Turn:
    """One decision on the way down.

    Attributes:
        branch: Which branch.
        similarity: ``exp(-distance)`` in [0, 1], the probability of going right.
        distance: Of the nearest patch of this image to the prototype.
        went_right: Whether the walk went right (prototype present): ``similarity >= 1/2``.
        margin: ``|distance - ln 2|``: how far a latent patch must move to turn this decision.
        row: Row of the nearest patch in the latent map.
        column: Column of the nearest patch in the latent map.
        box: All pixels that this patch can see, in the image as the network takes it.
    """

    branch: int
    similarity: float
    distance: float
    went_right: bool
    margin: float
    row: int
    column: int
    box: Box


@dataclass(frozen=True)
class Explanation:
    """The greedy walk of one image, and how it relates to the whole tree's answer.

    Attributes:
        prediction: Class of the greedy leaf.
        leaf: The greedy leaf.
        leaf_probabilities: Its class distribution.
        path: The turns from the root.
        path_probability: Probability the soft tree gives to this leaf.
        margin: Certified radius: no change of the latent map that moves every patch by less can
            change the path.
        probabilities: The whole tree's mixture.
        soft_prediction: The class with the highest of these.
        runner_up: The class with the second highest.
        runner_up_split: Number of turns that the most probable leaf of the runner-up class shares
            with this path, or None where no leaf has it as majority class.
    """

    prediction: int
    leaf: int
    leaf_probabilities: tuple[float, ...]
    path: tuple[Turn, ...]
    path_probability: float
    margin: float
    probabilities: tuple[float, ...]
    soft_prediction: int
    runner_up: int
    runner_up_split: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dictionaries."""
        return asdict(self)


@torch.no_grad()
def explain(
    fitted: FittedTree, images: Shaped[Tensor, "batch 3 height width"]
) -> tuple[Explanation, ...]:
    """Explain each image of a batch.

    Args:
        fitted: A trained tree.
        images: Pixels in [0, 255] (uint8) or normalized floats, of the tree's image size.
    """
    tree = fitted.tree.eval()
    images = images.to(fitted.device)
    if images.dtype == torch.uint8:
        images = fitted.normalization(images)
    answers = tree.answer(images)
    leaves = tree.leaf_log_distributions()
    margins = path_margin(answers.distances, answers.greedy_leaf, tree.topology)
    mixed = answers.log_probabilities.exp()
    majority = leaves.argmax(1)
    explanations = []
    for index in range(len(images)):
        leaf = int(answers.greedy_leaf[index])
        distances, positions = answers.distances[index], answers.positions[index]
        path = tuple(
            _turn(fitted, branch, right, float(distances[branch]), positions[branch].tolist())
            for branch, right in tree.topology.paths[leaf]
        )
        first, second = mixed[index].topk(2).indices.tolist()
        explanations.append(
            Explanation(
                prediction=int(majority[leaf]),
                leaf=leaf,
                leaf_probabilities=tuple(leaves[leaf].exp().tolist()),
                path=path,
                path_probability=float(answers.path_log_probability[index, leaf].exp()),
                margin=float(margins[index]),
                probabilities=tuple(mixed[index].tolist()),
                soft_prediction=first,
                runner_up=second,
                runner_up_split=_shared_turns(
                    fitted, leaf, answers.path_log_probability[index], majority == second
                ),
            )
        )
    return tuple(explanations)


def _turn(
    fitted: FittedTree, branch: int, right: bool, distance: float, position: list[int]
) -> Turn:
    row, column = position
    return Turn(
        branch=branch,
        similarity=float(torch.tensor(-distance).exp()),
        distance=distance,
        went_right=right,
        margin=abs(distance - TURNING_DISTANCE),
        row=row,
        column=column,
        box=fitted.patch_box(row, column),
    )


def _shared_turns(
    fitted: FittedTree, leaf: int, path_log_probability: Tensor, has_class: Tensor
) -> int | None:
    if not has_class.any():
        return None
    other = int(path_log_probability.masked_fill(~has_class, -torch.inf).argmax())
    paths = fitted.tree.topology.paths
    shared = 0
    for mine, its in zip(paths[leaf], paths[other], strict=False):
        if mine != its:
            break
        shared += 1
    return shared
