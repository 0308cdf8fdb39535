from __future__ import annotations

import math

import pytest
import torch

from pellucid import DataError, UsageError
from pellucid.data import Augmentation
from pellucid.prototree import ProtoTree, Topology, TreeRecipe, TreeTask
from pellucid.prototree.leaves import leaf_log_distributions, leaf_responsibilities
from pellucid.prototree.recipe import initialize_from_patches
from pellucid.prototree.routing import distributed, path_log_probabilities
from tests.prototree.small_fits import TwoConvolutions, small_recipe
from tests.prototree.tiny_trees import PassThrough, batched, make_tree, random_images


class Convolutions(TwoConvolutions):
    channels = 6


def make_task(**options) -> TreeTask:
    torch.manual_seed(0)
    tree = ProtoTree(Convolutions(), 3, topology=Topology.full(2), latent_channels=8)
    return TreeTask(
        tree,
        small_recipe(**options),
        training_images=lambda: batched(IMAGES, LABELS, 5),
        generator=torch.Generator().manual_seed(4),
    )


IMAGES = torch.randn(12, 3, 8, 10, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 3


# ---------------------------------------------------------------- TreeRecipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, r"depth must be an integer in \[1, 16\], got 0. Use depth=6"),
        ({"depth": 17}, r"depth must be an integer in \[1, 16\], got 17"),
        ({"latent_channels": 0}, r"latent_channels must be an integer >= 1, got 0"),
        ({"epochs": 0}, r"epochs must be an integer >= 1, got 0"),
        ({"warm_up_epochs": -1}, r"warm_up_epochs must be an integer >= 0, got -1"),
        ({"epochs": 3, "warm_up_epochs": 3}, r"warm_up_epochs must be less than epochs=3, got 3"),
        ({"batch_size": 2.5}, r"batch_size must be an integer >= 1, got 2.5"),
        ({"top_k": 0}, r"top_k must be an integer >= 1, got 0"),
        ({"interim_projections": -1}, r"interim_projections must be an integer >= 0, got -1"),
        ({"routing_steepness": 0.5}, r"routing_steepness must be a number in \[1, 1000\], got 0.5"),
        ({"prototype_initialization": "patch"}, r"got 'patch'. Did you mean 'patches'\?"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, 1e\+30\], got 0"),
        ({"learning_rate": 1e38}, r"learning_rate must be .* got 1e\+38. Use learning_rate=0.00"),
        ({"backbone_learning_rate": -1}, r"backbone_learning_rate must be a number in \(0, 1e"),
        ({"prototype_learning_rate": math.nan}, r"prototype_learning_rate must be a number"),
        ({"decoupled_weight_decay": -1}, r"decoupled_weight_decay must be a number in \[0, 1e\+06"),
        ({"pruning_tolerance": 1}, r"pruning_tolerance must be a number in \[0, 1\), got 1"),
        ({"patch_size_px": 6}, r"patch_size_px must be an integer >= 7, got 6. Use about the size"),
        ({"patch_size_px": -1}, r"patch_size_px must be an integer >= 0, got -1"),
        ({"patch_size_px": False}, r"patch_size_px must be an integer >= 0, got False"),
        ({"patch_size_px": 0.0}, r"patch_size_px must be an integer >= 0, got 0.0"),
        (
            {"patch_size_px": 25, "backbone": "resnet18"},
            r"left out for backbone 'resnet18', got 25",
        ),
        ({"augmentation": None}, r"augmentation must be a pellucid.data.Augmentation, got None"),
    ],
)
def test_recipe_option_out_of_range_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        TreeRecipe(**options)


def test_recipe_defaults_warm_up_and_start_from_patches():
    recipe = TreeRecipe()
    assert recipe.warm_up_epochs > 0
    assert recipe.prototype_initialization == "patches"


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, 0), (2, 1), (6, 1), (7, 2), (15, 3), (60, 10), (120, 20)]
)
def test_recipe_warm_up_left_out_is_a_sixth_of_the_epochs_rounded_up(epochs, expected):
    assert TreeRecipe(epochs=epochs).warm_up_epochs == expected


