from __future__ import annotations

import numpy as np

from pellucid.data.creatures.draws import Draws


def test_unit_depends_on_the_scene_and_not_on_its_neighbors():
    together = Draws(3, np.array([5, 9, 1 << 48])).unit("size", 4)
    alone = Draws(3, np.array([9])).unit("size", 4)
    assert np.array_equal(together[1], alone[0])


def test_unit_differs_by_seed_scene_name_and_position():
    values = np.concatenate(
        [
            Draws(seed, np.array([0, 1, 1 << 48])).unit(name, 3).ravel()
            for seed in (0, 1, 2**32)
            for name in ("size", "turn")
        ]
    )
    assert len(np.unique(values)) == len(values)


def test_unit_is_uniform_and_uncorrelated():
    values = Draws(0, np.arange(20_000)).unit("place", 3)
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values[:, 0], bins=20, range=(0, 1))[0]
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)
    correlation = np.corrcoef(values[:-1].T, values[1:].T)
    assert np.abs(correlation - np.eye(6)).max() < 0.04


def test_uniform_lies_within_its_limits():
    values = Draws(0, np.arange(1000)).uniform("turn", 2, -3.0, 5.0)
    assert values.min() >= -3
    assert values.max() < 5
    assert abs(values.mean() - 1) < 0.3


def test_choice_takes_every_value_about_equally_often():
    counts = np.bincount(Draws(0, np.arange(6000)).choice("color", 1, 6)[:, 0])
    assert len(counts) == 6
    assert counts.min() > 850
