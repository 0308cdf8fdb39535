"""What holds for every test: fixed threads, no windows, shapes checked; and a browser on demand."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch
from hypothesis import settings

# The same examples in every run, so that a change is judged by itself; HYPOTHESIS_PROFILE=default
# looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Sums depend on the number of threads; so do the seconds on a busy machine.
torch.set_num_threads(2)

if importlib.util.find_spec("beartype") is not None:
    from jaxtyping import install_import_hook

    from tests import shape_checks

    # The hook imports the checker by name, and pytest keeps a `tests` package of its own.
    sys.modules["shape_checks"] = shape_checks
    # A test that passes a wrong shape, or a function that returns one, then fails by name.
    install_import_hook(["pellucid.backbones", "pellucid.prototree"], "shape_checks.check_shapes")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start Debian's chromium by Playwright.

    For a module, not for the session: Playwright keeps an event loop running in this thread, in
    which nothing else could start one.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Debian's chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()
