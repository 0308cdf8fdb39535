from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from pellucid import UsageError
from pellucid.data import Creatures, CreatureSettings, Difficulty, batches
from pellucid.data.creatures import scenes as drawn
from pellucid.data.creatures.scenery import class_backgrounds, paint_background
from tests.reference import supersampled_eggs

HARD = Difficulty(pose=1.0, occlusion=1.0, clutter=1.0)
PARTS = ("ears", "eyes", "beak", "wings", "feet")
FEW = torch.tensor([0, 1, 2, 3, 17, 40, 60, 79])
in_every_part = pytest.mark.parametrize("part", PARTS)


def small_set(image_size=(48, 40), *, per_class=4, memory_limit_bytes=2**29, **settings):
    chosen = {"classes": 10, "train_per_class": per_class, "test_per_class": per_class} | settings
    return Creatures(
        CreatureSettings(validation_per_class=2, **chosen),
        image_size=image_size,
        memory_limit_bytes=memory_limit_bytes,
    )


@pytest.fixture(scope="module")
def hard() -> Creatures:
    return small_set(difficulty=HARD)


def changed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first != second).any(dim=1)


# Reading.


def test_read_gives_bytes_of_the_size_asked_for(hard):
    pixels = hard.read(FEW)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (8, 3, 48, 40)
    assert len(torch.unique(pixels.flatten(1), dim=0)) == 8


@pytest.mark.parametrize("memory_limit_bytes", [0, 2**29])
def test_read_is_the_same_in_every_batch_and_order(memory_limit_bytes):
    images = small_set(difficulty=HARD, memory_limit_bytes=memory_limit_bytes)
    everything = images.read(torch.arange(len(images)))
    fresh = small_set(difficulty=HARD, memory_limit_bytes=memory_limit_bytes)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 32):
        for part in order[:48].split(size):
            assert torch.equal(fresh.read(part), everything[part])


def test_read_is_the_same_across_the_blocks_of_a_large_batch(monkeypatch, hard):
    whole = hard.render(FEW)
    monkeypatch.setattr(drawn, "_BLOCK_PIXELS", 48 * 40 * 3)
    assert torch.equal(hard.render(FEW), whole)
    assert torch.equal(hard.annotations(FEW).masks[5:], hard.annotations(FEW[5:]).masks)


def test_read_from_many_threads_is_the_same():
    expected = small_set().read(torch.arange(100))
    images = small_set()
    parts = torch.arange(100).repeat(3).split(11)
    with ThreadPoolExecutor(6) as threads:
        for part, pixels in zip(parts, threads.map(images.read, parts), strict=True):
            assert torch.equal(pixels, expected[part])


def test_read_what_was_kept_is_what_would_be_rendered():
    images = small_set()
    first, again = images.read(FEW), images.read(FEW.flip(0))
    assert torch.equal(first.flip(0), again)
    assert torch.equal(first, images.render(FEW))


def test_read_copy_with_other_labels_shows_the_same_creatures():
    images = small_set()
    spoiled = copy.copy(images)
    spoiled.labels = images.labels.flip(0)
    images.read(FEW[:4])
    assert torch.equal(spoiled.read(FEW), images.read(FEW))
    assert torch.equal(spoiled.variants(FEW), images.variants(FEW))


def test_read_after_being_sent_to_another_process_is_the_same():
    images = small_set()
    pixels = images.read(FEW)
    sent = pickle.dumps(images)
    assert len(sent) < 100_000
    assert torch.equal(pickle.loads(sent).read(FEW), pixels)


def test_read_nothing_gives_an_empty_batch(hard):
    assert hard.read(torch.empty(0, dtype=torch.int64)).shape == (0, 3, 48, 40)


def test_batches_of_creatures_carry_their_labels():
    images = small_set()
    for pixels, labels, indices in batches(images, images.splits.train, batch_size=16):
        assert torch.equal(pixels, images.render(indices))
        assert torch.equal(labels, indices % 10)


def test_read_differs_by_seed():
    assert not torch.equal(small_set().read(FEW), small_set(seed=1).read(FEW))


