from __future__ import annotations

import pytest
import torch

from pellucid import UsageError
from pellucid.prototree import (
    Pruning,
    Topology,
    distributed,
    greedy_leaf,
    path_log_probabilities,
    prune,
)
from pellucid.prototree.leaves import leaf_log_distributions
from pellucid.prototree.pruning import uniform_threshold
from tests.prototree.tiny_trees import make_tree, random_images

LOOSE = 0.99
"""A tolerance under which reduced-error pruning takes all that it may."""


def near_and_far(*turns: str) -> torch.Tensor:
    """Return distances, a row an image: ``R`` is nearly surely right, ``L`` nearly surely left."""
    return torch.tensor(
        [[0.01 if turn == "R" else 6.0 for turn in row] for row in turns], dtype=torch.float64
    )


def tree_with_leaves(nested, *majority: int | None, classes: int = 4):
    """Return a tree whose leaf ``l`` is sure of class ``majority[l]``, or uniform where None."""
    tree = make_tree(Topology.from_nested(nested), classes=classes)
    tree.leaf_counts.zero_()
    for leaf, label in enumerate(majority):
        if label is not None:
            tree.leaf_counts[leaf, label] = 20.0
    return tree


def soft(tree, distances):
    paths = path_log_probabilities(distances, tree.topology)
    return distributed(paths, tree.leaf_log_distributions())


def errors(tree, distances, labels):
    greedy = tree.leaf_log_distributions().argmax(1)[greedy_leaf(distances, tree.topology)]
    answers = soft(tree, distances).argmax(1)
    return int((answers != labels).sum()), int((greedy != labels).sum())


def trained_case(seed: int = 0):
    """Return a tree whose leaves hold the classes of the images they get, with some noise."""
    tree = make_tree(Topology.full(3), classes=3)
    generator = torch.Generator().manual_seed(seed)
    near = torch.rand(80, 7, generator=generator) < 0.5
    distances = torch.where(near, 0.05, 3.0).double()
    leaf = greedy_leaf(distances, tree.topology)
    labels = torch.tensor([0, 0, 1, 2, 1, 1, 0, 1])[leaf]  # siblings of one class can go
    labels[::9] = (labels[::9] + 1) % 3
    tree.leaf_counts.zero_()
    tree.leaf_counts.index_put_((leaf, labels), torch.ones(80).double(), accumulate=True)
    return tree, distances, labels


# ---------------------------------------------------------------- uniform leaves


@pytest.mark.parametrize(("classes", "threshold"), [(200, 0.01), (10, 0.2), (3, 2 / 3), (2, 0.75)])
def test_uniform_threshold_scales_with_the_classes(classes, threshold):
    assert uniform_threshold(classes) == pytest.approx(threshold)


@pytest.mark.parametrize("classes", [2, 3, 4, 10, 1000])
def test_uniform_threshold_lies_between_uniform_and_certain(classes):
    assert 1 / classes < uniform_threshold(classes) < 1


def test_prune_uniform_leaf_goes_with_its_branch():
    tree = tree_with_leaves(((0, 1), 2), 0, None, 2)
    prototype = tree.prototypes[0].detach().clone()
    report = prune(tree, near_and_far("RL", "LL"), torch.tensor([2, 0]))
    assert report.uniform_leaves == 1
    assert tree.topology == Topology.full(1)
    assert torch.equal(tree.prototypes[0], prototype)
    assert tree.leaf_counts.argmax(1).tolist() == [0, 2]


def test_prune_all_leaves_uniform_keeps_two():
    tree = tree_with_leaves((((0, 1), 2), (3, 4)), None, None, None, None, None)
    prune(tree, near_and_far("RRRR", "LLLL"), torch.tensor([0, 1]))
    assert tree.topology.leaves == 2


# ---------------------------------------------------------------- equal siblings


