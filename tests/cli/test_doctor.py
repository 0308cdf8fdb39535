from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

from pellucid.cli import doctor

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[; ]", text)[0] for text in requirements}


def test_doctor_knows_every_required_package():
    needed_elsewhere = {"matplotlib"} - set(doctor.REQUIRED)
    assert _names(PYPROJECT["dependencies"]) - needed_elsewhere == set(doctor.REQUIRED)


def test_doctor_knows_every_extra():
    extras = PYPROJECT["optional-dependencies"]
    for extra, packages in doctor.EXTRAS.items():
        assert _names(extras[extra]) - {"pellucid"} == set(packages)
    assert set(extras) - {"dev"} == set(doctor.EXTRAS)


def test_doctor_says_that_all_is_there(pellucid):
    outcome = pellucid("doctor")
    assert outcome.code == 0
    assert "Everything that is needed is there." in outcome.out


def test_doctor_json_is_one_object(pellucid):
    found = pellucid("doctor", "--json").json
    assert found["ok"] is True
    assert found["required"]["torch"]
    assert found["folders"]["cache"]["writable"] is True


def test_doctor_missing_packages_come_with_the_command_that_installs_them(pellucid, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("timm", "onnxruntime") else find(name, *rest),
    )
    outcome = pellucid("doctor")
    assert outcome.code == 1
    assert "to do: pip install timm" in outcome.out
    assert 'for more: pip install "pellucid[onnx]"' in outcome.out


def test_doctor_folder_that_cannot_be_written_is_named(pellucid, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "file"))
    outcome = pellucid("doctor")
    assert "set PELLUCID_CACHE" in outcome.out
