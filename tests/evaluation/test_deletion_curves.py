from __future__ import annotations

import pytest
import torch

from pellucid.evaluation.deletion_curves import (
    STEPS,
    curve_areas,
    measure_curves,
    random_importance,
)
from pellucid.evaluation.replacements import blur
from tests.reference import explanation_measures as reference

SIZE = (8, 10)


class BrightSpot:
    """Answers with the share of red in one pixel, so that all importance is there."""

    name = "spot"
    class_names = ("dark", "bright")

    def __init__(self, row: int = 2, column: int = 3) -> None:
        self.row, self.column = row, column

    def probabilities(self, images):
        bright = 0.1 + 0.8 * images[:, 0, self.row, self.column].float() / 255
        return torch.stack([1 - bright, bright], dim=1)

    def importance(self, images, classes):
        maps = torch.zeros(len(images), *images.shape[2:])
        maps[:, self.row, self.column] = 1
        return maps


def dark_with_spot(count: int = 3):
    images = torch.randint(0, 40, (count, 3, *SIZE), generator=torch.Generator().manual_seed(0))
    images[:, 0, 2, 3] = 255
    return images.to(torch.uint8)


def test_curve_areas_equal_plain_loops():
    model, images = BrightSpot(), dark_with_spot()
    importance = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1))
    importance[0, :4] = 0.5  # ties
    found = curve_areas(model, images, torch.tensor([1, 0, 1]), importance)
    mean = images.float().mean((2, 3), keepdim=True).round().to(torch.uint8).expand_as(images)
    blurred = blur(images, deviation_px=10 / 8)
    for row, label in enumerate((1, 0, 1)):

        def answer(image, label=label):
            return float(model.probabilities(torch.tensor([image]))[0, label])

        whole = answer(images[row].tolist())
        for areas, first, last in ((found[0], images, mean), (found[1], blurred, images)):
            expected = reference.curve_area(
                answer, first[row].tolist(), last[row].tolist(), importance[row].tolist(), STEPS
            )
            assert areas[row] == pytest.approx(expected / whole, rel=1e-5)


def test_curve_areas_true_importance_is_better_than_random_and_than_reversed():
    model, images = BrightSpot(), dark_with_spot(40)
    classes = torch.ones(40, dtype=torch.int64)
    true = model.importance(images, classes)
    random = random_importance(40, SIZE)
    areas = [curve_areas(model, images, classes, said) for said in (true, random, -true)]
    deletion, insertion = ([float(area[number].mean()) for area in areas] for number in range(2))
    assert deletion[0] < deletion[1] < deletion[2]
    assert insertion[0] > insertion[1] > insertion[2]


def test_curve_areas_redundant_evidence_differs_between_deletion_and_insertion():
    class TwoSpots(BrightSpot):
        def probabilities(self, images):
            bright = 0.1 + 0.8 * images[:, 0, [2, 7], [3, 9]].amax(1).float() / 255
            return torch.stack([1 - bright, bright], dim=1)

    images = dark_with_spot(1)
    images[:, 0, 7, 9] = 255
    # Only one of two equal spots is named: it suffices to bring the answer, not to take it away.
    one = torch.linspace(0.5, 0, 80).view(1, *SIZE).clone()
    one[0, 2, 3] = 1
    deletion, insertion = curve_areas(TwoSpots(), images, torch.tensor([1]), one)
    assert insertion[0] > 0.9
    assert deletion[0] > 0.7


def test_random_importance_is_smooth_and_the_same_for_the_same_seed():
    maps = random_importance(5, (32, 48), seed=3)
    assert maps.shape == (5, 32, 48)
    assert (maps == random_importance(5, (32, 48), seed=3)).all()
    neighbors = torch.stack([maps[:, :, :-1].flatten(), maps[:, :, 1:].flatten()])
    assert torch.corrcoef(neighbors)[0, 1] > 0.8


def test_measure_curves_stands_beside_random_maps():
    model, images = BrightSpot(), dark_with_spot(5)
    classes = torch.ones(5, dtype=torch.int64)
    random = curve_areas(model, images, classes, random_importance(5, SIZE))
    deletion, insertion = measure_curves(random, random)
    assert (deletion.value, insertion.value) == pytest.approx((deletion.chance, insertion.chance))
