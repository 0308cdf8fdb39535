"""``pellucid bump``: two sigmoids that make a bump, and what each of their weights is for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pellucid._checks import UsageError
from pellucid.cli.arguments import Parser, errors_in_flags, number
from pellucid.cli.output import make_table, print_json, print_lines
from pellucid.cli.shapes import (
    add_shape_options,
    cautions,
    check_folder,
    weights_in_json,
    write_shape,
    write_sum,
)

if TYPE_CHECKING:
    from pellucid.approximation.shape_designs import BumpDesign


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "bump",
        "Write down two sigmoids that make a bump, from where it rises and falls, and say what\n"
        "each weight is for. With --direction, a ridge bump of several variables.",
        [
            "pellucid bump",
            "pellucid bump --rise 0.2 --fall 0.5 --height 2 --steepness 100",
            "pellucid bump --rise 0.3 --fall 0.7 --direction 1 0 -o runs/ridge",
        ],
    )
    parser.add_argument("--rise", type=number, default=0.4, metavar="X", help="step up (0.4)")
    parser.add_argument("--fall", type=number, default=0.6, metavar="X", help="step down (0.6)")
    parser.add_argument("--height", type=number, default=1.0, metavar="H", help="of the roof (1)")
    parser.add_argument(
        "--steepness",
        type=number,
        nargs="+",
        default=[500.0],
        metavar="W",
        help="of both steps, or first of the rise, then of the fall (500)",
    )
    parser.add_argument(
        "--direction",
        type=number,
        nargs="+",
        default=[1.0],
        metavar="D",
        help="weight of each variable: 1 0 depends on the first of two (one variable)",
    )
    add_shape_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Write one bump down; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    folder = check_folder(values.out)
    from pellucid.approximation.shape_designs import BumpDesign

    with errors_in_flags(parser):
        if len(values.steepness) > 2:
            raise UsageError(
                f"steepness must be one number or two, got {len(values.steepness)} numbers."
            )
        steepness = values.steepness[0] if len(values.steepness) == 1 else tuple(values.steepness)
        design = BumpDesign(
            values.rise, values.fall, values.height, steepness, tuple(values.direction)
        )
    network = design.to_network()
    facts = _facts(design, weights_in_json(network))
    files = []
    if folder is not None:
        from pellucid.reports.approximation.shape_figures import draw_bump

        files = write_shape(folder, facts, network=network, draw=lambda: draw_bump(design))
        facts |= {"folder": str(folder)}
    if values.json:
        print_json(facts)
    else:
        print_lines([*describe_bump(design), *([""] if files else []), *files])
    return 0


def _facts(design: BumpDesign, weights: dict[str, Any]) -> dict[str, Any]:
    return {
        "shape": "bump" if design.dimension == 1 else "ridge bump",
        "rise": design.rise,
        "fall": design.fall,
        "height": design.height,
        "steepness": list(design.steepness_pair),
        "direction": list(design.direction),
        "hidden_neurons": 2,
        "weights": weights,
        "peak": design.peak,
        "peak_location": design.peak_location,
        "edge_values": list(design.edge_values),
        "l1_distance": design.l1_distance,
        "remarks": list(design.remarks),
    }


def describe_bump(design: BumpDesign) -> list[str]:
    """Return the formula, its weights with their meaning, and what the bump falls short of."""
    from pellucid.approximation.network import variable_names
    from pellucid.approximation.neuron_counts import MINIMA

    names = variable_names(design.dimension)
    up, down = design.steepness_pair
    height, along = design.height, design.direction
    rising = write_sum([(up * d, n) for d, n in zip(along, names, strict=True)], -design.rise * up)
    falling = write_sum(
        [(-down * d, n) for d, n in zip(along, names, strict=True)], design.fall * down
    )
    place = write_sum(list(zip(along, names, strict=True)), 0.0)
    formula = write_sum([(height, f"s({rising})"), (height, f"s({falling})")], -height)
    weight = "weight" if design.dimension == 1 else f"weight of {place}"
    rows = [
        ("neuron", weight, "bias", "where it is half on: -bias / weight"),
        (
            "step up",
            f"{up:.10g}",
            f"{-design.rise * up + 0.0:.10g}",
            f"{place} = {design.rise:.10g}",
        ),
        (
            "step down",
            f"{-down:.10g}",
            f"{design.fall * down + 0.0:.10g}",
            f"{place} = {design.fall:.10g}",
        ),
        (
            "output",
            f"{height:.10g} and {height:.10g}",
            f"{-height:.10g}",
            "the height, and less it",
        ),
    ]
    low, high = design.edge_values
    twice = 2 * max(up, down)
    moved = design.edges_if_biases_stay(twice)
    ramps = " and ".join(f"{2 * math.log(9) / w:.4g}" for w in dict.fromkeys((up, down)))
    peak_rule = "h tanh(w (fall - rise) / 4)" if up == down else "found by search"
    area_rule = "4 ln 2 h / w for a wide bump" if up == down else "at most 2 ln 2 h (1/w1 + 1/w2)"
    is_whole = design.peak / height > 0.99
    half = "half the height, however steep" if is_whole else "h tanh(w (fall - rise) / 2) / 2"
    numbers = [
        ("peak", f"{design.peak:.6g} at {place} = {design.peak_location:.6g}", peak_rule),
        ("on the two edges", f"{low:.6g} and {high:.6g}", half),
        ("length of a step", ramps, "from 10 % to 90 %: 2 ln 9 / w"),
        ("area missing", f"{design.l1_distance:.4g}", f"to a sharp bump: {area_rule}"),
    ]
    return [
        f"y = {formula}        s(v) = 1 / (1 + exp(-v))",
        "",
        *make_table(rows),
        "",
        *make_table([("what you get", "", "why"), *numbers]),
        "",
        *cautions(design.remarks),
        "To change the steepness, change weight and bias together: with the weight "
        f"{twice:g} and the old biases the edges would be at {moved[0]:.4g} and {moved[1]:.4g}.",
        f"Two hidden neurons are the fewest in one layer: {MINIMA[0].reason}",
    ]
