"""What a report shows, as plain values: numpy arrays, numbers and text, independent of torch.

The tree is two child arrays. ``left_child[b]`` and ``right_child[b]`` name the children of branch
``b``: a number >= 0 is a branch, ``~leaf`` (negative) is a leaf. Branch 0 is the root; a tree
without branches is the single leaf 0. Right means "the prototype is present".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pellucid._checks import UsageError


class BoxPx(NamedTuple):
    """A box in the pixels of the picture it belongs to; bottom and right are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.right - self.left


def _check_picture(name: str, picture: np.ndarray, boxes: tuple[tuple[str, BoxPx], ...]) -> None:
    shape, dtype = np.shape(picture), getattr(picture, "dtype", type(picture).__name__)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise UsageError(
            f"{name} must be a uint8 array of shape (height, width, 3), got {dtype} {shape}. "
            "Convert it with numpy.asarray(image.convert('RGB'))."
        )
    for box_name, box in boxes:
        top, left, bottom, right = box
        if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
            raise UsageError(
                f"{box_name} must be a non-empty (top, left, bottom, right) inside a picture of "
                f"{shape[0]} x {shape[1]} pixels, got {tuple(box)!r}. "
                "Scale the box to the picture that is shown and clip it."
            )


@dataclass(frozen=True, eq=False)
class NearbyPatch:
    """One of the training patches nearest to a prototype."""

    picture: np.ndarray  # uint8 (height, width, 3)
    box: BoxPx
    image_name: str
    class_name: str
    distance: float

    def __post_init__(self) -> None:
        _check_picture("picture", self.picture, (("box", self.box),))


@dataclass(frozen=True)
class SimilarityHistogram:
    """How similar test images are to a prototype: counts in equal bins over [0, 1].

    ``passing`` counts only images whose greedy path comes by this branch.
    """

    everywhere: tuple[int, ...]
    passing: tuple[int, ...]

    def __post_init__(self) -> None:
        pairs = list(zip(self.everywhere, self.passing, strict=False))
        if not pairs or len(self.everywhere) != len(self.passing) or any(a < b for a, b in pairs):
            raise UsageError(
                "everywhere and passing must have the same bins, and passing no more images in "
                f"any, got {self.everywhere} and {self.passing}. Count both over the same images."
            )


@dataclass(frozen=True)
class LeafVisits:
    """How many test images end at a leaf by the greedy path, and how many of them are right."""

    images: int
    right: int


@dataclass(frozen=True, eq=False)
class PrototypePicture:
    """A branch's prototype as a patch of a real training image.

    ``distance`` is the latent distance between the prototype and the patch shown: 0 after
    projection. ``neighbors`` are the nearest training patches, nearest first; ``duplicates`` are
    the other branches that show the same patch. ``found_in`` are patches of test images whose path
    goes *present* here, some of them, evenly from the most to the least similar one.
    """

    branch: int
    picture: np.ndarray  # uint8 (height, width, 3), the source image
    box: BoxPx
    image_name: str
    class_name: str
    distance: float
    neighbors: tuple[NearbyPatch, ...] = ()
    duplicates: tuple[int, ...] = ()
    histogram: SimilarityHistogram | None = None
    found_in: tuple[NearbyPatch, ...] = ()

    def __post_init__(self) -> None:
        _check_picture("picture", self.picture, (("box", self.box),))


@dataclass(frozen=True)
class DecisionStep:
    """One branch, and what an image does there.

    ``margin`` is ``|distance - ln 2|``: how far the patch may move in latent space before a greedy
    walk turns the other way here. ``box`` is the patch found in *this* image.
    """

    branch: int
    similarity: float
    went_right: bool
    distance: float
    margin: float
    box: BoxPx


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """An image, the answer and the path that leads to it.

    ``class_probabilities`` has shape (classes,). ``margin`` is the radius in latent distance within
    which the path cannot change. ``true_class`` and ``correct`` are None where it is not known.

    ``turns`` has a step for every branch of the tree, in the order of branches, or none: what the
    image shows there, whether or not its path comes by. ``runner_up`` is the most probable class
    besides ``predicted_class`` by all leaves mixed, and ``runner_up_leaf`` the most probable of the
    leaves that answer with it, if there are any. ``soft_class`` is what all leaves mixed answer.
    ``cautions`` are sentences on what makes the path a weak reason.
    """

    name: str
    picture: np.ndarray  # uint8 (height, width, 3)
    true_class: str | None
    predicted_class: str
    class_probabilities: np.ndarray
    steps: tuple[DecisionStep, ...]
    leaf: int
    path_probability: float
    margin: float
    correct: bool | None
    runner_up: str
    turns: tuple[DecisionStep, ...] = ()
    runner_up_leaf: int | None = None
    soft_class: str = ""
    cautions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        boxes = tuple(
            (f"{name}[{i}].box", step.box)
            for name, steps in (("steps", self.steps), ("turns", self.turns))
            for i, step in enumerate(steps)
        )
        _check_picture("picture", self.picture, boxes)


