from __future__ import annotations

import dataclasses

import pytest
import torch

from pellucid.data import Normalization
from pellucid.evaluation.replacements import blur
from pellucid.evaluation.tree_importance import (
    blur_regions,
    explain_pixels,
    integrate_gradients,
    weigh_branches,
)
from pellucid.evaluation.ward_regions import find_regions
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


def squares(count: int = 3, size: tuple[int, int] = (9, 12)):
    """Return normalized images, blurred ones, and a function of them that no part is alone in."""
    generator = torch.Generator().manual_seed(4)
    sharp, blurred = (torch.randn(count, 3, *size, generator=generator) for _ in range(2))
    factors = torch.randn(3, *size, generator=generator) / 20
    return sharp, blurred, lambda images: (images * factors).sum((1, 2, 3)).exp()


def test_integrate_gradients_adds_up_to_what_is_gained():
    sharp, blurred, worth = squares()
    found = integrate_gradients(worth, sharp, blurred).sum((1, 2))
    torch.testing.assert_close(found, worth(sharp) - worth(blurred), rtol=2e-3, atol=1e-4)


def test_integrate_gradients_of_a_linear_function_is_each_pixel_s_share():
    sharp, blurred, _ = squares()
    factors = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(5))
    found = integrate_gradients(lambda x: (x * factors).sum((1, 2, 3)), sharp, blurred)
    torch.testing.assert_close(found, ((sharp - blurred) * factors).sum(1))


def stripes(size: tuple[int, int], widths: tuple[int, ...]):
    """Return one division into columns of each width, (1, divisions, height, width)."""
    column = torch.arange(size[1]).expand(size)
    return torch.stack([column // width for width in widths])[None]


def test_blur_regions_equals_plain_loops():
    sharp, blurred, worth = squares(1, (5, 8))
    regions = stripes((5, 8), (2, 4))
    shares = torch.rand(1, 5, 8, generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(1, 5, 8)
    for division in regions[0]:
        for number in division.unique():
            places = (division == number).nonzero().tolist()
            changed = sharp.clone()
            for row, column in places:
                changed[:, :, row, column] = blurred[:, :, row, column]
            lost = float(worth(sharp) - worth(changed))
            whole = sum(float(shares[0, row, column]) for row, column in places)
            for row, column in places:
                expected[0, row, column] += lost * float(shares[0, row, column]) / whole / 2
    torch.testing.assert_close(blur_regions(worth, sharp, blurred, regions, shares), expected)


def test_blur_regions_without_shares_hands_a_region_s_loss_out_evenly():
    sharp, blurred, worth = squares(2, (4, 6))
    regions = stripes((4, 6), (3,)).expand(2, -1, -1, -1)
    found = blur_regions(worth, sharp, blurred, regions, torch.zeros(2, 4, 6))
    changed = torch.cat([blurred[..., :3], sharp[..., 3:]], dim=3)
    lost = (worth(sharp) - worth(changed))[:, None, None]
    torch.testing.assert_close(found[..., :3], (lost / 12).expand(2, 4, 3))


def test_blur_regions_of_images_with_unlike_counts_of_regions_are_those_of_each_alone():
    sharp, blurred, worth = squares(2, (4, 6))
    regions = torch.cat([stripes((4, 6), (3,)), stripes((4, 6), (1,))])
    shares = torch.ones(2, 4, 6)
    together = blur_regions(worth, sharp, blurred, regions, shares)
    for image in range(2):
        one = slice(image, image + 1)
        alone = blur_regions(worth, sharp[one], blurred[one], regions[one], shares[one])
        torch.testing.assert_close(together[one], alone)


def test_explain_pixels_is_the_mean_of_both_ways_at_the_same_scale():
    fitted = fitted_by_hand()
    images, classes = colored_patches(5).pixels[:5], torch.tensor([0, 1, 2, 0, 1])
    tree, sharp = fitted.tree, fitted.normalization(images)
    blurred = fitted.normalization(blur(images, deviation_px=10 / 8))
    with torch.no_grad():
        distances, _ = tree.distances(tree.latent(sharp))
    weights = weigh_branches(tree, distances, classes)

    def worth(pixels):
        return (weights * torch.exp(distances - tree.distances(tree.latent(pixels))[0])).sum(1)

    first = integrate_gradients(worth, sharp, blurred)
    second = blur_regions(worth, sharp, blurred, find_regions(images, (12, 24)), first.abs())
    found = explain_pixels(fitted, images, classes)
    for row in range(5):
        scale = float(first[row].abs().sum() / second[row].abs().sum())
        torch.testing.assert_close(found[row], (first[row] + scale * second[row]) / 2)


def test_explain_pixels_image_that_is_its_own_blur_has_no_important_pixel():
    images = torch.full((2, 3, 8, 10), 90, dtype=torch.uint8)
    assert (explain_pixels(fitted_by_hand(), images, torch.tensor([0, 1])) == 0).all()


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
