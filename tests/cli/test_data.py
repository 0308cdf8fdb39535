from __future__ import annotations

from tests.cli.sample_photos import make_photos, write_bomb


def test_data_check_of_a_good_folder_exits_0(pellucid, photos):
    outcome = pellucid("data", "check", photos)
    assert outcome.code == 0
    assert "30 usable pictures in 3 classes" in outcome.out
    assert "Nothing is wrong." in outcome.out


def test_data_check_names_what_is_wrong_and_exits_3(pellucid, tmp_path):
    root = make_photos(tmp_path / "photos", classes=("a\nb", "c"), count=2)
    write_bomb(root / "c" / "bomb.png")
    outcome = pellucid("data", "check", root)
    assert outcome.code == 3
    assert "c/bomb.png  too_large" in outcome.out
    assert "a\\nb" in outcome.out


def test_data_check_json_is_one_object(pellucid, tmp_path):
    root = make_photos(tmp_path / "photos", count=2)
    (root / "empty").mkdir()
    found = pellucid("data", "check", root, "--json").json
    assert found["ok"] is False
    assert found["images"] == {"cat": 2, "dog": 2, "owl": 2}
    assert [problem["kind"] for problem in found["problems"]] == ["empty_class"]


def test_data_check_missing_folder_is_a_usage_error(pellucid, tmp_path):
    outcome = pellucid("data", "check", tmp_path / "none")
    assert outcome.code == 2
    assert "does not exist" in outcome.err


def test_data_without_command_shows_what_there_is(pellucid):
    outcome = pellucid("data")
    assert outcome.code == 2
