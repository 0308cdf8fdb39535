from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from pellucid import DataError, UsageError
from pellucid.backbones import create_backbone, measure_receptive_field, wrap_module
from pellucid.prototree import ProtoTree, Topology, load_tree, save_tree
from pellucid.prototree.fitted import read_extra
from tests.prototree.small_fits import TwoConvolutions, colored_patches, fitted_by_hand


@pytest.fixture
def fitted():
    return fitted_by_hand()


@pytest.fixture
def saved(fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    save_tree(fitted, path)
    return path


def fresh_backbone():
    return wrap_module(TwoConvolutions(), image_size=(8, 10))


# ---------------------------------------------------------------- round trip


def test_load_tree_gives_the_weights_back_bit_for_bit(fitted, saved):
    loaded = load_tree(saved, backbone=fresh_backbone())
    before, after = fitted.tree.state_dict(), loaded.tree.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value), name
        assert after[name].dtype == value.dtype


def test_load_tree_gives_every_other_field_back(fitted, saved):
    loaded = load_tree(saved, backbone=fresh_backbone())
    for field in dataclasses.fields(fitted):
        if field.name != "tree":
            assert getattr(loaded, field.name) == getattr(fitted, field.name), field.name
    assert loaded.tree.topology == fitted.tree.topology


def test_load_tree_answers_bit_for_bit_alike(fitted, saved):
    loaded = load_tree(saved, backbone=fresh_backbone())
    images = torch.rand(3, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.tree(images), fitted.tree(images))
    assert not loaded.tree.training


def test_save_tree_again_gives_the_same_bytes(saved, tmp_path):
    again = tmp_path / "again.safetensors"
    save_tree(load_tree(saved, backbone=fresh_backbone()), again)
    assert saved.read_bytes() == again.read_bytes()


def test_save_tree_with_extra_again_gives_the_same_bytes(fitted, tmp_path):
    paths = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for path in paths:
        save_tree(fitted, path, extra={"classes": [1, 2], "name": "ünï"})
    assert len({path.read_bytes() for path in paths}) == 1


def test_load_tree_of_a_named_backbone_builds_it(fitted, tmp_path):
    backbone = create_backbone("patch_cnn", image_size=(8, 10))
    tree = ProtoTree(backbone, 3, topology=Topology.full(2), latent_channels=5).eval()
    named = dataclasses.replace(
        fitted,
        tree=tree,
        recipe=dataclasses.replace(fitted.recipe, backbone="patch_cnn"),
        receptive_field=measure_receptive_field(backbone, (8, 10)),
        pruning=None,
    )
    save_tree(named, tmp_path / "named.safetensors")
    loaded = load_tree(tmp_path / "named.safetensors")
    images = torch.rand(2, 3, 8, 10)
    assert torch.equal(loaded.tree(images), tree(images))
    assert loaded.pruning is None


def save_named(fitted, path, *, patch_size_px):
    """Save a tree on a ``patch_cnn`` for 64 x 64 px and return it."""
    backbone = create_backbone("patch_cnn", image_size=(64, 64), patch_size_px=patch_size_px)
    tree = ProtoTree(backbone, 3, topology=Topology.full(2), latent_channels=5).eval()
    recipe = dataclasses.replace(
        fitted.recipe, backbone="patch_cnn", patch_size_px=patch_size_px or 0
    )
    save_tree(dataclasses.replace(fitted, tree=tree, recipe=recipe, image_size=(64, 64)), path)
    return tree


def test_load_tree_with_a_patch_size_builds_that_network(fitted, tmp_path):
    path = tmp_path / "bounded.safetensors"
    tree = save_named(fitted, path, patch_size_px=17)
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(load_tree(path).tree(images), tree(images))


def test_load_tree_from_before_patch_sizes_has_no_bound(fitted, tmp_path):
    path = tmp_path / "old.safetensors"
    tree = save_named(fitted, path, patch_size_px=None)
    with safe_open(str(path), framework="pt") as file:
        description = json.loads(file.metadata()["pellucid"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del description["recipe"]["patch_size_px"]
    save_file(tensors, path, metadata={"pellucid": json.dumps(description)})
    loaded = load_tree(path)
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded.tree(images), tree(images))
    assert loaded.recipe.patch_size_px == 0


def test_read_extra_gives_back_what_was_written(fitted, tmp_path):
    save_tree(fitted, tmp_path / "tree.safetensors", extra={"classes": ["a", 1, None]})
    assert read_extra(tmp_path / "tree.safetensors") == {"classes": ["a", 1, None]}


def test_read_extra_of_a_tree_without_any_is_empty(saved):
    assert read_extra(saved) == {}


def test_save_tree_tied_weights_round_trip(fitted, tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1, bias=False)
            self.second = nn.Conv2d(3, 3, 1, bias=False)
            self.second.weight = self.first.weight

        def forward(self, images):
            return self.second(self.first(images))

    tree = ProtoTree(
        wrap_module(Tied(), image_size=(8, 10)), 3, topology=Topology.full(2), latent_channels=5
    ).eval()
    save_tree(dataclasses.replace(fitted, tree=tree), tmp_path / "tied.safetensors")
    loaded = load_tree(
        tmp_path / "tied.safetensors", backbone=wrap_module(Tied(), image_size=(8, 10))
    )
    images = torch.rand(2, 3, 8, 10)
    assert torch.equal(loaded.tree(images), tree(images))


# ---------------------------------------------------------------- files that are no tree


def test_load_tree_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a tree that Pellucid wrote"):
        load_tree(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -100, -1])
