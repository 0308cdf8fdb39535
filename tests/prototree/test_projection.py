from __future__ import annotations

import dataclasses

import pytest
import torch

from pellucid import DataError
from pellucid.prototree import Topology, project
from pellucid.prototree.projection import find_nearest_patches, majority_classes_below
from tests.prototree.tiny_trees import batched, make_tree, random_images
from tests.reference import exhaustive_projection, recursive_tree

COUNT = 14
CROOKED = ((3, (1, 4)), (0, 2))


def tree_and_images(
    *, prototype_size: tuple[int, int] = (1, 1), dtype: torch.dtype = torch.float64, seed: int = 0
):
    """Return a tree of five leaves (majority classes 0, 1, 2, 0, 1), images and their labels."""
    tree = make_tree(
        Topology.from_nested(CROOKED), prototype_size=prototype_size, dtype=dtype, seed=seed
    )
    tree.leaf_counts.zero_()
    tree.leaf_counts[torch.arange(5), torch.tensor([0, 1, 2, 0, 1])] = 5.0
    labels = torch.arange(COUNT) % 3
    return tree, random_images(COUNT, seed=seed + 1).to(dtype), labels


def twin(tree, images, labels):
    return exhaustive_projection.project(
        recursive_tree.grow(CROOKED),
        tree.prototypes.detach().double().numpy(),
        tree.latent(images).detach().double().numpy(),
        labels.tolist(),
        tree.leaf_counts.argmax(1).tolist(),
    )


def places(projection):
    return [(s.image, s.row, s.column) for s in projection.sources]


# ---------------------------------------------------------------- majority classes


def test_majority_classes_below_equal_recursive_ones():
    tree, _, _ = tree_and_images()
    nodes = exhaustive_projection.branch_nodes(recursive_tree.grow(CROOKED))
    majority = tree.leaf_counts.argmax(1).tolist()
    below = majority_classes_below(tree)
    for branch, node in nodes.items():
        classes = set(below[branch].nonzero()[:, 0].tolist())
        assert classes == exhaustive_projection.majority_classes(node, majority)


# ---------------------------------------------------------------- project


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_project_equals_exhaustive_search(size):
    tree, images, labels = tree_and_images(prototype_size=size)
    sources, unconstrained = twin(tree, images, labels)
    projection = project(tree, lambda: batched(images, labels, 5))
    assert places(projection) == [entry[1:] for entry in sources]
    assert list(projection.unconstrained) == unconstrained == []
    for source, (distance, *_) in zip(projection.sources, sources, strict=True):
        assert source.distance == pytest.approx(distance, abs=1e-9)
        assert source.label == labels[source.image]


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_project_prototype_becomes_the_patch_it_names(size):
    tree, images, labels = tree_and_images(prototype_size=size)
    projection = project(tree, lambda: batched(images, labels, 4))
    latent = tree.latent(images)
    for branch, source in enumerate(projection.sources):
        rows = slice(source.row, source.row + size[0])
        columns = slice(source.column, source.column + size[1])
        assert torch.equal(tree.prototypes[branch], latent[source.image, :, rows, columns])


@pytest.mark.parametrize("batch_size", [1, 4, COUNT])
@pytest.mark.parametrize("dim", [4, 64])
def test_project_float32_prototype_lies_within_1e_6_of_its_own_patch(batch_size, dim):
    tree = make_tree(Topology.full(4), dim=dim, dtype=torch.float32)
    images, labels = random_images(COUNT, dim=dim).float(), torch.arange(COUNT) % 3
    projection = project(tree, lambda: batched(images, labels, batch_size))
    distances, positions = tree.distances(tree.latent(images))
    for branch, source in enumerate(projection.sources):
        assert distances[source.image, branch].item() < 1e-6
        assert positions[source.image, branch].tolist() == [source.row, source.column]


def test_project_class_constraint_is_honoured():
    tree, images, labels = tree_and_images()
    below = majority_classes_below(tree)
    projection = project(tree, lambda: batched(images, labels, 5))
    assert all(below[branch, source.label] for branch, source in enumerate(projection.sources))


def test_project_class_constraint_changes_something_here():
    tree, images, labels = tree_and_images()
    other, _, _ = tree_and_images()
    constrained = project(tree, lambda: batched(images, labels, 5))
    free = project(other, lambda: batched(images, labels, 5), class_constrained=False)
    assert places(constrained) != places(free)
    for mine, other_source in zip(constrained.sources, free.sources, strict=True):
        assert other_source.distance <= mine.distance


