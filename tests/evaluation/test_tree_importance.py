from __future__ import annotations

import dataclasses

import pytest
import torch

from pellucid.data import Normalization
from pellucid.evaluation.replacements import blur
from pellucid.evaluation.tree_importance import explain_pixels, weigh_branches
from pellucid.prototree import Topology
from tests.prototree.small_fits import colored_patches, fitted_by_hand
from tests.prototree.tiny_trees import make_tree
from tests.reference import recursive_tree

NESTED = ((3, (1, 4)), (0, 2))


def test_weigh_branches_is_the_share_lost_without_the_prototype():
    tree = make_tree(Topology.from_nested(NESTED), seed=3)
    distances = 2 * torch.rand(
        6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    classes = torch.tensor([0, 1, 2, 0, 1, 2])
    found = weigh_branches(tree, distances, classes)
    root = recursive_tree.grow(NESTED)
    leaves = tree.leaf_log_distributions().exp().detach().numpy()
    for image, label in enumerate(classes.tolist()):
        row = distances[image].tolist()
        whole = recursive_tree.traverse(root, row, leaves)[label]
        for branch in range(4):
            absent = [100.0 if n == branch else d for n, d in enumerate(row)]
            lost = whole - recursive_tree.traverse(root, absent, leaves)[label]
            assert float(found[image, branch]) == pytest.approx(lost / whole, abs=1e-9)


def test_weigh_branches_prototype_that_speaks_against_the_class_is_negative():
    tree = make_tree(Topology.from_nested((0, 1)), classes=2)
    with torch.no_grad():
        tree.leaf_counts.copy_(torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
    distances = torch.tensor([[0.5], [0.5]], dtype=torch.float64)
    against, in_favor = weigh_branches(tree, distances, torch.tensor([0, 1]))[:, 0].tolist()
    assert against < 0 < in_favor


def linear_tree():
    """Return a fitted tree of one branch on images as latents, on which one cell is near."""
    tree = make_tree(Topology.from_nested((0, 1)), classes=2, dim=3, dtype=torch.float32)
    with torch.no_grad():
        tree.leaf_counts.copy_(torch.tensor([[5.0, 0.0], [0.0, 5.0]]))
        tree.prototypes.copy_(torch.tensor([0.9, 0.1, 0.1])[None, :, None, None])
    return dataclasses.replace(
        fitted_by_hand(), tree=tree, normalization=Normalization((0.5,) * 3, (0.2,) * 3)
    )


def test_explain_pixels_points_at_the_pixel_that_is_the_prototype():
    images = torch.full((1, 3, 6, 7), 90, dtype=torch.uint8)
    images[0, :, 4, 2] = torch.tensor([250, 10, 10], dtype=torch.uint8)
    fitted = linear_tree()
    in_favor = explain_pixels(fitted, images, torch.tensor([1]))[0]
    assert divmod(int(in_favor.argmax()), 7) == (4, 2)
    assert float(in_favor[4, 2]) > 0
    against = explain_pixels(fitted, images, torch.tensor([0]))[0]
    assert divmod(int(against.argmin()), 7) == (4, 2)
    assert float(against[4, 2]) < 0


def test_explain_pixels_adds_up_to_what_the_similarities_gained():
    fitted = fitted_by_hand()
    images, classes = colored_patches(5).pixels[:5], torch.tensor([0, 1, 2, 0, 1])
    tree = fitted.tree
    with torch.no_grad():
        sharp, _ = tree.distances(tree.latent(fitted.normalization(images)))
        blurred = blur(images, deviation_px=10 / 8)
        dull, _ = tree.distances(tree.latent(fitted.normalization(blurred)))
    weights = weigh_branches(tree, sharp, classes)
    expected = (weights * (1 - torch.exp(sharp - dull))).sum(1)
    found = explain_pixels(fitted, images, classes).sum((1, 2))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=2e-3)


def test_explain_pixels_treats_each_image_by_itself_and_leaves_the_tree_as_it_is():
    fitted = fitted_by_hand()
    before = {name: value.clone() for name, value in fitted.tree.state_dict().items()}
    images, classes = colored_patches(4).pixels[:4], torch.tensor([2, 1, 0, 2])
    together = explain_pixels(fitted, images, classes)
    alone = torch.cat(
        [explain_pixels(fitted, images[i : i + 1], classes[i : i + 1]) for i in range(4)]
    )
    torch.testing.assert_close(together, alone)
    assert all(torch.equal(before[k], v) for k, v in fitted.tree.state_dict().items())
    assert all(parameter.grad is None for parameter in fitted.tree.parameters())
