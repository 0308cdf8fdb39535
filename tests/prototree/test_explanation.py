from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from pellucid.prototree import Explanation, Topology, explain, greedy_leaf
from pellucid.prototree.nearest_patch import nearest_patch
from tests.prototree.small_fits import colored_patches, fitted_by_hand
from tests.reference import recursive_tree

NESTED = ((3, (1, 4)), (0, 2))


def case(*, prototype_size=(1, 1), seed: int = 0):
    """Return a fitted tree, images and answers; about half of the images go right at a branch."""
    fitted = fitted_by_hand(
        topology=Topology.from_nested(NESTED), prototype_size=prototype_size, seed=seed
    )
    tree = fitted.tree
    images = fitted.normalization(colored_patches(12).read(torch.arange(12)))
    with torch.no_grad():
        tree.add_on.weight.mul_(8)  # latents far enough apart
        latent = tree.latent(images)
        patches = tree.patches(latent).flatten(0, 1)
        chosen = patches[(torch.arange(tree.topology.branches) * 37 + 5) % len(patches)]
        generator = torch.Generator().manual_seed(seed)
        step = torch.randn(chosen.shape, generator=generator)
        step = step / step.norm(dim=1, keepdim=True)
        closest = torch.full((len(step),), math.inf)
        for length in torch.arange(0.3, 2.0, 0.02):
            moved = chosen + length * step
            tried = nearest_patch(tree.patches(latent), moved).distance.median(0).values
            gap = (tried - math.log(2)).abs()
            tree.prototypes[gap < closest] = moved.view_as(tree.prototypes)[gap < closest]
            closest = closest.minimum(gap)
        return fitted, images, tree.answer(images)


def test_explain_gives_one_explanation_an_image():
    fitted, images, _ = case()
    assert len(explain(fitted, images)) == 12


def test_explain_path_is_the_recursive_greedy_path():
    fitted, images, answers = case()
    root = recursive_tree.grow(NESTED)
    for index, explanation in enumerate(explain(fitted, images)):
        path, leaf = recursive_tree.greedy_path(root, answers.distances[index].tolist())
        assert [(turn.branch, turn.went_right) for turn in explanation.path] == path
        assert explanation.leaf == leaf
        assert explanation.prediction == fitted.tree.leaf_counts[leaf].argmax()


def test_explain_case_has_both_turns_and_several_leaves():
    fitted, images, _ = case()
    explanations = explain(fitted, images)
    assert {turn.went_right for e in explanations for turn in e.path} == {True, False}
    assert len({e.leaf for e in explanations}) > 1


def test_explain_turns_agree_with_their_similarity():
    fitted, images, _ = case()
    for explanation in explain(fitted, images):
        for turn in explanation.path:
            assert turn.similarity == pytest.approx(math.exp(-turn.distance), rel=1e-6)
            assert turn.went_right == (turn.similarity >= 0.5)
            assert turn.margin == pytest.approx(abs(turn.distance - math.log(2)))


def test_explain_margin_is_the_least_of_the_turns():
    fitted, images, _ = case()
    for explanation in explain(fitted, images):
        least = min(turn.margin for turn in explanation.path)
        assert explanation.margin == pytest.approx(least, abs=1e-6)