def test_recipe_warm_up_zero_stays_zero():
    assert TreeRecipe(epochs=60, warm_up_epochs=0).warm_up_epochs == 0


@pytest.mark.parametrize(
    ("epochs", "warm_up", "projections", "expected"),
    [
        (16, 2, 3, (8, 12, 14)),
        (16, 2, 0, ()),
        (16, 9, 3, (12, 14)),
        (2, 0, 4, (1,)),
        (1, 0, 4, ()),
        (30, 5, 4, (15, 22, 26, 28)),
    ],
)
def test_recipe_projection_epochs_halve_what_remains(epochs, warm_up, projections, expected):
    recipe = TreeRecipe(epochs=epochs, warm_up_epochs=warm_up, interim_projections=projections)
    assert recipe.projection_epochs == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 25),
        ({"patch_size_px": 0}, None),
        ({"patch_size_px": 17}, 17),
        ({"weights": "somewhere.safetensors"}, None),
        ({"weights": "somewhere.safetensors", "patch_size_px": 17}, 17),
        ({"backbone": "resnet18"}, None),
    ],
)
def test_recipe_patch_size_left_out_goes_by_the_image_size(options, expected):
    assert TreeRecipe(**options).choose_patch_size_px((64, 64)) == expected


def test_recipe_patch_size_of_small_images_has_no_bound():
    assert TreeRecipe().choose_patch_size_px((32, 32)) is None


# ---------------------------------------------------------------- TreeTask


def test_task_warm_up_trains_backbone_and_head_but_no_prototype():
    task = make_task()
    assert task.begin_epoch(0, 2) == "warm-up"
    batch = task.step(IMAGES, LABELS)
    batch.objective.backward()
    assert batch.sums == {}
    assert task.tree.prototypes.grad is None
    assert next(task.tree.backbone.parameters()).grad.abs().sum() > 0


def test_task_tree_phase_trains_prototypes_and_answers_like_the_tree():
    task = make_task(warm_up_epochs=0)
    assert task.begin_epoch(0, 2) == "tree"
    batch = task.step(IMAGES, LABELS)
    batch.objective.backward()
    assert task.tree.prototypes.grad.abs().sum() > 0
    torch.testing.assert_close(batch.log_probabilities, task.tree(IMAGES).detach())
    expected = torch.nn.functional.nll_loss(batch.log_probabilities, LABELS)
    assert batch.objective.item() == pytest.approx(expected.item())


def test_task_steepness_rises_geometrically_over_the_epochs_of_the_tree():
    task = make_task(epochs=7, warm_up_epochs=2, routing_steepness=16.0)
    steepness = [task.steepness(epoch) for epoch in range(7)]
    assert steepness == pytest.approx([1, 1, 1, 2, 4, 8, 16])


def test_task_steepness_single_epoch_of_the_tree_is_1():
    assert make_task(epochs=2, warm_up_epochs=1).steepness(1) == 1


def test_task_objective_is_half_that_of_the_steep_tree():
    task = make_task(epochs=4, warm_up_epochs=1, routing_steepness=8.0)
    task.tree.leaf_counts.copy_(torch.arange(12.0).view(4, 3).cos())
    task.begin_epoch(3, 2)
    task.module.train()
    distances, _ = task.tree.distances(task.tree.latent(IMAGES))
    steep = path_log_probabilities(distances, task.tree.topology, steepness=8.0)
    steep_loss = torch.nn.functional.nll_loss(
        distributed(steep, task.tree.leaf_log_distributions()), LABELS
    )
    batch = task.step(IMAGES, LABELS)
    expected = (steep_loss + batch.cross_entropy) / 2
    assert batch.objective.item() == pytest.approx(expected.item(), rel=1e-5)
    assert batch.objective.item() != pytest.approx(batch.cross_entropy.item(), rel=1e-5)


def test_task_steepness_1_trains_the_soft_answer_alone():
    task = make_task(epochs=4, warm_up_epochs=1, routing_steepness=1.0)
    task.begin_epoch(3, 2)
    batch = task.step(IMAGES, LABELS)
    assert batch.objective is batch.cross_entropy


