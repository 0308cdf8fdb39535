from __future__ import annotations

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.regularization.penalty_path import knee, pareto_front
from tests.reference import statistics as plain


def test_pareto_front_equals_comparing_all_pairs():
    for seed in range(30):
        accuracy, zeros = np.random.default_rng(seed).integers(0, 6, (2, 9)) / 5
        front = pareto_front(accuracy, zeros)
        assert set(front) == plain.pareto_front(accuracy.tolist(), zeros.tolist())


def test_pareto_front_is_in_order_of_sparsity():
    assert pareto_front([0.7, 0.8, 0.9, 0.85], [0.9, 0.5, 0.0, 0.2]) == (2, 3, 1, 0)


def test_pareto_front_keeps_equals():
    assert pareto_front([0.8, 0.8], [0.3, 0.3]) == (0, 1)


def test_pareto_front_takes_means_over_seeds():
    assert pareto_front([[0.8, 0.9], [0.84, 0.84]], [[0.1, 0.1], [0.0, 0.2]]) == (0,)


def test_knee_equals_the_rule_written_out():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        accuracy = rng.normal(0.8, 0.02, (7, 5)) - np.arange(7)[:, None] * 0.002
        zeros = rng.permutation(7) / 7
        assert knee(accuracy, zeros) == plain.knee(accuracy.tolist(), zeros.tolist())


def test_knee_is_sparser_than_the_best_when_within_its_error():
    accuracy = [[0.80, 0.84, 0.82], [0.81, 0.82, 0.82], [0.70, 0.71, 0.70]]
    assert knee(accuracy, [0.0, 0.4, 0.9]) == 1


def test_knee_of_one_seed_is_the_best():
    assert knee([0.80, 0.82, 0.819], [0.0, 0.2, 0.9]) == 1
    assert knee([0.82, 0.82, 0.7], [0.1, 0.3, 0.9]) == 1  # the sparsest of equals


def test_knee_passes_over_collapsed_strengths_while_others_are_left():
    accuracy = [[0.80, 0.82], [0.81, 0.81], [0.80, 0.83]]
    zeros, broken = [0.0, 0.4, 0.9], [[False, False], [False, False], [True, False]]
    assert knee(accuracy, zeros) == 2
    assert knee(accuracy, zeros, collapsed=broken) == 1
    assert knee(accuracy, zeros, collapsed=[[True, True]] * 3) == 2


@pytest.mark.parametrize("values", [[], [[[0.1]]], [0.5, float("nan")]])
def test_pareto_front_wrong_values_are_refused(values):
    with pytest.raises(UsageError, match="accuracy must hold finite numbers"):
        pareto_front(values, values)


def test_knee_unequal_lengths_are_refused():
    with pytest.raises(UsageError, match="sparsity must have a row for each"):
        knee([0.1, 0.2], [0.1])
