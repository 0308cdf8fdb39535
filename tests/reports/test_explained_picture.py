from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from markupsafe import escape
from PIL import Image

import pellucid
from pellucid._checks import DataError, UsageError
from pellucid.data import LabelledData
from pellucid.prototree import FittedTree
from pellucid.prototree import explain as explain_images
from pellucid.reports.explained_picture import ExplainedPicture, explain, explain_picture
from pellucid.reports.run_pictures import picture_prototypes, scale_box
from tests.reports.fitted_squares import answer_with_every_class, fit_squares, make_data

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return make_data()


@pytest.fixture(scope="module")
def fitted(data) -> FittedTree:
    fitted = fit_squares(data)
    answer_with_every_class(fitted)
    return fitted


@pytest.fixture(scope="module")
def explained(fitted, data) -> ExplainedPicture:
    prototypes = picture_prototypes(fitted, data.images)
    picture = data.images.original(4)
    return explain_picture(fitted, picture, name=MARKUP, prototypes=prototypes)


def pixels(data, index: int = 3) -> np.ndarray:
    return data.images.pixels[index].permute(1, 2, 0).numpy()


def test_explain_picture_agrees_with_explain_of_its_pixels(fitted, data):
    mine = explain_picture(fitted, Image.fromarray(pixels(data)), name="x", true_class=0)
    normalized = fitted.normalization(data.images.pixels[3:4])
    assert mine.explanation == explain_images(fitted, normalized)[0]
    assert mine.contents.correct == (mine.explanation.prediction == 0)


def test_explain_picture_contents_hold_every_branch_and_the_runner_up(fitted, data):
    for index in range(6):
        mine = explain_picture(fitted, data.images.original(index), name="x")
        one, contents = mine.explanation, mine.contents
        assert [turn.branch for turn in contents.turns] == list(range(len(one.turns)))
        assert contents.steps == tuple(contents.turns[turn.branch] for turn in one.path)
        for turn, inner in zip(contents.turns, one.turns, strict=True):
            assert turn.box == scale_box(inner.box, fitted.image_size, contents.picture.shape[:2])
            assert (turn.similarity, turn.went_right) == (inner.similarity, inner.went_right)
        assert contents.runner_up_leaf == one.runner_up_leaf
        assert contents.runner_up == fitted.class_names[one.runner_up]
        assert contents.soft_class == fitted.class_names[one.soft_prediction]


def test_explain_picture_path_has_boxes_in_the_picture_s_own_pixels(fitted, data):
    large = data.images.original(3).resize((800, 480))  # (width, height); shown smaller on a page
    mine = explain_picture(fitted, large, name="x")
    for step, turn in zip(mine.path, mine.explanation.path, strict=True):
        top, left, bottom, right = turn.box
        assert tuple(step.box) == (30 * top, 40 * left, 30 * bottom, 40 * right)


def test_runner_up_path_leads_where_the_explanation_says(explained):
    steps = explained.runner_up_path
    assert [(step.branch, step.went_right) for step in steps] == [
        (turn.branch, turn.went_right) for turn in explained.explanation.runner_up_path
    ]
    assert explained.to_dict()["runner_up_path"][0]["branch"] == 0


def test_to_dict_marks_exactly_the_turns_that_would_have_to_change(explained):
    found = json.loads(json.dumps(explained.to_dict(), allow_nan=False))["runner_up_path"]
    changes = {turn.branch for turn in explained.explanation.runner_up_changes}
    assert {turn["branch"] for turn in found if turn["would_have_to_change"]} == changes
    assert changes


def test_describe_runner_up_says_how_far_each_turn_is_from_turning(explained):
    said = "\n".join(explained.describe(runner_up=True))
    for turn in explained.explanation.runner_up_changes:
        way = "rise to" if turn.went_right else "fall below"
        assert f"similarity {turn.similarity:.3f} would have to {way} 1/2" in said
        assert re.search(rf"{turn.margin:.3f} (nearer|farther off)", said)
    assert said.count("otherwise: ") == len(explained.explanation.runner_up_changes)


def test_describe_runner_up_without_a_leaf_says_so(explained):
    one = replace(
        explained.explanation, runner_up_leaf=None, runner_up_split=None, runner_up_path=()
    )
    without = replace(explained, explanation=one)
    assert list(without.describe(runner_up=True))[-1].endswith("; no leaf answers with it.")
    assert without.runner_up_path == ()


