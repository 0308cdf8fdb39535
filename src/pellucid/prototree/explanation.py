"""Why a tree answered as it did for one image: the turns of its greedy walk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from pellucid.backbones import Box
from pellucid.prototree.fitted import FittedTree
from pellucid.prototree.routing import TURNING_DISTANCE, path_margin

_NEARLY_A_TIE = 0.05
"""So near to 1/2 a similarity decides little."""


@dataclass(frozen=True)
class Turn:
    """One branch, and which way a path goes there.

    Attributes:
        branch: Which branch.
        similarity: ``exp(-distance)`` in [0, 1], the probability of going right.
        distance: Of the nearest patch of this image to the prototype.
        went_right: Whether the path goes right (prototype present). A greedy walk does where
            ``similarity >= 1/2``; the path to a runner-up may go the other way.
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
        runner_up: The class with the highest of these besides ``prediction``; it is
            ``soft_prediction`` where all leaves together answer otherwise than the greedy leaf.
        runner_up_split: Number of turns that the path to ``runner_up_leaf`` shares with this one,
            or None where no leaf has the runner-up as majority class.
        runner_up_leaf: The most probable of the leaves whose majority class is the runner-up, or
            None where there is none.
        runner_up_path: The way to it from the root; each turn goes where that leaf lies.
        turns: What a greedy walk would do at every branch, on the path or not, indexed by branch.
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
    runner_up_leaf: int | None
    runner_up_path: tuple[Turn, ...]
    turns: tuple[Turn, ...]

    @property
    def runner_up_changes(self) -> tuple[Turn, ...]:
        """The turns of ``runner_up_path`` that this image takes the other way.

        All of them would have to be different for a greedy walk to reach ``runner_up_leaf``: the
        nearest patch of each must move by its ``margin`` or more.
        """
        return tuple(turn for turn in self.runner_up_path if turn != self.turns[turn.branch])

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences on what makes this path a weak reason; none for most."""
        return tuple(list_cautions(self.path))

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dictionaries."""
        return asdict(self)


def list_cautions(path: Sequence[Turn]) -> list[str]:
    """Return what makes a path a weak reason for its answer, in sentences."""
    found = []
    if path and not any(turn.went_right for turn in path):
        found.append(
            "No prototype on this path is present: the answer is what is left where all of them "
            "are absent, and no patch of the image speaks for it."
        )
    for number, turn in enumerate(path, start=1):
        if abs(turn.similarity - 0.5) < _NEARLY_A_TIE:
            found.append(
                f"Step {number} is nearly a tie (similarity {turn.similarity:.3f}, decided at "
                "0.5): a slightly different image may be answered otherwise."
            )
    return found


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
    near = (answers.distances <= TURNING_DISTANCE).tolist()
    box_at = lru_cache(maxsize=None)(fitted.patch_box)
    paths = tree.topology.paths
    explanations = []
    for index in range(len(images)):
        leaf = int(answers.greedy_leaf[index])
        reached = answers.path_log_probability[index]
        turns = tuple(
            _turn(branch, right, distance, position, box_at(*position))
            for branch, (right, distance, position) in enumerate(
                zip(
                    near[index],
                    answers.distances[index].tolist(),
                    answers.positions[index].tolist(),
                    strict=True,
                )
            )
        )
        prediction = int(majority[leaf])
        first, second = mixed[index].topk(2).indices.tolist()
        runner_up = second if first == prediction else first
        other = _most_probable_leaf_of(majority == runner_up, reached)
        explanations.append(
            Explanation(
                prediction=prediction,
                leaf=leaf,
                leaf_probabilities=tuple(leaves[leaf].exp().tolist()),
                path=tuple(turns[branch] for branch, _ in paths[leaf]),
                path_probability=float(reached[leaf].exp()),
                margin=float(margins[index]),
                probabilities=tuple(mixed[index].tolist()),
                soft_prediction=first,
                runner_up=runner_up,
                runner_up_split=None if other is None else _shared(paths[leaf], paths[other]),
                runner_up_leaf=other,
                runner_up_path=()
                if other is None
                else tuple(
                    replace(turns[branch], went_right=right) for branch, right in paths[other]
                ),
                turns=turns,
            )
        )
    return tuple(explanations)


def _turn(branch: int, right: bool, distance: float, position: Sequence[int], box: Box) -> Turn:
    row, column = position
    return Turn(
        branch=branch,
        similarity=math.exp(-distance),
        distance=distance,
        went_right=right,
        margin=abs(distance - TURNING_DISTANCE),
        row=row,
        column=column,
        box=box,
    )


def _most_probable_leaf_of(has_class: Tensor, path_log_probability: Tensor) -> int | None:
    if not has_class.any():
        return None
    return int(path_log_probability.masked_fill(~has_class, -torch.inf).argmax())


def _shared(mine: Sequence[tuple[int, bool]], other: Sequence[tuple[int, bool]]) -> int:
    shared = 0
    for turn, its in zip(mine, other, strict=False):
        if turn != its:
            break
        shared += 1
    return shared