def test_read_more_images_leave_the_others_as_they_are():
    few, many = small_set(), small_set(per_class=6)
    for part in ("train", "validation", "test"):
        first = few.render(getattr(few.splits, part))
        assert torch.equal(many.render(getattr(many.splits, part)[: len(first)]), first)


def test_splits_are_disjoint_and_balanced():
    images = small_set()
    splits = images.splits
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [40, 20, 40]
    for part in (splits.train, splits.validation, splits.test):
        assert len(torch.unique(torch.bincount(images.labels[part]))) == 1
    assert len(torch.unique(images.read(torch.arange(100)).flatten(1), dim=0)) == 100


@pytest.mark.parametrize("index", [3, 41])
def test_read_follows_a_plain_renderer(index):
    """The whole picture, parts and all, against one with many points a pixel."""
    hard = small_set((32, 28), difficulty=HARD)
    indices = torch.tensor([index])
    scenes = hard._scenes(indices)
    eggs = drawn.arrange_eggs(scenes, (32, 28))
    background = paint_background(
        drawn.background_draws(scenes),
        drawn.choose_backgrounds(scenes),
        (32, 28),
        contrast=0.85,
    )
    labels = drawn.render_scenes(scenes, (32, 28), annotate=True).labels
    listed = [
        {name: getattr(eggs, name)[0, place] for name in vars(eggs)}
        for place in np.flatnonzero(eggs.present[0])
    ]
    expected, codes = supersampled_eggs.paint(background[:, 0].astype(float), listed)
    difference = np.abs(hard.read(indices)[0].numpy() / 255 - np.clip(expected, 0, 1))
    # What differs are edges: shapes that share a pixel, and outlines of what is thinner than them.
    assert difference.mean() < 0.02
    assert np.quantile(difference, 0.95) < 0.1
    points = codes.reshape(32, 8, 28, 8)
    agree = np.ptp(points, axis=(1, 3)) == 0
    assert np.array_equal(labels[0][agree], points[:, 0, :, 0][agree])


@pytest.mark.parametrize("pattern", range(5))
def test_paint_background_is_the_average_of_a_finer_one(pattern):
    draws = drawn.Draws(0, np.arange(3))
    backgrounds = np.array([0, 3, 6]) + 8 * pattern
    coarse = paint_background(draws, backgrounds, (48, 40), contrast=0.8)
    fine = paint_background(draws, backgrounds, (192, 160), contrast=0.8)
    average = fine.reshape(3, 3, 48, 4, 40, 4).mean(axis=(3, 5))
    assert np.abs(coarse - average).mean() < 0.004
    assert np.abs(coarse - average).max() < 0.09


# Parts.


def test_annotations_have_the_shapes_promised(hard):
    found = hard.annotations(FEW)
    assert found.masks.shape == found.touched.shape == (8, 5, 48, 40)
    assert found.centers_px.shape == (8, 5, 2)
    assert found.visible.shape == (8, 5)
    assert found.creature.shape == (8, 48, 40)
    assert found.objects.shape == (8, 6, 48, 40)
    assert {mask.dtype for mask in (found.masks, found.visible, found.touched)} == {torch.bool}


def test_annotations_masks_do_not_overlap(hard):
    found = hard.annotations(torch.arange(len(hard)))
    assert found.masks.sum(dim=1).max() == 1
    assert not (found.masks & ~found.touched).any()
    assert not (found.masks.any(dim=1) & ~found.creature).any()
    assert not (found.objects.any(dim=1) & found.creature).any()
    assert torch.equal(found.visible, found.masks.any(dim=3).any(dim=2))


def test_annotations_centers_lie_within_the_mask_of_easy_creatures():
    images = small_set((96, 96), difficulty=Difficulty(pose=0.5, occlusion=0, clutter=0))
    found = images.annotations(torch.arange(40))
    assert found.visible.all()
    row, column = found.centers_px.floor().long().unbind(-1)
    image, part = torch.meshgrid(torch.arange(40), torch.arange(5), indexing="ij")
    on_it = found.masks[image, part, row, column]
    # The middle of a wing that is half behind the body may lie beside it, but not often.
    assert on_it.float().mean() > 0.97


