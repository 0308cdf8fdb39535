from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import conv2d

from pellucid import UsageError
from pellucid.evaluation.replacements import REPLACEMENTS, blur, replacement_pixels


def some_images(count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 8, 11), generator=generator).to(torch.uint8)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("name", REPLACEMENTS)
@pytest.mark.parametrize("count", [1, 4])
def test_replacement_pixels_differ_and_keep_their_shape(name, count):
    images = some_images(count)
    found = replacement_pixels(name, images, generator=seeded())
    assert (found.shape, found.dtype) == (images.shape, torch.uint8)
    assert (found != images).flatten(1).any(1).all()


def test_replacement_pixels_noise_has_the_colors_of_its_own_image():
    images = some_images()
    noise = replacement_pixels("noise", images, generator=seeded())
    for image, drawn in zip(images, noise, strict=True):
        colors = {tuple(color) for color in image.flatten(1).T.tolist()}
        assert {tuple(color) for color in drawn.flatten(1).T.tolist()} <= colors


def test_replacement_pixels_another_image_is_never_the_same_one():
    images = some_images(5)
    other = replacement_pixels("another image", images, generator=seeded())
    pairs = [int((images == image).flatten(1).all(1).nonzero()) for image in other]
    assert sorted(pairs) == list(range(5))
    assert all(pair != row for row, pair in enumerate(pairs))


def test_replacement_pixels_unknown_name_is_refused():
    with pytest.raises(UsageError, match="name must be one of 'noise', 'blur', 'another image'"):
        replacement_pixels("black", some_images(), generator=seeded())


def test_blur_stays_on_the_device_of_the_images(monkeypatch):
    weights = []

    def seeing(images, weight, **options):
        weights.append(weight.device.type)
        return conv2d(images, weight, **options)

    monkeypatch.setattr("pellucid.evaluation.replacements.conv2d", seeing)
    found = blur(torch.empty(2, 3, 8, 11, dtype=torch.uint8, device="meta"), deviation_px=1.3)
    assert (found.device.type, found.shape) == ("meta", (2, 3, 8, 11))
    assert weights == ["meta", "meta"]


def test_blur_equals_plain_loops():
    images, deviation = some_images(1), 1.3
    half = round(3 * deviation)
    bell = [math.exp(-0.5 * (k / deviation) ** 2) for k in range(-half, half + 1)]
    found = blur(images, deviation_px=deviation)
    for row, column in ((0, 0), (3, 5), (7, 10)):
        total = weight = 0.0
        for i, down in enumerate(bell):
            for j, across in enumerate(bell):
                y = min(max(row + i - half, 0), 7)
                x = min(max(column + j - half, 0), 10)
                total += down * across * float(images[0, 1, y, x])
                weight += down * across
        assert float(found[0, 1, row, column]) == pytest.approx(total / weight, abs=0.51)


def test_blur_of_one_color_is_that_color():
    images = torch.full((2, 3, 8, 11), 77, dtype=torch.uint8)
    assert (blur(images, deviation_px=2) == 77).all()