def test_cautions_are_told_wherever_the_path_is(explained):
    turns = tuple(replace(turn, similarity=0.5) for turn in explained.explanation.path)
    one = replace(explained.explanation, path=turns)
    doubtful = replace(
        explained, explanation=one, contents=replace(explained.contents, cautions=one.cautions)
    )
    assert len(one.cautions) == len(turns)
    assert doubtful.to_dict()["cautions"] == list(one.cautions)
    for text in (str(doubtful), doubtful.to_html(), doubtful._repr_html_()):
        assert all(caution in text for caution in one.cautions)


def test_to_html_says_what_would_lead_to_the_runner_up(explained):
    page, said = explained.to_html(), list(explained.describe(runner_up=True))
    assert f'lead to <span class="name">{explained.runner_up}</span>' in page
    assert str(escape(said[-1].strip())) in page
    steps = [line.split(". ", 1)[1] for line in said if line.startswith("    ")]
    assert len(steps) == len(explained.runner_up_path)
    assert all(f"<li>{escape(step)}</li>" in page for step in steps)


def test_str_and_repr_say_the_answer(explained):
    assert str(explained).startswith(f"{MARKUP}: {explained.prediction} (")
    assert repr(explained).startswith(f"<ExplainedPicture {MARKUP!r}: {explained.prediction!r} by ")


def test_repr_html_holds_no_script_and_loads_nothing(explained):
    html = explained._repr_html_()
    assert MARKUP not in html
    assert "&lt;img src=x" in html
    assert not re.search(r"<script|<link|<style|@import|\bon\w+=\"|\bid=|class=", html)
    assert set(re.findall(r"(?:href|src)=\"(\w+:[\w/]+)", html)) <= {
        "data:image/png",
        "data:image/jpeg",
    }
    assert "url(" not in html


def test_repr_html_shows_each_patch_beside_its_prototype(explained):
    html = explained._repr_html_()
    steps = len(explained.path)
    assert html.count('aria-label="patch of this image"') == steps
    assert html.count('aria-label="prototype"') == steps
    assert html.count("<rect") == 4 * steps


def test_repr_html_without_prototypes_shows_the_image_alone(fitted, data):
    html = explain(fitted, pixels(data))._repr_html_()
    assert 'aria-label="prototype"' not in html
    assert "(class " in html


def test_to_html_is_the_page_of_this_picture(explained, tmp_path):
    page = explained.save_html(tmp_path / "why.html")
    assert page.read_text() == explained.to_html()
    assert MARKUP not in page.read_text()


def test_explain_is_a_name_of_the_package():
    assert pellucid.explain is explain


def test_explain_array_tensor_picture_and_file_agree(fitted, data, tmp_path):
    image = pixels(data)
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    given = [
        image,
        image.transpose(2, 0, 1),
        torch.from_numpy(image),
        data.images.pixels[3],
        Image.fromarray(image),
        Image.fromarray(image).convert("RGBA"),
        path,
        str(path),
    ]
    found = explain(fitted, given)
    assert len({one.explanation for one in found}) == 1
    assert [one.name for one in found[:5]] == [f"image {number}" for number in range(1, 6)]
    assert [one.name for one in found[6:]] == [str(path)] * 2
    assert explain(fitted, image).name == "image"


def test_explain_grey_pixels_are_repeated(fitted):
    grey = np.arange(320, dtype=np.uint8).reshape(16, 20)
    colored = np.repeat(grey[..., None], 3, axis=2)
    assert explain(fitted, grey).explanation == explain(fitted, colored).explanation


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), r"uint8 of shape .*, got float32 of shape \(4, 5, 3\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "a batch as a list of images"),
        (np.zeros((4, 5), np.int64), "got int64"),
        (np.zeros((0, 5, 3), np.uint8), "got uint8 of shape"),
        (torch.zeros(1, 4, 5, dtype=torch.uint8), r"got uint8 of shape \(1, 4, 5\)"),
        (np.broadcast_to(np.uint8(0), (8000, 8000, 3)), "at most 50 megapixels"),
        (17, "must be a file name, a Pillow image or an array of uint8 pixels, got int"),
    ],
)
def test_explain_unusable_image_is_refused(fitted, image, message):
    with pytest.raises(UsageError, match=message):
        explain(fitted, image)


def test_explain_missing_file_is_bad_data(fitted, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        explain(fitted, tmp_path / "none.png")


def test_explain_run_that_is_none_is_refused(data):
    with pytest.raises(UsageError, match=r"a FittedTree, got int\. Of a ProtoTreeClassifier"):
        explain(3, pixels(data))
    with pytest.raises(DataError, match="none"):
        explain("none", pixels(data))
