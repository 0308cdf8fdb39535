from __future__ import annotations

import pytest
import torch

from pellucid.evaluation.part_interventions import (
    count_renderings,
    intervene,
    pool_by_region,
    score_drops,
)
from tests.evaluation.toy_models import few_creatures


class MeanColor:
    """Answers by the mean color of an image, so that each rendering has an answer of its own."""

    name = "mean color"
    class_names = ("red", "green", "blue")

    def probabilities(self, images):
        return (images.float().mean((2, 3)) / 20).softmax(1)


def test_intervene_answers_are_those_of_each_rendering():
    data = few_creatures()
    images, indices, model = data.images, data.splits.test[:6], MeanColor()
    found = intervene(model, images, indices)
    names = images.part_names
    for kept in (0, 1, 6, 13, 30, 31):
        gone = [name for part, name in enumerate(names) if not kept >> part & 1]
        pixels = images.without_part(indices, gone) if gone else images.read(indices)
        assert torch.equal(found.by_kept_parts[:, kept], model.probabilities(pixels))
    assert torch.equal(found.plain, model.probabilities(images.read(indices)))
    for part, name in enumerate(names):
        expected = model.probabilities(images.without_part(indices, name))
        assert torch.equal(found.without_part[:, part], expected)


def test_intervene_objects_that_are_not_visible_are_not_answered():
    data = few_creatures()
    indices = data.splits.test
    found = intervene(MeanColor(), data.images, indices)
    is_visible = data.images.annotations(indices).objects.flatten(2).any(2)
    assert torch.equal(found.without_object.isnan().any(2), ~is_visible)
    row, number = (int(place) for place in is_visible.nonzero()[0])
    pixels = data.images.without_objects(indices[row : row + 1], [number])
    expected = MeanColor().probabilities(pixels)[0]
    torch.testing.assert_close(found.without_object[row, number], expected)


def test_intervene_tells_of_as_many_images_as_announced():
    data = few_creatures()
    ticks: list[int] = []
    intervene(MeanColor(), data.images, data.splits.test[:5], tick=ticks.append)
    assert sum(ticks) == count_renderings(data.images, 5) == 5 * 38


def test_pool_by_region_equals_plain_loops():
    generator = torch.Generator().manual_seed(0)
    importance = torch.randn(3, 4, 5, generator=generator)
    regions = torch.rand(3, 2, 4, 5, generator=generator) < 0.4
    found = pool_by_region(importance, regions)
    for image in range(3):
        for region in range(2):
            total = sum(
                float(importance[image, row, column])
                for row in range(4)
                for column in range(5)
                if regions[image, region, row, column]
            )
            assert float(found[image, region]) == pytest.approx(total, abs=1e-6)


def test_score_drops_is_what_the_class_loses():
    before = torch.tensor([[0.7, 0.3], [0.4, 0.6]])
    after = torch.tensor([[[0.2, 0.8], [0.9, 0.1]], [[0.4, 0.6], [1.0, 0.0]]])
    found = score_drops(before, after, torch.tensor([0, 1]))
    assert found == pytest.approx(torch.tensor([[0.5, -0.2], [0.0, 0.6]]).numpy(), abs=1e-6)
