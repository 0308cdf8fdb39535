from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.data import LabelledData, Problem
from pellucid.evaluation.accuracy import evaluate_tree
from pellucid.prototree import FittedTree
from pellucid.reports.page import render_report
from pellucid.reports.run_report import (
    RunFigures,
    choose_examples,
    list_accuracies,
    list_doubts,
    list_facts,
    list_warnings,
    make_tree_report,
)
from tests.reports.fitted_squares import fit_squares, make_data


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return make_data()


@pytest.fixture(scope="module")
def fitted(data) -> FittedTree:
    return fit_squares(data)


@pytest.fixture(scope="module")
def figures(fitted, data) -> RunFigures:
    evaluation = evaluate_tree(fitted, data.images, data.splits.test)
    return RunFigures(evaluation, evaluation, best_epoch=4, epochs_done=6, seconds=1.25, seed=7)


def test_make_tree_report_renders_as_a_page(fitted, data, figures):
    page = render_report(make_tree_report(fitted, data, figures))
    assert "Prototype tree for squares" in page
    assert "seed 7" in page


def test_make_tree_report_takes_the_tree_as_it_is(fitted, data, figures):
    report = make_tree_report(fitted, data, figures)
    assert report.left_child.tolist() == list(fitted.tree.topology.left)
    assert len(report.prototypes) == fitted.tree.topology.branches
    np.testing.assert_allclose(report.leaf_distributions.sum(1), 1, atol=1e-5)


def test_make_tree_report_explained_images_agree_with_the_evaluation(fitted, data, figures):
    report = make_tree_report(fitted, data, figures, right=100, wrong=100)
    assert len(report.explained) == len(data.splits.test)
    evaluation = figures.evaluation
    assert sum(bool(image.correct) for image in report.explained) == evaluation.greedy.count


def test_make_tree_report_counts_the_test_images(fitted, data, figures):
    report = make_tree_report(fitted, data, figures)
    total = len(data.splits.test)
    assert sum(leaf.images for leaf in report.leaf_visits) == total
    assert sum(leaf.right for leaf in report.leaf_visits) == figures.evaluation.greedy.count
    assert {sum(p.histogram.everywhere) for p in report.prototypes} == {total}
    assert sum(report.prototypes[0].histogram.passing) == total  # all come by the root


def test_make_tree_report_without_test_images_counts_none(fitted, data):
    splits = replace(data.splits, test=data.splits.test[:0])
    report = make_tree_report(fitted, replace(data, splits=splits), RunFigures(None, None))
    assert report.leaf_visits == ()
    assert {prototype.histogram for prototype in report.prototypes} == {None}


def test_make_tree_report_without_evaluation_explains_nothing(fitted, data):
    report = make_tree_report(fitted, data, RunFigures(None, None))
    assert report.explained == ()
    assert report.accuracy == ()


def test_list_accuracies_has_greedy_first_and_the_tree_before_projection(figures):
    rows = list_accuracies(figures.evaluation, figures.unprojected)
    assert [row.label for row in rows] == [
        "greedy",
        "most probable leaf",
        "soft",
        "soft, before projection",
    ]
    assert all(row.low <= row.value <= row.high for row in rows)


def test_list_facts_names_what_a_reader_needs(fitted, data, figures):
    facts = dict(list_facts(fitted, data, figures))
    for name in (
        "greedy agrees with soft",
        "soft accuracy lost by projection and pruning",
        "branches on a path",
        "path margin, median",
        "prototypes before and after pruning",
        "prototypes that are the same patch",
        "seed",
        "images for validation",
    ):
        assert name in facts
    assert facts["seed"] == 7
    assert facts["seconds"] == 1.2


def _warn(fitted, data, figures) -> str:
    return "\n".join(list_warnings(fitted, data, figures))


def test_list_warnings_says_that_the_test_set_is_small(fitted, data, figures):
    assert f"Only {len(data.splits.test)} test images" in _warn(fitted, data, figures)