def test_prune_equal_siblings_merge():
    tree = tree_with_leaves(((0, 1), 2), 1, 1, 3)
    distances = near_and_far("RL", "LL", "LR")
    report = prune(tree, distances, torch.tensor([3, 1, 1]), tolerance=0.0)
    assert report.equal_leaves == 1
    assert tree.topology.leaves == 2


def test_prune_equal_siblings_leave_the_soft_output_within_1e_6():
    tree = tree_with_leaves((((0, 1), (2, 3)), (4, 5)), 0, 0, 0, 0, 1, 2)
    images = random_images(50, size=(2, 2))
    distances = tree.distances(tree.latent(images))[0].detach()
    before = soft(tree, distances).exp()
    labels = before.argmax(1)
    report = prune(tree, distances, labels, tolerance=0.0)
    assert (report.uniform_leaves, report.equal_leaves, report.superfluous_leaves) == (0, 3, 0)
    after = soft(tree, distances[:, list(report.branches)]).exp()
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_prune_equal_cousins_stay():
    # Leaves 0 and 2 are equal, but no siblings.
    tree = tree_with_leaves(((0, 1), (2, 3)), 0, 1, 0, 2)
    distances = near_and_far("LLL", "LRL", "RLL", "RLR")
    report = prune(tree, distances, torch.tensor([0, 1, 0, 2]), tolerance=0.0)
    assert report.equal_leaves == 0
    assert tree.topology.leaves == 4


def test_prune_two_equal_leaves_stay():
    tree = tree_with_leaves((0, 1), 1, 1)
    report = prune(tree, near_and_far("R", "L"), torch.tensor([1, 1]), tolerance=LOOSE)
    assert (report.equal_leaves, tree.topology.leaves) == (0, 2)


def test_prune_chain_of_nearly_equal_leaves_leaves_the_soft_output_within_1e_6():
    nested = 0
    for leaf in range(1, 21):
        nested = (nested, leaf)
    tree = make_tree(Topology.from_nested((nested, 21)), classes=2)
    tree.leaf_counts[21] = torch.tensor([0.0, 30.0])
    # Twenty steps in probability, which together would exceed 1e-6 if each were allowed as much.
    chance = 0.9 + 0.8e-6 / 21 * torch.arange(21, dtype=torch.float64)
    tree.leaf_counts[:21, 0] = torch.log(chance / (1 - chance))
    tree.leaf_counts[:21, 1] = 0.0
    distances = torch.full((2, 21), 6.0, dtype=torch.float64)
    distances[1, :] = 0.01
    before = soft(tree, distances).exp()
    report = prune(tree, distances, before.argmax(1), tolerance=0.0)
    after = soft(tree, distances[:, list(report.branches)]).exp()
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


# ---------------------------------------------------------------- reduced errors


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.2])
def test_prune_errs_on_no_more_images_than_tolerated(seed, tolerance):
    tree, distances, labels = trained_case(seed)
    soft_before, greedy_before = errors(tree, distances, labels)
    report = prune(tree, distances, labels, tolerance=tolerance)
    soft_after, greedy_after = errors(tree, distances[:, list(report.branches)], labels)
    assert report.uniform_leaves == 0
    assert report.superfluous_leaves > 0
    assert soft_after <= soft_before + tolerance * len(labels)
    assert greedy_after <= greedy_before + tolerance * len(labels)


def test_prune_leaf_that_no_image_needs_goes():
    tree = tree_with_leaves(((0, 1), 2), 0, 1, 2)
    distances, labels = near_and_far("RL", "LL", "RL", "LL"), torch.tensor([2, 0, 2, 0])
    report = prune(tree, distances, labels, tolerance=0.0)
    assert report.superfluous_leaves == 1
    assert errors(tree, distances[:, list(report.branches)], labels) == (0, 0)


def test_prune_needed_leaves_stay_at_tolerance_0():
    tree = tree_with_leaves(((0, 1), 2), 0, 1, 2)
    distances, labels = near_and_far("RL", "LL", "LR"), torch.tensor([2, 0, 1])
    report = prune(tree, distances, labels, tolerance=0.0)
    assert (report.superfluous_leaves, tree.topology.leaves) == (0, 3)


