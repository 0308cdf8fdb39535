from __future__ import annotations

import pytest

from pellucid import UsageError
from pellucid.regularization.arms import Arm, named_arm
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.tuning import choose, list_candidates, list_path

BASE = NetworkRecipe(epochs=9)


@pytest.mark.parametrize("name", ["none", "l1", "dropout", "cosine", "l2+shifts"])
def test_list_candidates_every_arm_gets_as_many(name):
    candidates = list_candidates(named_arm(name, BASE), BASE, 5)
    assert len({candidate.value for candidate in candidates}) == 5
    assert len({candidate.arm.name for candidate in candidates}) == 5


def test_list_candidates_middle_one_is_the_usual_value():
    arm = named_arm("l1", BASE, strength=3e-3)
    assert list_candidates(arm, BASE, 3)[1].value == pytest.approx(3e-3)


def test_list_candidates_arm_without_strength_varies_the_learning_rate():
    candidates = list_candidates(named_arm("none", BASE), BASE, 3)
    assert {candidate.knob for candidate in candidates} == {"learning_rate"}
    assert [c.arm.recipe.learning_rate for c in candidates] == [c.value for c in candidates]


def test_list_candidates_dropout_stays_below_one():
    values = [c.value for c in list_candidates(named_arm("dropout", BASE), BASE, 7)]
    assert max(values) < 1


def test_choose_takes_the_best_on_validation_under_the_arms_own_name():
    candidates = {"l1": list_candidates(named_arm("l1", BASE), BASE, 3)}
    accuracy = {
        c.arm.name: score for c, score in zip(candidates["l1"], [0.5, 0.7, 0.7], strict=True)
    }
    arms, rows = choose(candidates, accuracy)
    assert [arm.name for arm in arms] == ["l1"]
    assert arms[0].recipe == candidates["l1"][1].arm.recipe
    assert [row.chosen for row in rows] == [False, True, False]


def test_list_path_strengths_rise_and_later_stages_are_shorter():
    arms, strengths = list_path(named_arm("l1", BASE), BASE, 4)
    assert list(strengths) == sorted(strengths)
    assert [arm.recipe.penalty.l1 for arm in arms] == list(strengths)
    assert [arm.recipe.epochs for arm in arms] == [9, 3, 3, 3]


def test_list_path_arm_without_strength_is_refused():
    with pytest.raises(UsageError, match="path must be an arm with a strength"):
        list_path(Arm("none", BASE), BASE, 4)
