from __future__ import annotations

import pytest
import torch

from pellucid.evaluation.consistency import (
    HELD_SHARE,
    WINDOW,
    add_noise,
    held_parts,
    measure_consistency,
)
from tests.evaluation.prototype_matches import fixed_places, matches_at, random_matches
from tests.evaluation.test_purity import one_part
from tests.reference import explanation_measures as reference


def held(matches, masks, image: int, number: int) -> list[bool]:
    center = matches.middles[image, number].tolist()
    return reference.held_parts(masks[image].tolist(), center, WINDOW, HELD_SHARE)


def blobs(images: int = 30) -> torch.Tensor:
    """Return masks of three blocks at random places."""
    generator = torch.Generator().manual_seed(2)
    masks = torch.zeros(images, 3, 14, 21, dtype=torch.bool)
    for image in range(images):
        for part in range(3):
            row, column = (int(torch.randint(top, (), generator=generator)) for top in (11, 18))
            masks[image, part, row : row + 3, column : column + 3] = True
    return masks


def test_measure_consistency_equals_plain_loops():
    matches, noisy, masks = random_matches(), random_matches(seed=5), blobs()
    consistency, stability = measure_consistency(matches, noisy, masks)
    consistent, stable = [], []
    for number in range(4):
        there = [image for image in range(30) if matches.present[image, number]]
        found = [held(matches, masks, image, number) for image in there]
        after = [held(noisy, masks, image, number) for image in there]
        shares = [sum(row[part] for row in found) / len(there) for part in range(3)]
        consistent.append(max(shares) >= 0.8)
        stable.append(sum(a == b for a, b in zip(found, after, strict=True)) / len(there))
    assert consistency.value == pytest.approx(sum(consistent) / 4)
    assert stability.value == pytest.approx(sum(stable) / 4)
    assert 0 < stability.value < 1


def test_measure_consistency_prototype_on_one_part_is_consistent_and_stable():
    matches = matches_at([[(1, 1)]] * 12)
    assert [m.value for m in measure_consistency(matches, matches, one_part())] == [1, 1]


def test_measure_consistency_same_part_every_time_but_another_under_noise_is_not_stable():
    matches, noisy = matches_at([[(1, 1)]] * 12), matches_at([[(13, 20)]] * 12)
    assert [m.value for m in measure_consistency(matches, noisy, one_part())] == [1, 0]


def test_measure_consistency_part_that_changes_from_image_to_image_is_stable_only():
    matches = matches_at([[(1, 1)], [(13, 20)]] * 6)
    assert [m.value for m in measure_consistency(matches, matches, one_part())] == [0, 1]


def test_measure_consistency_too_rarely_present_has_no_value():
    matches = matches_at([[(1, 1)]] * 2)
    consistency, stability = measure_consistency(matches, matches, one_part(2))
    assert consistency.value is None
    assert stability.value is None


def test_measure_consistency_prototypes_that_stay_anywhere_are_about_chance():
    # One random place each, the same in all images: the layout that images share is no knowledge.
    matches, noisy = (matches_at([fixed_places(400, seed)] * 30) for seed in (0, 9))
    consistency, stability = measure_consistency(matches, noisy, one_part(30))
    assert consistency.low < consistency.chance < consistency.high
    assert stability.low < stability.chance < stability.high


def test_held_parts_half_of_a_pair_is_held_and_a_fifth_is_not():
    masks = torch.zeros(1, 2, 14, 21, dtype=torch.bool)
    masks[0, 0, 7, 10] = masks[0, 0, 0, 0] = True
    masks[0, 1, 7, 11] = True
    masks[0, 1, :4, 20] = True
    assert held_parts(masks, torch.tensor([[7.0, 10.0]])).tolist() == [[True, False]]


def test_held_parts_part_that_is_hidden_is_not_held():
    masks = torch.zeros(1, 1, 14, 21, dtype=torch.bool)
    assert held_parts(masks, torch.tensor([[7.0, 10.0]])).tolist() == [[False]]


def test_add_noise_has_a_fifth_of_the_pixels_deviation():
    images = torch.randint(60, 190, (20, 3, 14, 21), generator=torch.Generator().manual_seed(0))
    images = images.to(torch.uint8)
    change = add_noise(images).float() - images.float()
    assert float(change.std()) == pytest.approx(0.2 * float(images.float().std()), rel=0.05)
    assert float(change.mean()) == pytest.approx(0, abs=0.5)
    assert (add_noise(images) == add_noise(images)).all()
