"""scikit-learn's handwritten digits: 1,797 real images that come with a dependency."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from pellucid.data.image_sets import InMemoryImages
from pellucid.data.pictures import resize_picture
from pellucid.data.splits import TEST_SPLIT_SEED, Splits, hold_out

NATIVE_SIZE_PX = 8
PICTURE_SIZE_PX = 64
DEFAULT_IMAGE_SIZE = (32, 32)
_DARKEST = 16  # the source counts ink in 0..16


def read_digits(image_size: tuple[int, int]) -> InMemoryImages:
    """Load the digits at ``image_size`` (height, width).

    The picture of a digit is 64×64: its 8×8 counts, times 255/16 and rounded, enlarged bicubically.
    Other sizes are that picture resized bilinearly; (8, 8) gives the 8×8 pixels as they are.
    """
    counts, targets = load_digits(return_X_y=True)
    native = np.rint(np.asarray(counts) * (255 / _DARKEST)).astype(np.uint8)
    native = native.reshape(-1, NATIVE_SIZE_PX, NATIVE_SIZE_PX)
    labels = np.asarray(targets, dtype=np.int64)
    if image_size == (NATIVE_SIZE_PX, NATIVE_SIZE_PX):
        grey = native
    else:
        grey = np.stack(
            [np.asarray(resize_picture(_enlarge(pixels), image_size)) for pixels in native]
        )
    pixels = torch.from_numpy(grey)[:, None].repeat(1, 3, 1, 1)
    digest = hashlib.sha256(native.tobytes() + labels.astype("<i8").tobytes()).hexdigest()
    return InMemoryImages(
        pixels,
        labels=torch.from_numpy(labels),
        class_names=[str(digit) for digit in range(10)],
        names=[f"digits[{index}]" for index in range(len(labels))],
        digest=digest,
        read_picture=DigitPictures(native),
    )


class DigitPictures:
    """Gives digit ``i`` as a 64×64 RGB picture."""

    def __init__(self, native: NDArray[np.uint8]) -> None:
        self._native = native

    def __call__(self, index: int) -> Image.Image:
        """Return the picture of one digit."""
        return _enlarge(self._native[index]).convert("RGB")


def _enlarge(native: NDArray[np.uint8]) -> Image.Image:
    size = (PICTURE_SIZE_PX, PICTURE_SIZE_PX)
    return Image.fromarray(native).resize(size, Image.Resampling.BICUBIC)


def split_digits(
    labels: torch.Tensor, *, seed: int, validation_fraction: float, test_fraction: float
) -> Splits:
    """Split the digits; the test images are always those of the published figures.

    With ``test_fraction=0.2`` they are the 360 of ``train_test_split(np.arange(1797),
    test_size=0.2, random_state=0, stratify=y)``. The seed only moves the validation images, a
    share of the remaining 1,437.
    """
    classes = labels.numpy()
    everything = np.arange(len(classes))
    if test_fraction * len(classes) < 10 or (1 - test_fraction) * len(classes) < 10:
        rest, test = hold_out(classes, test_fraction, seed=TEST_SPLIT_SEED)
    else:
        rest, test = train_test_split(
            everything, test_size=test_fraction, random_state=TEST_SPLIT_SEED, stratify=classes
        )
        rest, test = np.sort(rest), np.sort(test)
    train, validation = hold_out(classes[rest], validation_fraction, seed=seed)
    return Splits(
        train=torch.from_numpy(rest[train]),
        validation=torch.from_numpy(rest[validation]),
        test=torch.from_numpy(test),
    )
