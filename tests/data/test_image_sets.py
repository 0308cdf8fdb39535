from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid import UsageError
from pellucid.data import InMemoryImages, StreamedImages

LABELS = torch.tensor([0, 1])


def describe(**changes):
    given = {
        "labels": LABELS,
        "class_names": ["a", "b"],
        "names": ["first", "second"],
        "digest": "",
    }
    return given | changes


def gradient(index):
    ramp = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    return Image.fromarray(ramp + np.uint8(index))


def test_in_memory_images_original_without_source_is_the_image():
    pixels = torch.randint(0, 256, (2, 3, 4, 6), dtype=torch.uint8)
    images = InMemoryImages(pixels, **describe())
    picture = images.original(1)
    assert picture.size == (6, 4)
    assert np.array_equal(np.asarray(picture), pixels[1].permute(1, 2, 0).numpy())
    assert len(images) == 2
    assert images.image_size == (4, 6)


def test_in_memory_images_float_pixels_are_refused():
    with pytest.raises(UsageError, match=r"pixels must be uint8 .* got torch.float32"):
        InMemoryImages(torch.zeros(2, 3, 4, 4), **describe())


def test_in_memory_images_label_without_class_is_refused():
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(UsageError, match=r"labels must be in \[0, 1\] for 2 classes, got 0 to 2"):
        InMemoryImages(pixels, **describe(labels=torch.tensor([0, 2])))


def test_in_memory_images_missing_name_is_refused():
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(UsageError, match=r"names must have one entry per image \(2\), got 1"):
        InMemoryImages(pixels, **describe(names=["first"]))


def test_streamed_images_read_resizes_height_then_width():
    images = StreamedImages(gradient, image_size=(4, 6), **describe())
    expected = np.asarray(gradient(1).resize((6, 4), Image.Resampling.BILINEAR))
    read = images.read(torch.tensor([1, 0]))
    assert read.shape == (2, 3, 4, 6)
    assert np.array_equal(read[0].permute(1, 2, 0).numpy(), expected)


def test_streamed_images_survive_a_copy_after_reading():
    images = StreamedImages(gradient, image_size=(4, 6), **describe())
    before = images.read(torch.tensor([0]))
    assert torch.equal(copy.deepcopy(images).read(torch.tensor([0])), before)