def test_annotations_center_of_a_single_piece_is_the_mean_of_its_pixels(hard):
    found = hard.annotations(FEW)
    for image in range(len(FEW)):
        pixels = found.masks[image, 2].nonzero().to(torch.float64)  # the beak is no pair
        assert torch.allclose(found.centers_px[image, 2], pixels.mean(dim=0) + 0.5)


def test_annotations_center_of_a_pair_is_that_of_its_larger_piece():
    easy = Difficulty(pose=0, occlusion=0, clutter=0)
    images = small_set((64, 64), difficulty=easy)
    found = images.annotations(torch.arange(10))
    assert (found.centers_px[:, 0, 1] - 32).abs().min() > 4  # ears
    assert (found.centers_px[:, 3, 1] - 32).abs().min() > 8  # wings


@in_every_part
def test_annotations_part_left_out_is_invisible(hard, part):
    variants = hard.variants(FEW).clone()
    number = PARTS.index(part)
    variants[:, number] = -1
    found = hard.annotations(FEW, variants=variants)
    assert not found.visible[:, number].any()
    assert not found.touched[:, number].any()
    assert found.centers_px[:, number].isnan().all()


# Interventions.


def test_render_without_changes_is_what_read_gives(hard):
    assert torch.equal(hard.render(FEW), hard.read(FEW))
    same = hard.render(FEW, variants=hard.variants(FEW), objects=torch.ones(6, dtype=torch.bool))
    assert torch.equal(same, hard.read(FEW))


@in_every_part
def test_without_part_changes_only_what_the_part_touched(hard, part):
    everything = torch.arange(len(hard))
    found = hard.annotations(everything)
    number = PARTS.index(part)
    difference = changed(hard.read(everything), hard.without_part(everything, part))
    assert not (difference & ~found.touched[:, number]).any()
    mask = found.masks[:, number]
    assert difference[mask].float().mean() > 0.97
    assert torch.equal(hard.without_part(everything, number), hard.without_part(everything, [part]))


@in_every_part
def test_with_variant_changes_only_what_either_variant_touches(hard, part):
    number = PARTS.index(part)
    before = hard.annotations(FEW)
    other = (hard.variants(FEW)[:, number] + 1) % 4
    variants = hard.variants(FEW).clone()
    variants[:, number] = other
    after = hard.annotations(FEW, variants=variants)
    difference = changed(hard.read(FEW), hard.with_variant(FEW, part, other))
    assert not (difference & ~(before.touched | after.touched)[:, number]).any()
    assert difference.flatten(1).any(dim=1).sum() >= 6
    for variant in range(4):
        of = hard.variants(FEW)[:, number] == variant
        same = hard.with_variant(FEW[of], part, variant)
        assert torch.equal(same, hard.read(FEW[of]))


def test_with_variant_of_the_differing_part_turns_a_creature_into_its_twin(hard):
    differing = (hard.class_parts[0] != hard.class_parts[1]).nonzero().item()
    index = torch.tensor([0])
    twin = hard.with_variant(index, differing, int(hard.class_parts[1, differing]))
    assert torch.equal(twin, hard.render(index, variants=hard.class_parts[1:2]))


def test_without_all_parts_leaves_the_body(hard):
    bare = hard.without_part(FEW, PARTS)
    found = hard.annotations(FEW, variants=torch.full((8, 5), -1))
    assert not found.visible.any()
    assert found.creature.flatten(1).any(dim=1).all()
    for part in PARTS:
        assert not torch.equal(bare, hard.without_part(FEW, part))


def test_with_background_leaves_the_inside_of_the_creature(hard):
    other = hard.with_background(FEW, 5)
    difference = changed(hard.read(FEW), other)
    found = hard.annotations(FEW)
    assert not (difference & ~found.background).any()
    assert (~found.background & found.creature).sum() > 0.5 * found.creature.sum()
    assert difference[found.background].float().mean() > 0.9
    assert torch.equal(other, hard.with_background(FEW, 5))
    assert not torch.equal(other, hard.with_background(FEW, 6))


