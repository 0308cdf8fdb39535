from __future__ import annotations

import pytest

from pellucid import UsageError
from pellucid.regularization.arms import Arm, arm_names, check_strengths, named_arm, usual_strength
from pellucid.regularization.recipe import NetworkRecipe

BASE = NetworkRecipe(epochs=3)


@pytest.mark.parametrize("name", arm_names())
def test_named_arm_every_name_changes_one_thing(name):
    recipe = named_arm(name, BASE).recipe
    changed = [field for field in vars(BASE) if getattr(recipe, field) != getattr(BASE, field)]
    assert len(changed) == (0 if name == "none" else 1)


def test_named_arm_strength_is_set():
    arm = named_arm("l1", BASE, strength=0.25)
    assert arm.recipe.penalty.l1 == 0.25
    assert (arm.knob, arm.strength) == ("l1", 0.25)


def test_named_arm_without_strength_takes_the_usual_one():
    assert named_arm("l2", BASE).recipe.penalty.l2 == usual_strength("l2")


def test_named_arm_joined_names_change_both():
    recipe = named_arm("l1+shifts+cosine", BASE, strength=0.1).recipe
    assert recipe.penalty.l1 == 0.1
    assert recipe.augmentation.shift_fraction == usual_strength("shifts")
    assert recipe.schedule == "cosine"


@pytest.mark.parametrize("name", ["l1+l2", "dropout+dropout", "shifts+l1"])
def test_named_arm_two_penalties_or_the_same_twice_is_refused(name):
    with pytest.raises(UsageError, match="must name one penalty, first"):
        named_arm(name, BASE)


def test_named_arm_unknown_name_comes_with_a_guess():
    with pytest.raises(UsageError, match=r"arm must be one of .*got 'elasticnet'.*elastic_net"):
        named_arm("elasticnet", BASE)


@pytest.mark.parametrize("name", ["none", "cosine", "flips"])
def test_named_arm_strength_where_there_is_none_is_refused(name):
    with pytest.raises(UsageError, match="strength must be left out"):
        named_arm(name, BASE, strength=1.0)


def test_check_strengths_arm_that_is_not_in_the_study_is_refused():
    with pytest.raises(UsageError, match=r"--arms none,l1,l2"):
        check_strengths({"l2": 1.0}, ["none", "l1"])


@pytest.mark.parametrize("name", ["", "a/b", "../x", "two words"])
def test_arm_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(UsageError, match="name of an arm must consist of"):
        Arm(name, BASE)
