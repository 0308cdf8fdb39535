from __future__ import annotations

from dataclasses import replace

import pytest

from pellucid import UsageError
from pellucid.regularization.arms import Arm, greatest_strength, named_arm
from pellucid.regularization.penalties import Penalty
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.tuning import choose, list_candidates, list_path

BASE = NetworkRecipe(epochs=9)


@pytest.mark.parametrize("name", ["none", "l1", "dropout", "cosine", "l2+shifts"])
def test_list_candidates_every_arm_gets_as_many_at_the_same_rates(name):
    candidates = list_candidates(named_arm(name, BASE), 7)
    rates = [candidate.learning_rate for candidate in candidates]
    assert rates == [c.learning_rate for c in list_candidates(named_arm("l1", BASE), 7)]
    assert len(set(rates)) == 7
    assert [c.arm.recipe.learning_rate for c in candidates] == rates
    assert len({candidate.arm.name for candidate in candidates}) == 7


def test_list_candidates_first_one_is_the_arm_itself():
    arm = named_arm("l1", BASE, strength=3e-3)
    first = list_candidates(arm, 3)[0]
    assert first.arm.recipe == arm.recipe
    assert (first.learning_rate, first.strength) == (BASE.learning_rate, 3e-3)


def test_list_candidates_strengths_are_set_and_lie_on_both_sides():
    candidates = list_candidates(named_arm("l1", BASE), 6)
    assert [c.arm.recipe.penalty.l1 for c in candidates] == [c.strength for c in candidates]
    strengths = [c.strength for c in candidates]
    assert min(strengths) < strengths[0] < max(strengths)
    rates = [c.learning_rate for c in candidates]
    assert min(rates) < rates[0] < max(rates)


def test_list_candidates_dropout_stays_below_one():
    values = [c.strength for c in list_candidates(named_arm("dropout", BASE), 9)]
    assert max(values) < 1


def trials_of(candidates, scores, collapsed=(False, False, False)):
    return {
        candidate.arm.name: [{"validation_accuracy": score, "collapsed": broken}]
        for candidate, score, broken in zip(candidates, scores, collapsed, strict=True)
    }


def test_choose_takes_the_best_on_validation_under_the_arms_own_name():
    candidates = list_candidates(named_arm("l1", BASE), 3)
    arms, rows = choose({"l1": candidates}, trials_of(candidates, [0.5, 0.7, 0.7]))
    assert [arm.name for arm in arms] == ["l1"]
    assert arms[0].recipe == candidates[1].arm.recipe
    assert [row.chosen for row in rows] == [False, True, False]


def test_choose_a_candidate_that_collapsed_only_if_all_did():
    candidates = list_candidates(named_arm("l1", BASE), 3)
    one, rows = choose(
        {"l1": candidates}, trials_of(candidates, [0.2, 0.7, 0.6], [False, True, True])
    )
    assert one[0].recipe == candidates[0].arm.recipe
    assert [row.chosen for row in rows] == [True, False, False]
    all_broken, _ = choose({"l1": candidates}, trials_of(candidates, [0.2, 0.7, 0.6], [True] * 3))
    assert all_broken[0].recipe == candidates[1].arm.recipe


def test_list_candidates_of_an_arm_of_ones_own_change_its_strength_alone():
    penalty = Penalty(l1=1e-3, ramp=0.5, polish_steps=3)
    own = Arm("mine", replace(BASE, network="small_mlp", penalty=penalty), "l1", 1e-3)
    for candidate in list_candidates(own, 3):
        expected = replace(penalty, l1=candidate.strength)
        changed = replace(own.recipe, learning_rate=candidate.learning_rate, penalty=expected)
        assert candidate.arm.recipe == changed


@pytest.mark.parametrize("name", ["max_norm", "dropout", "label_smoothing", "shifts", "l2"])
def test_list_path_goes_from_weak_to_strong_within_what_is_allowed(name):
    _, strengths = list_path(named_arm(name, BASE), 5)
    rising = list(strengths) == sorted(strengths)
    assert rising == (name != "max_norm")
    assert max(strengths) <= greatest_strength(name)


def test_list_path_strengths_rise_and_later_stages_are_shorter():
    arms, strengths = list_path(named_arm("l1", BASE), 4)
    assert list(strengths) == sorted(strengths)
    assert [arm.recipe.penalty.l1 for arm in arms] == list(strengths)
    assert [arm.recipe.epochs for arm in arms] == [9, 3, 3, 3]


def test_list_path_arm_without_strength_is_refused():
    with pytest.raises(UsageError, match="path must be an arm with a strength"):
        list_path(Arm("none", BASE), 4)
