from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import DataError, UsageError
from pellucid.data.splits import Splits, hold_out, split_images
from tests.reference.data_splits import hold_out_by_loops, random_labels


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_hold_out_unequal_classes_agrees_with_loops(fraction, seed):
    labels = random_labels(seed, 300, 40)
    kept, held = hold_out(labels, fraction, seed=seed)
    expected_kept, expected_held = hold_out_by_loops(labels, fraction, seed)
    assert kept.tolist() == expected_kept
    assert held.tolist() == expected_held


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    fraction=st.floats(0, 0.95),
    seed=st.integers(0, 1000),
)
def test_hold_out_any_classes_keeps_one_of_each_and_all_once(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(seed).permutation(labels)
    kept, held = hold_out(labels, fraction, seed=seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert set(labels[kept]) == set(labels)
    if fraction > 0:
        several = {label for label, count in enumerate(counts) if count >= 2}
        assert set(labels[held]) == several


def test_hold_out_class_of_one_image_keeps_it():
    kept, held = hold_out([0] * 10 + [1], 0.2, seed=0)
    assert 10 in kept
    assert len(held) == 2


def test_split_images_class_of_two_goes_to_train_and_test():
    labels = [0] * 20 + [1] * 2
    splits = split_images(labels)
    assert sum(labels[index] for index in splits.train.tolist()) == 1
    assert sum(labels[index] for index in splits.validation.tolist()) == 0
    assert sum(labels[index] for index in splits.test.tolist()) == 1


def test_split_images_class_of_three_goes_to_each_part():
    labels = [0] * 20 + [1] * 3
    splits = split_images(labels)
    for part in (splits.train, splits.validation, splits.test):
        assert sum(labels[index] for index in part.tolist()) == 1


def test_split_images_other_seed_moves_validation_only():
    labels = random_labels(0, 500, 5)
    first, second = split_images(labels, seed=0), split_images(labels, seed=1)
    assert torch.equal(first.test, second.test)
    assert not torch.equal(first.validation, second.validation)


def test_split_images_same_seed_repeats():
    labels = random_labels(0, 500, 5)
    assert split_images(labels, seed=3).to_json() == split_images(labels, seed=3).to_json()


def test_hold_out_copies_stay_together():
    labels = np.repeat(np.arange(4), 25)
    groups = np.arange(100)
    groups[[10, 20, 60, 90]] = 3  # copies, also across classes
    for seed in range(10):
        _, held = hold_out(labels, 0.3, seed=seed, groups=groups)
        together = np.isin([3, 10, 20, 60, 90], held)
        assert together.all() or not together.any()


def test_hold_out_groups_of_one_change_nothing():
    labels = random_labels(1, 200, 6)
    plain = hold_out(labels, 0.2, seed=0)[1]
    grouped = hold_out(labels, 0.2, seed=0, groups=np.arange(200))[1]
    assert plain.tolist() == grouped.tolist()


def test_hold_out_many_images_and_classes_is_stratified():
    labels = np.random.default_rng(0).integers(0, 1000, 200_000)
    _, held = hold_out(labels, 0.1, seed=0)
    share = np.bincount(labels[held], minlength=1000) / np.bincount(labels)
    assert len(held) == 20_000
    assert np.abs(share - 0.1).max() < 0.01


def test_hold_out_fraction_of_one_is_refused():
    with pytest.raises(UsageError, match=r"fraction must be a number in \[0, 1\), got 1"):
        hold_out([0, 1], 1, seed=0)


def test_hold_out_groups_of_other_length_are_refused():
    with pytest.raises(UsageError, match=r"groups must have shape \(2,\), got \(3,\)"):
        hold_out([0, 1], 0.5, seed=0, groups=[0, 1, 2])


def test_hold_out_no_images_gives_none():
    kept, held = hold_out([], 0.5, seed=0)
    assert kept.tolist() == held.tolist() == []


def test_splits_json_round_trip():
    splits = split_images(random_labels(0, 50, 3))
    again = Splits.from_json(json.loads(json.dumps(splits.to_json())))
    assert again.to_json() == splits.to_json()


def test_splits_shared_image_is_refused():
    with pytest.raises(DataError, match=r"disjoint, but images \[1\]"):
        Splits(torch.tensor([0, 1]), torch.tensor([1]), torch.tensor([2]))


def test_splits_negative_index_is_refused():
    with pytest.raises(DataError, match="test must hold indices >= 0, got -1"):
        Splits(torch.tensor([0]), torch.tensor([1]), torch.tensor([-1]))


def test_splits_float_indices_are_refused():
    with pytest.raises(
        UsageError, match=r"train must be a one-dimensional int64 tensor, got torch.float32"
    ):
        Splits(torch.zeros(2), torch.tensor([1]), torch.tensor([2]))


@pytest.mark.parametrize("stored", [{}, {"train": [0], "validation": [], "test": ["1"]}, []])
def test_splits_from_json_malformed_is_refused(stored):
    with pytest.raises(DataError, match="list of integers called"):
        Splits.from_json(stored)