def test_without_objects_changes_only_what_is_not_creature(hard):
    found = hard.annotations(FEW)
    whole = hard.read(FEW)
    bare = hard.without_objects(FEW)
    for number in range(6):
        mask = found.objects[:, number]
        alone = changed(whole, hard.without_objects(FEW, [number]))
        assert alone[mask].float().mean() > 0.9
        assert changed(whole, bare)[mask].float().mean() > 0.9
    assert not (changed(whole, bare) & ~found.background).any()
    assert torch.equal(hard.without_objects(FEW, []), whole)


# Difficulty.


def test_pose_zero_puts_every_creature_in_the_middle():
    images = small_set((64, 64), difficulty=Difficulty(pose=0, occlusion=0, clutter=0))
    first = images.annotations(torch.tensor([0, 10, 20]))
    assert torch.equal(first.masks[0], first.masks[1])
    assert torch.equal(first.masks[0], first.masks[2])


def test_pose_moves_turns_and_mirrors():
    images = small_set((64, 64), difficulty=Difficulty(pose=1, occlusion=0, clutter=0))
    scenes = images._scenes(torch.arange(80))
    pose = drawn.draw_pose(drawn.Draws(0, scenes.numbers), (64, 64), 1.0)
    assert 0.3 < pose.mirrored.mean() < 0.7
    assert pose.size_px.min() < 42
    assert pose.size_px.max() > 58
    assert np.ptp(pose.x) > 10
    assert np.ptp(pose.sine) > 0.8


def test_occlusion_hides_more_of_the_parts():
    shares = []
    for occlusion in (0.0, 0.5, 1.0):
        images = small_set((64, 64), difficulty=Difficulty(occlusion=occlusion))
        shares.append(images.annotations(torch.arange(80)).masks.float().mean().item())
    assert shares[0] > 1.03 * shares[1] > 1.03 * shares[2]


def test_occlusion_one_leaves_most_parts_visible(hard):
    assert hard.annotations(torch.arange(len(hard))).visible.float().mean() > 0.95


def test_clutter_zero_has_no_objects():
    images = small_set(difficulty=Difficulty(clutter=0))
    assert not images.annotations(FEW).objects.any()
    assert small_set(difficulty=HARD).annotations(FEW).objects.any(dim=(2, 3)).float().mean() > 0.5


def test_shortcut_gives_the_class_away_except_in_test_images():
    images = small_set(per_class=50, difficulty=Difficulty(shortcut=1.0))
    told = torch.from_numpy(class_backgrounds(images.labels.numpy()))
    for part in (images.splits.train, images.splits.validation):
        assert torch.equal(images.backgrounds(part), told[part])
    test = images.splits.test
    assert (images.backgrounds(test) == told[test]).float().mean() < 0.07
    assert len(torch.unique(images.backgrounds(test))) == 40


def test_shortcut_of_a_half_tells_half_of_them():
    images = small_set(per_class=50, difficulty=Difficulty(shortcut=0.5))
    train = images.splits.train
    told = torch.from_numpy(class_backgrounds(images.labels[train].numpy()))
    assert 0.43 < (images.backgrounds(train) == told).float().mean() < 0.6


def test_shortcut_changes_neither_test_images_nor_creatures():
    plain, shortcut = small_set(), small_set(difficulty=Difficulty(shortcut=1.0))
    assert torch.equal(plain.render(plain.splits.test), shortcut.render(shortcut.splits.test))
    first, second = plain.annotations(FEW), shortcut.annotations(FEW)
    assert torch.equal(first.masks, second.masks)
    other = shortcut.with_background(FEW, 3)
    assert torch.equal(other, plain.with_background(FEW, 3))


def test_backgrounds_without_shortcut_say_nothing_of_the_class():
    images = small_set(per_class=50)
    found = images.backgrounds(images.splits.train)
    told = torch.from_numpy(class_backgrounds(images.labels[images.splits.train].numpy()))
    assert (found == told).float().mean() < 0.07


