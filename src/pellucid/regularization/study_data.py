"""The images of a study: which, how many, and how many of their labels are wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid._checks import DataError, check_integer, check_number
from pellucid.data.choices import BUILT_IN_NAMES, check_image_size, existing_path

if TYPE_CHECKING:  # settings are checked without loading torch
    from pellucid.data import LabelledData
    from pellucid.regularization.result import DataFacts


@dataclass(frozen=True)
class StudyData:
    """Which images a study is made on; the same for every arm and every seed.

    Attributes:
        data: A built-in name, or the path of a folder or archive.
        train_images: Training images to keep, or None for all.
        wrong_labels: Share of the training labels that are made wrong, in [0, 1).
        image_size: (height, width) in pixels, or None for the data's default.
        validation_fraction: Share of the images outside the test split, in (0, 1).
        test_fraction: Share of all images, in (0, 1), where the data has no test split.
        halve_test: Take the validation images from the test split, half of it, as the reference
            experiment did; ``validation_fraction`` is then not used.
        seed: Of the splits and of the wrong labels.
        sha256: Checksum of an archive in CIFAR-10's format that is not CIFAR-10 itself.
    """

    data: str = "digits"
    train_images: int | None = None
    wrong_labels: float = 0.0
    image_size: tuple[int, int] | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    halve_test: bool = False
    seed: int = 0
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.train_images is not None:
            check_integer("train_images", self.train_images, low=1)
        check_number("wrong_labels", self.wrong_labels, low=0, high=1, open_high=True)
        check_image_size(self.image_size)
        check_number("validation_fraction", self.validation_fraction, low=0, high=1, open_high=True)
        check_number("test_fraction", self.test_fraction, low=0, high=1, open_high=True)
        check_integer("seed", self.seed, low=0, high=2**32 - 1)

    @classmethod
    def of(
        cls,
        data: str | Path,
        *,
        train_images: int | None = None,
        wrong_labels: float | None = None,
        image_size: int | tuple[int, int] | None = None,
        validation_fraction: float | None = None,
        test_fraction: float = 0.2,
        seed: int = 0,
        sha256: str | None = None,
    ) -> StudyData:
        """Fill in what was not said: of the digits 400 training images with 20 % wrong labels.

        Other data is taken whole and as it is labelled.

        Raises:
            UsageError: a value is out of range, or there is no such data.
        """
        if data not in BUILT_IN_NAMES:
            existing_path(data)
        is_default = data == "digits"
        plain = train_images is None and wrong_labels is None
        return cls(
            data=str(data) if data in BUILT_IN_NAMES else str(Path(data).expanduser().absolute()),
            train_images=400 if is_default and plain else train_images,
            wrong_labels=0.2 if is_default and plain else wrong_labels or 0.0,
            image_size=check_image_size(image_size),
            validation_fraction=(
                (0.25 if is_default else 0.1)
                if validation_fraction is None
                else validation_fraction
            ),
            test_fraction=test_fraction,
            seed=seed,
            sha256=sha256,
        )

    def load(self, *, quiet: bool = True, digest: str | None = None) -> LabelledData:
        """Load them.

        Args:
            quiet: No progress bar.
            digest: What the images must be: a second call in the same process then gives the same
                object. None reads them anew.

        Raises:
            UsageError: there is no such data, or fewer training images than asked for.
            DataError: it cannot be used, there are no test images, or the images are others.
        """
        if digest is None:
            _load.cache_clear()
        data = _load(self, quiet)
        if digest is not None and data.images.digest != digest:
            _load.cache_clear()  # read for an earlier study; the files have changed since
            data = _load(self, quiet)
            if data.images.digest != digest:
                raise DataError(
                    f"the images of {self.data!r} are not those of the study: their digest is "
                    f"{data.images.digest[:12]}..., not {digest[:12]}.... Were they changed "
                    "while it ran, or does a worker on another machine see other files?"
                )
        return data

    def describe(self, data: LabelledData) -> DataFacts:
        """Return what the report says of ``data``, which `load` gave."""
        from pellucid.regularization.result import DataFacts

        splits = data.splits
        notes = []
        if self.wrong_labels:
            count = round(self.wrong_labels * len(splits.train))
            notes.append(
                f"{count} of the {len(splits.train)} training labels were made wrong on purpose, "
                "so that over-fitting shows within a minute; validation and test labels are right."
            )
        if self.train_images is not None:
            notes.append(
                f"Only {len(splits.train)} training images are used, by choice; the others not at "
                "all."
            )
        if self.halve_test:
            notes.append("The validation images are half of the test split.")
        return DataFacts(
            name=data.name,
            train=len(splits.train),
            validation=len(splits.validation),
            test=len(splits.test),
            classes=len(data.images.class_names),
            image_size=data.images.image_size,
            wrong_labels=self.wrong_labels,
            note=" ".join(notes),
        )


@lru_cache(maxsize=1)
def _load(settings: StudyData, quiet: bool) -> LabelledData:
    from pellucid.data import load_data
    from pellucid.data.label_noise import limit_training, spoil_labels

    data = load_data(
        settings.data,
        image_size=settings.image_size,
        seed=settings.seed,
        validation_fraction=0.0 if settings.halve_test else settings.validation_fraction,
        test_fraction=settings.test_fraction,
        sha256=settings.sha256,
        quiet=quiet,
    )
    if settings.halve_test:
        data = halve_test(data, seed=settings.seed)
    if settings.train_images is not None:
        data = limit_training(data, settings.train_images, seed=settings.seed)
    data = spoil_labels(data, settings.wrong_labels, seed=settings.seed)
    if len(data.splits.test) == 0:
        raise DataError(
            f"{settings.data!r} has no test images to judge the arms by: there are too few images, "
            "or test_fraction is 0. Add images, or a folder called test, or use a larger fraction."
        )
    return data


def halve_test(data: LabelledData, *, seed: int) -> LabelledData:
    """Make a random half of the test split the validation split: the reference experiment's way.

    Not a good way: what is selected on one half is then judged on its sister half. The original did
    so without a seed.
    """
    import torch

    from pellucid.data import Splits
    from pellucid.runs import generator

    test = data.splits.test
    order = test[torch.randperm(len(test), generator=generator(seed, "halve test"))]
    middle = len(order) // 2
    splits = Splits(data.splits.train, order[:middle].sort()[0], order[middle:].sort()[0])
    return replace(data, splits=splits)
