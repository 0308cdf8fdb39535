from __future__ import annotations

import json
import shutil

import pytest

from pellucid.prototree import load_tree, save_tree
from tests.cli.sample_photos import write_bomb, write_truncated_jpeg
from tests.reports.fitted_squares import answer_with_every_class


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


def test_explain_repeats_why_the_tree_is_not_to_be_trusted(
    pellucid, finished_run, picture, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    result = json.loads((run / "result.json").read_text())
    doubt = "The tree is not shown to do better than guessing (33.3\N{NO-BREAK SPACE}%)."
    (run / "result.json").write_text(json.dumps(result | {"doubts": [doubt]}))
    page = tmp_path / "why.html"
    outcome = pellucid("explain", run, picture, "--html", page)
    assert "warning: The tree is not shown to do better than guessing (33.3 %)." in outcome.err
    assert doubt in page.read_text()
    assert doubt in pellucid("explain", run, picture, "--json").json["explanations"][0]["warnings"]


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


@pytest.fixture
def decided_run(finished_run, tmp_path):
    """Return the run with leaves that take turns with the classes: there is a way to each."""
    run = tmp_path / "decided"
    shutil.copytree(finished_run, run)
    fitted = load_tree(run / "model.safetensors")
    answer_with_every_class(fitted)
    save_tree(fitted, run / "model.safetensors")
    return run


def test_explain_runner_up_says_what_would_have_to_be_different(pellucid, decided_run, picture):
    short = pellucid("explain", decided_run, picture).out.splitlines()
    long = pellucid("explain", decided_run, picture, "--runner-up").out.splitlines()
    assert long[: len(short)] == short
    assert "would have to" in "\n".join(long[len(short) :])
    assert "no change of its latent patches smaller than" in long[-1]


def test_explain_json_holds_the_way_to_the_runner_up(pellucid, decided_run, picture):
    found = pellucid("explain", decided_run, picture, "--json").json["explanations"][0]
    split = found["runner_up_splits_at_step"] - 1
    assert found["runner_up_path"][split]["would_have_to_change"]
    own = [(turn["branch"], turn["similar"]) for turn in found["path"][:split]]
    other = [(turn["branch"], turn["similar"]) for turn in found["runner_up_path"][:split]]
    assert own == other


def test_explain_python_and_command_line_say_the_same(pellucid, finished_run, picture):
    import pellucid as package

    said = pellucid("explain", finished_run, picture).out
    assert said.rstrip("\n") == str(package.explain(finished_run, picture))


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
