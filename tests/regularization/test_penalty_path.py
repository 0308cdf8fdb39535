from __future__ import annotations

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.regularization.penalty_path import knee, make_path, pareto_front, write_path_words
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


def path_of(*strengths, term="l1"):
    """Return a path; each strength is (strength, accuracies, zeros, collapsed)."""
    trials = [
        [
            {"validation_accuracy": a, "exact_zeros": zeros, "collapsed": collapsed}
            for a in accuracies
        ]
        for _, accuracies, zeros, collapsed in strengths
    ]
    seeds = range(len(strengths[0][1]))
    return make_path(term, [s[0] for s in strengths], seeds, trials)


WEAK = (0.001, (0.80, 0.81), 0.0, False)
MIDDLE = (0.01, (0.90, 0.92), 0.3, False)
SPARSE = (0.03, (0.90, 0.91), 0.5, False)
STRONG = (0.1, (0.60, 0.61), 0.9, False)


def test_write_path_words_inside_the_range_gives_knee_zeros_and_accuracy():
    said = write_path_words(path_of(WEAK, MIDDLE, SPARSE, STRONG), "L1")
    assert said == (
        "Along 4 strengths of L1 from 0.001 to 0.1, each later one started from the network "
        "before, the sparsest within one standard error of the best validation accuracy (91.0 %) "
        "is 0.03 (the knee): 50.0 % of the weights are exactly zero, at a validation accuracy of "
        "90.5 %."
    )


def test_write_path_words_one_seed_claims_no_standard_error():
    said = write_path_words(
        path_of((0.1, (0.8,), 0.0, False), (0.2, (0.9,), 0.25, False), (0.3, (0.7,), 0.6, False)),
        "L1",
    )
    assert "the best validation accuracy at the one seed (90.0 %) is that of 0.2 (the knee)" in said
    assert ", with 25.0 % of the weights exactly zero" in said
    assert "standard error" not in said


def test_write_path_words_knee_at_the_strong_end_says_go_on():
    said = write_path_words(path_of(WEAK, MIDDLE, SPARSE), "L1")
    assert said.endswith(
        "The knee is at the strong end of the range, so the range was too short: go on above 0.03."
    )


def test_write_path_words_knee_at_the_greatest_strength_does_not_say_go_on():
    rising = [(0.3, *WEAK[1:]), (0.6, *WEAK[1:]), (0.9 - 1e-16, *MIDDLE[1:])]
    said = write_path_words(path_of(*rising, term="dropout"), "dropout")
    assert "too short" not in said
    assert said.endswith(
        "The knee and the best accuracy are at 0.9, beyond which dropout makes no sense."
    )


def test_write_path_words_both_at_the_weak_end_says_go_on_below():
    said = write_path_words(path_of(MIDDLE, STRONG), "L1")
    assert "The knee and the best accuracy are at the weak end of the range" in said
    assert said.endswith("go on below 0.01.")


def test_write_path_words_falling_strengths_go_on_below_the_strong_end():
    falling = [(10.0, *WEAK[1:]), (3.0, *WEAK[1:]), (1.0, *SPARSE[1:])]
    said = write_path_words(path_of(*falling, term="max_norm"), "max-norm")
    assert "from 1 to 10" in said
    assert said.endswith("strong end of the range, so the range was too short: go on below 1.")


def test_write_path_words_collapsed_strengths_are_named():
    said = write_path_words(path_of(WEAK, MIDDLE, SPARSE, (0.1, (0.95, 0.1), 1.0, True)), "L1")
    assert said.endswith("Runs collapsed or diverged at the strength 0.1; it was passed over.")
    assert "too short" not in said
    everywhere = [(s[0], s[1], s[2], True) for s in (WEAK, MIDDLE)]
    assert "at every strength, so none can be recommended." in write_path_words(
        path_of(*everywhere), "L1"
    )
