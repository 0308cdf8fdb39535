from __future__ import annotations

import shutil

import pytest

from tests.cli.sample_photos import write_bomb, write_truncated_jpeg


@pytest.fixture
def picture(photos):
    return photos / "dog" / "03.png"


def test_explain_says_each_turn_in_words(pellucid, finished_run, picture):
    outcome = pellucid("explain", finished_run, picture)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith(f"{picture}: ")
    assert "similar to prototype 0 (" in lines[1]
    assert "margin" in lines[1]
    assert "Runner-up: " in lines[-1]


def test_explain_json_holds_the_path_in_the_picture_s_own_pixels(pellucid, finished_run, picture):
    found = pellucid("explain", finished_run, picture, picture, "--json").json
    assert found["run"] == str(finished_run)
    first, second = found["explanations"]
    assert first == second
    assert first["image_size_px"] == [40, 48]
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert first["runner_up"] != first["prediction"]
    for turn in first["path"]:
        top, left, bottom, right = turn["box_px"]
        assert 0 <= top < bottom <= 40
        assert 0 <= left < right <= 48
        assert turn["similar"] == (turn["similarity"] >= 0.5)
        assert set(turn["prototype"]) == {"image", "class"}
    assert first["path_margin"] == pytest.approx(min(turn["margin"] for turn in first["path"]))


def test_explain_html_writes_one_page(pellucid, finished_run, picture, tmp_path):
    page = tmp_path / "why.html"
    outcome = pellucid("explain", finished_run, picture, "--html", page)
    assert f"page  {page}" in outcome.out
    assert "this image" in page.read_text()


def test_explain_html_of_several_images_is_a_folder_of_pages(
    pellucid, finished_run, photos, picture, tmp_path
):
    other = photos / "cat" / "03.png"
    pellucid("explain", finished_run, picture, other, "--html", tmp_path / "why", "--json")
    assert sorted(page.name for page in (tmp_path / "why").iterdir()) == [
        "1-03.html",
        "2-03.html",
    ]


def test_explain_needs_no_training_data(pellucid, finished_run, picture, tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.prototree.tree_run.load_data", None)
    assert pellucid("explain", finished_run, picture, "--html", tmp_path / "w.html").code == 0


def test_explain_html_that_is_a_folder_is_refused(pellucid, finished_run, picture, tmp_path):
    outcome = pellucid("explain", finished_run, picture, "--html", tmp_path)
    assert outcome.code == 2
    assert "--html must name a file" in outcome.err


def test_explain_bad_picture_is_bad_data(pellucid, finished_run, tmp_path):
    write_truncated_jpeg(tmp_path / "cut.jpg")
    write_bomb(tmp_path / "bomb.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    for name, message in (
        ("missing.jpg", "no such file"),
        ("cut.jpg", "ends before the picture does"),
        ("bomb.png", "megapixels are refused"),
        ("text.jpg", "not a picture"),
    ):
        outcome = pellucid("explain", finished_run, tmp_path / name)
        assert outcome.code == 3
        assert message in outcome.err
        assert outcome.err.count("\n") == 1


def test_explain_prototypes_file_that_leads_elsewhere_stays_inside_the_run(
    pellucid, finished_run, picture, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    records = (run / "prototypes.json").read_text()
    (run / "prototypes.json").write_text(records.replace("prototypes/", "../../../secret/"))
    outcome = pellucid("explain", run, picture, "--html", tmp_path / "why.html")
    assert outcome.code == 0
