from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from pellucid.data import load_data


def published_test_indices():
    labels = load_digits().target
    _, test = train_test_split(np.arange(1797), test_size=0.2, random_state=0, stratify=labels)
    return sorted(test.tolist())


def test_load_data_digits_test_split_is_the_published_one_for_every_seed():
    for seed in (0, 1, 4):
        data = load_data("digits", seed=seed)
        assert data.splits.test.tolist() == published_test_indices()


def test_load_data_digits_seed_moves_validation():
    first, second = load_data("digits", seed=0), load_data("digits", seed=1)
    assert len(first.splits.validation) == 144
    assert not torch.equal(first.splits.validation, second.splits.validation)


def test_load_data_digits_without_validation_trains_on_1437():
    splits = load_data("digits", validation_fraction=0).splits
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1437, 0, 360)


def test_load_data_digits_default_size_follows_the_recipe():
    data = load_data("digits")
    grey = np.rint(load_digits().images[17] * 255 / 16).astype(np.uint8)
    picture = Image.fromarray(grey).resize((64, 64), Image.Resampling.BICUBIC).convert("RGB")
    small = picture.resize((32, 32), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.asarray(small).transpose(2, 0, 1).copy())
    assert torch.equal(data.images.read(torch.tensor([17]))[0], expected)
    assert np.array_equal(np.asarray(data.images.original(17)), np.asarray(picture))


def test_load_data_digits_native_size_is_not_resampled():
    images = load_data("digits", image_size=8).images
    expected = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    pixels = images.read(torch.arange(1797))
    assert pixels.shape == (1797, 3, 8, 8)
    assert np.array_equal(pixels[:, 0].numpy(), expected)
    assert torch.equal(pixels[:, 0], pixels[:, 2])


def test_load_data_digits_describes_its_images():
    images = load_data("digits", image_size=(16, 24)).images
    assert images.image_size == (16, 24)
    assert images.class_names == tuple("0123456789")
    assert images.names[17] == "digits[17]"
    assert images.digest == load_data("digits").images.digest


def test_load_data_digits_tiny_test_fraction_works():
    splits = load_data("digits", test_fraction=0.001).splits
    assert 0 < len(splits.test) <= 20
