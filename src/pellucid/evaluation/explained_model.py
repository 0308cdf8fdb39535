"""What the measures ask of a model, and the prototype tree as such a model.

Any model with any attribution can be measured: it needs class probabilities and, for an image and
a class, the evidence of each pixel. Models with prototypes also say where each of them is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from pellucid.evaluation.tree_importance import explain_pixels
from pellucid.prototree import FittedTree
from pellucid.prototree.routing import TURNING_DISTANCE

_BATCH_IMAGES = 128


@dataclass(frozen=True)
class Matches:
    """Where each prototype of a model is found in each image of a batch.

    Attributes:
        similarity: Of the nearest patch to the prototype, higher is nearer; >= 0.
        boxes: (top, left, bottom, right) px of that patch, half-open as `pellucid.backbones.Box`.
        present: Which prototypes the model's answer says are in the image. Of a tree: those at
            which the greedy walk goes right. Measures of where prototypes look use these.
        centers_px: (row, column) of each patch's middle; the middle of the upper left pixel is
            (0.5, 0.5). None takes the middle of the box, which at the image's edge is not that of
            the patch: boxes end there.
    """

    similarity: Float[Tensor, "batch prototypes"]
    boxes: Int[Tensor, "batch prototypes 4"]
    present: Bool[Tensor, "batch prototypes"]
    centers_px: Float[Tensor, "batch prototypes 2"] | None = None

    @property
    def middles(self) -> Float[Tensor, "batch prototypes 2"]:
        """(row, column) of each patch's middle, px."""
        if self.centers_px is not None:
            return self.centers_px
        return (self.boxes[..., :2] + self.boxes[..., 2:]) / 2


@runtime_checkable
class ExplainedModel(Protocol):
    """A classifier with an attribution: all that `evaluate_explanations` needs.

    Images are uint8 (b, 3, height, width) of one size; every answer is a tensor on the CPU. Both
    methods must treat each image by itself. `name` and `class_names` may be plain attributes.
    """

    @property
    def name(self) -> str:
        """What to call it in tables."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        ...

    def probabilities(
        self, images: UInt8[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the probability of each class; rows add up to 1."""
        ...

    def importance(
        self, images: UInt8[Tensor, "batch 3 height width"], classes: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch height width"]:
        """Return the evidence that each pixel gives for one class an image; may be negative."""
        ...


@runtime_checkable
class PrototypeModel(ExplainedModel, Protocol):
    """An `ExplainedModel` that compares patches of the image with prototypes."""

    @property
    def prototype_count(self) -> int:
        """How many prototypes there are."""
        ...

    def match(self, images: UInt8[Tensor, "batch 3 height width"]) -> Matches:
        """Return where each prototype is found in each image."""
        ...


class TreeExplainer:
    """A fitted prototype tree as a `PrototypeModel`; its probabilities are those of the soft tree.

    Attributes:
        name: ``"prototype tree"``.
        class_names: The tree's.
        prototype_count: One a branch.
        fitted: The tree.
        unprojected: The same tree before projection and pruning, or None; tells what projection
            cost.
    """

    def __init__(self, fitted: FittedTree, *, unprojected: FittedTree | None = None) -> None:
        self.name = "prototype tree"
        self.fitted = fitted
        self.unprojected = unprojected
        self.class_names = fitted.class_names
        self.prototype_count = fitted.tree.topology.branches
        fitted.tree.eval()
        rows, columns = fitted.receptive_field.latent_size
        height, width = fitted.recipe.prototype_size
        self._boxes = torch.tensor(
            [
                [fitted.patch_box(row, column) for column in range(columns - width + 1)]
                for row in range(rows - height + 1)
            ]
        )

    def probabilities(
        self, images: UInt8[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the mixture of all leaves."""
        with torch.inference_mode():
            parts = [self.fitted.tree(part).exp() for part in self._normalized(images)]
        return torch.cat(parts).cpu()

    def importance(
        self, images: UInt8[Tensor, "batch 3 height width"], classes: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch height width"]:
        """Return what share of the class's probability rests on each pixel: `explain_pixels`."""
        device = self.fitted.device
        parts = [
            explain_pixels(self.fitted, part.to(device), chosen.to(device)).cpu()
            for part, chosen in zip(
                images.split(_BATCH_IMAGES), classes.split(_BATCH_IMAGES), strict=True
            )
        ]
        return torch.cat(parts)

    def match(self, images: UInt8[Tensor, "batch 3 height width"]) -> Matches:
        """Return the nearest patch of each image to each prototype."""
        tree = self.fitted.tree
        on_path = torch.zeros(tree.topology.leaves, tree.topology.branches, dtype=torch.bool)
        for leaf, path in enumerate(tree.topology.paths):
            on_path[leaf, [branch for branch, _ in path]] = True
        height, width = self.fitted.recipe.prototype_size
        rows, columns = self.fitted.receptive_field.latent_size
        cell = torch.tensor(self.fitted.image_size) / torch.tensor([rows, columns])
        similarity, boxes, present, centers = [], [], [], []
        with torch.inference_mode():
            for part in self._normalized(images):
                answers = tree.answer(part)
                distances = answers.distances.cpu()
                positions = answers.positions.cpu()
                row, column = positions.unbind(2)
                centers.append((positions + torch.tensor([height, width]) / 2) * cell)
                similarity.append(torch.exp(-distances))
                boxes.append(self._boxes[row, column])
                is_near = distances <= TURNING_DISTANCE
                present.append(is_near & on_path[answers.greedy_leaf.cpu()])
        return Matches(
            torch.cat(similarity), torch.cat(boxes), torch.cat(present), torch.cat(centers)
        )

    def greedy_predictions(
        self, images: UInt8[Tensor, "batch 3 height width"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
        """Return the class at the end of each greedy walk, and the number of its turns."""
        tree = self.fitted.tree
        majority = tree.leaf_log_distributions().argmax(1).cpu()
        depths = torch.as_tensor(tree.topology.leaf_depths)
        with torch.inference_mode():
            leaves = [tree.answer(part).greedy_leaf.cpu() for part in self._normalized(images)]
        leaf = torch.cat(leaves)
        return majority[leaf], depths[leaf]

    def _normalized(self, images: Tensor) -> list[Tensor]:
        device, normalization = self.fitted.device, self.fitted.normalization
        return [normalization(part.to(device)) for part in images.split(_BATCH_IMAGES)]
