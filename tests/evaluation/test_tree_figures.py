from __future__ import annotations

import dataclasses

import pytest
import torch

from pellucid.evaluation import Matches, TreeExplainer, evaluate_tree
from pellucid.evaluation.tree_figures import (
    measure_box_size,
    measure_class_coverage,
    measure_tree,
    no_tree,
)
from tests.prototree.small_fits import fitted_by_hand, small_data


def case(**options):
    fitted, data = fitted_by_hand(**options), small_data()
    names = data.images.class_names
    return dataclasses.replace(fitted, class_names=names), data, data.splits.test


def test_measure_tree_equals_evaluate_tree():
    fitted, data, indices = case()
    other = dataclasses.replace(fitted_by_hand(seed=4), class_names=fitted.class_names)
    model = TreeExplainer(fitted, unprojected=other)
    answers = model.probabilities(data.images.read(indices)).argmax(1).numpy()
    fidelity, length, drop = measure_tree(model, data, indices, answers)
    after = evaluate_tree(fitted, data.images, indices)
    before = evaluate_tree(other, data.images, indices)
    assert fidelity.value == after.fidelity_greedy.value
    assert length.value == pytest.approx(after.path_lengths[0])
    assert drop.value == pytest.approx(before.distributed.value - after.distributed.value)


def test_measure_tree_without_the_earlier_tree_projection_has_no_value():
    fitted, data, indices = case()
    model = TreeExplainer(fitted)
    answers = model.probabilities(data.images.read(indices)).argmax(1).numpy()
    drop = measure_tree(model, data, indices, answers)[2]
    assert drop.value is None
    assert "before projection was not given" in drop.note


def test_no_tree_has_no_values():
    assert [measure.value for measure in no_tree()] == [None] * 3


class AlwaysSecond:
    name = "always second"
    class_names = ("a", "b", "c")

    def probabilities(self, images):
        return torch.tensor([[0.2, 0.5, 0.3]]).expand(len(images), 3)


def test_measure_class_coverage_names_what_is_never_answered():
    images = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 1, 0]).numpy()
    measure, missing = measure_class_coverage(AlwaysSecond(), images, labels)
    assert (measure.value, measure.total, missing) == (0.5, 2, ("a",))


def test_measure_class_coverage_of_a_tree_is_that_of_its_walks():
    fitted, data, indices = case()
    pixels, labels = data.images.read(indices), data.images.labels[indices]
    walked = set(evaluate_tree(fitted, data.images, indices).predictions)
    measure, _ = measure_class_coverage(TreeExplainer(fitted), pixels, labels.numpy())
    assert measure.value == pytest.approx(len(walked & set(labels.tolist())) / 3)


def test_measure_box_size_counts_present_prototypes_only():
    boxes = torch.tensor([[[0, 0, 2, 5], [0, 0, 4, 10]], [[0, 0, 4, 10], [1, 1, 2, 2]]])
    present = torch.tensor([[True, False], [True, True]])
    measure = measure_box_size(Matches(torch.ones(2, 2), boxes, present), (4, 10))
    assert measure.value == pytest.approx((0.25 + 1 + 1 / 40) / 3)
    assert measure.total == 2


def test_measure_box_size_nothing_present_has_no_value():
    boxes = torch.zeros(1, 1, 4, dtype=torch.int64)
    matches = Matches(torch.ones(1, 1), boxes, torch.zeros(1, 1, dtype=torch.bool))
    assert measure_box_size(matches, (4, 10)).value is None
