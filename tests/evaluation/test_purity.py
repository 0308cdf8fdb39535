from __future__ import annotations

import pytest
import torch

from pellucid.evaluation.purity import WINDOW, measure_purity, purity_of, shown_parts
from tests.evaluation.prototype_matches import (
    fixed_places,
    matches_at,
    random_masks,
    random_matches,
)
from tests.reference import explanation_measures as reference


def by_loops(matches, masks, number: int, images: list[int]) -> float:
    shown = [
        reference.shown_part(masks[i].tolist(), matches.middles[i, number].tolist(), WINDOW)
        for i in images
    ]
    return reference.purity(shown)


def test_measure_purity_equals_plain_loops():
    matches, masks = random_matches(), random_masks()
    top, present = measure_purity(matches, masks)
    expected_top, expected_present = [], []
    for number in range(4):
        order = sorted(range(30), key=lambda image: -matches.similarity[image, number])
        expected_top.append(by_loops(matches, masks, number, order[:10]))
        there = [image for image in range(30) if matches.present[image, number]]
        expected_present.append(by_loops(matches, masks, number, there))
    assert top.value == pytest.approx(sum(expected_top) / 4)
    assert present.value == pytest.approx(sum(expected_present) / 4)


def one_part(images: int = 12) -> torch.Tensor:
    """Return masks with part 0 in the upper left corner and part 1 in the lower right one."""
    masks = torch.zeros(images, 2, 14, 21, dtype=torch.bool)
    masks[:, 0, :3, :3] = True
    masks[:, 1, -3:, -3:] = True
    return masks


def test_measure_purity_prototypes_that_stay_on_one_part_are_pure():
    matches = matches_at([[(1, 1), (13, 20)]] * 12)
    top, present = measure_purity(matches, one_part())
    assert (top.value, present.value) == (1, 1)
    assert top.chance < 0.3


def test_measure_purity_prototype_that_shows_no_part_has_none():
    top, _ = measure_purity(matches_at([[(7, 10)]] * 12), one_part())
    assert top.value == 0


def test_measure_purity_only_the_nearest_ten_count_for_the_first_figure():
    places = [[(1.0, 1.0)]] * 10 + [[(13.0, 20.0)]] * 2
    top, present = measure_purity(matches_at(places), one_part())
    assert top.value == 1
    assert present.value == pytest.approx(10 / 12)


def test_measure_purity_never_present_has_no_second_figure():
    top, present = measure_purity(matches_at([[(1, 1)]] * 12, present=False), one_part())
    assert top.value == 1
    assert present.value is None


def test_measure_purity_prototypes_that_stay_anywhere_are_about_chance():
    masks = one_part(40) | random_masks(40, parts=2)
    top, present = measure_purity(matches_at([fixed_places(80)] * 40), masks)
    assert top.low < top.chance < top.high
    assert present.low < present.chance < present.high


def test_shown_parts_the_part_with_most_pixels_wins():
    masks = torch.zeros(1, 2, 14, 21, dtype=torch.bool)
    masks[0, 0, 6, 10] = masks[0, 1, 7, 10] = masks[0, 1, 7, 11] = True
    assert shown_parts(masks, torch.tensor([[7.0, 10.5]])).tolist() == [1]


def test_purity_of_nothing_shown_is_0():
    assert purity_of(torch.tensor([-1, -1])) == 0
    assert purity_of(torch.tensor([-1, 2])) == 0.5
