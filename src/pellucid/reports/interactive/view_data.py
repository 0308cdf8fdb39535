"""What the page's script is given, as plain JSON: the tree with its prototypes, and images.

The script computes everything else (paths, mixtures, margins, the runner-up) from the similarities
of an image and the leaves, so that an image sent later needs no more than `describe_image`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid._checks import UsageError
from pellucid.reports.contents import DecisionStep, ExplainedImage, PrototypePicture, TreeReport
from pellucid.reports.picture_svg import PictureStore, encode_picture

FEW_PROTOTYPES = 64
"""Up to so many prototypes the pictures are large; of more they are kept small."""

_IMAGE_SIDE_PX = 448
_JPEG_QUALITY = 88
_DIGITS = 9  # significant: what a float32 holds


def source_side_px(prototypes: int) -> int:
    """Return the longest side at which the source pictures of so many prototypes are kept."""
    return 448 if prototypes <= FEW_PROTOTYPES else 224


def neighbor_side_px(prototypes: int) -> int:
    """Return the longest side at which the nearest training images are embedded."""
    return 160 if prototypes <= FEW_PROTOTYPES else 80


def describe_tree(report: TreeReport, store: PictureStore) -> dict[str, Any]:
    """Return the tree and its prototypes; their pictures go into ``store`` and are named by id.

    Returns:
        ``classes`` (names), ``left`` and ``right`` (children: a branch, or ``~leaf``), ``leaves``
        (class probabilities), ``prototypes`` (one for each branch, None where there is no picture)
        and ``visits`` ((images, right) of each leaf, or an empty list).
    """
    shown: list[dict[str, Any] | None] = [None] * len(report.left_child)
    for prototype in report.prototypes:
        shown[prototype.branch] = _describe_prototype(prototype, store, len(report.prototypes))
    return {
        "classes": list(report.class_names),
        "left": [int(child) for child in report.left_child],
        "right": [int(child) for child in report.right_child],
        "leaves": [[_round(share, 6) for share in leaf] for leaf in report.leaf_distributions],
        "prototypes": shown,
        "visits": [[visits.images, visits.right] for visits in report.leaf_visits],
    }


def describe_image(explained: ExplainedImage, *, picture: str | None = None) -> dict[str, Any]:
    """Return an image as the script takes it.

    Args:
        explained: With ``turns`` for every branch.
        picture: The id of its picture in the page; None embeds it here as a data URI.

    Returns:
        ``name``, ``picture``, ``size`` ([height, width]), ``true_class`` (None where unknown),
        ``similarities`` (one a branch) and ``boxes`` ([top, left, bottom, right] in the picture's
        pixels, one a branch).

    Raises:
        UsageError: the turns are not those of branches 0, 1, 2 and so on.
    """
    _check_turns(explained.turns, explained.name)
    if picture is None:
        picture = encode_picture(
            explained.picture, max_side_px=_IMAGE_SIDE_PX, quality=_JPEG_QUALITY
        )
    return {
        "name": explained.name,
        "picture": picture,
        "size": list(explained.picture.shape[:2]),
        "true_class": explained.true_class,
        "similarities": [_round(turn.similarity, _DIGITS) for turn in explained.turns],
        "boxes": [list(turn.box) for turn in explained.turns],
    }


def describe_images(images: Sequence[ExplainedImage], store: PictureStore) -> list[dict[str, Any]]:
    """Return images for the page itself, their pictures in ``store``."""
    return [
        describe_image(
            image, picture=store.add(image.picture, max_side_px=_IMAGE_SIDE_PX).identifier
        )
        for image in images
    ]


def _describe_prototype(
    prototype: PrototypePicture, store: PictureStore, prototypes: int
) -> dict[str, Any]:
    side_px, near_px = source_side_px(prototypes), neighbor_side_px(prototypes)
    histogram = prototype.histogram
    return {
        "branch": prototype.branch,
        "picture": store.add(prototype.picture, max_side_px=side_px).identifier,
        "size": list(prototype.picture.shape[:2]),
        "box": list(prototype.box),
        "image": prototype.image_name,
        "class": prototype.class_name,
        "distance": prototype.distance,
        "duplicates": list(prototype.duplicates),
        **{
            name: [
                {
                    "picture": store.add(near.picture, max_side_px=near_px).identifier,
                    "size": list(near.picture.shape[:2]),
                    "box": list(near.box),
                    "image": near.image_name,
                    "class": near.class_name,
                    "distance": _round(near.distance, 6),
                }
                for near in patches
            ]
            for name, patches in (
                ("neighbors", prototype.neighbors),
                ("found_in", prototype.found_in),
            )
        },
        "histogram": None
        if histogram is None
        else {"all": list(histogram.everywhere), "passing": list(histogram.passing)},
    }


def _check_turns(turns: Sequence[DecisionStep], name: str) -> None:
    if [turn.branch for turn in turns] != list(range(len(turns))):
        raise UsageError(
            f"turns of {name!r} must be those of branches 0 to {len(turns) - 1} in order, got "
            f"{[turn.branch for turn in turns][:5]}. Give one for every branch of the tree."
        )


def _round(value: float | np.floating, digits: int) -> float:
    return float(f"{float(value):.{digits}g}")