def test_list_warnings_names_rejected_files_up_to_ten(fitted, data, figures):
    problems = tuple(Problem(f"{i}.jpg", "truncated", "cut") for i in range(12))
    text = _warn(fitted, replace(data, rejected=problems), figures)
    assert "12 files could not be used: 0.jpg: truncated (cut)" in text
    assert "and 2 more" in text


def test_list_warnings_without_test_images_says_so(fitted, data):
    assert "There are no test images" in _warn(fitted, data, RunFigures(None, None))


def test_list_warnings_of_a_useless_tree_says_not_to_trust_it(fitted, data, figures):
    evaluation = figures.evaluation
    poor = replace(evaluation, greedy=replace(evaluation.greedy, count=4, low=0.1, high=0.6))
    text = _warn(fitted, data, replace(figures, evaluation=poor))
    assert "not shown to do better than always answering" in text


def test_list_doubts_where_the_path_is_not_the_answer_says_so(fitted, data, figures):
    evaluation = figures.evaluation
    total = evaluation.fidelity_greedy.total
    good = replace(evaluation, greedy=replace(evaluation.greedy, count=total, low=0.8, high=1.0))
    unlike = replace(evaluation.fidelity_greedy, count=round(0.9 * total))
    alike = replace(unlike, count=total)
    doubtful = replace(figures, evaluation=replace(good, fidelity_greedy=unlike))
    assert not list_doubts(data, replace(figures, evaluation=replace(good, fidelity_greedy=alike)))
    (doubt,) = list_doubts(data, doubtful)
    assert doubt.startswith("The path that is shown is not always the reason")
    assert list_warnings(fitted, data, doubtful)[0] == doubt


def test_list_warnings_of_a_diverged_training_comes_first(fitted, data, figures):
    warnings = list_warnings(fitted, data, replace(figures, status="diverged"))
    assert warnings[0].startswith("Training diverged")


def test_list_warnings_of_a_training_that_never_began_call_nothing_a_tree(fitted, data):
    diverged = RunFigures(None, None, status="diverged")
    assert "where training started, not a model" in list_warnings(fitted, data, diverged)[0]


def test_list_facts_states_the_size_of_a_box(fitted, data, figures):
    height, width = fitted.image_size
    box = fitted.receptive_field.box(*(cells // 2 for cells in fitted.receptive_field.latent_size))
    said = dict(list_facts(fitted, data, figures))["a box"]
    expected = f"at most {box.bottom - box.top} x {box.right - box.left} px of a {height} x {width}"
    assert said.startswith(expected)


def test_list_warnings_of_cells_that_see_everything_names_the_remedy(fitted, data, figures):
    field = fitted.receptive_field
    rows, columns = field.latent_size
    wide = replace(
        field,
        row_start=(0,) * rows,
        row_stop=(16,) * rows,
        column_start=(0,) * columns,
        column_stop=(20,) * columns,
    )
    assert "sees 100%" in _warn(replace(fitted, receptive_field=wide), data, figures)


def test_choose_examples_spreads_over_classes_right_ones_first():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    predictions = [0, 0, 1, 1, 0, 2, 2, 0]
    assert choose_examples(labels, predictions, right=4, wrong=2) == (0, 3, 5, 1, 2, 7)


def test_choose_examples_with_more_classes_than_room_takes_them_at_even_distances():
    labels = torch.arange(9)
    assert choose_examples(labels, list(range(9)), right=3, wrong=3) == (0, 4, 8)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30),
    st.integers(0, 8),
    st.integers(0, 8),
)
@settings(deadline=None, max_examples=60)
def test_choose_examples_takes_as_many_as_there_are_each_once(pairs, right, wrong):
    labels = torch.tensor([label for label, _ in pairs], dtype=torch.int64)
    chosen = choose_examples(labels, [answer for _, answer in pairs], right=right, wrong=wrong)
    correct = [pairs[position][0] == pairs[position][1] for position in chosen]
    there = sum(label == answer for label, answer in pairs)
    assert len(set(chosen)) == len(chosen)
    assert sum(correct) == min(right, there)
    assert len(chosen) - sum(correct) == min(wrong, len(pairs) - there)
    assert correct == sorted(correct, reverse=True)
