from __future__ import annotations

import pytest
import torch

from pellucid import UsageError
from pellucid.data import Augmentation
from tests.reference.data_augmentation import move_by_loops

EVERYTHING = Augmentation(
    shift_fraction=0.2, rotate_degrees=40, scale=0.3, flip=True, brightness=0.1, contrast=0.2
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_batch(count=4, height=9, width=12, dtype=torch.float64):
    return torch.rand((count, 3, height, width), generator=generator(9), dtype=dtype)


@pytest.mark.parametrize(
    "settings",
    [
        Augmentation(shift_fraction=0.4),
        Augmentation(rotate_degrees=180),
        Augmentation(scale=0.6),
        Augmentation(flip=True),
        Augmentation(shift_fraction=0.3, rotate_degrees=50, scale=0.4, flip=True),
    ],
)
def test_augmentation_moves_like_the_loops(settings):
    batch = random_batch()
    moved = settings(batch, generator())
    draws = torch.rand((4, 7), generator=generator())
    for index in range(4):
        expected = move_by_loops(batch[index].tolist(), draws[index].tolist(), settings)
        assert torch.allclose(moved[index], torch.tensor(expected, dtype=batch.dtype), atol=1e-6)


def test_augmentation_tones_follow_the_formula():
    batch = random_batch()
    result = Augmentation(brightness=0.3, contrast=0.5)(batch, generator())
    signed = 2 * torch.rand((4, 7), generator=generator()).double() - 1
    for image, changed, draw in zip(batch, result, signed, strict=True):
        expected = image.mean() + (image - image.mean()) * (1 + 0.5 * draw[5]) + 0.3 * draw[6]
        assert torch.allclose(changed, expected.clamp(0, 1))


def test_augmentation_same_generator_state_gives_equal_images():
    batch = random_batch(dtype=torch.float32)
    assert torch.equal(EVERYTHING(batch, generator(3)), EVERYTHING(batch, generator(3)))
    assert not torch.equal(EVERYTHING(batch, generator(3)), EVERYTHING(batch, generator(4)))


def test_augmentation_all_zero_is_the_identity_and_draws_nothing():
    source = generator()
    before = source.get_state()
    batch = random_batch()
    assert Augmentation().is_identity
    assert Augmentation()(batch, source) is batch
    assert torch.equal(before, source.get_state())


def test_augmentation_draws_do_not_depend_on_the_settings():
    first, second = generator(), generator()
    Augmentation(flip=True)(random_batch(), first)
    EVERYTHING(random_batch(), second)
    assert torch.equal(first.get_state(), second.get_state())


def test_augmentation_flip_mirrors_some_images_exactly():
    batch = random_batch(32, dtype=torch.float32)
    flipped = Augmentation(flip=True)(batch, generator())
    mirrored = [
        torch.allclose(new, old.flip(-1), atol=1e-5)
        for new, old in zip(flipped, batch, strict=True)
    ]
    same = [torch.allclose(new, old, atol=1e-5) for new, old in zip(flipped, batch, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 5 < sum(mirrored) < 27


def test_augmentation_stays_in_0_to_1():
    result = EVERYTHING(random_batch(16, dtype=torch.float32), generator())
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-6


def test_augmentation_bytes_are_refused():
    with pytest.raises(UsageError, match=r"images must be float .* got torch.uint8"):
        EVERYTHING(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), generator())


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift_fraction", 0.6), ("rotate_degrees", -1), ("scale", 1.0), ("contrast", 2)],
)
def test_augmentation_limit_out_of_range_is_refused(name, value):
    with pytest.raises(UsageError, match=f"{name} must be a number in"):
        Augmentation(**{name: value})
