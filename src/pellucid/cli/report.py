"""``pellucid report``: write the report of a run again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pellucid.cli.arguments import Parser, add_output_options
from pellucid.cli.output import print_json, print_lines


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "report",
        "Write report.html of a finished run, study or approximation again, from its files.",
        ["pellucid report runs/photos", "pellucid report runs/photos-study"],
    )
    parser.add_argument(
        "run", metavar="RUN", help="the folder that `pellucid fit`, `study` or `approximate` made"
    )
    add_output_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Write the report and say where; return the exit code."""
    values = build_parser().parse(given)
    from pellucid.runs import Run

    run = Run.open(values.run)
    if run.config.get("command") == "approximate":
        from pellucid.approximation.schemes import Approximation
        from pellucid.reports.approximation import write_report

        page = write_report(Approximation.load(run.path), run.path / "report.html")
        return _print_page(values, page)
    if run.config.get("command") == "study":
        from pellucid.cli import study

        quiet = ["--quiet"] * values.quiet
        return study.run(["--resume", values.run, *quiet, *["--json"] * values.json])
    from pellucid.cli.fit_run import rebuild_report

    return _print_page(values, rebuild_report(values.run, quiet=values.quiet))


def _print_page(values: argparse.Namespace, page: Path) -> int:
    if values.json:
        print_json({"run": values.run, "report": str(page)})
    else:
        print_lines([f"report  {page}"])
    return 0