def test_load_tree_truncated_file_is_refused(saved, kept):
    content = saved.read_bytes()
    saved.write_bytes(content[:kept])
    with pytest.raises(DataError, match="is not a tree that Pellucid wrote"):
        load_tree(saved, backbone=fresh_backbone())


def test_load_tree_text_file_is_refused(tmp_path):
    (tmp_path / "tree.safetensors").write_text("hello " * 50)
    with pytest.raises(DataError, match="is not a tree that Pellucid wrote"):
        load_tree(tmp_path / "tree.safetensors")


def test_load_tree_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="is not a tree that Pellucid wrote"):
        load_tree(tmp_path / "other.safetensors")


def described(path, description) -> None:
    save_file({"weight": torch.zeros(3)}, path, metadata={"pellucid": description})


def test_load_tree_description_not_json_is_refused(tmp_path):
    described(tmp_path / "tree.safetensors", "{")
    with pytest.raises(DataError, match="is not a tree that Pellucid wrote"):
        load_tree(tmp_path / "tree.safetensors")


def test_load_tree_later_format_is_refused(tmp_path):
    described(tmp_path / "tree.safetensors", json.dumps({"format": 99}))
    with pytest.raises(DataError, match="has format 99; update Pellucid"):
        load_tree(tmp_path / "tree.safetensors")


@pytest.mark.parametrize(
    "description", ["[]", '{"format": 1}', '{"format": 1, "recipe": {"x": 1}}']
)
def test_load_tree_incomplete_description_is_refused(tmp_path, description):
    described(tmp_path / "tree.safetensors", description)
    with pytest.raises(DataError, match="tree"):
        load_tree(tmp_path / "tree.safetensors")


def test_load_tree_backbone_that_does_not_fit_is_refused(saved):
    other = wrap_module(TwoConvolutions(channels=7), image_size=(8, 10))
    with pytest.raises((UsageError, DataError), match="backbone"):
        load_tree(saved, backbone=other)


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_read_extra_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "tree.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="is not a tree that Pellucid wrote"):
        read_extra(path)


def test_load_tree_users_own_backbone_must_be_given(saved):
    with pytest.raises(UsageError, match=r"backbone must be given for .*TwoConvolutions"):
        load_tree(saved)


def test_save_tree_unwritable_place_is_refused(fitted, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        save_tree(fitted, tmp_path / "file" / "tree.safetensors")


# ---------------------------------------------------------------- what a fitted tree tells


def test_normalized_batches_give_every_image_once_in_order(fitted):
    images = colored_patches(7)
    indices = torch.tensor([6, 0, 3, 2, 5])
    batches = list(fitted.normalized_batches(images, indices, batch_size=2))
    assert torch.cat([which for _, _, which in batches]).tolist() == indices.tolist()
    assert torch.cat([labels for _, labels, _ in batches]).tolist() == (indices % 3).tolist()
    expected = fitted.normalization(images.read(indices))
    torch.testing.assert_close(torch.cat([pixels for pixels, _, _ in batches]), expected)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (2, 3)])
def test_patch_box_is_the_union_of_its_cells_boxes(size):
    fitted = fitted_by_hand(prototype_size=size)
    cells = [
        fitted.receptive_field.box(1 + row, 2 + column)
        for row in range(size[0])
        for column in range(size[1])
    ]
    box = fitted.patch_box(1, 2)
    assert box == (
        min(cell.top for cell in cells),
        min(cell.left for cell in cells),
        max(cell.bottom for cell in cells),
        max(cell.right for cell in cells),
    )


def test_duplicates_are_branches_of_one_and_the_same_patch(fitted):
    source = fitted.sources[0]
    elsewhere = dataclasses.replace(source, column=0)
    sources = (source, elsewhere, dataclasses.replace(source, distance=9.0))
    assert dataclasses.replace(fitted, sources=sources).duplicates() == ((0, 2),)
