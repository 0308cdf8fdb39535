"""``pellucid evaluate``: measure a trained tree, and how far its explanations can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid._checks import UsageError
from pellucid.cli.arguments import (
    Parser,
    add_device_option,
    add_output_options,
    errors_in_flags,
    integer,
)
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
            "pellucid evaluate runs/photos --explanations",
        ],
    )
    parser.add_argument("run", metavar="RUN", help="the run folder that `pellucid fit` made")
    parser.add_argument("data", nargs="?", metavar="DATA", help="other images (the run's own)")
    parser.add_argument(
        "--explanations",
        action="store_true",
        help="also measure how far the explanations can be trusted, each figure beside what chance "
        "would get; of the run's own images it is written to explanations.json and the report",
    )
    parser.add_argument(
        "--images",
        type=integer,
        metavar="N",
        help="with --explanations: use at most N test images (200)",
    )
    add_output_options(parser)
    add_device_option(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Measure and print; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    if values.images is not None and not values.explanations:
        raise UsageError(
            f"--images must come with --explanations, got --images {values.images} alone. "
            "Accuracy is measured on all test images."
        )
    from pellucid.cli.fit_run import evaluate_run

    options = {"device": values.device, "quiet": values.quiet}
    with errors_in_flags(parser):
        if values.explanations:
            from pellucid.cli.explanation_figures import (
                describe_explanations,
                evaluate_run_explanations,
                with_explanations,
            )

            explained, page = evaluate_run_explanations(
                values.run, values.data, images=values.images, **options
            )
            result = with_explanations(evaluate_run(values.run, values.data, **options), explained)
            lines = describe_explanations(explained, page)
        else:
            result, lines = evaluate_run(values.run, values.data, **options), []
    if values.json:
        print_json(result)
    else:
        print_lines([*describe_result(result, fitted_now=False), *lines])
    return 0
