"""``pellucid compact``: the dead filters and neurons of a study's networks, removed for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pellucid.cli.arguments import Parser, add_output_options, integer, number
from pellucid.cli.output import make_table, print_json, print_lines

if TYPE_CHECKING:
    from pellucid.regularization.compaction.compact import CompactionRow


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "compact",
        "Remove the filters and neurons that a penalty has switched off: the same answers from a\n"
        "smaller network, written as safetensors and, if asked for, as ONNX.",
        [
            "pellucid compact runs/photos-study --arm l1",
            "pellucid compact runs/photos-study --arm l1 --seed 2 --onnx",
        ],
    )
    parser.add_argument("run", metavar="RUN", help="the folder of a study")
    parser.add_argument("--arm", metavar="NAME", help="(the arm with the most exact zeros)")
    parser.add_argument("--seed", type=integer, metavar="N", help="(the study's first)")
    parser.add_argument("--moment", metavar="WHEN", help="last (default) or best epoch")
    parser.add_argument(
        "--tolerance",
        type=number,
        metavar="T",
        help="also remove units with an effect below T, as long as the logits agree (0)",
    )
    parser.add_argument("-o", "--out", metavar="DIR", help="folder (default: RUN/compact)")
    parser.add_argument("--onnx", action="store_true", help="also write an ONNX file")
    add_output_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Compact one network; return the exit code."""
    values = build_parser().parse(given)
    from pellucid.regularization.trained_networks import compact_run

    result = compact_run(
        values.run,
        arm=values.arm,
        seed=values.seed,
        moment=values.moment or "last",
        tolerance=values.tolerance or 0.0,
        out=values.out,
        onnx=values.onnx,
    )
    if values.json:
        print_json(
            {
                "arm": result.arm,
                "seed": result.seed,
                "compaction": asdict(result.row),
                "weights": str(result.weights),
                "onnx": None if result.onnx is None else str(result.onnx),
            }
        )
        return 0
    print_lines([f"{result.arm}, seed {result.seed}:", *describe_row(result.row)])
    if result.row.removed_units == 0:
        print_lines(
            [
                "nothing to remove: no filter or neuron has lost all its weights. L1 makes zeros "
                "anywhere; group_lasso makes whole units zero."
            ]
        )
    print_lines([f"weights: {result.weights}"])
    if result.onnx is not None:
        print_lines([f"onnx: {result.onnx}"])
    return 0


def describe_row(row: CompactionRow) -> list[str]:
    """Return a table of what was removed and what that saves."""
    units = [["layer", "units before", "after"]]
    for layer in row.layers:
        note = f"  left alone: {layer.left_alone}" if layer.left_alone else ""
        units.append([layer.name, str(layer.units_before), f"{layer.units_after}{note}"])
    sizes = [["", "before", "after", "times smaller"]]
    for title, field in (
        ("parameters", "parameters"),
        ("multiplications an image", "multiplications"),
        ("bytes", "file_bytes"),
    ):
        before, after = getattr(row.before, field), getattr(row.after, field)
        sizes.append([title, f"{before:,}", f"{after:,}", f"{before / after:.2f}"])
    for latency in row.latencies:
        sizes.append(
            [
                f"ms for a batch of {latency.batch_size}",
                f"{1e3 * latency.before_seconds:.2f}",
                f"{1e3 * latency.after_seconds:.2f}",
                f"{latency.ratio:.2f}",
            ]
        )
    same = f"largest difference of a logit: {row.largest_difference:.1e}"
    return [*make_table(units), "", *make_table(sizes), "", same]
