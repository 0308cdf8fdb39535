from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.evaluation.pointing_game import measure_pointing


def case(images: int = 30, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    importance = torch.rand(images, 6, 7, generator=generator)
    parts = torch.rand(images, 3, 6, 7, generator=generator) < 0.2
    return importance, parts, np.random.default_rng(seed).random((images, 3))


def test_measure_pointing_equals_plain_loops():
    importance, parts, drops = case()
    hits = decisive_hits = 0
    for image, said in enumerate(importance):
        row, column = divmod(int(said.argmax()), 7)
        hits += any(bool(part[row, column]) for part in parts[image])
        decisive_hits += bool(
            parts[image, max(range(3), key=lambda p: drops[image, p]), row, column]
        )
    any_part, decisive = measure_pointing(importance, parts, drops)
    assert any_part.value == pytest.approx(hits / 30)
    assert decisive.value == pytest.approx(decisive_hits / 30)


def test_measure_pointing_chance_is_the_share_of_the_image():
    importance, parts, drops = case(400)
    any_part, decisive = measure_pointing(importance, parts, drops)
    assert any_part.chance == pytest.approx(1 - 0.8**3, abs=0.02)
    assert any_part.low < any_part.chance < any_part.high
    assert decisive.low < decisive.chance < decisive.high


def test_measure_pointing_at_another_part_is_a_hit_but_not_a_decisive_one():
    importance = torch.zeros(1, 2, 2)
    importance[0, 0, 0] = 1
    parts = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    parts[0, 0, 0, 0] = parts[0, 1, 1, 1] = True
    any_part, decisive = measure_pointing(importance, parts, np.array([[0.1, 0.9]]))
    assert (any_part.value, decisive.value) == (1, 0)
