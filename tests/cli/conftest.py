from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli import main
from tests.cli.sample_photos import QUICK, make_photos


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def pellucid(capsys) -> Callable[..., Outcome]:
    """Run one command in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of three classes of ten pictures; not to be written to."""
    return make_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, photos) -> Path:
    """A run folder of a quick fit on ``photos``; not to be written to."""
    path = tmp_path_factory.mktemp("runs") / "photos"
    assert main(["fit", str(photos), "-o", str(path), "--quiet", *QUICK]) == 0
    return path


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory, photos) -> Path:
    """A folder of a quick study on ``photos``; not to be written to."""
    path = tmp_path_factory.mktemp("runs") / "photos-study"
    quick = ["--size", "16", "--epochs", "2", "--seeds", "0,2", "--backend", "sequential"]
    arms = ["--arms", "none,l1,group_lasso"]
    assert main(["study", str(photos), "-o", str(path), "--quiet", *arms, *quick]) == 0
    return path


@pytest.fixture(scope="session")
def finished_wave(tmp_path_factory) -> Path:
    """A folder of a quick approximation; not to be written to."""
    path = tmp_path_factory.mktemp("runs") / "wave"
    wave = ["sin(6*x)", "--box", "0", "1", "--tolerance", "0.05", "--scheme", "spectral"]
    assert main(["approximate", *wave, "-o", str(path), "--quiet"]) == 0
    return path
