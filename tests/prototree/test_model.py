from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from pellucid import UsageError
from pellucid.prototree import ProtoTree, Topology
from tests.prototree.tiny_trees import PassThrough, make_tree, random_images
from tests.reference import leaf_updates, recursive_tree

SEED_EXAMPLE = ((0, 1), 2)


def twin_leaves(tree: ProtoTree) -> np.ndarray:
    return leaf_updates.leaf_distributions(tree.leaf_counts.numpy(), 1e-3)


# ---------------------------------------------------------------- the seed example


def seed_tree() -> ProtoTree:
    """Return the tree of the formula; its leaves 0, 1, 2 are c1, c2, c3."""
    return make_tree(Topology.from_nested(SEED_EXAMPLE), classes=3, dim=4, seed=5)


def seed_terms(tree: ProtoTree, latent: torch.Tensor):
    """Return (z, P1, P2, c1, c2, c3) of the closed form, for a latent map of one cell."""
    z = latent[0, :, 0, 0]
    p1, p2 = tree.prototypes.detach().flatten(1)
    c1, c2, c3 = tree.leaf_log_distributions().exp()
    return z, p1, p2, c1, c2, c3


@pytest.fixture
def seed_latent() -> torch.Tensor:
    return torch.rand(1, 4, 1, 1, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def test_forward_seed_example_is_the_formula(seed_latent):
    tree = seed_tree()
    z, p1, p2, c1, c2, c3 = seed_terms(tree, seed_latent)
    sim1, sim2 = torch.exp(-(z - p1).norm()), torch.exp(-(z - p2).norm())
    expected = sim1 * c3 + (1 - sim1) * (sim2 * c2 + (1 - sim2) * c1)
    answer = tree.answer_latent(seed_latent).log_probabilities.exp()[0]
    torch.testing.assert_close(answer, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_gradient_by_first_prototype_is_the_closed_form(seed_latent, label):
    tree = seed_tree()
    z, p1, p2, c1, c2, c3 = seed_terms(tree, seed_latent)
    h, sim2 = (z - p1).norm(), torch.exp(-(z - p2).norm())
    answer = tree.answer_latent(seed_latent).log_probabilities
    nn.functional.nll_loss(answer, torch.tensor([label])).backward()
    below = sim2 * c2[label] + (1 - sim2) * c1[label]
    expected = (
        -(1 / answer[0, label].exp()) * torch.exp(-h) * (-c3[label] + below) * (p1 - z) / h
    ).detach()
    torch.testing.assert_close(tree.prototypes.grad[0].flatten(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_gradient_by_second_prototype_is_the_closed_form(seed_latent, label):
    # f = sim1 c3 + (1 - sim1)(sim2 c2 + (1 - sim2) c1) and d sim2 / d P2 = -sim2 (P2 - z) / g,
    # so d loss / d P2 = -(1 / yhat) (1 - sim1) (c2 - c1) * -sim2 (P2 - z) / g.
    tree = seed_tree()
    z, p1, p2, c1, c2, _ = seed_terms(tree, seed_latent)
    g, sim1 = (z - p2).norm(), torch.exp(-(z - p1).norm())
    answer = tree.answer_latent(seed_latent).log_probabilities
    nn.functional.nll_loss(answer, torch.tensor([label])).backward()
    expected = (
        (1 / answer[0, label].exp())
        * (1 - sim1)
        * (c2[label] - c1[label])
        * torch.exp(-g)
        * (p2 - z)
        / g
    ).detach()
    torch.testing.assert_close(tree.prototypes.grad[1].flatten(), expected, rtol=1e-10, atol=1e-12)


def test_gradient_of_whole_tree_passes_gradcheck_through_images():
    tree = make_tree(Topology.full(2), prototype_size=(2, 1))
    images = random_images(2, size=(3, 2)).requires_grad_()
    assert torch.autograd.gradcheck(tree, (images,), eps=1e-7, atol=1e-5)


# ---------------------------------------------------------------- against the recursive twin


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 3), (2, 2), (3, 5)])
def test_distances_equal_loops_over_patches(size):
    tree = make_tree(Topology.full(2), prototype_size=size)
    latent = torch.sigmoid(random_images(3, size=(3, 5)))
    distances, positions = tree.distances(latent)
    for image in range(3):
        for branch, prototype in enumerate(tree.prototypes.detach().numpy()):
            distance, *place = recursive_tree.nearest_patch(latent[image].numpy(), prototype)
            assert distances[image, branch].item() == pytest.approx(distance, abs=1e-9)
            assert positions[image, branch].tolist() == place


def test_answer_chain_of_40_equals_recursive_tree():
    nested = 0
    for leaf in range(1, 41):
        nested = (leaf, nested) if leaf % 3 else (nested, leaf)
    tree = make_tree(Topology.from_nested(nested), seed=9)
    answers = tree.answer(random_images(3))
    root = recursive_tree.grow(nested)
    for image in range(3):
        truth = recursive_tree.traverse(root, answers.distances[image].tolist(), twin_leaves(tree))
        torch.testing.assert_close(
            answers.log_probabilities[image].exp(),
            torch.tensor(truth, dtype=torch.float64),
            rtol=1e-6,
            atol=1e-9,
        )


def test_forward_equals_answer():
    tree, images = make_tree(Topology.full(3)), random_images(4)
    torch.testing.assert_close(tree(images), tree.answer(images).log_probabilities)


def test_forward_probabilities_add_up_to_1():
    tree = make_tree(Topology.full(5), classes=7)
    torch.testing.assert_close(
        tree(random_images(4)).exp().sum(1), torch.ones(4, dtype=torch.float64)
    )


def test_patches_of_one_cell_are_the_latent_row_by_row():
    latent = torch.sigmoid(random_images(2, size=(3, 5)))
    patches = make_tree(Topology.full(1)).patches(latent)
    assert torch.equal(patches[1, 1 * 5 + 3], latent[1, :, 1, 3])


def test_patches_of_several_cells_are_windows_row_by_row():
    latent = torch.sigmoid(random_images(2, size=(3, 5)))
    patches = make_tree(Topology.full(1), prototype_size=(2, 3)).patches(latent)
    assert patches.shape == (2, 2 * 3, 4 * 2 * 3)
    assert torch.equal(patches[1, 1 * 3 + 2], latent[1, :, 1:3, 2:5].flatten())


# ---------------------------------------------------------------- numerics


def test_training_step_depth_12_dim_2048_saturated_leaves_stays_finite():
    torch.manual_seed(0)
    tree = ProtoTree(PassThrough(2048), 100, topology=Topology.full(12), latent_channels=2048)
    tree.add_on = nn.Identity()
    with torch.no_grad():
        tree.leaf_counts[torch.arange(4096), torch.arange(4096) % 50] = 1e6
        tree.prototypes[0] = 0.5  # exactly the first patch below
    images = torch.randn(2, 2048, 2, 2)
    images[0, :, 0, 0] = 0.0
    answers = tree(images)
    loss = nn.functional.nll_loss(answers, torch.tensor([0, 99]))
    loss.backward()
    assert loss.isfinite()
    assert tree.prototypes.grad.isfinite().all()


def test_forward_far_prototypes_give_finite_loss_and_gradient():
    tree = make_tree(Topology.full(3), dtype=torch.float32)
    with torch.no_grad():
        tree.prototypes.mul_(1e4)
    images = random_images(2).float().requires_grad_()
    loss = -tree(images)[:, 0].mean()
    loss.backward()
    assert loss.isfinite()
    assert images.grad.isfinite().all()
    assert tree.prototypes.grad.isfinite().all()


# ---------------------------------------------------------------- arguments


def test_tree_backbone_without_channels_is_refused():
    with pytest.raises(UsageError, match="backbone must have an integer attribute channels"):
        ProtoTree(nn.Identity(), 3, topology=Topology.full(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, r"classes must be an integer >= 2, got 1"),
        ({"latent_channels": 0}, r"latent_channels must be an integer >= 1, got 0"),
        ({"prototype_size": (0, 1)}, r"prototype_size\[0\] must be an integer >= 1, got 0"),
        ({"prototype_size": (1, 1.5)}, r"prototype_size\[1\] must be an integer >= 1, got 1.5"),
    ],
)
def test_tree_argument_out_of_range_is_refused(arguments, message):
    arguments = {"classes": 3, **arguments}
    with pytest.raises(UsageError, match=message):
        ProtoTree(PassThrough(4), topology=Topology.full(1), **arguments)


def test_patches_prototype_larger_than_the_map_is_refused():
    tree = make_tree(Topology.full(1), prototype_size=(4, 1))
    with pytest.raises(UsageError, match=r"fit into the latent map \(3, 5\), got \(4, 1\)"):
        tree(random_images(1))


def test_tree_leaf_counts_are_no_parameter_but_are_saved():
    tree = make_tree(Topology.full(1))
    assert "leaf_counts" in tree.state_dict()
    assert "leaf_counts" not in dict(tree.named_parameters())


def test_latent_lies_between_0_and_1():
    latent = make_tree(Topology.full(1)).latent(50 * random_images(2))
    assert latent.min() >= 0
    assert latent.max() <= 1
    assert not math.isnan(latent.sum().item())
