from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from pellucid import DataError, UsageError
from pellucid.data import Splits
from pellucid.evaluation import (
    ExplainedModel,
    ExplanationEvaluation,
    Matches,
    TreeExplainer,
    evaluate_explanations,
    explanations,
)
from tests.evaluation.toy_models import PartsModel, few_creatures
from tests.prototree.small_fits import fitted_by_hand, small_data

NAMES = [
    "accuracy",
    "single_deletion",
    "preservation_check",
    "deletion_check",
    "distractibility",
    "target_sensitivity",
    "pointing_game",
    "pointing_game_decisive",
    "background_independence",
    "background_changes_answer",
    "importance_on_background",
    "prototypes_on_background",
    "purity_top_10",
    "purity",
    "consistency",
    "stability",
    "box_size",
    "local_perturbation_outside",
    "local_perturbation_inside",
    "deletion_curve",
    "insertion_curve",
    "fidelity",
    "path_length",
    "projection_drop",
    "class_coverage",
]
OF_PROTOTYPES = {*NAMES[NAMES.index("prototypes_on_background") : NAMES.index("deletion_curve")]}
OF_TREES = {"fidelity", "path_length", "projection_drop"}
ANNOTATED = {*NAMES[1 : NAMES.index("box_size")]}


@pytest.fixture(scope="module")
def truly() -> ExplanationEvaluation:
    return evaluate_explanations(PartsModel(few_creatures()), few_creatures(), quiet=True)


@pytest.fixture(scope="module")
def at_random() -> ExplanationEvaluation:
    model = PartsModel(few_creatures(), explains="at random")
    return evaluate_explanations(model, few_creatures(), quiet=True)


@pytest.fixture(scope="module")
def of_a_tree() -> ExplanationEvaluation:
    """Of an untrained tree on creatures."""
    data = few_creatures()
    fitted = fitted_by_hand(image_size=(32, 32))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fitted.tree.leaf_counts = torch.rand(4, 8)
    fitted = dataclasses.replace(fitted, class_names=data.images.class_names)
    return evaluate_explanations(TreeExplainer(fitted, unprojected=fitted), data, quiet=True)


def test_parts_model_fulfils_the_protocol():
    assert isinstance(PartsModel(few_creatures()), ExplainedModel)


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "single_deletion",
        "target_sensitivity",
        "pointing_game",
        "pointing_game_decisive",
        "background_independence",
    ],
)
def test_evaluate_explanations_perfect_explainer_of_parts_is_perfect(truly, name):
    assert truly[name].value == pytest.approx(1)


def test_evaluate_explanations_perfect_explainer_is_not_distracted(truly):
    assert truly["distractibility"].value > 0.9
    assert truly["deletion_check"].value > 0.9
    assert truly["preservation_check"].value > 0.7  # the model needs more than its main part


def test_evaluate_explanations_model_of_parts_does_not_mind_the_background(truly):
    assert truly["background_changes_answer"].value == 0
    assert any("does not depend on the background" in finding for finding in truly.findings)


@pytest.mark.parametrize(
    "name", ["single_deletion", "preservation_check", "deletion_check", "distractibility"]
)
def test_evaluate_explanations_chance_is_what_a_map_gets_that_is_the_same_everywhere(name, truly):
    model = PartsModel(few_creatures(), explains="the same everywhere")
    blind = evaluate_explanations(model, few_creatures(), quiet=True)
    assert blind[name].value == pytest.approx(blind[name].chance)
    assert blind[name].chance == truly[name].chance


@pytest.mark.parametrize("name", ["pointing_game", "pointing_game_decisive"])
def test_evaluate_explanations_random_explainer_is_about_chance(at_random, name):
    measure = at_random[name]
    slack = 0.1  # few images are looked at
    assert measure.low - slack <= measure.chance <= measure.high + slack


def test_evaluate_explanations_perfect_explainer_is_above_the_random_one(truly, at_random):
    for name in ("single_deletion", "preservation_check", "deletion_check", "pointing_game"):
        assert truly[name].low > at_random[name].value
    for name in ("single_deletion", "pointing_game"):
        assert truly[name].low > truly[name].chance


def test_evaluate_explanations_checks_together_tell_a_perfect_explainer_from_a_blind_one(truly):
    # Calling all parts important passes the first two alone; the original adds the three up, too.
    checks = [truly[f"{kind}_check"] for kind in ("preservation", "deletion")]
    spared = truly["distractibility"]
    assert sum(check.value / 2 for check in checks) + spared.value > (
        sum(check.chance / 2 for check in checks) + spared.chance
    )


