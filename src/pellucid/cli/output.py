"""What reaches a terminal: plain text without color, one object for ``--json``, names made safe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Interruption(BaseException):
    """A person or a scheduler asked to stop; the message says how to go on.

    Not an `Exception`, so that no handler of errors takes it for one.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def printable(text: str) -> str:
    """Return ``text`` on one line, with escapes for whatever a terminal would act on.

    A no-break space, which pages have before a percent sign, becomes a space. A folder name may
    hold line breaks, terminal sequences or marks that reverse the writing direction.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text.replace("\N{NO-BREAK SPACE}", " ")
    )


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout, each made `printable`."""
    for line in lines:
        print(printable(line))


def print_note(text: str) -> None:
    """Write lines to stderr."""
    for line in text.splitlines():
        print(printable(line), file=sys.stderr)


def print_error(message: str, *, kind: str = "error: ") -> None:
    """Write ``pellucid: error: ...`` to stderr, on one line, and what a caret points into below."""
    # A progress bar may have left the cursor in the middle of its line.
    if sys.stderr.isatty():
        print(file=sys.stderr)
    lines = message.splitlines()
    pointed = lines[-2:] if len(lines) > 2 and set(lines[-1].strip()) == {"^"} else []
    one_line = " ".join(lines[: len(lines) - len(pointed)])
    for line in (f"pellucid: {kind}{one_line}", *pointed):
        print(printable(line), file=sys.stderr)


def print_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout, in ASCII: safe for any terminal and any pipe."""
    print(json.dumps(value, indent=2, allow_nan=False))


def make_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of text with columns lined up; the first row is the heading."""
    safe = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in safe) for column in range(len(safe[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in safe
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def write_percent(value: float | None) -> str:
    """Return a share in [0, 1] as ``97.8 %``."""
    return "not measured" if value is None else f"{100 * value:.1f} %"
