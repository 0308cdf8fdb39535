from __future__ import annotations

import torch

from pellucid.evaluation import ExplainedModel, Matches, PrototypeModel, TreeExplainer
from pellucid.prototree import explain
from tests.evaluation.toy_models import PartsModel
from tests.prototree.small_fits import colored_patches, fitted_by_hand


def test_tree_explainer_is_a_prototype_model():
    assert isinstance(TreeExplainer(fitted_by_hand()), PrototypeModel)


def test_parts_model_is_an_explained_model_without_prototypes():
    assert issubclass(PartsModel, object)
    assert not isinstance(object(), ExplainedModel)


def test_tree_explainer_match_says_what_explain_says():
    fitted = fitted_by_hand()
    pixels = colored_patches(12).pixels
    matches = TreeExplainer(fitted).match(pixels)
    assert matches.similarity.shape == (12, fitted.tree.topology.branches)
    for row, explanation in enumerate(explain(fitted, pixels)):
        expected = {turn.branch for turn in explanation.path if turn.went_right}
        assert set(matches.present[row].nonzero()[:, 0].tolist()) == expected
        for turn in explanation.path:
            assert tuple(matches.boxes[row, turn.branch].tolist()) == tuple(turn.box)
            assert float(matches.similarity[row, turn.branch]) == torch.tensor(turn.similarity)


def test_tree_explainer_probabilities_are_those_of_the_soft_tree():
    fitted = fitted_by_hand()
    pixels = colored_patches(9).pixels
    found = TreeExplainer(fitted).probabilities(pixels)
    for row, explanation in enumerate(explain(fitted, pixels)):
        torch.testing.assert_close(found[row], torch.tensor(explanation.probabilities))


def test_tree_explainer_greedy_predictions_are_those_of_the_walk():
    fitted = fitted_by_hand()
    pixels = colored_patches(9).pixels
    classes, turns = TreeExplainer(fitted).greedy_predictions(pixels)
    walks = explain(fitted, pixels)
    assert classes.tolist() == [walk.prediction for walk in walks]
    assert turns.tolist() == [len(walk.path) for walk in walks]


def test_tree_explainer_many_images_are_answered_like_few():
    model = TreeExplainer(fitted_by_hand())
    pixels = colored_patches(150).pixels
    classes = torch.arange(150) % 3
    torch.testing.assert_close(model.probabilities(pixels)[130:], model.probabilities(pixels[130:]))
    torch.testing.assert_close(
        model.importance(pixels, classes)[130:], model.importance(pixels[130:], classes[130:])
    )
    assert torch.equal(model.match(pixels).boxes[130:], model.match(pixels[130:]).boxes)


def test_tree_explainer_larger_prototype_has_its_middle_between_its_cells():
    fitted = fitted_by_hand(prototype_size=(2, 2))
    matches = TreeExplainer(fitted).match(colored_patches(20).pixels)
    assert (matches.middles > 0).all()
    assert (matches.middles < torch.tensor([8, 10])).all()
    # Cells are 2 px wide: middles of pairs of cells lie on even numbers.
    assert (matches.middles % 2 == 0).all()


def test_matches_without_centers_take_the_middle_of_the_box():
    boxes = torch.tensor([[[2, 4, 5, 10]]])
    matches = Matches(torch.ones(1, 1), boxes, torch.ones(1, 1, dtype=torch.bool))
    assert matches.middles.tolist() == [[[3.5, 7.0]]]
