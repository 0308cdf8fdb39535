"""``pellucid evaluate``: measure a trained tree."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.cli.arguments import Parser, add_device_option, add_output_options, errors_in_flags
from pellucid.cli.output import print_json, print_lines
from pellucid.cli.result_text import describe_result


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "evaluate",
        "Measure a trained tree: on the test images of its run, or on other images of the same\n"
        "classes (their test split if they have one, else all of them).",
        [
            "pellucid evaluate runs/photos",
            "pellucid evaluate runs/photos new-photos/ --json",
        ],
    )
    parser.add_argument("run", metavar="RUN", help="the run folder that `pellucid fit` made")
    parser.add_argument("data", nargs="?", metavar="DATA", help="other images (the run's own)")
    add_output_options(parser)
    add_device_option(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Measure and print; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    from pellucid.cli.fit_run import evaluate_run

    with errors_in_flags(parser):
        result = evaluate_run(values.run, values.data, device=values.device, quiet=values.quiet)
    if values.json:
        print_json(result)
    else:
        print_lines(describe_result(result, fitted_now=False))
    return 0
