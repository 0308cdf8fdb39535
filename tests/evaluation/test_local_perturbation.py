from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pellucid.evaluation import Matches
from pellucid.evaluation.local_perturbation import (
    PerturbedSimilarities,
    count_perturbed,
    measure_local_perturbation,
    perturb_boxes,
)
from pellucid.evaluation.replacements import REPLACEMENTS

SIZE = (12, 16)


class BrightnessOfARegion:
    """One prototype whose similarity is the mean brightness of a region, and a box around another.

    Args:
        seen: (top, left, bottom, right) of what counts.
        shown: The box that is said to count.
    """

    name = "region"
    class_names = ("a", "b")
    prototype_count = 1

    def __init__(self, seen, shown):
        self.seen, self.shown = seen, shown

    def match(self, images):
        top, left, bottom, right = self.seen
        mean = images[:, :, top:bottom, left:right].float().mean((1, 2, 3)) / 255
        boxes = torch.tensor([[self.shown]]).expand(len(images), 1, 4)
        return Matches(mean[:, None], boxes, torch.ones(len(images), 1, dtype=torch.bool))


def dark_images_with_a_bright_corner(count: int = 6):
    images = torch.randint(0, 50, (count, 3, *SIZE), generator=torch.Generator().manual_seed(0))
    images[:, :, :4, :4] = 250
    return images.to(torch.uint8)


def measured(seen, shown, *, seed: int = 0):
    model, images = BrightnessOfARegion(seen, shown), dark_images_with_a_bright_corner()
    images[3:, :, :4, :4] -= 60
    found = perturb_boxes(model, images, model.match(images), seed=seed)
    return found, measure_local_perturbation(found)


CORNER = (0, 0, 4, 4)


def test_measure_local_perturbation_box_that_holds_all_that_counts_is_perfect_outside():
    _, (outside, inside) = measured(CORNER, CORNER)
    assert outside.value == 0
    assert inside.value > 0.3
    assert outside.chance > 0.1
    assert inside.chance < inside.value


def test_measure_local_perturbation_box_elsewhere_is_wrong_on_both_sides():
    _, (outside, inside) = measured(CORNER, (6, 6, 10, 10))
    assert outside.value > 0.3
    assert inside.value == 0


def test_measure_local_perturbation_box_of_the_whole_image_is_no_better_than_chance():
    _, tight = measured(CORNER, CORNER)
    _, whole = measured(CORNER, (0, 0, *SIZE))
    assert whole[0].value == tight[0].value == 0
    assert whole[0].chance == 0  # which says that this box says nothing
    assert tight[0].chance > 0


def test_perturb_boxes_equals_plain_loops_for_the_replacement_that_can_be_worked_out():
    model, images = BrightnessOfARegion((0, 0, 6, 6), CORNER), dark_images_with_a_bright_corner(2)
    images[1] = images[1] // 2
    found = perturb_boxes(model, images, model.match(images))
    which = REPLACEMENTS.index("another image")
    for image in range(2):
        inside, outside = images[image].clone(), images[1 - image].clone()
        for row in range(4):
            for column in range(4):
                inside[:, row, column] = images[1 - image, :, row, column]
                outside[:, row, column] = images[image, :, row, column]
        for side, mixed in ((found.inside, inside), (found.outside, outside)):
            expected = float(mixed[:, :6, :6].double().mean()) / 255
            assert side[image, which] == pytest.approx(expected, rel=1e-5)


def test_perturb_boxes_where_no_prototype_is_present_replaces_nothing():
    model, images = BrightnessOfARegion(CORNER, CORNER), dark_images_with_a_bright_corner()
    matches = model.match(images)
    absent = dataclasses.replace(matches, present=torch.zeros_like(matches.present))
    model.match = None  # is not asked again
    found = perturb_boxes(model, images, absent)
    assert found.before.shape == (0,)
    assert found.inside.shape == (0, len(REPLACEMENTS))


def test_perturb_boxes_counts_what_it_says():
    model, images = BrightnessOfARegion(CORNER, CORNER), dark_images_with_a_bright_corner()
    ticks: list[int] = []
    matches = model.match(images)
    perturb_boxes(model, images, matches, tick=ticks.append)
    assert sum(ticks) == count_perturbed(matches) == 6 * 4 * 3


def test_perturb_boxes_takes_a_sample_of_many_pairs():
    class Many(BrightnessOfARegion):
        prototype_count = 300

        def match(self, images):
            one = super().match(images)
            return Matches(
                one.similarity.expand(-1, 300),
                one.boxes.expand(-1, 300, 4),
                one.present.expand(-1, 300),
            )

    model, images = Many(CORNER, CORNER), dark_images_with_a_bright_corner(2)
    found = perturb_boxes(model, images, model.match(images))
    assert len(found.before) == 400


def test_measure_local_perturbation_outside_counts_rises_too_and_inside_only_falls():
    up = np.full((2, 3), 0.6)
    still = np.full((2, 3), 0.5)
    before = np.full(2, 0.5)
    outside, inside = measure_local_perturbation(
        PerturbedSimilarities(np.arange(2), before, up, up, still, still)
    )
    assert outside.value == pytest.approx(0.2)
    assert inside.value == pytest.approx(-0.2)


def test_measure_local_perturbation_weighs_pairs_not_images():
    before = np.ones(3)
    outside = np.array([[1.3], [1.0], [1.0]])
    measure, _ = measure_local_perturbation(
        PerturbedSimilarities(np.array([0, 0, 1]), before, outside, outside, outside, outside)
    )
    assert measure.value == pytest.approx(0.1)
    assert measure.total == 2


def test_measure_local_perturbation_no_prototype_present_has_no_value():
    nothing = np.zeros((0, 3))
    outside, inside = measure_local_perturbation(
        PerturbedSimilarities(np.zeros(0, int), np.zeros(0), nothing, nothing, nothing, nothing)
    )
    assert outside.value is None
    assert inside.value is None
