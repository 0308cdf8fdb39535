from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from pellucid import DataError
from pellucid.data import InMemoryImages, Normalization
from pellucid.evaluation import Proportion, evaluate_tree
from pellucid.prototree import Topology
from tests.prototree.small_fits import fitted_by_hand
from tests.prototree.tiny_trees import PassThrough, make_tree
from tests.reference import leaf_updates, recursive_tree

NESTED = ((3, (1, 4)), (0, 2))


def wilson(count: int, total: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the interval as Wilson (1927) writes it."""
    p = count / total
    center = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return center - half, center + half


# ---------------------------------------------------------------- Proportion


@pytest.mark.parametrize(
    ("count", "total"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 9), (357, 360)]
)
def test_proportion_interval_is_wilsons(count, total):
    proportion = Proportion.of(torch.arange(total) < count)
    assert (proportion.count, proportion.total) == (count, total)
    assert proportion.value == count / total
    assert (proportion.low, proportion.high) == pytest.approx(wilson(count, total), abs=1e-12)


def test_proportion_known_figure():
    # 81 of 263, the example of Newcombe 1998, table I: 0.2553 to 0.3662.
    proportion = Proportion.of(torch.arange(263) < 81)
    assert (proportion.low, proportion.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_proportion_interval_holds_its_value_and_stays_in_0_to_1():
    for count in range(21):
        proportion = Proportion.of(torch.arange(20) < count)
        assert 0 <= proportion.low <= proportion.value <= proportion.high <= 1


# ---------------------------------------------------------------- evaluate_tree


def case():
    """Return a fitted tree on `PassThrough`, images and labels, and the same images as latents."""
    tree = make_tree(Topology.from_nested(NESTED), dim=3, dtype=torch.float32, seed=3)
    generator = torch.Generator().manual_seed(8)
    pixels = torch.randint(0, 256, (300, 3, 2, 3), generator=generator).to(torch.uint8)
    images = InMemoryImages(
        pixels,
        labels=torch.randint(3, (300,), generator=generator),
        class_names=("a", "b", "c"),
        names=[str(index) for index in range(300)],
        digest="random",
    )
    fitted = dataclasses.replace(
        fitted_by_hand(), tree=tree, normalization=Normalization((0.5,) * 3, (0.25,) * 3)
    )
    assert isinstance(tree.backbone, PassThrough)
    return fitted, images


def by_hand(fitted, images, indices):
    """Return the answers of each image by the recursive tree, as columns."""
    tree, root = fitted.tree, recursive_tree.grow(NESTED)
    leaves = leaf_updates.leaf_distributions(tree.leaf_counts.double().numpy(), 1e-3)
    latents = tree.latent(fitted.normalization(images.read(indices))).detach().numpy()
    rows = []
    for latent in latents:
        distances = [
            recursive_tree.nearest_patch(latent, prototype)[0]
            for prototype in tree.prototypes.detach().numpy()
        ]
        mixed = recursive_tree.traverse(root, distances, leaves)
        path, leaf = recursive_tree.greedy_path(root, distances)
        likely = recursive_tree.most_probable_leaf(root, distances)
        rows.append(
            (
                mixed.index(max(mixed)),
                int(leaves[likely].argmax()),
                int(leaves[leaf].argmax()),
                len(path),
                recursive_tree.path_margin(root, distances),
            )
        )
    return [torch.tensor(column) for column in zip(*rows, strict=True)]


INDICES = torch.arange(5, 295)  # more than one batch of 256


@pytest.fixture(scope="module")
def evaluated():
    fitted, images = case()
    truth = by_hand(fitted, images, INDICES)
    return evaluate_tree(fitted, images, INDICES), images.labels[INDICES], truth


def test_evaluate_tree_accuracies_equal_counts_by_hand(evaluated):
    result, labels, (soft, likely, greedy, _, _) = evaluated
    assert result.distributed == Proportion.of(soft == labels)
    assert result.most_probable_leaf == Proportion.of(likely == labels)
    assert result.greedy == Proportion.of(greedy == labels)


def test_evaluate_tree_fidelity_is_agreement_with_the_soft_answer(evaluated):
    result, _, (soft, likely, greedy, _, _) = evaluated
    assert result.fidelity_greedy == Proportion.of(greedy == soft)
    assert result.fidelity_most_probable_leaf == Proportion.of(likely == soft)
    assert result.fidelity_greedy.value < 1  # or this case would show nothing


def test_evaluate_tree_predictions_are_the_greedy_ones(evaluated):
    result, _, (_, _, greedy, _, _) = evaluated
    assert list(result.predictions) == greedy.tolist()


def test_evaluate_tree_path_lengths_are_mean_least_and_greatest(evaluated):
    result, _, (_, _, _, lengths, _) = evaluated
    mean, least, greatest = result.path_lengths
    assert mean == pytest.approx(lengths.double().mean().item())
    assert (least, greatest) == (lengths.min(), lengths.max())


def test_evaluate_tree_path_margin_is_the_median(evaluated):
    result, _, (*_, margins) = evaluated
    assert result.path_margin == pytest.approx(margins.median().item(), abs=1e-6)


def test_evaluate_tree_order_of_the_indices_is_that_of_the_predictions():
    fitted, images = case()
    forward = evaluate_tree(fitted, images, INDICES).predictions
    backward = evaluate_tree(fitted, images, INDICES.flip(0)).predictions
    assert forward == backward[::-1]


def test_evaluate_tree_to_dict_is_json_able(evaluated):
    stored = json.loads(json.dumps(evaluated[0].to_dict(), allow_nan=False))
    assert stored["greedy"]["count"] == evaluated[0].greedy.count


def test_evaluate_tree_in_training_mode_is_evaluated_all_the_same():
    fitted, images = case()
    expected = evaluate_tree(fitted, images, INDICES)
    fitted.tree.train()
    assert evaluate_tree(fitted, images, INDICES) == expected


def test_evaluate_tree_no_images_is_refused():
    fitted, images = case()
    with pytest.raises(DataError, match="evaluation needs at least one image, got 0"):
        evaluate_tree(fitted, images, torch.arange(0))
