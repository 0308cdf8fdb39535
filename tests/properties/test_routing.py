"""All three answers, the paths and the certificate against the recursive tree."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pellucid.prototree import Topology, greedy_leaf, path_margin
from tests.properties.strategies import QUICK, nested_trees, seeds
from tests.prototree.tiny_trees import make_tree, random_images
from tests.reference import leaf_updates, recursive_tree

prototype_sizes = st.tuples(st.integers(1, 2), st.integers(1, 3))
map_sizes = st.tuples(st.integers(2, 4), st.integers(3, 5))


def drawn_tree(nested, size, seed, spread=1.0):
    tree = make_tree(Topology.from_nested(nested), dim=3, prototype_size=size, seed=seed % 2**31)
    with torch.no_grad():  # closer to the middle, so that both turns happen
        tree.prototypes.sub_(0.5).mul_(spread).add_(0.5)
    return tree


@QUICK
@given(nested_trees(max_leaves=8), prototype_sizes, map_sizes, seeds)
def test_answer_any_tree_and_map_equals_recursive_tree(nested, size, map_size, seed):
    tree = drawn_tree(nested, size, seed)
    answers = tree.answer(random_images(2, dim=3, size=map_size, seed=seed))
    latent = tree.latent(random_images(2, dim=3, size=map_size, seed=seed)).detach().numpy()
    root = recursive_tree.grow(nested)
    leaves = leaf_updates.leaf_distributions(tree.leaf_counts.numpy(), 1e-3)
    for image in range(2):
        found = [
            recursive_tree.nearest_patch(latent[image], prototype)
            for prototype in tree.prototypes.detach().numpy()
        ]
        distances = [distance for distance, _, _ in found]
        np.testing.assert_allclose(answers.distances[image].detach(), distances, atol=1e-6)
        assert answers.positions[image].tolist() == [[row, column] for _, row, column in found]
        paths = recursive_tree.path_probabilities(root, distances)
        np.testing.assert_allclose(
            answers.path_log_probability[image].detach().exp(),
            [paths[leaf] for leaf in range(tree.topology.leaves)],
            atol=1e-6,
        )
        np.testing.assert_allclose(
            answers.log_probabilities[image].detach().exp(),
            recursive_tree.traverse(root, distances, leaves),
            atol=1e-6,
        )
        assert answers.most_probable_leaf[image] == recursive_tree.most_probable_leaf(
            root, distances
        )
        assert answers.greedy_leaf[image] == recursive_tree.greedy_path(root, distances)[1]
        margin = path_margin(answers.distances, answers.greedy_leaf, tree.topology)[image]
        assert abs(margin.item() - recursive_tree.path_margin(root, distances)) < 1e-6


@QUICK
@given(nested_trees(), st.floats(1e-9, 50.0), seeds)
def test_path_probabilities_any_shape_add_up_to_1(nested, largest, seed):
    tree = drawn_tree(nested, (1, 1), seed)
    answers = tree.answer(largest * random_images(3, dim=3, seed=seed))
    torch.testing.assert_close(
        answers.path_log_probability.exp().sum(1), torch.ones(3, dtype=torch.float64)
    )


# ---------------------------------------------------------------- the certificate


def moved_leaf(tree, latent):
    distances, _ = tree.distances(latent)
    return greedy_leaf(distances, tree.topology)


def directions(tree, latent, data):
    """Return for each latent cell a direction of length 1 to move in.

    Straight towards a prototype, straight away from it, or anywhere.
    """
    how = data.draw(st.sampled_from(["towards", "away", "anywhere"]), label="direction")
    if how == "anywhere":
        seed = data.draw(seeds, label="direction seed")
        step = random_images(len(latent), dim=3, size=tuple(latent.shape[2:]), seed=seed)
    else:
        branch = data.draw(st.integers(0, tree.topology.branches - 1), label="branch")
        step = tree.prototypes.detach()[branch, :, 0, 0][None, :, None, None] - latent
        step = step if how == "towards" else -step
    return step / step.norm(dim=1, keepdim=True).clamp_min(1e-9)


@QUICK
@given(nested_trees(max_leaves=8), map_sizes, seeds, st.floats(0, 0.9999), st.data())
def test_path_margin_any_smaller_move_of_every_patch_keeps_the_leaf(
    nested, map_size, seed, share, data
):
    tree = drawn_tree(nested, (1, 1), seed)
    latent = tree.latent(random_images(4, dim=3, size=map_size, seed=seed)).detach()
    distances, _ = tree.distances(latent)
    leaf = greedy_leaf(distances, tree.topology)
    margin = path_margin(distances.detach(), leaf, tree.topology)
    moved = latent + share * margin[:, None, None, None] * directions(tree, latent, data)
    assert torch.equal(moved_leaf(tree, moved), leaf)


@QUICK
@given(nested_trees(max_leaves=6), seeds, st.floats(0, 0.999), st.data())
def test_path_margin_of_larger_prototypes_bounds_moves_of_whole_windows(nested, seed, share, data):
    tree = drawn_tree(nested, (2, 2), seed, spread=0.3)
    latent = tree.latent(0.3 * random_images(4, dim=3, size=(3, 4), seed=seed)).detach()
    distances, _ = tree.distances(latent)
    leaf = greedy_leaf(distances, tree.topology)
    margin = path_margin(distances.detach(), leaf, tree.topology)
    # A window of four cells, each moved by r, moves by 2 r.
    step = share * margin[:, None, None, None] / 2
    moved = latent + step * directions(tree, latent, data)
    assert torch.equal(moved_leaf(tree, moved), leaf)


@QUICK
@given(nested_trees(max_leaves=6), seeds)
def test_path_margin_just_beyond_straight_at_the_closest_branch_changes_the_leaf(nested, seed):
    # With a single cell per map, the turn of least slack is made by moving along its own line.
    tree = drawn_tree(nested, (1, 1), seed)
    latent = tree.latent(random_images(1, dim=3, size=(1, 1), seed=seed)).detach()
    distances = tree.distances(latent)[0].detach()
    leaf = greedy_leaf(distances, tree.topology)
    margin = path_margin(distances, leaf, tree.topology).item()
    slack = {b: distances[0, b].item() - math.log(2) for b, _ in tree.topology.paths[leaf.item()]}
    branch = min(slack, key=lambda b: abs(slack[b]))
    assume(distances[0, branch] > 1e-6)
    away = latent - tree.prototypes.detach()[branch][None]
    away = away / away.norm()
    moved = latent - math.copysign(margin + 1e-9, slack[branch]) * away
    assert not torch.equal(moved_leaf(tree, moved), leaf)