def test_explain_path_probability_is_the_product_of_the_turns():
    fitted, images, _ = case()
    for explanation in explain(fitted, images):
        product = math.prod(
            turn.similarity if turn.went_right else 1 - turn.similarity for turn in explanation.path
        )
        assert explanation.path_probability == pytest.approx(product, rel=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_explain_boxes_lie_inside_the_image_and_are_not_empty(size):
    fitted, images, _ = case(prototype_size=size)
    height, width = fitted.image_size
    for explanation in explain(fitted, images):
        for turn in explanation.path:
            top, left, bottom, right = turn.box
            assert 0 <= top < bottom <= height
            assert 0 <= left < right <= width
            assert turn.box == fitted.patch_box(turn.row, turn.column)


def test_explain_nothing_outside_the_box_changes_the_patch_it_shows():
    fitted, images, _ = case()
    tree, turn = fitted.tree, explain(fitted, images[:1])[0].path[0]
    changed = torch.randn(images[:1].shape, generator=torch.Generator().manual_seed(9))
    rows, columns = slice(turn.box.top, turn.box.bottom), slice(turn.box.left, turn.box.right)
    changed[:, :, rows, columns] = images[:1, :, rows, columns]
    before, after = (tree.latent(x)[0, :, turn.row, turn.column] for x in (images[:1], changed))
    torch.testing.assert_close(before, after)


def test_explain_soft_prediction_is_the_likeliest_and_runner_up_the_likeliest_other():
    fitted, images, answers = case()
    for index, explanation in enumerate(explain(fitted, images)):
        mixed = answers.log_probabilities[index].exp()
        order = mixed.argsort(descending=True).tolist()
        assert explanation.soft_prediction == order[0]
        order.remove(explanation.prediction)
        assert explanation.runner_up == order[0]
        assert explanation.probabilities == pytest.approx(mixed.tolist())
        assert sum(explanation.leaf_probabilities) == pytest.approx(1, abs=1e-5)


def test_explain_runner_up_split_counts_the_turns_both_paths_share():
    fitted, images, answers = case()
    root = recursive_tree.grow(NESTED)
    paths = recursive_tree.all_paths(root)
    majority = fitted.tree.leaf_counts.argmax(1).tolist()
    seen = set()
    for index, explanation in enumerate(explain(fitted, images)):
        reached = recursive_tree.path_probabilities(root, answers.distances[index].tolist())
        rivals = {leaf: p for leaf, p in reached.items() if majority[leaf] == explanation.runner_up}
        if not rivals:
            assert explanation.runner_up_split is None
            continue
        other = max(rivals, key=rivals.__getitem__)
        assert explanation.runner_up_leaf == other
        assert [(turn.branch, turn.went_right) for turn in explanation.runner_up_path] == (
            list(paths[other])
        )
        mine = [(turn.branch, turn.went_right) for turn in explanation.path]
        shared = 0
        while shared < min(len(mine), len(paths[other])) and mine[shared] == paths[other][shared]:
            shared += 1
        assert explanation.runner_up_split == shared
        seen.add(shared)
    assert seen


def test_explain_runner_up_without_a_leaf_has_no_split():
    fitted, images, _ = case()
    fitted.tree.leaf_counts.zero_()
    fitted.tree.leaf_counts[:, 1] = 9.0
    for explanation in explain(fitted, images):
        assert explanation.runner_up_split is None
        assert explanation.runner_up_leaf is None
        assert explanation.runner_up_path == ()


def test_explain_runner_up_where_all_leaves_disagree_is_their_answer():
    fitted, images, _ = case()
    fitted.tree.leaf_counts.copy_(torch.rand(fitted.tree.leaf_counts.shape))
    found = [e for e in explain(fitted, images) if e.soft_prediction != e.prediction]
    assert found
    for explanation in found:
        assert explanation.runner_up == explanation.soft_prediction


def test_explain_runner_up_changes_are_what_a_greedy_walk_does_otherwise():
    fitted, images, answers = case()
    for index, explanation in enumerate(explain(fitted, images)):
        if explanation.runner_up_leaf is None:
            continue
        changes = explanation.runner_up_changes
        assert changes[0] == explanation.runner_up_path[explanation.runner_up_split]
        moved = answers.distances[index : index + 1].clone()
        for turn in changes:
            step = -1 if turn.went_right else 1
            moved[0, turn.branch] += step * (turn.margin + 1e-4)
        assert greedy_leaf(moved, fitted.tree.topology) == explanation.runner_up_leaf


def test_explain_turns_are_one_for_every_branch_and_the_path_is_of_them():
    fitted, images, answers = case()
    for index, explanation in enumerate(explain(fitted, images)):
        turns = explanation.turns
        assert [turn.branch for turn in turns] == list(range(fitted.tree.topology.branches))
        assert [turn.distance for turn in turns] == answers.distances[index].tolist()
        for turn in turns:
            assert turn.went_right == (turn.distance <= math.log(2))
            assert (turn.row, turn.column) == tuple(answers.positions[index, turn.branch].tolist())
        assert all(turn == turns[turn.branch] for turn in explanation.path)


def with_similarities(*similarities: float) -> Explanation:
    """Return an explanation whose path has these similarities."""
    one = explain(*case()[:2])[0]
    turns = [
        dataclasses.replace(one.path[0], similarity=value, went_right=value >= 0.5)
        for value in similarities
    ]
    return dataclasses.replace(one, path=tuple(turns))


@pytest.mark.parametrize(
    ("similarities", "said"),
    [
        ([0.9, 0.1, 0.55], []),
        ([0.1, 0.2], ["No prototype on this path is present"]),
        ([0.9, 0.49], ["Step 2 is nearly a tie (similarity 0.490"]),
        ([0.46, 0.54], ["Step 1 is nearly", "Step 2 is nearly"]),
        ([0.46, 0.1], ["No prototype on this path is present", "Step 1 is nearly"]),
        ([], []),
    ],
)
def test_cautions_name_what_makes_a_path_a_weak_reason(similarities, said):
    found = with_similarities(*similarities).cautions
    assert len(found) == len(said)
    for caution, start in zip(found, said, strict=True):
        assert caution.startswith(start)


def test_explain_to_dict_is_json_able():
    fitted, images, _ = case()
    text = json.dumps(explain(fitted, images)[0].to_dict(), allow_nan=False)
    assert json.loads(text)["path"][0]["branch"] == 0


def test_explain_image_alone_equals_image_in_a_batch():
    fitted, images, answers = case()
    leaves = greedy_leaf(answers.distances, fitted.tree.topology)
    assert explain(fitted, images[4:5])[0].leaf == leaves[4]


def test_explain_pixels_equal_normalized_floats():
    fitted, images, _ = case()
    pixels = colored_patches(12).read(torch.arange(12))
    assert [e.leaf for e in explain(fitted, pixels)] == [e.leaf for e in explain(fitted, images)]
