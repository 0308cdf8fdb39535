from __future__ import annotations

import numpy as np
import pytest

from pellucid.data.creatures.class_table import choose_classes, name_classes


def distances(table: np.ndarray) -> np.ndarray:
    return (table[:, None] != table[None]).sum(axis=2)


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("classes", [2, 7, 20, 256])
def test_choose_classes_all_differ_and_are_in_range(classes, seed):
    table = choose_classes(classes, seed)
    assert table.shape == (classes, 5)
    assert set(np.unique(table)) <= {0, 1, 2, 3}
    assert len(np.unique(table, axis=0)) == classes


@pytest.mark.parametrize("seed", range(5))
def test_choose_classes_twins_differ_in_one_part_each_in_turn(seed):
    table = choose_classes(20, seed)
    differing = [np.flatnonzero(table[k] != table[k + 1]).tolist() for k in range(0, 20, 2)]
    assert differing == [[k % 5] for k in range(10)]


@pytest.mark.parametrize("seed", range(5))
def test_choose_classes_others_differ_in_two_parts(seed):
    found = distances(choose_classes(20, seed))
    twins = np.kron(np.eye(10, dtype=bool), np.ones((2, 2), bool))
    assert found[~twins].min() >= 2
    assert found[::2, ::2][~np.eye(10, dtype=bool)].min() >= 3


@pytest.mark.parametrize("seed", range(5))
def test_choose_classes_every_variant_is_shared_by_several(seed):
    table = choose_classes(20, seed)
    for part in table.T:
        counts = np.bincount(part, minlength=4)
        assert counts.min() >= 3
        assert counts.max() <= 7


def test_choose_classes_depends_on_the_seed_only():
    assert np.array_equal(choose_classes(20, 4), choose_classes(20, 4))
    assert not np.array_equal(choose_classes(20, 4), choose_classes(20, 5))
    assert np.array_equal(choose_classes(12, 4), choose_classes(20, 4)[:12])


def test_name_classes_all_differ():
    names = name_classes(256)
    assert len(set(names)) == 256
    assert all(name.isalpha() and len(name) == 4 for name in names)