def test_evaluate_explanations_what_does_not_depend_on_importance_stays(truly, at_random):
    for name in ("accuracy", "background_independence", "background_changes_answer"):
        assert truly[name] == at_random[name]


def test_evaluate_explanations_without_prototypes_their_measures_have_no_value(truly):
    unknown = {measure.name for measure in truly.measures if measure.value is None}
    assert unknown == OF_PROTOTYPES | OF_TREES
    assert truly["purity"].note == "only models with prototypes have it"


def test_evaluate_explanations_of_a_tree_measures_everything(of_a_tree):
    assert [measure.name for measure in of_a_tree.measures] == NAMES
    unknown = {measure.name for measure in of_a_tree.measures if measure.value is None}
    assert not unknown & {"accuracy", "box_size", "purity_top_10", "fidelity", "stability"}
    assert of_a_tree["projection_drop"].value == 0


def test_evaluate_explanations_value_lies_in_its_interval(truly, at_random, of_a_tree):
    for evaluation in (truly, at_random, of_a_tree):
        for measure in evaluation.measures:
            if measure.low is not None:
                assert measure.low - 1e-9 <= measure.value <= measure.high + 1e-9, measure.name
                assert measure.total > 0


def test_evaluate_explanations_without_annotations_says_what_is_missing():
    data = small_data()
    fitted = dataclasses.replace(fitted_by_hand(), class_names=data.images.class_names)
    found = evaluate_explanations(TreeExplainer(fitted), data, quiet=True)
    assert [measure.name for measure in found.measures] == NAMES
    unknown = {measure.name for measure in found.measures if measure.value is None}
    assert unknown == ANNOTATED | {"projection_drop"}
    assert any("could not be measured" in finding for finding in found.findings)


def test_evaluate_explanations_is_the_same_for_the_same_seed():
    data = small_data()
    fitted = dataclasses.replace(fitted_by_hand(), class_names=data.images.class_names)
    first, second = (
        evaluate_explanations(TreeExplainer(fitted), data, images=6, seed=3, quiet=True)
        for _ in range(2)
    )
    assert first.measures == second.measures
    assert first.images == 6


@pytest.mark.parametrize("images", [1, 2])
def test_evaluate_explanations_of_very_few_images_works(images):
    data = few_creatures()
    found = evaluate_explanations(PartsModel(data), data, images=images, quiet=True)
    assert found.images == images
    assert found["accuracy"].value == 1


def test_evaluate_explanations_to_dict_and_back_is_the_same(truly):
    stored = json.loads(json.dumps(truly.to_dict(), allow_nan=False))
    assert ExplanationEvaluation.from_dict(stored) == truly


def test_from_dict_of_something_else_is_refused():
    with pytest.raises(DataError, match="this is no evaluation of explanations"):
        ExplanationEvaluation.from_dict({"model": "tree"})


def test_getitem_unknown_name_raises(truly):
    with pytest.raises(KeyError, match="purple"):
        truly["purple"]


class Bad(PartsModel):
    """Answers well until told otherwise."""

    fault = ""

    def probabilities(self, images):
        found = super().probabilities(images)
        return found[:, 1:] if self.fault == "a class short" else found

    def importance(self, images, classes):
        found = super().importance(images, classes)
        return found * torch.nan if self.fault == "NaN" else found[:, None]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("a class short", r"probabilities of model 'parts' must be .* got \(4, 7\) on cpu"),
        ("NaN", r"importance of model 'parts' must be .* got \(4, 32, 32\) with NaN"),
        ("a channel", r"importance of model 'parts' must be .* got \(4, 1, 32, 32\)"),
    ],
)
def test_evaluate_explanations_bad_answer_of_a_model_is_refused(fault, said):
    data = few_creatures()
    model = Bad(data)
    model.fault = fault
    with pytest.raises(UsageError, match=said):
        evaluate_explanations(model, data, images=4, quiet=True)