def test_task_step_sums_are_the_leaves_responsibilities():
    task = make_task(warm_up_epochs=0)
    task.begin_epoch(0, 2)
    sums = task.step(IMAGES, LABELS).sums
    answers = task.tree.answer(IMAGES)
    expected = leaf_responsibilities(
        answers.path_log_probability, leaf_log_distributions(task.tree.leaf_counts), LABELS
    )
    torch.testing.assert_close(sums["responsibilities"], expected.detach())
    assert sums["responsibilities"].sum().item() == pytest.approx(12, rel=1e-5)


def test_task_absorb_over_an_epoch_leaves_the_counts_of_its_images():
    task = make_task(warm_up_epochs=0)
    task.tree.leaf_counts.fill_(7.0)
    task.begin_epoch(0, 3)
    for part in (slice(0, 4), slice(4, 8), slice(8, 12)):
        task.absorb(task.step(IMAGES[part], LABELS[part]).sums)
    assert task.tree.leaf_counts.sum().item() == pytest.approx(12, rel=1e-5)


def test_task_absorb_in_warm_up_leaves_the_counts_alone():
    task = make_task()
    task.begin_epoch(0, 2)
    before = task.tree.leaf_counts.clone()
    task.absorb(task.step(IMAGES, LABELS).sums)
    assert torch.equal(task.tree.leaf_counts, before)


def test_task_prototypes_start_from_patches_once_after_the_warm_up():
    task = make_task(warm_up_epochs=1, interim_projections=0)
    start = task.tree.prototypes.detach().clone()
    task.begin_epoch(0, 2)
    assert torch.equal(task.tree.prototypes, start)
    task.begin_epoch(1, 2)
    patches = task.tree.prototypes.detach().clone()
    assert not torch.equal(patches, start)
    task.begin_epoch(2, 2)
    assert torch.equal(task.tree.prototypes, patches)


def test_task_random_initialization_keeps_the_prototypes():
    task = make_task(prototype_initialization="random", interim_projections=0)
    start = task.tree.prototypes.detach().clone()
    task.begin_epoch(0, 2)
    task.begin_epoch(1, 2)
    assert torch.equal(task.tree.prototypes, start)


def test_task_interim_projection_puts_prototypes_on_patches():
    task = make_task(epochs=4, interim_projections=1, warm_up_epochs=0)
    task.begin_epoch(2, 2)
    task.module.eval()
    distances, _ = task.tree.distances(task.tree.latent(IMAGES))
    assert distances.amin(0).max().item() < 1e-6


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_task_begin_epoch_ends_in_training_mode(epoch):
    task = make_task(interim_projections=4)
    task.module.eval()
    task.begin_epoch(epoch, 2)
    assert all(module.training for module in task.module.modules())


def test_task_frozen_backbone_keeps_weights_and_statistics():
    task = make_task(freeze_backbone=True, warm_up_epochs=0)
    before = {name: v.clone() for name, v in task.tree.backbone.state_dict().items()}
    task.begin_epoch(0, 2)
    task.step(IMAGES, LABELS).objective.backward()
    task.optimizer.step()
    for name, value in task.tree.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def rates(task: TreeTask) -> dict[int, tuple[float, float]]:
    """Return (learning rate, weight decay) of each parameter, by its identity."""
    return {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in task.optimizer.param_groups
        for parameter in group["params"]
    }


def test_task_parameter_groups_have_their_own_rates_and_decay():
    task = make_task(
        learning_rate=0.1,
        backbone_learning_rate=0.01,
        prototype_learning_rate=0.2,
        decoupled_weight_decay=0.5,
    )
    found, tree = rates(task), task.tree
    convolution, norm = tree.backbone.layers[0], tree.backbone.layers[1]
    assert found[id(convolution.weight)] == (0.01, 0.5)
    assert found[id(norm.weight)] == (0.01, 0.0)
    assert found[id(tree.add_on.weight)] == (0.1, 0.5)
    assert found[id(tree.prototypes)] == (0.2, 0.0)


def test_task_pretrained_backbone_learns_at_a_tenth_by_default():
    task = make_task(learning_rate=0.1, weights="somewhere.safetensors")
    found = rates(task)
    assert found[id(task.tree.backbone.layers[0].weight)][0] == pytest.approx(0.01)
    assert found[id(task.tree.prototypes)][0] == 0.1