def test_prune_loose_tolerance_keeps_two_leaves():
    tree, distances, labels = trained_case()
    prune(tree, distances, labels, tolerance=LOOSE)
    assert tree.topology.leaves == 2


def test_prune_uniform_leaf_that_answers_right_counts_as_an_error():
    # Leaf 1 is nearly uniform, yet right; without it its image reaches a leaf of another class.
    tree = tree_with_leaves(((0, 1), 2), 0, None, 2)
    tree.leaf_counts[1, 1] = 0.5
    distances, labels = near_and_far("RL", "LL", "LR"), torch.tensor([2, 0, 1])
    assert errors(tree, distances, labels) == (0, 0)
    report = prune(tree, distances, labels, tolerance=0.0)
    assert errors(tree, distances[:, list(report.branches)], labels) == (0, 0)


# ---------------------------------------------------------------- the tree that is left


@pytest.mark.parametrize("tolerance", [0.0, 0.1, LOOSE])
def test_prune_tree_equals_one_rebuilt_from_scratch(tolerance):
    tree, distances, labels = trained_case()
    prototypes = tree.prototypes.detach().clone()
    report = prune(tree, distances, labels, tolerance=tolerance)
    rebuilt = make_tree(tree.topology, classes=3)
    with torch.no_grad():
        rebuilt.prototypes.copy_(prototypes[list(report.branches)])
        rebuilt.leaf_counts.copy_(tree.leaf_counts)
    images = random_images(5)
    assert torch.equal(rebuilt(images), tree(images))
    assert tree.prototypes.shape[0] == tree.topology.branches == report.prototypes_after
    assert tree.leaf_counts.shape[0] == tree.topology.leaves


def test_prune_tree_can_be_trained_on():
    tree, distances, labels = trained_case()
    prune(tree, distances, labels, tolerance=0.1)
    tree(random_images(3))[:, 0].sum().backward()
    assert tree.prototypes.grad.abs().sum() > 0


def test_prune_leaf_counts_stay_in_the_state_dict():
    tree, distances, labels = trained_case()
    prune(tree, distances, labels, tolerance=0.1)
    assert tree.state_dict()["leaf_counts"].shape == (tree.topology.leaves, 3)


def test_prune_removes_as_many_leaves_as_it_says():
    tree, distances, labels = trained_case()
    report = prune(tree, distances, labels, tolerance=0.1)
    gone = report.uniform_leaves + report.equal_leaves + report.superfluous_leaves
    assert report.prototypes_before - report.prototypes_after == gone


def test_prune_leaves_never_hold_negative_counts():
    tree, distances, labels = trained_case()
    prune(tree, distances, labels, tolerance=0.1)
    assert tree.leaf_counts.min() >= 0
    assert leaf_log_distributions(tree.leaf_counts).isfinite().all()


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, float("nan"), "0"])
def test_prune_tolerance_out_of_range_is_refused(tolerance):
    tree, distances, labels = trained_case()
    with pytest.raises(UsageError, match=r"tolerance must be a number in \[0, 1\), got"):
        prune(tree, distances, labels, tolerance=tolerance)


def test_pruning_then_composes_branches_and_counts():
    first = Pruning(7, 4, 1, 1, 1, branches=(0, 2, 5, 6))
    both = first.then(Pruning(4, 2, 0, 1, 1, branches=(1, 3)))
    assert both == Pruning(7, 2, 1, 2, 2, branches=(2, 6))


def test_pruning_then_of_a_tree_pruned_twice_names_its_first_prototypes():
    tree, distances, labels = trained_case()
    prototypes = tree.prototypes.detach().clone()
    first = prune(tree, distances, labels, tolerance=0.0)
    kept = distances[:, list(first.branches)]
    both = first.then(prune(tree, kept, labels, tolerance=0.2))
    assert torch.equal(tree.prototypes, prototypes[list(both.branches)])
