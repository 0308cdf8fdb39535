from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli import main
from pellucid.web.local_model import LocalModel
from tests.cli.sample_photos import QUICK, make_photos


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A run folder of a quick fit on a folder of photos; neither is to be written to."""
    root = tmp_path_factory.mktemp("served")
    photos = make_photos(root / "photos")
    assert main(["fit", str(photos), "-o", str(root / "run"), "--quiet", *QUICK]) == 0
    return root / "run"


@pytest.fixture(scope="session")
def photo(run_folder) -> bytes:
    return (run_folder.parent / "photos" / "dog" / "03.png").read_bytes()


@pytest.fixture(scope="session")
def model(run_folder) -> LocalModel:
    return LocalModel.open(run_folder, device="cpu", quiet=True)


class StandIn:
    """A model that answers what a test wants it to."""

    name = "stand-in"
    page = "<!DOCTYPE html><title>stand-in</title>"
    script_source = "'sha256-0'"

    def __init__(self, answer: Callable[[bytes, str], dict[str, Any]] | None = None) -> None:
        self._answer = answer

    def answer(self, content: bytes, name: str) -> dict[str, Any]:
        if self._answer is not None:
            return self._answer(content, name)
        return {"name": name, "bytes": len(content)}


@pytest.fixture
def stand_in() -> type[StandIn]:
    return StandIn
