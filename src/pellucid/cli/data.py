"""``pellucid data check``: what is wrong with a folder of images, by name."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid._checks import DataError, UsageError, did_you_mean
from pellucid.cli.arguments import Parser, add_output_options
from pellucid.cli.output import make_table, print_json, print_lines

_EXAMPLES = ["pellucid data check photos/", "pellucid data check photos/ --json"]


def build_parser() -> Parser:
    """Return the parser of ``data check``."""
    parser = Parser(
        "data check",
        "Open every picture of a folder and name what is unreadable, cut short, too large, empty,\n"
        "a copy, or in two classes or splits. Exits 0 if nothing is wrong, else 3.",
        _EXAMPLES,
    )
    parser.add_argument(
        "folder", metavar="DIR", help="laid out as DIR/class/ or DIR/{train,val,test}/class/"
    )
    add_output_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Find the subcommand; return the exit code."""
    if given and given[0] == "check":
        return _check(given[1:])
    if not given or given[0] in ("-h", "--help"):
        examples = "\n".join(f"  {example}" for example in _EXAMPLES)
        lines = (
            "usage: pellucid data check DIR [--json] [--quiet]\n\n"
            "Look at a folder of images before training on it.\n\n"
            "commands:\n  check     name everything that is wrong with a folder\n\n"
            f"examples:\n{examples}"
        )
        print(lines)
        return 0 if given else UsageError.exit_code
    guess = did_you_mean(given[0], ["check"]) or "See `pellucid data --help`."
    raise UsageError(f"data command must be one of check, got {given[0]!r}. {guess}")


def _check(given: Sequence[str]) -> int:
    values = build_parser().parse(given)
    from pellucid.data import check_folder

    report = check_folder(values.folder, quiet=values.quiet)
    if values.json:
        print_json(report.to_dict())
    else:
        total = sum(report.images.values())
        print_lines([f"{report.path}: {total} usable pictures in {len(report.images)} classes", ""])
        if report.images:
            rows = [(name, str(count)) for name, count in report.images.items()]
            print_lines([*make_table([("class", "pictures"), *rows]), ""])
        if report.problems:
            rows = [(p.path, p.kind, p.detail) for p in report.problems]
            print_lines(make_table([("file", "problem", "what was found"), *rows]))
        else:
            print_lines(["Nothing is wrong."])
    return 0 if report.ok else DataError.exit_code
