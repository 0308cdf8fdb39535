"""``pellucid explain``: the decision path of single images, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid._checks import DataError, UsageError
from pellucid.cli.arguments import Parser, add_device_option, add_output_options, errors_in_flags
from pellucid.cli.output import print_json, print_lines, print_note

if TYPE_CHECKING:
    from pellucid.reports.explained_picture import ExplainedPicture


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "explain",
        "Say why a trained tree answers as it does: for each branch on the way whether the image\n"
        "holds a patch like its prototype, where, how surely, and how little would turn it.",
        [
            "pellucid explain runs/photos photo.jpg",
            "pellucid explain runs/photos photo.jpg --runner-up",
            "pellucid explain runs/photos photo.jpg --html why.html",
            "pellucid explain runs/photos photo.jpg other.jpg --json",
        ],
    )
    parser.add_argument("run", metavar="RUN", help="the run folder that `pellucid fit` made")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="picture files")
    parser.add_argument(
        "--html", metavar="F", help="also write a page; with several images, a folder of pages"
    )
    parser.add_argument(
        "--runner-up",
        action="store_true",
        help="also say what would have to be different for the runner-up to be answered",
    )
    add_output_options(parser)
    add_device_option(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Explain and print; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    from pellucid.reports.explained_picture import explain

    with errors_in_flags(parser):
        explained = explain(values.run, values.images, device=values.device)
    pages = _write_pages(values.html, explained)
    if values.json:
        print_json(
            {
                "run": explained[0].answered_by,
                "explanations": [
                    {**one.to_dict(), **({"page": str(page)} if page else {})}
                    for one, page in zip(explained, pages, strict=True)
                ],
            }
        )
        return 0
    for number, one in enumerate(explained):
        if number:
            print()
        print_lines(one.describe(runner_up=values.runner_up))
    for page in filter(None, pages):
        print_lines(["", f"page  {page}"])
    for warning in explained[0].warnings:
        print_note(f"warning: {warning}")
    return 0


def _write_pages(
    target: str | None, explained: Sequence[ExplainedPicture]
) -> Sequence[Path | None]:
    if target is None:
        return [None] * len(explained)
    path = Path(target)
    if len(explained) > 1 and path.exists() and not path.is_dir():
        raise UsageError(f"--html must name a folder for several images, got the file {target!r}.")
    if len(explained) == 1 and path.is_dir():
        raise UsageError(f"--html must name a file for one image, got the folder {target!r}.")
    pages: list[Path] = []
    for number, one in enumerate(explained, start=1):
        page = path
        if len(explained) > 1:
            page = path / f"{number}-{Path(one.name).stem}.html"
        try:
            pages.append(one.save_html(page))
        except OSError as error:
            raise DataError(f"{page} cannot be written: {error.strerror}.") from None
    return pages