@dataclass(frozen=True)
class OtherWay:
    """What would have to be different for another class to be answered, in words.

    ``steps`` has one sentence for each branch on the way to a leaf that answers ``class_name``.
    """

    class_name: str
    opening: str
    steps: tuple[str, ...]
    closing: str


@dataclass(frozen=True)
class AccuracyRow:
    """An accuracy in [0, 1] over ``n`` images with its 95 % interval; ``note`` says what it is."""

    label: str
    value: float
    low: float
    high: float
    n: int
    note: str = ""


@dataclass(frozen=True)
class TrustRow:
    """A measure of how far the pictures can be trusted; see `pellucid.evaluation.Measure`.

    The 95 % interval and ``chance`` are None where there is no such thing; ``better`` is
    ``"higher"``, ``"lower"`` or empty; ``unit`` is ``"share"``, ``"relative change"`` (both written
    in percent), ``"correlation"`` or ``"count"``.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    better: str = ""
    unit: str = "share"
    total: int = 0
    note: str = ""


@dataclass(frozen=True)
class TrustTable:
    """What a reader must know before believing the pictures: findings, and the measures.

    ``unmeasured`` names the measures that do not apply, grouped by the reason why.
    """

    findings: tuple[str, ...]
    rows: tuple[TrustRow, ...]
    images: int
    unmeasured: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, eq=False)
class TreeReport:
    """Everything the report of one prototype tree shows.

    ``left_child`` and ``right_child`` have shape (branches,), ``leaf_distributions`` has shape
    (leaves, classes). ``metrics`` are the rows of training: epoch, phase, train_loss,
    train_accuracy, validation_loss, validation_accuracy, seconds; a missing value is None.
    ``headline`` is the label of the accuracy row that the verdict quotes; by default the first
    whose label names greedy routing. ``leaf_visits`` has one entry a leaf, or none at all.

    Raises:
        UsageError: the child arrays are not a tree, or shapes disagree.
    """

    title: str
    subtitle: str
    class_names: tuple[str, ...]
    left_child: np.ndarray
    right_child: np.ndarray
    leaf_distributions: np.ndarray
    prototypes: tuple[PrototypePicture, ...]
    metrics: tuple[Mapping[str, object], ...] = ()
    accuracy: tuple[AccuracyRow, ...] = ()
    facts: tuple[tuple[str, object], ...] = ()
    warnings: tuple[str, ...] = ()
    explained: tuple[ExplainedImage, ...] = ()
    configuration: Mapping[str, object] = field(default_factory=dict)
    headline: str | None = None
    leaf_visits: tuple[LeafVisits, ...] = ()
    trust: TrustTable | None = None

    def __post_init__(self) -> None:
        from pellucid.reports.tree_layout import preorder  # layout knows no contents: no cycle

        visited = preorder(self.left_child, self.right_child)
        leaves = sum(node < 0 for node in visited)
        expected = (leaves, len(self.class_names))
        if np.shape(self.leaf_distributions) != expected:
            raise UsageError(
                f"leaf_distributions must have shape (leaves, classes) = {expected}, got "
                f"{np.shape(self.leaf_distributions)}. Number the leaves of a pruned tree anew."
            )
        branches = len(visited) - leaves
        for prototype in self.prototypes:
            if not 0 <= prototype.branch < branches:
                raise UsageError(
                    f"prototypes must belong to branches 0 to {branches - 1}, got "
                    f"{prototype.branch}. Number the branches of a pruned tree anew."
                )

        for image in self.explained:
            if len(image.turns) != branches:
                raise UsageError(
                    f"explained images must have a turn for each of the {branches} branches, got "
                    f"{len(image.turns)} for {image.name!r}. Give those off the path too."
                )

    @property
    def headline_row(self) -> AccuracyRow | None:
        """The accuracy row that the verdict quotes."""
        for row in self.accuracy:
            wanted = row.label == self.headline if self.headline else "greedy" in row.label.lower()
            if wanted:
                return row
        return self.accuracy[0] if self.accuracy else None
