"""``load_data``: a built-in name, a CIFAR-10 archive or a folder becomes images and splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pellucid._checks import UsageError, check_integer, check_number, did_you_mean
from pellucid.data.digits import DEFAULT_IMAGE_SIZE, read_digits, split_digits
from pellucid.data.image_sets import ImageSet
from pellucid.data.splits import Splits

BUILT_IN_NAMES = ("digits", "cifar10")
SMALLEST_IMAGE_PX = 4
LARGEST_IMAGE_PX = 1024


@dataclass(frozen=True)
class LabelledData:
    """Images, their labels and which of them train, select and judge.

    Attributes:
        name: The built-in name, or the folder's.
        images: Every usable image.
        splits: Indices into ``images``.
    """

    name: str
    images: ImageSet
    splits: Splits


def load_data(
    data: str | Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    strict: bool = False,
    cache: Path | None = None,
    quiet: bool = False,
) -> LabelledData:
    """Load labelled images and split them."""
    size = check_image_size(image_size)
    seed = check_integer("seed", seed, low=0, high=2**32 - 1)
    check_number("validation_fraction", validation_fraction, low=0, high=1, open_high=True)
    check_number("test_fraction", test_fraction, low=0, high=1, open_high=True)
    if data == "digits":
        images = read_digits(size or DEFAULT_IMAGE_SIZE)
        splits = split_digits(
            images.labels,
            seed=seed,
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
        )
        return LabelledData("digits", images, splits)
    raise UsageError(f"data {data!r} is not known. {did_you_mean(data, BUILT_IN_NAMES)}")


def check_image_size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return (height, width) from one side, two sides, or None for the data's default."""
    if image_size is None:
        return None
    sides = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(sides) != 2:
        raise UsageError(
            f"image_size must be one integer or (height, width), got {image_size!r}. "
            "Use image_size=64 or image_size=(64, 96)."
        )
    height, width = (
        check_integer(
            "image_size",
            side,
            low=SMALLEST_IMAGE_PX,
            high=LARGEST_IMAGE_PX,
            remedy="Use image_size=64 or image_size=(64, 96).",
        )
        for side in sides
    )
    return height, width
