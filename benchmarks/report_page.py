"""Size of a tree's report, and how long a browser takes until it can be used.

    python benchmarks/report_page.py

Made-up trees with pictures as heavy to compress as photographs, at 224 px a side, 5 nearest
patches a prototype and 26 images to follow. Needs Playwright and Debian's chromium. Goals at depth
9 (511 branches): at most 12 MB, loaded within 1 s, no request besides the file. Writes
``docs/measurements/report-page.md``.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machine import describe_machine, machine_line

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "measurements" / "report-page.md"
DEPTHS = (5, 7, 9)
_TIMES = """async () => {
  const entry = performance.getEntriesByType("navigation")[0];
  const painted = await new Promise((done) =>
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))));
  return [entry.loadEventEnd, painted];
}"""
_ACTIONS = {
    "a branch opened": "document.querySelector('[data-node=\"2\"]')"
    ".dispatchEvent(new MouseEvent('click', { bubbles: true }))",
    "an image followed": "document.querySelectorAll('.thumbnail input')[3].click()",
    "all paths mixed": "document.querySelector('input[value=soft]').click()",
    "whole tree unfolded": "[...document.querySelectorAll('button')]"
    ".find((b) => b.textContent === 'Whole tree').click()",
}


@dataclass(frozen=True)
class PageFigures:
    """Of one page: megabytes, medians in milliseconds, and what was asked of the network."""

    depth: int
    branches: int
    megabytes: float
    loaded_ms: float
    painted_ms: float
    action_ms: dict[str, float]
    requests: int


def measure(depth: int, folder: Path, rounds: int) -> PageFigures:
    """Write the page of a tree of this depth and open it in fresh contexts."""
    sys.path.insert(0, str(ROOT))
    from playwright.sync_api import sync_playwright

    from pellucid.reports.page import write_report
    from tests.reports.synthetic_report import make_report

    report = make_report(depth=depth, size_px=224, colored=True, explained=26)
    page_file = write_report(report, folder / f"depth-{depth}.html")
    times: list[list[float]] = []
    actions: dict[str, list[float]] = {name: [] for name in _ACTIONS}
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            context.on("request", lambda request: requests.append(request.url))
            page.goto(page_file.as_uri())
            times.append(page.evaluate(_TIMES))
            for name, code in _ACTIONS.items():
                # Until the next frame is drawn: script, layout and paint.
                timed = (
                    f"async () => {{ const start = performance.now(); {code}; await new Promise("
                    "(done) => requestAnimationFrame(() => setTimeout(done))); "
                    "return performance.now() - start; }"
                )
                actions[name].append(page.evaluate(timed))
            context.close()
        browser.close()
    loaded, painted = zip(*times, strict=True)
    return PageFigures(
        depth=depth,
        branches=2**depth - 1,
        megabytes=page_file.stat().st_size / 1e6,
        loaded_ms=statistics.median(loaded),
        painted_ms=statistics.median(painted),
        action_ms={name: statistics.median(values) for name, values in actions.items()},
        requests=len(requests) // rounds,
    )


def write_table(found: list[PageFigures], rounds: int) -> str:
    """Return the page of figures as Markdown."""
    head = [
        "depth",
        "branches",
        "MB",
        "loaded, ms",
        "first full picture, ms",
        *_ACTIONS,
        "requests",
    ]
    rows = [
        [
            str(page.depth),
            str(page.branches),
            f"{page.megabytes:.1f}",
            f"{page.loaded_ms:.0f}",
            f"{page.painted_ms:.0f}",
            *(f"{page.action_ms[name]:.0f}" for name in _ACTIONS),
            str(page.requests),
        ]
        for page in found
    ]
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    machine = machine_line(describe_machine(threads=1, distributions=("playwright",)))
    return "\n".join(
        [
            "# Size and speed of a tree's report",
            "",
            "Written by `python benchmarks/report_page.py`. Made-up full trees with pictures as "
            "heavy to compress as photographs (224 px, 5 nearest patches a prototype, 26 images to "
            f"follow), in headless chromium at 1280 x 900 px; medians of {rounds} fresh contexts. "
            "The right half: milliseconds from a click to the next frame. The one request is the "
            "file itself. Goals at depth 9: at most 12 MB, loaded within 1000 ms.",
            "",
            *lines,
            "",
            machine,
            "",
        ]
    )


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=TABLE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(depth, Path(folder), given.rounds) for depth in DEPTHS]
    text = write_table(found, given.rounds)
    given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
