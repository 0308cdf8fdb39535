from __future__ import annotations

import pytest
import torch

from pellucid import UsageError
from pellucid.data import load_data
from pellucid.data.label_noise import limit_training, spoil_labels


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", image_size=8, quiet=True)


def test_spoil_labels_fraction_makes_exactly_so_many_training_labels_wrong(digits):
    spoiled = spoil_labels(digits, 0.2, seed=3)
    train = digits.splits.train
    changed = spoiled.images.labels != digits.images.labels
    assert int(changed.sum()) == round(0.2 * len(train))
    assert not changed[digits.splits.test].any()
    assert not changed[digits.splits.validation].any()
    assert set(spoiled.images.labels.tolist()) <= set(range(10))


def test_spoil_labels_leaves_the_original_as_it_was(digits):
    before = digits.images.labels.clone()
    spoil_labels(digits, 0.5, seed=3)
    assert torch.equal(digits.images.labels, before)


def test_spoil_labels_wrong_labels_are_spread_over_all_other_classes(digits):
    spoiled = spoil_labels(digits, 1.0, seed=0)
    train = digits.splits.train
    steps = (spoiled.images.labels[train] - digits.images.labels[train]) % 10
    assert sorted(steps.unique().tolist()) == list(range(1, 10))


def test_spoil_labels_seed_decides_which(digits):
    first, again, other = (spoil_labels(digits, 0.2, seed=seed).images.labels for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("count", [10, 400, 1293])
def test_limit_training_keeps_so_many_of_every_class(digits, count):
    limited = limit_training(digits, count, seed=0)
    assert len(limited.splits.train) == count
    assert set(limited.splits.train.tolist()) <= set(digits.splits.train.tolist())
    counts = torch.bincount(digits.images.labels[limited.splits.train], minlength=10)
    assert counts.min() >= 1
    assert torch.equal(limited.splits.test, digits.splits.test)


def test_limit_training_more_than_there_are_is_refused(digits):
    with pytest.raises(UsageError, match=r"train_images must be .* got 5000"):
        limit_training(digits, 5000)
