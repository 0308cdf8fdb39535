"""Figures that only a tree has, or that tell how small an explanation is."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data import LabelledData
from pellucid.evaluation.checked_answers import ask_probabilities
from pellucid.evaluation.explained_model import ExplainedModel, Matches, TreeExplainer
from pellucid.evaluation.measure import Definition, Measure

FIDELITY = Definition(
    "fidelity",
    "greedy agrees with soft",
    "higher",
    "share",
    "share of images on which the one path that is shown ends in the whole tree's answer",
)
PATH_LENGTH = Definition(
    "path_length", "turns of a path", "lower", "count", "mean number of turns of the greedy walk"
)
PROJECTION_DROP = Definition(
    "projection_drop",
    "accuracy lost by projection",
    "lower",
    "share",
    "soft accuracy before projection and pruning less that after, on the same images",
)
CLASS_COVERAGE = Definition(
    "class_coverage",
    "classes ever answered",
    "higher",
    "share",
    "share of the classes among the test images that the model answers with for any of them (a "
    "tree: along one path)",
)
BOX_SIZE = Definition(
    "box_size",
    "size of the boxes",
    "lower",
    "share",
    "mean share of the image inside the box of a present prototype; a box of the whole image says "
    "nothing",
)


def measure_tree(
    model: TreeExplainer,
    data: LabelledData,
    indices: Tensor,
    answers: NDArray[np.int64],
    *,
    seed: int = 0,
) -> tuple[Measure, ...]:
    """Return fidelity, path length and what projection cost, of a tree.

    Args:
        model: The tree.
        data: Where the images are.
        indices: Which test images.
        answers: The soft tree's answer to them.
        seed: Of the bootstrap.
    """
    pixels, labels = data.images.read(indices), data.images.labels[indices].numpy()
    greedy, turns = (column.numpy() for column in model.greedy_predictions(pixels))
    if model.unprojected is None:
        drop = PROJECTION_DROP.unknown("the tree before projection was not given")
    else:
        before = TreeExplainer(model.unprojected).probabilities(pixels).argmax(1).numpy()
        lost = (before == labels).astype(float) - (answers == labels)
        drop = PROJECTION_DROP.of_mean(lost, seed=seed)
    return (
        FIDELITY.of_share(greedy == answers),
        PATH_LENGTH.of_mean(turns.astype(float), seed=seed),
        drop,
    )


def no_tree() -> tuple[Measure, ...]:
    """Return the same measures for a model that is no tree."""
    why = "only a tree has it"
    return tuple(each.unknown(why) for each in (FIDELITY, PATH_LENGTH, PROJECTION_DROP))


def measure_class_coverage(
    model: ExplainedModel,
    images: UInt8[Tensor, "images 3 height width"],
    labels: NDArray[np.int64],
) -> tuple[Measure, tuple[str, ...]]:
    """Return how many of the classes among ``labels`` are ever answered, and those that are not.

    A tree answers along one path here, as it is read: a class that only mixtures of leaves reach
    has no path that explains it.
    """
    if isinstance(model, TreeExplainer):
        answers = model.greedy_predictions(images)[0].numpy()
    else:
        answers = ask_probabilities(model, images).argmax(1).numpy()
    there = np.unique(labels)
    is_answered = np.isin(there, answers)
    missing = tuple(model.class_names[label] for label in there[~is_answered])
    value = float(is_answered.mean())
    return CLASS_COVERAGE.of(value, None, None, total=len(there)), missing


def measure_box_size(matches: Matches, image_size: tuple[int, int], *, seed: int = 0) -> Measure:
    """Return the mean share of the image inside the boxes of present prototypes."""
    top, left, bottom, right = matches.boxes.double().unbind(2)
    area = (bottom - top) * (right - left) / (image_size[0] * image_size[1])
    count = matches.present.sum(1)
    some = count > 0
    if not some.any():
        return BOX_SIZE.unknown("no prototype is present in any image")
    mean = (area * matches.present).sum(1)[some] / count[some]
    return BOX_SIZE.of_mean(mean.numpy(), weights=count[some].double().numpy(), seed=seed)