def test_evaluate_explanations_logits_for_probabilities_are_refused():
    class Logits(PartsModel):
        def probabilities(self, images):
            return super().probabilities(images).log()

    data = few_creatures()
    with pytest.raises(UsageError, match=r"must be >= 0 with rows that add up to 1.*softmax"):
        evaluate_explanations(Logits(data), data, images=4, quiet=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"similarity": torch.full((4, 1), torch.nan)}, r"similarity of match\(\) .* with NaN"),
        (
            {"similarity": torch.full((4, 1), -1.0)},
            "similarity of match.* must be >= 0, got -1",
        ),
        ({"similarity": torch.ones(4, 2)}, r"similarity of match\(\) .* got \(4, 2\) on cpu"),
        ({"similarity": [[1.0]] * 4}, r"similarity of match\(\) .* got a list"),
        ({"boxes": torch.tensor([0, 0, 33, 32]).expand(4, 1, 4)}, r"got \[0, 0, 33, 32\]"),
        ({"boxes": torch.tensor([5, 5, 5, 9]).expand(4, 1, 4)}, r"not empty, got \[5, 5, 5, 9\]"),
        ({"boxes": torch.tensor([0.0, 0, 9, 9]).expand(4, 1, 4)}, "must be whole px, got torch.fl"),
        ({"present": torch.ones(4, 1)}, "present of match.* must be bool, got torch.float32"),
        ({"present": torch.ones(1, 1, dtype=torch.bool)}, r"present of match\(\) .* got \(1, 1\)"),
        (
            {"centers_px": torch.full((4, 1, 2), torch.inf)},
            "centers_px of match.* with NaN or infinity",
        ),
    ],
)
def test_evaluate_explanations_bad_match_of_a_model_is_refused(changes, said):
    class Matching(PartsModel):
        prototype_count = 1

        def match(self, images):
            boxes = torch.tensor([0, 0, 32, 32]).expand(len(images), 1, 4)
            there = torch.ones(len(images), 1, dtype=torch.bool)
            return dataclasses.replace(Matches(there.float(), boxes, there), **changes)

    data = few_creatures()
    with pytest.raises(UsageError, match=said):
        evaluate_explanations(Matching(data), data, images=4, quiet=True)


def test_evaluate_explanations_match_that_is_no_matches_is_refused():
    class Matching(PartsModel):
        prototype_count = 1

        def match(self, images):
            return torch.ones(len(images), 1)

    data = few_creatures()
    with pytest.raises(UsageError, match="must return Matches, got a Tensor"):
        evaluate_explanations(Matching(data), data, images=4, quiet=True)


def test_evaluate_explanations_answers_with_gradients_and_of_half_precision_are_taken():
    class Learning(PartsModel):
        def probabilities(self, images):
            return super().probabilities(images).bfloat16().requires_grad_()

        def importance(self, images, classes):
            return super().importance(images, classes).requires_grad_()

    data = few_creatures()
    found = evaluate_explanations(Learning(data), data, images=4, quiet=True)
    assert found["accuracy"].value is not None


def test_evaluate_explanations_curves_are_of_images_of_all_classes(monkeypatch):
    seen = []

    def note(model, images, classes, importance, **_):
        seen.append(classes)
        return np.ones(len(images)), np.ones(len(images))

    monkeypatch.setattr(explanations, "curve_areas", note)
    monkeypatch.setattr(explanations, "_CURVE_IMAGES", 8)
    data = few_creatures()
    evaluate_explanations(PartsModel(data), data, quiet=True)
    assert [sorted(set(classes.tolist())) for classes in seen] == [list(range(8))] * 2


def test_evaluate_explanations_other_classes_are_refused():
    data = few_creatures()
    with pytest.raises(UsageError, match="model must have the classes of the data"):
        evaluate_explanations(TreeExplainer(fitted_by_hand()), data, quiet=True)


def test_evaluate_explanations_without_test_images_is_refused():
    data = small_data()
    nothing = torch.arange(0)
    empty = dataclasses.replace(data, splits=Splits(data.splits.train, nothing, nothing))
    fitted = dataclasses.replace(fitted_by_hand(), class_names=data.images.class_names)
    with pytest.raises(DataError, match="explanations need at least one test image, got 0"):
        evaluate_explanations(TreeExplainer(fitted), empty, quiet=True)


def test_evaluate_explanations_images_below_1_is_refused():
    with pytest.raises(UsageError, match=r"images must be an integer >= 1, got 0"):
        evaluate_explanations(TreeExplainer(fitted_by_hand()), small_data(), images=0, quiet=True)


def test_evaluate_explanations_quiet_writes_nothing(capsys):
    data = small_data()
    fitted = dataclasses.replace(fitted_by_hand(), class_names=data.images.class_names)
    evaluate_explanations(TreeExplainer(fitted), data, images=3, quiet=True)
    assert capsys.readouterr() == ("", "")
    evaluate_explanations(TreeExplainer(fitted), data, images=3)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "measuring explanations: 100%" in printed.err
