from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from pellucid import DataError, UsageError
from pellucid.data import LabelledData, Splits
from pellucid.prototree import Topology, fit_tree, load_tree, save_tree
from pellucid.prototree.fitting import finish_tree
from pellucid.runs import Run
from tests.prototree.small_fits import TwoConvolutions, small_data, small_recipe


def fit(data: LabelledData | None = None, **options):
    recipe = options.pop("recipe", None) or small_recipe(**options.pop("recipe_options", {}))
    torch.manual_seed(0)
    options.setdefault("backbone", TwoConvolutions())
    return fit_tree(data or small_data(), recipe, quiet=True, **options)


@pytest.fixture(scope="module")
def fitted_once():
    return fit()


def same_weights(first, second) -> bool:
    mine, other = first.state_dict(), second.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in mine.items())


def rows_without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_fit_tree_prototypes_are_patches_of_training_images(fitted_once):
    fitted, data = fitted_once.fitted, small_data()
    training = set(data.splits.train.tolist())
    assert len(fitted.sources) == fitted.tree.topology.branches
    for branch, source in enumerate(fitted.sources):
        assert source.image in training
        pixels = fitted.normalization(data.images.read(torch.tensor([source.image])))
        distances, positions = fitted.tree.distances(fitted.tree.latent(pixels))
        assert distances[0, branch].item() < 1e-6
        assert positions[0, branch].tolist() == [source.row, source.column]


def test_fit_tree_neighbors_begin_with_the_source_itself(fitted_once):
    fitted = fitted_once.fitted
    for source, neighbors in zip(fitted.sources, fitted.neighbors, strict=True):
        assert len(neighbors) == 2
        assert neighbors[0].distance < 1e-6
        assert neighbors[0].image == source.image
        assert neighbors[0].distance <= neighbors[1].distance


def test_fit_tree_pruning_names_the_branches_of_the_full_tree(fitted_once):
    pruning = fitted_once.fitted.pruning
    assert pruning.prototypes_before == 3
    assert pruning.prototypes_after == fitted_once.fitted.tree.topology.branches
    assert set(pruning.branches) <= {0, 1, 2}


def test_fit_tree_unprojected_tree_is_as_training_left_it(fitted_once):
    unprojected = fitted_once.unprojected
    assert unprojected.tree.topology == Topology.full(2)
    assert unprojected.sources == ()
    assert unprojected.tree is not fitted_once.fitted.tree


def test_fit_tree_ends_in_evaluation_mode(fitted_once):
    assert not fitted_once.fitted.tree.training
    assert not fitted_once.unprojected.tree.training


def test_fit_tree_leaves_count_the_training_images(fitted_once):
    counts = fitted_once.fitted.tree.leaf_counts
    assert counts.min() >= 0
    assert counts.sum().item() <= 21 + 1e-3


def test_fit_tree_twice_gives_the_same_tree(fitted_once):
    again = fit()
    assert same_weights(again.fitted.tree, fitted_once.fitted.tree)
    assert again.fitted.sources == fitted_once.fitted.sources


def test_fit_tree_topology_of_ones_own_is_used():
    result = fit(topology=Topology.from_nested(((0, 1), 2)))
    assert result.unprojected.tree.topology == Topology.from_nested(((0, 1), 2))


def test_fit_tree_larger_prototypes_work():
    result = fit(recipe_options={"prototype_size": (2, 3)})
    assert result.fitted.tree.prototypes.shape[2:] == (2, 3)


def test_fit_tree_own_backbone_by_name_works():
    data = small_data()
    result = fit_tree(data, small_recipe(epochs=2), quiet=True)
    assert result.training.status == "finished"
    assert result.fitted.recipe.backbone == "patch_cnn"


def test_fit_tree_without_validation_the_last_epoch_stands():
    data = small_data(validation=0)
    assert fit(data).training.best_epoch == 2


# ---------------------------------------------------------------- the test split


