"""``pellucid tower``: five sigmoids that make a tower on a rectangle, and what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    from pellucid.approximation.shape_designs import TowerDesign


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "tower",
        "Write down sigmoids that make a tower on a box: a step up and a step down for each\n"
        "variable, and a gate that opens where all of them are on.",
        [
            "pellucid tower",
            "pellucid tower --rise 0.2 0.1 --fall 0.5 0.9 --height 2 --steepness 100",
            "pellucid tower --rise 0.5 0.5 --fall 0.505 0.505",
            "pellucid tower --rise 0.2 0.2 0.2 --fall 0.8 0.8 0.8 -o runs/tower",
        ],
    )
    parser.add_argument(
        "--rise",
        type=number,
        nargs="+",
        default=[0.45, 0.45],
        metavar="X",
        help="lower ends of the box, one for each variable (0.45 0.45)",
    )
    parser.add_argument(
        "--fall",
        type=number,
        nargs="+",
        default=[0.55, 0.55],
        metavar="X",
        help="upper ends of the box (0.55 0.55)",
    )
    parser.add_argument("--height", type=number, default=1.0, metavar="H", help="of the roof (1)")
    parser.add_argument(
        "--steepness", type=number, default=500.0, metavar="W", help="of every step (500)"
    )
    parser.add_argument(
        "--gate", type=number, default=200.0, metavar="K", help="steepness of the gate (200)"
    )
    add_shape_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Write one tower down; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    folder = check_folder(values.out)
    from pellucid.approximation.shape_designs import TowerDesign

    with errors_in_flags(parser):
        design = TowerDesign(
            tuple(values.rise), tuple(values.fall), values.height, values.steepness, values.gate
        )
    network = design.to_network()
    facts = _facts(design, weights_in_json(network))
    files = []
    if folder is not None:
        from pellucid.reports.approximation.shape_figures import draw_tower

        files = write_shape(folder, facts, network=network, draw=lambda: draw_tower(design))
        facts |= {"folder": str(folder)}
    if values.json:
        print_json(facts)
    else:
        print_lines([*describe_tower(design), *([""] if files else []), *files])
    return 0


def _facts(design: TowerDesign, weights: dict[str, Any]) -> dict[str, Any]:
    return {
        "shape": "tower",
        "rise": list(design.rise),
        "fall": list(design.fall),
        "height": design.height,
        "steepness": design.steepness,
        "gate": design.gate,
        "hidden_neurons": 2 * design.dimension + 1,
        "weights": weights,
        "peak": design.peak,
        "edge_value": design.edge_value,
        "corner_value": design.corner_value,
        "vanishing_side": design.vanishing_side,
        "vanishes": design.vanishes,
        "remarks": list(design.remarks),
    }


def describe_tower(design: TowerDesign) -> list[str]:
    """Return the formula, its weights with their meaning, and where the tower falls short."""
    from pellucid.approximation.network import variable_names
    from pellucid.approximation.neuron_counts import MINIMA

    w, gate, d = design.steepness, design.gate, design.dimension
    rows = [("neuron", "weight", "bias", "where it is half on: -bias / weight")]
    inner = []
    for name, low, high in zip(variable_names(d), design.rise, design.fall, strict=True):
        up, down = -low * w + 0.0, high * w + 0.0
        rows.append((f"step up in {name}", f"{w:.10g}", f"{up:.10g}", f"{name} = {low:.10g}"))
        rows.append((f"step down in {name}", f"{-w:.10g}", f"{down:.10g}", f"{name} = {high:.10g}"))
        inner += [f"s({write_sum([(w, name)], up)})", f"s({write_sum([(-w, name)], down)})"]
    threshold = gate * (2 * d - 0.5)
    rows += [
        ("gate", f"{gate:.10g} each", f"{-threshold:.10g}", f"{2 * d - 0.5:g} of {2 * d} steps on"),
        ("output", f"{design.height:.10g}", "0", "the height"),
    ]
    total = write_sum([(gate, step) for step in inner], -threshold)
    odd = 4 * d - 1
    edge, corner = {1: ("at an end", ""), 2: ("on an edge", "at a corner")}.get(
        d, ("on a face", "at a corner")
    )
    # Steps that overlap are nowhere fully on, and the reasons below are for those that are.
    is_whole = not design.vanishes
    numbers = [
        ("at the center", f"{design.peak:.6g}", f"h s(K (sum of tanh(w side / 4) - {d - 0.5:g}))"),
        (edge, f"{design.edge_value:.6g}", "one step is half on, and the gate" if is_whole else ""),
    ]
    if corner:
        shut = f"{d} steps are half on, so the gate is shut: h s({-gate * (d - 1) / 2:g})"
        numbers.append((corner, f"{design.corner_value:.3g}", shut if is_whole else ""))
    least = f"less than half as high with sides below this: 2 ln {odd} / w"
    numbers.append(("least side", f"{design.vanishing_side:.4g}", least))
    lines = [
        f"y = {write_sum([(design.height, f's({total})')], 0.0)}        s(v) = 1 / (1 + exp(-v))",
        "",
        *make_table(rows),
        "",
        *make_table([("what you get", "", "why"), *numbers]),
        "",
        *cautions(design.remarks),
    ]
    if d > 1:
        lines.append(
            "Alone it is right. Side by side, towers leave a hole at every corner where they meet: "
            "see `pellucid tile`."
        )
    minimum = MINIMA[1] if d == 2 else None
    if minimum is not None:
        lines.append(f"Five hidden neurons are the fewest for a rectangle: {minimum.reason}")
    else:
        lines.append(
            f"{2 * d + 1} hidden neurons: one for each of the {2 * d} sides of the box, "
            "and one that combines them."
        )
    return lines
