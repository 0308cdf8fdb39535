"""Every command that a help text or the README shows is run, as shown."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from pellucid.cli import entry, main
from tests.cli.sample_photos import make_photos

README = Path(__file__).parents[2] / "README.md"
# What is added where an example would train for minutes. An option that comes last wins, so an
# example's own --epochs is parsed, and then cut short.
SHORT_STUDY = ["--epochs", "1", "--seeds", "2", "--path-points", "2", "--backend", "sequential"]
SHORT = ["--epochs", "1", "--depth", "2", "--threads", "1", "--quiet"]


def _examples_of_help() -> list[str]:
    found = []
    for command in [[], *([name] for name in entry.COMMANDS), ["data", "check"]]:
        with pytest.MonkeyPatch.context() as patch:
            printed: list[str] = []
            patch.setattr("sys.stdout", _Lines(printed))
            main([*command, "--help"])
        text = "".join(printed)
        found += re.findall(r"^  (pellucid .+)$", text[text.index("examples:") :], re.MULTILINE)
    return found


class _Lines:
    def __init__(self, kept: list[str]) -> None:
        self.write = kept.append

    def flush(self) -> None:
        return None


def _examples_of_readme() -> list[str]:
    blocks = re.findall(
        r"^```(?:sh|bash|console|shell)\n(.*?)^```", README.read_text(), re.M | re.S
    )
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    # The line that sets everything up runs in an environment of its own.
    return [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?pellucid ", line)]


EXAMPLES = sorted({*_examples_of_help(), *_examples_of_readme()})


def test_examples_are_found():
    assert "pellucid fit photos/ -o runs/photos" in EXAMPLES
    assert "pellucid data check photos/" in EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_documented_command_works(
    pellucid, photos, finished_run, finished_study, finished_wave, tmp_path, monkeypatch, example
):
    monkeypatch.chdir(tmp_path)
    given = shlex.split(example)[1:]
    if "--onnx" in given:
        pytest.importorskip("onnxscript")
    shutil.copytree(photos, "photos")
    make_photos(Path("new-photos"), count=2, seed=1)
    for name in ("photo.jpg", "other.jpg"):
        shutil.copy(photos / "cat" / "00.png", name)
    if given[0] == "fit":
        if "--resume" not in given:
            given += SHORT
        if given[1:2] in ([], ["digits"]) or given[1] in SHORT:
            given += ["--size", "8"]
        if given[1] == "creatures":
            given += ["--size", "24"]
    elif "cifar10" in example:
        pytest.skip("needs a download")
    elif given[0] == "study" and "--resume" not in given:
        given += [*SHORT_STUDY, "--train-images", "20", "--quiet"]
    if given[0] == "serve":
        given += ["--port", "0"]
        monkeypatch.setattr("pellucid.web.server.serve", lambda *_, started, **__: started())
        monkeypatch.setattr("webbrowser.open", lambda url: True)
    if "heights.npy" in given:
        np.save("heights.npy", np.add.outer(*[np.linspace(0, 10, 101)] * 2))
    for name in ("certificate.json", "network.safetensors"):
        shutil.copy(finished_wave / name, name)
    if "-o" not in given:
        shutil.copytree(finished_wave, "runs/wave")
    if any(word.startswith("runs/photos-study") for word in given) and "-o" not in given:
        shutil.copytree(finished_study, "runs/photos-study")
    elif any(word.startswith("runs/photos") for word in given) and "-o" not in given:
        shutil.copytree(finished_run, "runs/photos")
    assert pellucid(*given).code == 0
