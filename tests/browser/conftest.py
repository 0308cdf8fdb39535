"""Pages opened in a real browser, and axe-core to judge them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pellucid.reports.contents import TreeReport
from pellucid.reports.page import write_report
from tests.reports.synthetic_report import make_report

_NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class OpenPage:
    """A page, what it asked the network for, and what it complained about."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        return self.page.evaluate("window.violations")


Opener = Callable[..., OpenPage]


@pytest.fixture
def open_page(chromium) -> Iterator[Opener]:
    """Return a function that opens a file in a context of its own and waits for the view."""
    contexts = []

    def open_(path: Path, fragment: str = "", **options: Any) -> OpenPage:
        options = {"viewport": {"width": 1280, "height": 900}} | options
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(8000)
        context.add_init_script(_NOTE_VIOLATIONS)
        page = context.new_page()
        opened = OpenPage(page)
        context.on("request", lambda request: opened.requests.append(request.url))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                opened.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.goto(path.as_uri() + fragment)
        if options.get("java_script_enabled", True):
            page.wait_for_function("document.documentElement.dataset.ready === 'true'")
        return opened

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def report() -> TreeReport:
    return make_report(depth=3, size_px=48, explained=6, neighbors=3)


@pytest.fixture(scope="session")
def report_file(report, tmp_path_factory) -> Path:
    return write_report(report, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """Return the source of axe-core 4 as the npm registry has it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, to fetch axe-core")
    folder = tmp_path_factory.mktemp("axe")
    try:
        done = subprocess.run(
            [npm, "pack", "--json", "--silent", "axe-core@4"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        name = json.loads(done.stdout)[0]["filename"]
    except (subprocess.SubprocessError, ValueError, LookupError):
        pytest.skip("needs the npm registry, to fetch axe-core")
    with tarfile.open(folder / name) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode("utf-8")