def test_project_class_without_images_falls_back_to_all():
    tree, images, labels = tree_and_images()
    labels = torch.where(labels == 2, 1, labels)
    tree.leaf_counts[[1, 4]] = torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64)
    sources, unconstrained = twin(tree, images, labels)
    projection = project(tree, lambda: batched(images, labels, 5))
    assert list(projection.unconstrained) == unconstrained != []
    assert places(projection) == [entry[1:] for entry in sources]


def test_project_twice_moves_nothing_and_names_the_same_patches():
    tree, images, labels = tree_and_images(dtype=torch.float32)
    first = project(tree, lambda: batched(images, labels, 5))
    before = tree.prototypes.detach().clone()
    second = project(tree, lambda: batched(images, labels, 5))
    assert places(second) == places(first)
    assert (tree.prototypes - before).flatten(1).norm(dim=1).max() < 1e-6
    assert max(source.distance for source in second.sources) < 1e-6


def test_project_twice_with_copies_of_images_names_the_same_patches():
    tree, images, labels = tree_and_images(dtype=torch.float32)
    images, labels = images.repeat(2, 1, 1, 1), labels.repeat(2)
    first = project(tree, lambda: batched(images, labels, 7))
    second = project(tree, lambda: batched(images, labels, 7))
    assert places(second) == places(first)
    assert max(source.image for source in first.sources) < COUNT  # the first of two copies


@pytest.mark.parametrize("size", [1, 3, 5, COUNT])
@pytest.mark.parametrize("shuffled", [False, True])
def test_project_batch_grouping_and_order_do_not_matter(size, shuffled):
    tree, images, labels = tree_and_images()
    reference = twin(tree, images, labels)[0]
    generator = torch.Generator().manual_seed(size)
    order = torch.randperm(COUNT, generator=generator) if shuffled else None
    projection = project(tree, lambda: batched(images, labels, size, order))
    assert places(projection) == [entry[1:] for entry in reference]


def test_project_no_images_is_refused():
    tree, _, _ = tree_and_images()
    with pytest.raises(DataError, match="projection needs at least one image, got 0"):
        project(tree, lambda: [])


def test_project_nan_images_are_not_called_missing():
    tree, images, labels = tree_and_images()
    with pytest.raises(DataError, match=r"finite|NaN"):
        project(tree, lambda: batched(images * torch.nan, labels, 5))


def test_project_leaves_the_leaves_as_they_are():
    tree, images, labels = tree_and_images()
    before = tree.leaf_counts.clone()
    project(tree, lambda: batched(images, labels, 5))
    assert torch.equal(tree.leaf_counts, before)


def test_project_prototypes_stay_a_trainable_parameter():
    tree, images, labels = tree_and_images()
    parameter = tree.prototypes
    project(tree, lambda: batched(images, labels, 5))
    assert tree.prototypes is parameter
    assert parameter.requires_grad


@pytest.mark.parametrize("known", [False, True])
def test_project_looks_at_each_batch_once(known):
    tree, images, labels = tree_and_images()
    labels = torch.where(labels == 2, 1, labels)
    tree.leaf_counts[[1, 4]] = torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64)
    passes = []

    def batches():
        passes.append(1)
        return batched(images, labels, 5)

    assert project(tree, batches, labels=labels if known else None).unconstrained
    assert len(passes) == 1


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("depth", [2, 5])
def test_project_labels_known_beforehand_change_nothing(depth, missing):
    images, labels = random_images(40), torch.arange(40) % 20
    if missing:
        labels = labels // 4 * 4

    def projected(known):
        tree = make_tree(Topology.full(depth), classes=20)
        tree.leaf_counts[torch.arange(2**depth), torch.arange(2**depth) % 20] = 9.0
        projection = project(tree, lambda: batched(images, labels, 7), labels=known)
        return projection, tree.prototypes.detach()

    (plain, plain_prototypes), (known, known_prototypes) = projected(None), projected(labels)
    assert bool(plain.unconstrained) == missing
    assert known.unconstrained == plain.unconstrained
    assert places(known) == places(plain)
    assert torch.equal(known_prototypes, plain_prototypes)


def test_project_float32_few_pairs_lie_within_1e_6_of_their_own_patch():
    tree = make_tree(Topology.full(6), classes=40, dim=64, dtype=torch.float32)
    tree.leaf_counts[torch.arange(64), torch.arange(64) % 40] = 9.0
    images, labels = random_images(80, dim=64).float(), torch.arange(80) % 40
    project(tree, lambda: batched(images, labels, 16), labels=labels)
    again = project(tree, lambda: batched(images, labels, 16), labels=labels)
    assert max(source.distance for source in again.sources) < 1e-6


# ---------------------------------------------------------------- find_nearest_patches


