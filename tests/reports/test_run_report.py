from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pellucid.data import (
    InMemoryImages,
    LabelledData,
    Problem,
    split_images,
)
from pellucid.evaluation.accuracy import evaluate_tree
from pellucid.prototree import FittedTree, TreeRecipe, explain, fit_tree
from pellucid.reports.page import render_report
from pellucid.reports.run_report import (
    RunFigures,
    choose_examples,
    explain_picture,
    list_accuracies,
    list_facts,
    list_warnings,
    make_tree_report,
    picture_prototypes,
    runner_up_class,
    scale_box,
    shrink_picture,
)


def _make_data(count: int = 60) -> LabelledData:
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = generator.integers(0, 100, (count, 3, 16, 20), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, label, 2 + 4 * label : 6 + 4 * label, 3:9] = 255

    def original(index: int) -> Image.Image:  # three times as high, four times as wide
        picture = Image.fromarray(pixels[index].transpose(1, 2, 0))
        return picture.resize((80, 48))

    images = InMemoryImages(
        torch.from_numpy(pixels),
        labels=torch.from_numpy(labels),
        class_names=["red", "green", "blue"],
        names=[f"image {index}" for index in range(count)],
        digest="0" * 64,
        read_picture=original,
    )
    splits = split_images(images.labels, validation_fraction=0.1, test_fraction=0.2)
    return LabelledData("squares", images, splits)


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return _make_data()


@pytest.fixture(scope="module")
def fitted(data) -> FittedTree:
    recipe = TreeRecipe(depth=3, epochs=6, warm_up_epochs=2, batch_size=8, latent_channels=8)
    return fit_tree(data, recipe, quiet=True).fitted


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


def test_make_tree_report_without_evaluation_explains_nothing(fitted, data):
    report = make_tree_report(fitted, data, RunFigures(None, None))
    assert report.explained == ()
    assert report.accuracy == ()


def test_picture_prototypes_show_the_source_at_its_own_resolution(fitted, data):
    for prototype, source in zip(
        picture_prototypes(fitted, data.images), fitted.sources, strict=True
    ):
        original = np.asarray(data.images.original(source.image))
        np.testing.assert_array_equal(prototype.picture, original)
        box = fitted.patch_box(source.row, source.column)
        assert tuple(prototype.box) == (3 * box.top, 4 * box.left, 3 * box.bottom, 4 * box.right)


def test_picture_prototypes_measure_the_distance_to_the_patch_shown(fitted, data):
    tree = fitted.tree
    for prototype, source in zip(
        picture_prototypes(fitted, data.images), fitted.sources, strict=True
    ):
        pixels = fitted.normalization(data.images.read(torch.tensor([source.image])))
        with torch.no_grad():
            patch = tree.latent(pixels)[0, :, source.row, source.column]
        distance = (patch - tree.prototypes[prototype.branch, :, 0, 0]).norm().item()
        assert prototype.distance == pytest.approx(distance, abs=1e-6)
        assert prototype.distance < 1e-6


def test_picture_prototypes_name_the_branches_with_the_same_patch(fitted, data):
    doubled = replace(fitted, sources=(fitted.sources[0],) * len(fitted.sources))
    prototypes = picture_prototypes(doubled, data.images)
    branches = set(range(len(prototypes)))
    for prototype in prototypes:
        assert set(prototype.duplicates) == branches - {prototype.branch}


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


def test_list_warnings_of_a_diverged_training_comes_first(fitted, data, figures):
    warnings = list_warnings(fitted, data, replace(figures, status="diverged"))
    assert warnings[0].startswith("Training diverged")


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


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_scale_box_covers_the_box_and_stays_inside(draw):
    side = st.integers(1, 300)
    height, width, new_height, new_width = (draw.draw(side) for _ in range(4))
    top, left = draw.draw(st.integers(0, height - 1)), draw.draw(st.integers(0, width - 1))
    bottom = draw.draw(st.integers(top + 1, height))
    right = draw.draw(st.integers(left + 1, width))
    box = scale_box((top, left, bottom, right), (height, width), (new_height, new_width))
    assert 0 <= box.top < box.bottom <= new_height
    assert 0 <= box.left < box.right <= new_width
    assert box.top <= top * new_height / height + 1e-9
    assert box.bottom >= bottom * new_height / height - 1e-9
    assert box.left <= left * new_width / width + 1e-9
    assert box.right >= right * new_width / width - 1e-9


def test_scale_box_to_the_same_size_changes_nothing():
    assert tuple(scale_box((1, 2, 3, 4), (8, 9), (8, 9))) == (1, 2, 3, 4)


def test_shrink_picture_keeps_the_aspect_ratio():
    assert shrink_picture(Image.new("RGB", (400, 200)), 100).shape == (50, 100, 3)


def test_shrink_picture_leaves_small_pictures_alone():
    picture = Image.effect_noise((30, 20), 50).convert("RGB")
    np.testing.assert_array_equal(shrink_picture(picture, 100), np.asarray(picture))


def test_explain_picture_agrees_with_explain(fitted, data):
    picture = Image.fromarray(data.images.pixels[3].permute(1, 2, 0).numpy())
    mine = explain_picture(fitted, picture, name="x", true_class=0)
    assert mine.explanation == explain(fitted, fitted.normalization(data.images.pixels[3:4]))[0]
    assert mine.contents.correct == (mine.explanation.prediction == 0)


def test_runner_up_class_is_never_the_answer(fitted, data):
    pixels = fitted.normalization(data.images.pixels)
    for explanation in explain(fitted, pixels):
        assert runner_up_class(explanation) != explanation.prediction


def test_runner_up_class_where_all_leaves_disagree_is_their_answer(fitted, data):
    one = explain(fitted, fitted.normalization(data.images.pixels[:1]))[0]
    disagreeing = replace(one, prediction=1, soft_prediction=2, runner_up=0)
    assert runner_up_class(disagreeing) == 2