@pytest.mark.parametrize("freeze", [False, True])
def test_task_every_trainable_parameter_is_in_one_group(freeze):
    task = make_task(freeze_backbone=freeze)
    grouped = [p for group in task.optimizer.param_groups for p in group["params"]]
    trainable = {id(p) for p in task.module.parameters() if p.requires_grad}
    assert sorted(map(id, grouped)) == sorted(trainable)


def test_task_learning_rate_falls_from_1_to_0_as_a_cosine():
    task = make_task(epochs=4)
    assert task.learning_rate_factor(0, 0.0) == 1
    assert task.learning_rate_factor(2, 0.0) == pytest.approx(0.5)
    assert task.learning_rate_factor(3, 1.0) == pytest.approx(0)


def test_task_predict_follows_the_phase():
    task = make_task()
    task.begin_epoch(0, 2)
    task.module.eval()
    warm = task.predict(IMAGES)
    task.begin_epoch(1, 2)
    task.module.eval()
    torch.testing.assert_close(task.predict(IMAGES), task.tree(IMAGES))
    assert not torch.allclose(warm, task.predict(IMAGES))


# ---------------------------------------------------------------- initialize_from_patches


def drawn(size: int, *, seed: int = 0, branches: int = 7, count: int = 6):
    tree = make_tree(Topology.full(3))
    images = random_images(count, size=(2, 2))
    labels = torch.zeros(count, dtype=torch.int64)
    initialize_from_patches(
        tree, batched(images, labels, size), generator=torch.Generator().manual_seed(seed)
    )
    return tree, tree.patches(tree.latent(images)).flatten(0, 1)


def test_initialize_from_patches_takes_different_patches_of_the_images():
    tree, patches = drawn(4)
    which = torch.cdist(tree.prototypes.flatten(1), patches)
    assert which.min(1).values.max() == 0
    assert len(set(which.argmin(1).tolist())) == 7


@pytest.mark.parametrize("size", [1, 4])
def test_initialize_from_patches_batch_grouping_does_not_matter(size):
    assert torch.equal(drawn(size)[0].prototypes, drawn(6)[0].prototypes)


def test_initialize_from_patches_other_seed_takes_other_patches():
    assert not torch.equal(drawn(6, seed=1)[0].prototypes, drawn(6, seed=2)[0].prototypes)


def test_initialize_from_patches_fewer_patches_than_prototypes_are_used_in_turn():
    tree, patches = drawn(1, count=1)
    assert len(patches) == 4
    assert torch.equal(tree.prototypes[4:], tree.prototypes[:3])


def test_initialize_from_patches_draws_each_patch_about_equally_often():
    tree, images = make_tree(Topology.full(1)), random_images(2, size=(1, 4))
    labels = torch.zeros(2, dtype=torch.int64)
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(8)
    patches = tree.patches(tree.latent(images)).flatten(0, 1)
    for _ in range(800):
        initialize_from_patches(tree, batched(images, labels, 1), generator=generator)
        counts += (patches == tree.prototypes.flatten(1)).all(1)
    # A binomial of mean 100 and deviation 9.4.
    assert counts.sum() == 800
    assert (counts - 100).abs().max() < 45


def test_initialize_from_patches_no_images_is_refused():
    with pytest.raises(DataError, match="initialization needs at least one image, got 0"):
        initialize_from_patches(make_tree(Topology.full(1)), [], generator=torch.Generator())


def test_recipe_augmentation_is_printable_data():
    assert "Augmentation(" in repr(small_recipe(augmentation=Augmentation(flip=True)))


def test_task_pass_through_backbone_without_parameters_works():
    tree = ProtoTree(PassThrough(3), 3, topology=Topology.full(1), latent_channels=4)
    task = TreeTask(
        tree,
        small_recipe(warm_up_epochs=0),
        training_images=lambda: batched(IMAGES, LABELS, 6),
        generator=torch.Generator(),
    )
    task.begin_epoch(0, 1)
    assert task.step(IMAGES, LABELS).objective.isfinite()
