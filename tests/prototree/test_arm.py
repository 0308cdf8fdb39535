from __future__ import annotations

import pytest
import torch

from pellucid import UsageError
from pellucid.data import load_data
from pellucid.data.label_noise import limit_training
from pellucid.prototree import TreeRecipe
from pellucid.prototree.arm import TreeArm
from pellucid.prototree.fitting import fit_tree

RECIPE = TreeRecipe(backbone="small_cnn", depth=3, epochs=3, warm_up_epochs=1)
FIT = {"seed": 1, "run": None, "device": torch.device("cpu"), "resume": False, "quiet": True}


@pytest.fixture(scope="module")
def data():
    return limit_training(load_data("digits", quiet=True), 100)


@pytest.mark.parametrize("routing", ["greedy", "distributed"])
def test_tree_arm_answers_as_the_fitted_tree_does(data, routing):
    outcome = TreeArm(RECIPE, routing).fit(data, **FIT)
    fitted = fit_tree(data, RECIPE, seed=1, quiet=True).fitted
    pixels = data.images.read(data.splits.test[:50])
    with torch.inference_mode():
        answers = fitted.tree.answer(fitted.normalization(pixels))
        leaves = fitted.tree.leaf_log_distributions()
    expected = leaves[answers.greedy_leaf] if routing == "greedy" else answers.log_probabilities
    assert torch.equal(outcome.last.predict(pixels), expected)
    assert outcome.details["prototypes"] == fitted.tree.topology.branches
    assert len(outcome.history) == 3
    assert {"train_loss", "validation_accuracy", "penalty", "objective"} <= set(outcome.history[0])


def test_tree_arm_unknown_routing_is_refused():
    with pytest.raises(UsageError, match="routing must be one of"):
        TreeArm(RECIPE, "soft")


def test_tree_arm_description_is_printable():
    described = TreeArm(RECIPE).describe()
    assert described["model"] == "prototype tree"
    assert described["backbone"] == "small_cnn"


def test_tree_arm_tells_each_epoch(data):
    told: list[int] = []
    TreeArm(RECIPE).fit(data, on_epoch=told.append, **FIT)
    assert told == [1, 2, 3]
