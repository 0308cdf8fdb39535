"""Write the option tables of ``docs/reference/cli.md``: ``python docs/cli_tables.py``.

They come from the parsers; ``tests/test_docs.py`` fails while page and parsers differ.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pellucid.cli import (
    approximate,
    bump,
    compact,
    data,
    doctor,
    evaluate,
    explain,
    fit,
    report,
    serve,
    study,
    tile,
    tower,
    verify,
)

PAGE = Path(__file__).parent / "reference" / "cli.md"
PARSERS = {
    "fit": fit.build_parser,
    "evaluate": evaluate.build_parser,
    "explain": explain.build_parser,
    "serve": serve.build_parser,
    "study": study.build_parser,
    "compact": compact.build_parser,
    "approximate": approximate.build_parser,
    "verify": verify.build_parser,
    "bump": bump.build_parser,
    "tower": tower.build_parser,
    "tile": tile.build_parser,
    "report": report.build_parser,
    "data check": data.build_parser,
    "doctor": doctor.build_parser,
}


def write_table(parser: argparse.ArgumentParser) -> str:
    """Return every argument of a command as a Markdown table, in the order of ``--help``."""
    rows = ["| | |", "|---|---|"]
    for action in parser._actions:
        value = f" {action.metavar}" if action.metavar and action.option_strings else ""
        names = [f"`{flag}{value}`" for flag in action.option_strings]
        rows.append(f"| {', '.join(names) or f'`{action.metavar}`'} | {_escape(action.help)} |")
    return "\n".join(rows)


def _escape(text: str | None) -> str:
    """Return help text for a cell: flags and paths as code, nothing taken for Markdown."""
    text = (text or "").replace("%%", "%").replace("|", r"\|")
    return re.sub(r"(?<!`)(--[a-z][\w-]*|DIR/\S*|\w+=[\w.,=]+[\w])(?!`)", r"`\1`", text)


def write_section(command: str) -> str:
    """Return what ``--help`` says of a command: its description, examples and options."""
    parser = PARSERS[command]()
    examples = [
        line.strip() for line in (parser.epilog or "").splitlines() if line.startswith("  ")
    ]
    return "\n\n".join(
        [
            " ".join((parser.description or "").split()),
            "\n".join(["```sh", *examples, "```"]),
            write_table(parser),
        ]
    )


def with_tables(page: str) -> str:
    """Return the page with what stands between its markers written again."""

    def section(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{write_section(found[2])}\n\n<!-- end -->"

    return re.sub(r"(<!-- from --help: (.+?) -->).*?<!-- end -->", section, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