@pytest.mark.parametrize("top_k", [1, 3, COUNT])
@pytest.mark.parametrize("size", [1, 4, COUNT])
def test_find_nearest_patches_equal_exhaustive_search(top_k, size):
    tree, images, labels = tree_and_images()
    latents = tree.latent(images).detach().numpy()
    nearest = find_nearest_patches(tree, batched(images, labels, size), top_k=top_k)
    for branch, prototype in enumerate(tree.prototypes.detach().numpy()):
        truth = exhaustive_projection.nearest_images(
            prototype, latents, labels.tolist(), classes=None, top_k=top_k
        )
        found = nearest.sources(branch)
        assert [(s.image, s.row, s.column) for s in found] == [entry[1:] for entry in truth]
        assert [s.distance for s in found] == pytest.approx([entry[0] for entry in truth])


def test_find_nearest_patches_name_an_image_at_most_once():
    tree, images, labels = tree_and_images()
    nearest = find_nearest_patches(tree, batched(images, labels, 4), top_k=COUNT)
    for branch in range(tree.topology.branches):
        assert sorted(s.image for s in nearest.sources(branch)) == list(range(COUNT))


def test_find_nearest_patches_fewer_images_than_asked_gives_those():
    tree, images, labels = tree_and_images()
    nearest = find_nearest_patches(tree, batched(images[:2], labels[:2], 1), top_k=5)
    assert [len(nearest.sources(branch)) for branch in range(4)] == [2, 2, 2, 2]


def test_find_nearest_patches_equal_distances_give_the_lower_image():
    tree, images, labels = tree_and_images()
    images = images[:1].expand(6, -1, -1, -1)
    order = torch.tensor([5, 3, 0, 4, 2, 1])
    nearest = find_nearest_patches(tree, batched(images, labels[:6], 2, order), top_k=3)
    assert [s.image for s in nearest.sources(0)] == [0, 1, 2]


def test_find_nearest_patches_of_two_processes_merge_into_one():
    tree, images, labels = tree_and_images()
    batches = batched(images, labels, 3)
    whole = find_nearest_patches(tree, batches, top_k=4)
    one = find_nearest_patches(tree, batches[0::2], top_k=4)
    two = find_nearest_patches(tree, batches[1::2], top_k=4)
    for merged in (one.merged(two), two.merged(one)):
        for field in dataclasses.fields(whole):
            assert torch.equal(getattr(merged, field.name), getattr(whole, field.name))


def test_find_nearest_patches_of_padded_processes_merge_into_one():
    tree, images, labels = tree_and_images()
    whole = find_nearest_patches(tree, batched(images, labels, COUNT), top_k=4)
    one = find_nearest_patches(tree, batched(images, labels, 4, torch.arange(0, 9)), top_k=4)
    two = find_nearest_patches(tree, batched(images, labels, 4, torch.arange(5, COUNT)), top_k=4)
    for merged in (one.merged(two), two.merged(one)):
        for branch in range(tree.topology.branches):
            found, truth = merged.sources(branch), whole.sources(branch)
            assert [s.image for s in found] == [s.image for s in truth]


def test_find_nearest_patches_merged_with_themselves_stay_the_same():
    tree, images, labels = tree_and_images()
    nearest = find_nearest_patches(tree, batched(images, labels, 5), top_k=COUNT + 2)
    for field in dataclasses.fields(nearest):
        merged = nearest.merged(nearest)
        assert torch.equal(getattr(merged, field.name), getattr(nearest, field.name))


def test_find_nearest_patches_image_twice_in_a_batch_is_named_once():
    tree, images, labels = tree_and_images()
    padded = torch.tensor([2, 0, 1, 2, 0])
    nearest = find_nearest_patches(tree, batched(images, labels, 5, padded), top_k=5)
    for branch in range(tree.topology.branches):
        assert sorted(s.image for s in nearest.sources(branch)) == [0, 1, 2]


def test_find_nearest_patches_merging_is_associative():
    tree, images, labels = tree_and_images()
    a, b, c = (
        find_nearest_patches(tree, batched(images, labels, 5)[part : part + 1], top_k=4)
        for part in range(3)
    )
    left, right = a.merged(b).merged(c), a.merged(b.merged(c))
    for field in dataclasses.fields(left):
        assert torch.equal(getattr(left, field.name), getattr(right, field.name))


def test_find_nearest_patches_respects_allowed_classes():
    tree, images, labels = tree_and_images()
    allowed = torch.zeros(4, 3, dtype=torch.bool)
    allowed[:3, 1] = True
    nearest = find_nearest_patches(tree, batched(images, labels, 4), top_k=COUNT, allowed=allowed)
    assert {s.label for branch in range(3) for s in nearest.sources(branch)} == {1}
    assert nearest.sources(3) == ()
