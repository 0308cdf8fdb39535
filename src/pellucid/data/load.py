"""``load_data``: a built-in name, a CIFAR-10 archive or a folder becomes images and splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pellucid._checks import check_integer, check_number
from pellucid.data import cifar10, creatures, digits
from pellucid.data.choices import check_image_size, existing_path
from pellucid.data.creatures import Creatures, CreatureSettings, Difficulty
from pellucid.data.folder_images import read_folder
from pellucid.data.folders import Problem
from pellucid.data.image_sets import ImageSet
from pellucid.data.splits import Splits

# How hard the creatures of each name are; the names are listed in `choices`.
CREATURES = {
    "creatures": Difficulty(),
    "creatures-hard": Difficulty(pose=1.0, occlusion=0.7, clutter=1.0),
    "creatures-shortcut": Difficulty(shortcut=1.0),
}
RejectedFile = Problem


@dataclass(frozen=True)
class LabelledData:
    """Images, their labels and which of them train, select and judge.

    Attributes:
        name: The built-in name, or the folder's.
        images: Every usable image.
        splits: Indices into ``images``.
        rejected: Files that were left out, and why.
        warnings: What else is wrong: copies, conflicting labels, leaks, empty classes.
    """

    name: str
    images: ImageSet
    splits: Splits
    rejected: tuple[RejectedFile, ...] = ()
    warnings: tuple[Problem, ...] = ()


def load_data(
    data: str | Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    strict: bool = False,
    fewest_classes: int = 2,
    sha256: str | None = None,
    cache: Path | None = None,
    quiet: bool = False,
) -> LabelledData:
    """Load labelled images and split them.

    Test images never depend on ``seed``. Splits that the data gives (CIFAR-10's test images, the
    folders train, val and test) are kept; the others are cut, stratified. Of creatures there are
    100 training and 50 test images of each class, always the same, and further ones for validation.

    Args:
        data: ``digits``, ``cifar10``, ``creatures``, ``creatures-hard``, ``creatures-shortcut``
            (the background gives the class away, but not in test images), the path of
            cifar-10-binary.tar.gz, or a folder laid out as DIR/class/ or
            DIR/{train,val,test}/class/. A folder called like a built-in name is meant by
            ``./digits`` or a ``Path``.
        image_size: Side or (height, width) in px that every picture is resized to; nothing is
            cropped. By default 32 for digits (8 gives their own pixels) and CIFAR-10, 64 for
            creatures, and for folders a square between 32 and 128 that suits most pictures.
        seed: Moves the validation images where they are cut.
        validation_fraction: Share of the images outside the test split, in [0, 1).
        test_fraction: Share of all images, in [0, 1).
        strict: Refuse a folder in which anything is wrong; by default bad files are left out and
            listed in ``rejected``.
        fewest_classes: Refuse a folder with fewer; 1 for pictures that only judge a model.
        sha256: Checksum of an archive that is not CIFAR-10 itself but in its format.
        cache: Where CIFAR-10 is kept; by default $PELLUCID_CACHE or the user's cache folder.
        quiet: No progress bars on stderr.

    Raises:
        UsageError: ``data`` is no known name or path, or an argument is out of range.
        DataError: The data cannot be had or used.
    """
    size = check_image_size(image_size)
    seed = check_integer("seed", seed, low=0, high=2**32 - 1)
    check_number("validation_fraction", validation_fraction, low=0, high=1, open_high=True)
    check_number("test_fraction", test_fraction, low=0, high=1, open_high=True)
    if data == "digits":
        images = digits.read_digits(size or digits.DEFAULT_IMAGE_SIZE)
        splits = digits.split_digits(
            images.labels,
            seed=seed,
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
        )
        return LabelledData("digits", images, splits)
    if isinstance(data, str) and data in CREATURES:
        train = CreatureSettings.train_per_class
        settings = CreatureSettings(
            validation_per_class=round(train * validation_fraction / (1 - validation_fraction)),
            difficulty=CREATURES[data],
        )
        return replace(load_creatures(settings, image_size=size), name=data)
    path = None if data == "cifar10" else existing_path(data)
    if path is None or path.is_file():
        images, train_count = cifar10.read_cifar10(
            size or cifar10.DEFAULT_IMAGE_SIZE,
            archive_path=path,
            sha256=sha256,
            cache=cache,
            quiet=quiet,
        )
        splits = cifar10.split_cifar10(
            images.labels, train_count, seed=seed, validation_fraction=validation_fraction
        )
        return LabelledData("cifar10", images, splits)
    folder = read_folder(
        path,
        image_size=size,
        seed=seed,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        strict=strict,
        fewest_classes=fewest_classes,
        quiet=quiet,
    )
    return LabelledData(
        name=path.resolve().name or "folder",
        images=folder.images,
        splits=folder.splits,
        rejected=folder.report.rejected,
        warnings=folder.report.warnings,
    )


def load_creatures(
    settings: CreatureSettings | None = None,
    *,
    image_size: int | tuple[int, int] | None = None,
) -> LabelledData:
    """Make a set of creatures; ``images`` of the answer is a ``Creatures``.

    Args:
        settings: Classes, numbers of images, difficulty and seed; None for those of
            ``load_data("creatures")``.
        image_size: Side or (height, width) in px; 64 by default.

    Raises:
        UsageError: ``image_size`` is out of range.
    """
    images = Creatures(
        settings or CreatureSettings(),
        image_size=check_image_size(image_size) or creatures.DEFAULT_IMAGE_SIZE,
    )
    return LabelledData("creatures", images, images.splits)
