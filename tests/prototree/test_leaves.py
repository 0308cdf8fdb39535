from __future__ import annotations

import math

import pytest
import torch

from pellucid.prototree.leaves import (
    LEAF_FLOOR,
    fit_leaves,
    leaf_log_distributions,
    leaf_responsibilities,
    update_counts,
)
from tests.reference import leaf_updates


def random_paths(images: int, leaves: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(
        2 * torch.randn(images, leaves, generator=generator, dtype=torch.float64), 1
    )


def random_counts(leaves: int, classes: int, *, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.rand(leaves, classes, generator=generator, dtype=torch.float64)


def random_labels(images: int, classes: int, *, seed: int = 2) -> torch.Tensor:
    return torch.randint(classes, (images,), generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- leaf_log_distributions


@pytest.mark.parametrize("floor", [0.0, 1e-3, 0.5])
def test_leaf_log_distributions_equal_the_loop(floor):
    counts = random_counts(5, 4)
    truth = leaf_updates.leaf_distributions(counts.numpy(), floor)
    torch.testing.assert_close(
        leaf_log_distributions(counts, floor=floor).exp(), torch.from_numpy(truth)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leaf_log_distributions_saturated_respect_the_floor(dtype):
    counts = torch.tensor([[1e6, 0, 0, 0], [0, 1e30, 0, 1e30]], dtype=dtype)
    logs = leaf_log_distributions(counts)
    assert logs.min().item() == pytest.approx(math.log(LEAF_FLOOR / 4), rel=1e-6)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(2, dtype=dtype))


def test_leaf_log_distributions_no_counts_are_uniform():
    torch.testing.assert_close(
        leaf_log_distributions(torch.zeros(2, 5)).exp(), torch.full((2, 5), 0.2)
    )


# ---------------------------------------------------------------- leaf_responsibilities


def test_leaf_responsibilities_equal_the_loop():
    paths, labels = random_paths(11, 6), random_labels(11, 4)
    leaves = leaf_log_distributions(random_counts(6, 4))
    truth = leaf_updates.responsibilities(
        paths.exp().numpy(), leaves.exp().numpy(), labels.tolist()
    )
    torch.testing.assert_close(
        leaf_responsibilities(paths, leaves, labels), torch.from_numpy(truth)
    )


def test_leaf_responsibilities_add_up_to_the_number_of_images():
    leaves = leaf_log_distributions(random_counts(6, 4))
    total = leaf_responsibilities(random_paths(37, 6), leaves, random_labels(37, 4))
    assert total.sum().item() == pytest.approx(37)


def test_leaf_responsibilities_of_each_class_add_up_to_its_images():
    labels = random_labels(37, 4)
    leaves = leaf_log_distributions(random_counts(6, 4))
    total = leaf_responsibilities(random_paths(37, 6), leaves, labels)
    torch.testing.assert_close(total.sum(0), torch.bincount(labels, minlength=4).double())


@pytest.mark.parametrize("size", [1, 5, 36])
def test_leaf_responsibilities_over_batches_add_up_to_the_whole(size):
    paths, labels = random_paths(37, 6), random_labels(37, 4)
    leaves = leaf_log_distributions(random_counts(6, 4))
    parts = [
        leaf_responsibilities(path, leaves, label)
        for path, label in zip(paths.split(size), labels.split(size), strict=True)
    ]
    torch.testing.assert_close(sum(parts), leaf_responsibilities(paths, leaves, labels))


def test_leaf_responsibilities_of_nearly_impossible_answers_stay_finite():
    paths = torch.tensor([[-1e-30, -900.0]])
    leaves = leaf_log_distributions(torch.tensor([[1e6, 0.0], [1e6, 0.0]]))
    total = leaf_responsibilities(paths, leaves, torch.tensor([1]))
    torch.testing.assert_close(total, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))


# ---------------------------------------------------------------- update_counts


@pytest.mark.parametrize("batches", [1, 2, 5])
def test_update_counts_over_an_epoch_equals_the_loop(batches):
    start = random_counts(6, 4)
    paths, labels = random_paths(40, 6), random_labels(40, 4)
    parts = list(zip(paths.chunk(batches), labels.chunk(batches), strict=True))
    counts = start.clone()
    for path, label in parts:
        leaves = leaf_log_distributions(counts)
        update = leaf_responsibilities(path, leaves, label)
        counts = update_counts(counts, start, update, batches=batches)
    truth = leaf_updates.run_epoch(
        start.numpy(), [(p.exp().numpy(), y.tolist()) for p, y in parts], LEAF_FLOOR
    )
    torch.testing.assert_close(counts, torch.from_numpy(truth))


def test_update_counts_never_negative():
    counts, start = torch.tensor([[0.1, 5.0]]), torch.tensor([[9.0, 1.0]])
    assert update_counts(counts, start, torch.zeros(1, 2), batches=3).min() >= 0


def test_update_counts_leaves_its_arguments_as_they_are():
    counts = torch.tensor([[0.1, 5.0]])
    update_counts(counts, torch.tensor([[9.0, 1.0]]), torch.ones(1, 2), batches=3)
    assert counts.tolist() == torch.tensor([[0.1, 5.0]]).tolist()


def test_update_counts_after_an_epoch_forget_what_came_before():
    start = random_counts(3, 2)
    counts = start.clone()
    for _ in range(4):
        counts = update_counts(counts, start, torch.ones(3, 2, dtype=torch.float64), batches=4)
    torch.testing.assert_close(counts, torch.full((3, 2), 4.0, dtype=torch.float64))


# ---------------------------------------------------------------- fit_leaves


def test_fit_leaves_one_round_equals_the_loop_over_one_batch():
    paths, labels, counts = random_paths(20, 5), random_labels(20, 3), random_counts(5, 3)
    truth = leaf_updates.run_epoch(
        counts.numpy(), [(paths.exp().numpy(), labels.tolist())], LEAF_FLOOR
    )
    torch.testing.assert_close(fit_leaves(counts, paths, labels, rounds=1), torch.from_numpy(truth))


def test_fit_leaves_counts_add_up_to_the_number_of_images():
    fitted = fit_leaves(random_counts(5, 3), random_paths(20, 5), random_labels(20, 3))
    assert fitted.sum().item() == pytest.approx(20)
    assert fitted.min() >= 0


def test_fit_leaves_clean_paths_find_each_leaf_its_class():
    labels = random_labels(60, 4)
    paths = torch.log_softmax(20.0 * torch.nn.functional.one_hot(labels, 4).double(), 1)
    fitted = fit_leaves(torch.zeros(4, 4, dtype=torch.float64), paths, labels)
    assert leaf_log_distributions(fitted).argmax(1).tolist() == [0, 1, 2, 3]


def test_update_counts_into_the_counts_themselves_gives_the_same():
    generator = torch.Generator().manual_seed(0)
    counts, start, new = (torch.rand(4, 3, generator=generator) for _ in range(3))
    expected = update_counts(counts, start, new, batches=5)
    assert update_counts(counts, start, new, batches=5, out=counts) is counts
    assert torch.equal(counts, expected)
