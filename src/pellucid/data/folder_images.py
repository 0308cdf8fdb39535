"""A folder of labelled pictures as an image set with splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid._checks import DataError
from pellucid.data.check import FolderExamination, FolderReport, examine_folder
from pellucid.data.folders import FolderListing, PictureFile, Problem, list_folder
from pellucid.data.image_sets import ImageSet, InMemoryImages, StreamedImages
from pellucid.data.pictures import (
    PictureError,
    pillow_warnings_settled,
    read_header,
    read_picture,
    resize_picture,
)
from pellucid.data.splits import TEST_SPLIT_SEED, Splits, hold_out

# Below this many bytes at image_size the pictures are decoded once and held; above, they stream.
MEMORY_LIMIT_BYTES = 2**30
_HEADERS_SAMPLED = 512
_SIDE_STEP_PX = 32
_LARGEST_DEFAULT_SIDE_PX = 128
_PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class FolderData:
    """A folder ready to train on, and what was wrong with it."""

    images: ImageSet
    splits: Splits
    report: FolderReport


def read_folder(
    root: str | Path,
    *,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    strict: bool = False,
    fewest_classes: int = 2,
    quiet: bool = False,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> FolderData:
    """Read a folder laid out as DIR/class/ or DIR/{train,val,test}/class/.

    Splits that the folder gives are kept; a missing validation or test split is cut from train.
    Copies of one file always land in the same split of those that are cut.

    Args:
        root: The folder.
        image_size: (height, width), px; by default a square by ``choose_image_size``.
        seed: Moves the validation images where they are cut.
        validation_fraction: Share of the images outside the test split.
        test_fraction: Share of the images (of train) that are cut for test.
        strict: Refuse a folder with any problem instead of leaving bad files out.
        fewest_classes: 2, or 1 where nothing is to be trained.
        quiet: No progress bar on stderr.
        memory_limit_bytes: Hold at most this much in memory, else stream.

    Raises:
        UsageError: ``root`` is not a folder.
        DataError: Fewer than ``fewest_classes`` are usable, or ``strict`` and something is wrong.
    """
    listing = list_folder(root)
    size = image_size or choose_image_size(listing.files)
    pixels: Tensor | None = None
    if len(listing.files) * 3 * size[0] * size[1] <= memory_limit_bytes:
        pixels = torch.empty((len(listing.files), 3, *size), dtype=torch.uint8)
        examined = _examine_into(pixels, listing, quiet=quiet)
    else:
        examined = examine_folder(listing, quiet=quiet)
    _refuse(examined.report, strict=strict, fewest_classes=fewest_classes)

    class_names = sorted(examined.report.images)
    number = {name: index for index, name in enumerate(class_names)}
    labels = torch.tensor([number[file.class_name] for file in examined.files])
    names = [file.name for file in examined.files]
    digest = _digest(examined)
    pictures = FolderPictures([file.path for file in examined.files])
    images: ImageSet
    if pixels is not None:
        if len(examined.rows) < len(pixels):
            pixels = pixels[torch.tensor(examined.rows)]
        images = InMemoryImages(
            pixels,
            labels=labels,
            class_names=class_names,
            names=names,
            digest=digest,
            read_picture=pictures,
        )
    else:
        images = StreamedImages(
            pictures,
            labels=labels,
            class_names=class_names,
            names=names,
            image_size=size,
            digest=digest,
        )
    splits = _split_files(
        examined,
        labels.numpy(),
        seed=seed,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
    )
    return FolderData(images, splits, examined.report)


class FolderPictures:
    """Gives picture ``i`` of a list of files, upright and RGB, decoded anew each time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __call__(self, index: int) -> Image.Image:
        """Return one picture at source resolution."""
        return read_picture(self._paths[index])


def choose_image_size(files: Sequence[PictureFile]) -> tuple[int, int]:
    """Choose a square by the pictures' headers.

    The side is the median shorter side of up to 512 pictures spread over the folder, rounded down
    to a multiple of 32 and clipped to [32, 128] px.
    """
    step = max(1, -(-len(files) // _HEADERS_SAMPLED))
    sides: list[int] = []
    with pillow_warnings_settled():
        for file in files[::step]:
            try:
                sides.append(min(read_header(file.path)))
            except PictureError:
                continue  # named by the examination that follows
    median = int(np.median(sides)) if sides else 0
    side = median // _SIDE_STEP_PX * _SIDE_STEP_PX
    side = min(max(side, _SIDE_STEP_PX), _LARGEST_DEFAULT_SIDE_PX)
    return side, side


def _examine_into(pixels: Tensor, listing: FolderListing, *, quiet: bool) -> FolderExamination:
    rows = pixels.numpy()
    size = (pixels.shape[2], pixels.shape[3])

    def keep(row: int, picture: Image.Image) -> None:
        rows[row] = np.asarray(resize_picture(picture, size)).transpose(2, 0, 1)

    return examine_folder(listing, sink=keep, quiet=quiet)


def _refuse(report: FolderReport, *, strict: bool, fewest_classes: int) -> None:
    problems: tuple[Problem, ...] = report.problems
    layout = next((problem for problem in problems if problem.kind == "layout"), None)
    if layout is not None and len(report.images) < fewest_classes:
        others = [problem for problem in problems if problem.rejects]
        listed = f" Files that cannot be used: {_name_some(others)}." if others else ""
        raise DataError(f"{report.path} cannot be used: {layout.detail}{listed}")
    if strict and problems:
        raise DataError(
            f"{report.path} has {len(problems)} problem{'s' * (len(problems) > 1)}: "
            f"{_name_some(problems)}. Repair or remove them, or leave out strict to go on without."
        )


def _name_some(problems: Sequence[Problem]) -> str:
    shown = "; ".join(str(problem) for problem in problems[:_PROBLEMS_SHOWN])
    more = len(problems) - _PROBLEMS_SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _digest(examined: FolderExamination) -> str:
    total = hashlib.sha256()
    for file, digest in zip(examined.files, examined.digests, strict=True):
        total.update(json.dumps([file.name, file.class_name, file.part, digest]).encode())
    return total.hexdigest()


def _split_files(
    examined: FolderExamination,
    labels: np.ndarray,
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
) -> Splits:
    parts = np.array([file.part for file in examined.files])
    groups = np.array(examined.groups)
    # Without splits in the layout, every file starts out in train.
    train = np.flatnonzero((parts == "train") | (parts == ""))
    validation = np.flatnonzero(parts == "validation")
    test = np.flatnonzero(parts == "test")
    if not len(test):
        kept, held = hold_out(
            labels[train], test_fraction, seed=TEST_SPLIT_SEED, groups=groups[train]
        )
        train, test = train[kept], train[held]
    if not len(validation):
        kept, held = hold_out(labels[train], validation_fraction, seed=seed, groups=groups[train])
        train, validation = train[kept], train[held]
    return Splits(*(torch.from_numpy(part) for part in (train, validation, test)))
