from __future__ import annotations

import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from pellucid._checks import UsageError
from pellucid.reports.interactive import describe_image, describe_tree
from pellucid.reports.interactive.script import page_script
from pellucid.reports.interactive.view_data import describe_images
from pellucid.reports.picture_svg import PictureStore
from tests.reports.synthetic_report import make_report


@pytest.fixture(scope="module")
def report():
    return make_report(depth=3)


def test_describe_tree_holds_children_leaves_and_every_prototype(report):
    store = PictureStore()
    tree = json.loads(json.dumps(describe_tree(report, store)))
    assert tree["classes"] == list(report.class_names)
    assert tree["left"] == report.left_child.tolist()
    assert tree["right"] == report.right_child.tolist()
    np.testing.assert_allclose(tree["leaves"], report.leaf_distributions, rtol=1e-5)
    for branch, (shown, prototype) in enumerate(
        zip(tree["prototypes"], report.prototypes, strict=True)
    ):
        assert shown["branch"] == branch
        assert tuple(shown["box"]) == tuple(prototype.box)
        assert shown["image"] == prototype.image_name
        assert len(shown["neighbors"]) == len(prototype.neighbors)
        assert [near["distance"] for near in shown["found_in"]] == pytest.approx(
            [near.distance for near in prototype.found_in]
        )
        assert tuple(shown["histogram"]["passing"]) == prototype.histogram.passing
        assert f'id="{shown["picture"]}"' in store.definitions()
    assert tree["visits"] == [[12, 11]] * 8


def test_describe_tree_without_a_picture_holds_none_in_its_place(report):
    bare = dataclasses.replace(report, prototypes=report.prototypes[1:], leaf_visits=())
    tree = describe_tree(bare, PictureStore())
    assert tree["prototypes"][0] is None
    assert tree["prototypes"][1]["branch"] == 1
    assert tree["visits"] == []


def test_describe_image_holds_similarities_boxes_and_the_picture_itself(report):
    image = report.explained[0]
    shown = describe_image(image)
    assert shown["similarities"] == pytest.approx([t.similarity for t in image.turns], rel=1e-8)
    assert [tuple(box) for box in shown["boxes"]] == [tuple(turn.box) for turn in image.turns]
    assert shown["size"] == list(image.picture.shape[:2])
    kind, data = shown["picture"].split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), image.picture)


def test_describe_image_with_turns_out_of_order_is_refused(report):
    image = report.explained[0]
    shuffled = dataclasses.replace(image, turns=image.turns[::-1])
    with pytest.raises(UsageError, match="must be those of branches 0 to 6 in order"):
        describe_image(shuffled)


def test_describe_images_embeds_one_picture_once(report):
    store = PictureStore()
    first, second = describe_images((report.explained[0], report.explained[0]), store)
    assert first["picture"] == second["picture"] == "p0"
    assert len(store) == 1


def test_tree_report_with_an_image_without_turns_is_refused(report):
    image = dataclasses.replace(report.explained[0], turns=())
    with pytest.raises(UsageError, match="must have a turn for each of the 7 branches, got 0"):
        dataclasses.replace(report, explained=(image,))


def test_page_script_live_can_send_an_image_and_the_other_cannot():
    live, live_source = page_script(live=True)
    still, source = page_script()
    assert "function addUpload" in live
    assert "function addUpload" not in still
    assert "fetch(" not in still
    assert live_source != source


def test_page_script_never_reads_text_as_markup():
    text, _ = page_script(live=True)
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert sink not in text
