from __future__ import annotations

import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import pellucid
from pellucid._checks import DataError
from pellucid.data.pictures import PictureError
from pellucid.web.local_model import LocalModel


def test_answer_holds_what_explain_finds(model, run_folder, photo):
    answer = model.answer(photo, "a photo")
    picture = run_folder.parent / "photos" / "dog" / "03.png"
    explained = pellucid.explain(run_folder, picture, device="cpu")
    assert answer["name"] == "a photo"
    assert answer["true_class"] is None
    assert answer["size"] == [40, 48]
    expected = [turn.similarity for turn in explained.turns]
    np.testing.assert_allclose(answer["similarities"], expected, rtol=1e-6)
    assert answer["boxes"] == [list(turn.box) for turn in explained.turns]
    assert answer["picture"].startswith("data:image/png;base64,")
    json.dumps(answer, allow_nan=False)


def test_answer_to_what_is_no_picture_raises(model):
    with pytest.raises(PictureError, match="/etc/passwd: the content is not a picture"):
        model.answer(b"no picture", "/etc/passwd")


def test_open_puts_test_images_and_a_place_to_drop_others_on_the_page(model):
    assert model.images > 0
    assert '"live":true' in model.page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', model.page)
    assert policy is not None
    assert model.script_source.replace("'", "&#39;") in policy[1] or (
        model.script_source in policy[1]
    )


def test_open_without_the_training_images_says_so_and_still_answers(run_folder, photo, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "data": str(tmp_path / "gone")}))
    model = LocalModel.open(run, device="cpu", quiet=True)
    assert model.images == 0
    assert "The page shows no test images and no accuracy" in model.page
    assert model.answer(photo, "x")["similarities"]


def test_open_what_is_no_run_raises(tmp_path):
    with pytest.raises(DataError, match="nothing"):
        LocalModel.open(tmp_path / "nothing")


def test_answer_to_a_large_picture_has_its_boxes_in_the_pixels_that_are_sent(model, photo):
    with Image.open(io.BytesIO(photo)) as small:
        large = small.resize((960, 800))
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    answer = model.answer(buffer.getvalue(), "large")
    assert max(answer["size"]) <= 448
    for top, left, bottom, right in answer["boxes"]:
        assert 0 <= top < bottom <= answer["size"][0]
        assert 0 <= left < right <= answer["size"][1]
