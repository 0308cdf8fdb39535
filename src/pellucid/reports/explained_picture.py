"""Why a tree answers one picture as it does: in words, as numbers, as a page and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid._checks import UsageError
from pellucid.data.pictures import (
    MAX_PICTURE_PIXELS,
    convert_picture,
    read_picture,
    resize_picture,
)
from pellucid.prototree import Explanation, FittedTree
from pellucid.prototree import explain as explain_images
from pellucid.prototree.tree_run import TreeRun
from pellucid.reports.contents import DecisionStep, ExplainedImage, OtherWay, PrototypePicture
from pellucid.reports.page import render_explanation, write_page
from pellucid.reports.picture_fragment import PictureRow, render_fragment
from pellucid.reports.prototype_files import read_prototypes
from pellucid.reports.run_pictures import picture_explanation, picture_steps
from pellucid.reports.wording import percent, write_distance

Picture = str | Path | Image.Image | np.ndarray | Tensor
"""A picture file, a Pillow image, or uint8 pixels: (height, width, 3), (3, height, width) or
(height, width)."""


@dataclass(frozen=True, eq=False, repr=False)
class ExplainedPicture:
    """A picture from anywhere, and why it is answered as it is.

    Printed, it says the path in words; at the end of a notebook's cell it is shown with pictures.

    Attributes:
        name: What to call it.
        size_px: (height, width) of the picture.
        class_names: The tree's.
        explanation: All figures; its boxes are in pixels of the image as the network takes it.
        turns: What a greedy walk would do at every branch of the tree, indexed by branch; the boxes
            are in the picture's own pixels.
        contents: For a page.
        prototypes: Pictures of the prototypes that the two paths come by, where they are at hand.
        prototype_classes: The class of the training image behind each branch's prototype.
        answered_by: Which run answered, if any.
        warnings: What a reader should know of this tree's explanations.
    """

    name: str
    size_px: tuple[int, int]
    class_names: tuple[str, ...]
    explanation: Explanation
    turns: tuple[DecisionStep, ...]
    contents: ExplainedImage
    prototypes: tuple[PrototypePicture, ...] = ()
    prototype_classes: tuple[str, ...] = ()
    answered_by: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def prediction(self) -> str:
        """The class that the greedy leaf answers."""
        return self.class_names[self.explanation.prediction]

    @property
    def runner_up(self) -> str:
        """The class that all leaves together find most probable besides the answer."""
        return self.class_names[self.explanation.runner_up]

    @property
    def path(self) -> tuple[DecisionStep, ...]:
        """The steps of the greedy walk from the root, boxes in the picture's own pixels."""
        return tuple(self.turns[turn.branch] for turn in self.explanation.path)

    @property
    def runner_up_path(self) -> tuple[DecisionStep, ...]:
        """The way to the most probable leaf of the runner-up; empty where no leaf answers it.

        ``went_right`` is where that leaf lies; compare `turns` for what this picture does there.
        """
        return tuple(
            replace(self.turns[turn.branch], went_right=turn.went_right)
            for turn in self.explanation.runner_up_path
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dictionaries, with names for classes."""
        one, names = self.explanation, self.class_names
        leaf = one.runner_up_leaf
        return {
            "image": self.name,
            "image_size_px": list(self.size_px),
            "prediction": self.prediction,
            "leaf": one.leaf,
            "leaf_probabilities": dict(zip(names, one.leaf_probabilities, strict=True)),
            "path_probability": one.path_probability,
            "path_margin": one.margin,
            "path": [self._step_to_dict(step) for step in self.path],
            "cautions": list(one.cautions),
            "warnings": list(self.warnings),
            "probabilities": dict(zip(names, one.probabilities, strict=True)),
            "soft_prediction": names[one.soft_prediction],
            "runner_up": self.runner_up,
            "runner_up_leaf": leaf,
            "runner_up_splits_at_step": (
                None if one.runner_up_split is None else one.runner_up_split + 1
            ),
            "runner_up_path": [
                {
                    **self._step_to_dict(step),
                    "would_have_to_change": step.went_right != self.turns[step.branch].went_right,
                }
                for step in self.runner_up_path
            ],
        }

    def describe(self, *, runner_up: bool = False) -> Iterator[str]:
        """Yield the explanation in words, line by line.

        Args:
            runner_up: Also say where the way to the runner-up leads and what would have to be
                different for this picture to take it.
        """
        one = self.explanation
        yield (
            f"{self.name}: {self.prediction} "
            f"(path probability {_share(one.path_probability)}, leaf {one.leaf} with "
            f"{_share(one.leaf_probabilities[one.prediction])})"
        )
        for number, step in enumerate(self.path, start=1):
            box = step.box
            yield (
                f"  {number}. {self._likeness(step)}: similarity {step.similarity:.3f}, margin "
                f"{step.margin:.3f}, rows {box.top} to {box.bottom} and columns {box.left} to "
                f"{box.right} px"
            )
        yield f"  No change of its latent patches smaller than {one.margin:.3f} alters this path."
        yield from (f"  Caution: {caution}" for caution in one.cautions)
        yield f"  {self._runner_up_in_words()}"
        if runner_up and (way := self._way_to_runner_up()) is not None:
            yield f"  {way.opening}"
            for number, step in enumerate(way.steps, start=1):
                yield f"    {number}. {step}"
            yield f"  {way.closing}"

    def to_html(self) -> str:
        """Return the explanation as a page of its own that needs nothing else."""
        return render_explanation(
            self.contents,
            self.prototypes,
            class_names=self.class_names,
            subtitle=f"Answered by {self.answered_by}" if self.answered_by else "",
            warnings=self.warnings,
            runner_up=self._way_to_runner_up(),
        )

    def save_html(self, path: str | Path) -> Path:
        """Write the page of `to_html` to ``path``, all of it or nothing; return the path."""
        return write_page(self.to_html(), path)

    def _repr_html_(self) -> str:
        """Return a fragment for a notebook: no script, nothing loaded, all text escaped."""
        shown = {prototype.branch: prototype for prototype in self.prototypes}
        rows = []
        for step in self.path:
            prototype = shown.get(step.branch)
            rows.append(
                PictureRow(
                    text=self._likeness(step),
                    note=f"similarity {step.similarity:.3f}, margin {write_distance(step.margin)}",
                    picture=self.contents.picture,
                    box=self.contents.turns[step.branch].box,
                    other=prototype.picture if prototype else None,
                    other_box=prototype.box if prototype else None,
                )
            )
        one = self.explanation
        return render_fragment(
            heading=f"{self.name}: {self.prediction}",
            summary=(
                f"Path probability {_share(one.path_probability)}, leaf {one.leaf} with "
                f"{_share(one.leaf_probabilities[one.prediction])}; no change of its latent "
                f"patches smaller than {one.margin:.3f} alters this path."
            ),
            picture=self.contents.picture,
            rows=rows,
            closing=[*one.cautions, self._runner_up_in_words(), *self.warnings],
        )

    def __str__(self) -> str:
        return "\n".join(self.describe())

    def __repr__(self) -> str:
        return (
            f"<ExplainedPicture {self.name!r}: {self.prediction!r} by {len(self.path)} branches, "
            f"margin {self.explanation.margin:.3f}, runner-up {self.runner_up!r}>"
        )

    def _step_to_dict(self, step: DecisionStep) -> dict[str, Any]:
        prototype = self._prototype(step.branch)
        return {
            "branch": step.branch,
            "similar": step.went_right,
            "similarity": step.similarity,
            "distance": step.distance,
            "margin": step.margin,
            "box_px": list(step.box),
            "prototype": (
                {"image": prototype.image_name, "class": prototype.class_name}
                if prototype
                else None
            ),
        }

    def _prototype(self, branch: int) -> PrototypePicture | None:
        return next((one for one in self.prototypes if one.branch == branch), None)

    def _name_prototype(self, branch: int) -> str:
        prototype = self._prototype(branch)
        if prototype:
            return f"prototype {branch} ({prototype.image_name}, class {prototype.class_name})"
        if self.prototype_classes:
            return f"prototype {branch} (class {self.prototype_classes[branch]})"
        return f"prototype {branch}"

    def _likeness(self, step: DecisionStep) -> str:
        return f"{_similar(step.went_right)} to {self._name_prototype(step.branch)}"

    def _runner_up_in_words(self) -> str:
        one = self.explanation
        share = _share(one.probabilities[one.runner_up])
        if one.runner_up == one.soft_prediction:
            found = f"All leaves together answer otherwise: {self.runner_up} ({share})"
        else:
            found = f"Runner-up: {self.runner_up} ({share})"
        if one.runner_up_split is None:
            return f"{found}; no leaf answers with it."
        branch = one.runner_up_path[one.runner_up_split].branch
        return (
            f"{found}; its path splits off at step {one.runner_up_split + 1}, prototype {branch}."
        )

    def _way_to_runner_up(self) -> OtherWay | None:
        one = self.explanation
        if one.runner_up_leaf is None:
            return None
        changes = one.runner_up_changes
        least = max(turn.margin for turn in changes)
        return OtherWay(
            class_name=self.runner_up,
            opening=(
                f"To answer {self.runner_up}, at leaf {one.runner_up_leaf}, it would have to be:"
            ),
            steps=tuple(self._turn_in_words(step) for step in self.runner_up_path),
            closing=(
                f"That is {len(changes)} of {len(self.runner_up_path)} turns, and no change of its "
                f"latent patches smaller than {least:.3f} leads there."
            ),
        )

    def _turn_in_words(self, step: DecisionStep) -> str:
        own, what = self.turns[step.branch], self._likeness(step)
        if own.went_right == step.went_right:
            return f"as it is: {what}, similarity {own.similarity:.3f}"
        needed = (
            f"rise to 1/2, the nearest patch to come {own.margin:.3f} nearer"
            if step.went_right
            else f"fall below 1/2, the nearest patch to lie {own.margin:.3f} farther off"
        )
        return f"otherwise: {what}; similarity {own.similarity:.3f} would have to {needed}"


def explain_picture(
    fitted: FittedTree,
    picture: Image.Image,
    *,
    name: str,
    true_class: int | None = None,
    prototypes: Iterable[PrototypePicture] = (),
    answered_by: str = "",
) -> ExplainedPicture:
    """Explain one picture of any size.

    Args:
        fitted: The tree.
        picture: RGB, upright.
        name: What to call it.
        true_class: Its label, where known.
        prototypes: Pictures of the tree's prototypes; those on the two paths are kept.
        answered_by: Which run the tree is from.
    """
    resized = np.asarray(resize_picture(picture, fitted.image_size))
    pixels = torch.from_numpy(resized.transpose(2, 0, 1).copy())[None]
    explanation = explain_images(fitted, fitted.normalization(pixels.to(fitted.device)))[0]
    size_px = picture.height, picture.width
    on_paths = branches_on_paths(explanation)
    warning = fitted.receptive_field.coverage_warning(fitted.recipe.backbone)
    return ExplainedPicture(
        name=name,
        size_px=size_px,
        class_names=fitted.class_names,
        explanation=explanation,
        turns=picture_steps(fitted, explanation.turns, size_px),
        contents=picture_explanation(
            fitted, explanation, picture, name=name, true_class=true_class
        ),
        prototypes=tuple(one for one in prototypes if one.branch in on_paths),
        prototype_classes=tuple(fitted.class_names[source.label] for source in fitted.sources),
        answered_by=answered_by,
        warnings=(warning,) if warning else (),
    )


def branches_on_paths(explanation: Explanation) -> set[int]:
    """Return the branches that the path or the way to the runner-up comes by."""
    return {turn.branch for turn in (*explanation.path, *explanation.runner_up_path)}


@overload
def explain(
    run: str | Path | FittedTree, image: Picture, *, device: str = "auto"
) -> ExplainedPicture: ...
@overload
def explain(
    run: str | Path | FittedTree, image: Sequence[Picture], *, device: str = "auto"
) -> tuple[ExplainedPicture, ...]: ...


def explain(
    run: str | Path | FittedTree, image: Picture | Sequence[Picture], *, device: str = "auto"
) -> ExplainedPicture | tuple[ExplainedPicture, ...]:
    """Say why a trained tree answers a picture as it does.

    Example:
        ``pellucid.explain("runs/photos", "photo.jpg").path[0].similarity``

    Args:
        run: A run folder that `pellucid fit` made, or a fitted tree; the pictures of prototypes are
            in the folder, so without it an explanation shows only the given picture.
        image: A picture file, a Pillow image, or uint8 pixels of shape (height, width, 3),
            (3, height, width) or (height, width); or a list of such, for a tuple of answers.
        device: Where a run's tree computes; a fitted tree stays where it is.

    Raises:
        UsageError: ``image`` is none of these.
        DataError: the run or a picture cannot be used.
    """
    if isinstance(image, list | tuple):
        names = [f"image {number}" for number in range(1, len(image) + 1)]
        return _explain_all(run, image, names, device)
    return _explain_all(run, [image], ["image"], device)[0]


def _explain_all(
    run: object, images: Sequence[object], names: Sequence[str], device: str
) -> tuple[ExplainedPicture, ...]:
    if isinstance(run, FittedTree):
        return tuple(
            explain_picture(run, picture, name=name) for name, picture in _read_all(images, names)
        )
    if not isinstance(run, str | Path):
        raise UsageError(
            "run must be the path of a run folder or a FittedTree, got "
            f"{type(run).__name__}. Of a ProtoTreeClassifier take .fitted_."
        )
    tree_run = TreeRun.open(run)
    fitted = tree_run.load_tree(device=device)
    explained = [
        explain_picture(fitted, picture, name=name, answered_by=str(tree_run.path))
        for name, picture in _read_all(images, names)
    ]
    on_paths = [branches_on_paths(one.explanation) for one in explained]
    # A deep tree has hundreds of prototypes; a path comes by a few.
    shown = read_prototypes(tree_run.run, branches=set().union(*on_paths))
    doubts = (tree_run.read_result() or {}).get("doubts", ())
    return tuple(
        replace(
            one,
            prototypes=tuple(each for each in shown if each.branch in branches),
            warnings=(*doubts, *one.warnings),
        )
        for one, branches in zip(explained, on_paths, strict=True)
    )


def _read_all(images: Sequence[object], names: Sequence[str]) -> list[tuple[str, Image.Image]]:
    # All of them before the first is explained: a mistake in the last one costs nothing.
    return [_read_image(image, name) for image, name in zip(images, names, strict=True)]


def _read_image(image: object, name: str) -> tuple[str, Image.Image]:
    """Return what to call an image, and it as an upright RGB picture."""
    if isinstance(image, str | Path):
        return str(image), read_picture(Path(image))
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or name), convert_picture(image, name=name)
    return name, Image.fromarray(_to_pixels(image))


def _to_pixels(image: object) -> np.ndarray:
    """Return uint8 (height, width, 3) of an array or tensor with the channels at either end."""
    if isinstance(image, Tensor):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise UsageError(
            "image must be a file name, a Pillow image or an array of uint8 pixels, got "
            f"{type(image).__name__}."
        )
    pixels = image
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    elif pixels.ndim == 3 and pixels.shape[2] != 3 and pixels.shape[0] == 3:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UsageError(
            "image must be uint8 of shape (height, width, 3), (3, height, width) or "
            f"(height, width), got {image.dtype} of shape {image.shape}. Pass numbers in [0, 1] as "
            "(255 * image).round().astype('uint8'), and a batch as a list of images."
        )
    if pixels.shape[0] * pixels.shape[1] > MAX_PICTURE_PIXELS:
        raise UsageError(
            f"image must have at most {MAX_PICTURE_PIXELS // 10**6} megapixels, got shape "
            f"{image.shape}. Shrink it."
        )
    return np.ascontiguousarray(pixels)


def _similar(right: bool) -> str:
    return "similar" if right else "not similar"


def _share(value: float) -> str:
    # A terminal would show the no-break space as an escape.
    return percent(value).replace("\N{NO-BREAK SPACE}", " ")
