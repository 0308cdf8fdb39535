"""``pellucid report``: write the report of a run again."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.cli.arguments import Parser, add_output_options
from pellucid.cli.output import print_json, print_lines


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "report",
        "Write report.html of a finished run or study again, from its figures and its data.",
        ["pellucid report runs/photos", "pellucid report runs/photos-study"],
    )
    parser.add_argument("run", metavar="RUN", help="the folder that `pellucid fit` or `study` made")
    add_output_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Write the report and say where; return the exit code."""
    values = build_parser().parse(given)
    from pellucid.runs import Run

    if Run.open(values.run).config.get("command") == "study":
        from pellucid.cli import study

        quiet = ["--quiet"] * values.quiet
        return study.run(["--resume", values.run, *quiet, *["--json"] * values.json])
    from pellucid.cli.fit_run import rebuild_report

    page = rebuild_report(values.run, quiet=values.quiet)
    if values.json:
        print_json({"run": values.run, "report": str(page)})
    else:
        print_lines([f"report  {page}"])
    return 0
