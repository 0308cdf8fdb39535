"""Real pictures for a tree: prototypes in their training images, paths in the image explained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from pellucid.data import ImageSet
from pellucid.prototree import Explanation, FittedTree, PatchSource, Turn
from pellucid.reports.contents import (
    BoxPx,
    DecisionStep,
    ExplainedImage,
    NearbyPatch,
    PrototypePicture,
)
from pellucid.reports.interactive.view_data import source_side_px

_SIDE_PX = 448


def picture_prototypes(
    fitted: FittedTree, images: ImageSet, *, pictures: SourcePictures | None = None
) -> tuple[PrototypePicture, ...]:
    """Return each branch's prototype boxed in the training image that it comes from.

    The distance shown is measured anew between the prototype and the patch in the box; it is not
    how far the prototype moved to get there.
    """
    pictures = pictures or SourcePictures(images, source_side_px(fitted.tree.topology.branches))
    same = {branch: group for group in fitted.duplicates() for branch in group}
    distances = _measure_source_distances(fitted, images)
    found = []
    for branch, source in enumerate(fitted.sources):
        picture, box = pictures.boxed(fitted, source)
        near = fitted.neighbors[branch] if fitted.neighbors else ()
        found.append(
            PrototypePicture(
                branch=branch,
                picture=picture,
                box=box,
                image_name=images.names[source.image],
                class_name=fitted.class_names[source.label],
                distance=distances[branch],
                neighbors=picture_patches(fitted, near, pictures),
                duplicates=tuple(other for other in same.get(branch, ()) if other != branch),
            )
        )
    return tuple(found)


def picture_patches(
    fitted: FittedTree, patches: Sequence[PatchSource], pictures: SourcePictures
) -> tuple[NearbyPatch, ...]:
    """Return each patch boxed in the image that it is from."""
    return tuple(
        NearbyPatch(
            *pictures.boxed(fitted, patch),
            pictures.images.names[patch.image],
            fitted.class_names[patch.label],
            patch.distance,
        )
        for patch in patches
    )


def picture_explanation(
    fitted: FittedTree,
    explanation: Explanation,
    picture: Image.Image,
    *,
    name: str,
    true_class: int | None = None,
) -> ExplainedImage:
    """Return an explanation with the picture it is about, its boxes in that picture's pixels.

    Args:
        fitted: The tree.
        explanation: Of the picture resized to the tree's image size.
        picture: At source resolution.
        name: What to call it.
        true_class: Its label, where known.
    """
    array = shrink_picture(picture, _SIDE_PX)
    names = fitted.class_names
    turns = picture_steps(fitted, explanation.turns, array.shape[:2])
    return ExplainedImage(
        name=name,
        picture=array,
        true_class=None if true_class is None else names[true_class],
        predicted_class=names[explanation.prediction],
        class_probabilities=np.asarray(explanation.probabilities),
        steps=tuple(turns[turn.branch] for turn in explanation.path),
        leaf=explanation.leaf,
        path_probability=explanation.path_probability,
        margin=explanation.margin,
        correct=None if true_class is None else explanation.prediction == true_class,
        runner_up=names[explanation.runner_up],
        turns=turns,
        runner_up_leaf=explanation.runner_up_leaf,
        soft_class=names[explanation.soft_prediction],
        cautions=explanation.cautions,
    )


def picture_steps(
    fitted: FittedTree, turns: Sequence[Turn], size_px: tuple[int, ...]
) -> tuple[DecisionStep, ...]:
    """Return turns with their boxes in the pixels of a picture of (height, width) ``size_px``."""
    return tuple(
        DecisionStep(
            branch=turn.branch,
            similarity=turn.similarity,
            went_right=turn.went_right,
            distance=turn.distance,
            margin=turn.margin,
            box=scale_box(turn.box, fitted.image_size, size_px),
        )
        for turn in turns
    )


def scale_box(box: Sequence[int], from_size: tuple[int, int], to_size: tuple[int, ...]) -> BoxPx:
    """Return a box in the pixels of a resized picture: never smaller, clipped, never empty.

    Args:
        box: (top, left, bottom, right) in pixels of the image of ``from_size``.
        from_size: (height, width) in pixels.
        to_size: (height, width) in pixels.
    """
    top, left, bottom, right = box
    down, across = to_size[0] / from_size[0], to_size[1] / from_size[1]
    first_row = min(math.floor(top * down), to_size[0] - 1)
    first_column = min(math.floor(left * across), to_size[1] - 1)
    return BoxPx(
        first_row,
        first_column,
        max(first_row + 1, min(math.ceil(bottom * down), to_size[0])),
        max(first_column + 1, min(math.ceil(right * across), to_size[1])),
    )


def shrink_picture(picture: Image.Image, side_px: int) -> np.ndarray:
    """Return a picture as uint8 (height, width, 3), its longer side at most ``side_px``."""
    if max(picture.size) > side_px:
        picture = picture.copy()
        picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return np.asarray(picture.convert("RGB"))


class SourcePictures:
    """Source pictures of ``images``, each read once and shrunk to what a page can show."""

    def __init__(self, images: ImageSet, side_px: int) -> None:
        self.images = images
        self._side_px = side_px
        self._held: dict[int, np.ndarray] = {}

    def get(self, index: int) -> np.ndarray:
        """Return picture ``index`` as uint8 (height, width, 3)."""
        if index not in self._held:
            self._held[index] = shrink_picture(self.images.original(index), self._side_px)
        return self._held[index]

    def boxed(self, fitted: FittedTree, source: PatchSource) -> tuple[np.ndarray, BoxPx]:
        """Return the picture that a patch is from, and the patch's box in it."""
        picture = self.get(source.image)
        box = fitted.patch_box(source.row, source.column)
        return picture, scale_box(box, fitted.image_size, picture.shape[:2])


@torch.no_grad()
def _measure_source_distances(fitted: FittedTree, images: ImageSet) -> list[float]:
    """Return the distance between each prototype and the patch it is said to be."""
    tree = fitted.tree.eval()
    wanted = torch.tensor([source.image for source in fitted.sources], dtype=torch.int64)
    distances: list[float] = []
    for pixels, _, _ in fitted.normalized_batches(images, wanted):
        latent = tree.latent(pixels)
        columns = latent.shape[3] - tree.prototypes.shape[3] + 1
        for patches in tree.patches(latent):
            branch = len(distances)
            source = fitted.sources[branch]
            patch = patches[source.row * columns + source.column].double()
            distances.append(float((patch - tree.prototypes[branch].flatten().double()).norm()))
    return distances
