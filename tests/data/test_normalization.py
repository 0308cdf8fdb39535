from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid import UsageError
from pellucid.data import InMemoryImages, Normalization, measure_channels, normalize, to_unit


def random_images(count=20, spread=256):
    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, spread, (count, 3, 5, 7), dtype=torch.uint8, generator=source)
    return InMemoryImages(
        pixels,
        labels=torch.zeros(count, dtype=torch.int64),
        class_names=["only"],
        names=[""] * count,
        digest="",
    )


def test_measure_channels_agrees_with_numpy():
    images = random_images()
    chosen = torch.tensor([3, 1, 19])
    mean, deviation = measure_channels(images, chosen)
    values = images.pixels[chosen].numpy().astype(np.float64) / 255
    assert mean == pytest.approx(values.mean(axis=(0, 2, 3)), abs=1e-12)
    assert deviation == pytest.approx(values.std(axis=(0, 2, 3)), abs=1e-12)


def test_measure_channels_other_order_gives_equal_floats():
    images = random_images()
    forward = measure_channels(images, torch.arange(20))
    assert measure_channels(images, torch.arange(19, -1, -1)) == forward


def test_measure_channels_constant_images_have_the_smallest_deviation():
    _, deviation = measure_channels(random_images(spread=1), torch.arange(20))
    assert deviation == pytest.approx((1 / 255,) * 3)


def test_measure_channels_no_images_is_refused():
    with pytest.raises(UsageError, match="at least one image"):
        measure_channels(random_images(), torch.empty(0, dtype=torch.int64))


def test_normalize_measured_images_have_mean_0_and_deviation_1():
    images = random_images()
    result = normalize(images.pixels, *measure_channels(images, torch.arange(20)))
    assert result.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (result.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_normalization_of_unit_floats_equals_that_of_bytes():
    transform = Normalization((0.5, 0.4, 0.3), (0.5, 0.25, 0.2))
    pixels = random_images().pixels
    assert torch.equal(transform(pixels), transform(to_unit(pixels)))


def test_normalization_zero_deviation_is_refused():
    with pytest.raises(UsageError, match=r"deviation must be a number in \(0, inf\), got 0"):
        Normalization((0.5, 0.5, 0.5), (0.5, 0.0, 0.5))


def test_to_unit_integers_are_refused():
    with pytest.raises(UsageError, match="images must be uint8 or float"):
        to_unit(torch.zeros(1, 3, 2, 2, dtype=torch.int64))