def test_class_backgrounds_all_differ_for_forty_classes():
    assert len(np.unique(class_backgrounds(np.arange(40)))) == 40


# Description.


def test_creatures_are_named_and_described(hard):
    assert hard.class_names[:2] == ("Bibo", "Lofu")
    assert hard.names[17] == "creatures[17]"
    assert hard.part_names == PARTS
    assert hard.class_parts.shape == (10, 5)
    described = hard.describe_class(3)
    assert [
        names.index(name) for names, name in zip(hard.variant_names, described, strict=True)
    ] == hard.class_parts[3].tolist()


def test_original_is_the_same_scene_larger():
    images = small_set((64, 48), difficulty=HARD)
    picture = images.original(7)
    assert picture.size == (192, 256)
    small = np.asarray(picture.resize((48, 64), 4), dtype=float)
    assert np.abs(small - images.read(torch.tensor([7]))[0].permute(1, 2, 0).numpy()).mean() < 4
    assert small_set((256, 208)).original(0).size == (208, 256)


def test_digest_tells_settings_apart_and_not_sizes():
    digest = small_set().digest
    assert digest == small_set((32, 32)).digest
    others = [small_set(seed=1), small_set(per_class=5), small_set(difficulty=HARD)]
    assert len({digest, *(images.digest for images in others)}) == 4


# What is refused.


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.tensor([100]), r"indices must be in \[0, 99\], got 100 to 100"),
        (torch.tensor([-1]), r"indices must be in \[0, 99\], got -1"),
        (torch.tensor([1.0]), r"indices must be int64 \(n,\), got torch.float32"),
        (torch.tensor([[1]]), r"indices must be int64 \(n,\), got torch.int64 \(1, 1\)"),
    ],
)
def test_read_bad_indices_are_refused(hard, indices, message):
    for ask in (hard.read, hard.render, hard.annotations, hard.variants, hard.backgrounds):
        with pytest.raises(UsageError, match=message):
            ask(indices)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("ear", r"part must be one of .* got 'ear'. Did you mean 'ears'"),
        (5, r"part must be an integer in \[0, 4\], got 5"),
        (None, "part must be"),
    ],
)
def test_without_part_unknown_part_is_refused(hard, part, message):
    with pytest.raises(UsageError, match=message):
        hard.without_part(FEW, part)


@pytest.mark.parametrize("variant", [-1, 4, 1.0, torch.zeros(8), torch.zeros(3, dtype=torch.int64)])
def test_with_variant_bad_variant_is_refused(hard, variant):
    with pytest.raises(UsageError, match="variant must be"):
        hard.with_variant(FEW, "ears", variant)


@pytest.mark.parametrize("variant", [-1, 4])
def test_with_variant_each_out_of_range_is_refused(hard, variant):
    with pytest.raises(UsageError, match=r"variant must be in \[0, 3\]"):
        hard.with_variant(FEW, "ears", torch.full((8,), variant))


def test_render_bad_variants_are_refused(hard):
    with pytest.raises(UsageError, match=r"variants must be int64 \(8, 5\)"):
        hard.render(FEW, variants=torch.zeros(8, 4, dtype=torch.int64))
    with pytest.raises(UsageError, match=r"variants must be in \[-1, 3\], got 4 to 4"):
        hard.render(FEW, variants=torch.full((8, 5), 4))


def test_render_bad_objects_are_refused(hard):
    with pytest.raises(UsageError, match=r"objects must be bool \(8, 6\) or \(6,\)"):
        hard.render(FEW, objects=torch.ones(5, dtype=torch.bool))
    with pytest.raises(UsageError, match=r"objects must be an integer in \[0, 5\], got 6"):
        hard.without_objects(FEW, [6])


@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_with_background_bad_seed_is_refused(hard, seed):
    with pytest.raises(UsageError, match="background_seed must be an integer"):
        hard.with_background(FEW, seed)


def test_describe_class_out_of_range_is_refused(hard):
    with pytest.raises(UsageError, match=r"label must be an integer in \[0, 9\], got 10"):
        hard.describe_class(10)