def test_fit_tree_never_reads_a_test_image(monkeypatch):
    data, seen = small_data(), set()
    read = type(data.images).read

    def watch(self, indices):
        seen.update(indices.tolist())
        return read(self, indices)

    monkeypatch.setattr(type(data.images), "read", watch)
    monkeypatch.setattr(
        type(data.images), "original", lambda *_: pytest.fail("an original was opened")
    )
    fit(data)
    assert seen == set(data.splits.train.tolist()) | set(data.splits.validation.tolist())


def test_fit_tree_test_pixels_and_labels_change_nothing(fitted_once):
    data = small_data()
    data.images.pixels[data.splits.test] = 255 - data.images.pixels[data.splits.test]
    data.images.labels[data.splits.test] = 0
    assert same_weights(fit(data).fitted.tree, fitted_once.fitted.tree)


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("epochs_before", [1, 2])
def test_fit_tree_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path, monkeypatch, fitted_once, epochs_before
):
    run = Run.create(tmp_path / "run", command="fit", config={})
    save = Run.save_checkpoint

    def fail_later(self, name, tensors, state):
        if state["epochs_done"] > epochs_before:
            raise RuntimeError("power cut")
        return save(self, name, tensors, state)

    monkeypatch.setattr(Run, "save_checkpoint", fail_later)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(run=run)
    monkeypatch.undo()
    result = fit(run=Run.open(run.path), resume=True)
    assert same_weights(result.fitted.tree, fitted_once.fitted.tree)
    assert same_weights(result.unprojected.tree, fitted_once.unprojected.tree)
    assert rows_without_seconds(run.metrics()) == rows_without_seconds(fitted_once.training.history)


def test_fit_tree_round_trip_through_a_file_answers_alike(tmp_path, fitted_once):
    fitted, data = fitted_once.fitted, small_data()
    save_tree(fitted, tmp_path / "model.safetensors")
    loaded = load_tree(tmp_path / "model.safetensors", backbone=copy.deepcopy(fitted.tree.backbone))
    pixels = fitted.normalization(data.images.read(data.splits.test))
    assert torch.equal(loaded.tree(pixels), fitted.tree(pixels))
    assert dataclasses.replace(loaded, tree=fitted.tree) == fitted


# ---------------------------------------------------------------- finish_tree


def test_finish_tree_prunes_no_accuracy_away_beyond_the_tolerance():
    data = small_data()
    start = fit(recipe_options={"epochs": 6}).unprojected
    fitted, _ = finish_tree(copy.deepcopy(start), data)
    pixels = fitted.normalization(data.images.read(data.splits.train))
    labels = data.images.labels[data.splits.train]
    before = (start.tree(pixels).argmax(1) != labels).sum()
    after = (fitted.tree(pixels).argmax(1) != labels).sum()
    assert after <= before + 1


# ---------------------------------------------------------------- what cannot be trained on


def test_fit_tree_too_few_training_images_is_refused():
    data = small_data()
    splits = Splits(train=data.splits.train[:1], validation=torch.arange(0), test=torch.arange(0))
    with pytest.raises(DataError, match="training needs at least 2 images, got 1"):
        fit(dataclasses.replace(data, splits=splits))


def test_fit_tree_one_class_is_refused_as_bad_data():
    with pytest.raises(DataError, match="class"):
        fit(small_data(classes=1))


def test_fit_tree_backbone_that_gives_no_map_is_refused():
    with pytest.raises(UsageError, match="must return a float tensor"):
        fit(backbone=torch.nn.Flatten())


def test_fit_tree_diverged_keeps_the_last_good_tree():
    class Explodes(TwoConvolutions):
        steps = 0

        def forward(self, images):
            # 21 images make two batches of 8: NaN in the third epoch.
            self.steps += self.training
            bad = self.training and self.steps > 4
            return super().forward(images) * (float("nan") if bad else 1.0)

    result = fit(backbone=Explodes(), recipe_options={"interim_projections": 0})
    assert result.training.status == "diverged"
    assert all(value.isfinite().all() for value in result.fitted.tree.state_dict().values())


def test_fit_tree_diverged_in_the_first_epoch_says_so():
    result = fit(recipe_options={"warm_up_epochs": 0, "learning_rate": 1e30})
    assert result.training.status == "diverged"
