"""``pellucid tile``: the text-book's proof carried out, and the holes that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pellucid._checks import UsageError
from pellucid.cli.arguments import Parser, errors_in_flags, integer, number
from pellucid.cli.output import make_table, print_json, print_lines
from pellucid.cli.shapes import add_shape_options, check_folder, write_shape

if TYPE_CHECKING:
    from pellucid.approximation.neuron_counts import NeuronCount
    from pellucid.approximation.tiling import Tiling, TilingAudit

_LARGEST_FILE_TOWERS = 200_000


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "tile",
        "Cover a box with towers as high as a function, as the text-book's proof does, and\n"
        "measure where that fails. `pellucid approximate` builds networks without such holes.",
        [
            'pellucid tile "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)" --tolerance 0.1',
            'pellucid tile "1 + 0*x*y" --cells 10',
            'pellucid tile "sin(2*pi*x)" --tolerance 0.1 -o runs/bumps',
            'pellucid tile "x*y" --box 0 2 0 1 --cells 8 4 --steepness 50 --shifts 2',
        ],
    )
    parser.add_argument("expression", metavar="EXPR", help="a formula of x, y, z, t")
    parser.add_argument(
        "--box",
        type=number,
        nargs="+",
        metavar="END",
        help="LOWER UPPER for each variable (0 1 for each)",
    )
    parser.add_argument(
        "--tolerance", type=number, metavar="EPS", help="for which the towers' sides are chosen"
    )
    parser.add_argument(
        "--cells", type=integer, nargs="+", metavar="N", help="towers along each axis, instead"
    )
    parser.add_argument(
        "--lipschitz",
        type=number,
        nargs="+",
        metavar="T",
        help="bound of the partial derivatives, or of each (computed from the formula)",
    )
    parser.add_argument(
        "--steepness", type=number, default=500.0, metavar="W", help="of every step (500)"
    )
    parser.add_argument(
        "--gate", type=number, default=200.0, metavar="K", help="steepness of the gates (200)"
    )
    parser.add_argument(
        "--shifts", type=integer, default=1, metavar="M", help="average M shifted tilings (1)"
    )
    add_shape_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Build one tiling and audit it; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    folder = check_folder(values.out)
    if values.tolerance is None and values.cells is None:
        raise UsageError("pellucid tile needs --tolerance or --cells. Use --cells 10 to look on.")
    from pellucid.approximation.box import Box
    from pellucid.approximation.expressions import parse
    from pellucid.approximation.neuron_counts import neuron_count
    from pellucid.approximation.tiling import audit, tile

    with errors_in_flags(parser):
        box = None if values.box is None else Box.from_ends(values.box)
        target = parse(values.expression, None if box is None else box.dimension)
        box = box or Box((0.0,) * target.dimension, (1.0,) * target.dimension)
        tiling = tile(
            target,
            box,
            values.tolerance,
            lipschitz=_one_or_more(values.lipschitz),
            cells=_one_or_more(values.cells),
            steepness=values.steepness,
            gate=values.gate,
            shifts=values.shifts,
        )
        count = None
        if values.tolerance is not None and tiling.lipschitz is not None:
            count = neuron_count(
                tiling.lipschitz, values.tolerance, box.dimension, sides=tuple(box.sides.tolist())
            )
    found = audit(tiling, quiet=values.quiet)
    facts = {"expression": values.expression, **_facts(found, count)}
    files = []
    if folder is not None:
        from pellucid.reports.approximation.shape_figures import draw_tiling

        is_small = tiling.towers <= _LARGEST_FILE_TOWERS
        files = write_shape(
            folder,
            facts,
            network=tiling.network if is_small else None,
            draw=lambda: draw_tiling(tiling, found),
        )
        if not is_small:
            files.append(f"no network was written: it would have {tiling.hidden_neurons} neurons.")
        facts |= {"folder": str(folder)}
    if values.json:
        print_json(facts)
    else:
        print_lines([*describe_tiling(tiling, found, count), *([""] if files else []), *files])
    return 0


def _one_or_more(given: list[Any] | None) -> Any:
    return given[0] if given is not None and len(given) == 1 else given


def _facts(found: TilingAudit, count: NeuronCount | None) -> dict[str, Any]:
    from dataclasses import asdict

    facts = {name: value for name, value in asdict(found).items() if name != "box"}
    facts |= {
        "box": found.box.to_json(),
        "worst_error": found.worst_error,
        "meets_tolerance": found.meets_tolerance,
        "remarks": list(found.remarks),
    }
    if count is not None:
        facts["counts"] = [asdict(scheme) for scheme in count.schemes]
        facts["least_parameters"] = count.least_parameters
    return facts


def describe_tiling(tiling: Tiling, found: TilingAudit, count: NeuronCount | None) -> list[str]:
    """Return what was built, the errors by place, what is wrong, and what it should cost."""
    d = tiling.dimension
    kind = "bumps" if d == 1 else "towers"
    sides = " × ".join(f"{side:.4g}" for side in tiling.sides)
    layers = "one layer" if d == 1 else "two layers"
    several = f", {tiling.shifts} shifted tilings" if tiling.shifts > 1 else ""
    lines = [
        f"{tiling.towers:,} {kind} of {sides}{several}: {tiling.hidden_neurons:,} hidden neurons "
        f"in {layers}",
        f"steepness times side: {', '.join(f'{side:.4g}' for side in tiling.relative_sides)}",
        "",
    ]
    corner = "at inner ends of bumps" if d == 1 else "at inner corners of towers"
    face = {1: "", 2: "on edges between two towers"}.get(d, "on faces between two towers")
    rows = [
        ("largest error found", ""),
        ("at centers", _amount(found.center_error)),
        *([(face, _amount(found.edge_error))] if face else []),
        (corner, _amount(found.inner_vertex_error)),
        ("on the outer boundary", _amount(found.boundary_error)),
        ("at all corners, boundary included", _amount(found.vertex_error)),
        ("at corners, were the function 1", _amount(found.constant_error)),
    ]
    lines += [*make_table(rows), ""]
    if found.tolerance is not None:
        said = "is" if found.meets_tolerance else "is not"
        lines.append(
            f"The tolerance {found.tolerance:g} {said} kept at the {found.points_examined:,} "
            "points that were looked at."
        )
    lines += [f"- {remark}" for remark in found.remarks]
    if found.hole_share_predicted is not None and not found.vanishes:
        lines.append(
            f"- bad area: {100 * found.hole_share:.3g} % measured, 14.34 / c² = "
            f"{100 * found.hole_share_predicted:.3g} % predicted (c = steepness times side)"
        )
    if count is not None:
        lines += ["", *_describe_count(count)]
    return lines


def _describe_count(count: NeuronCount) -> list[str]:
    rows = [("for every function with these slopes", "cells", "hidden neurons", "formula")]
    rows += [
        (scheme.scheme, f"{scheme.cells:,}", f"{scheme.hidden_neurons:,}", scheme.formula)
        for scheme in count.schemes
    ]
    slopes = ", ".join(f"{bound:.4g}" for bound in count.lipschitz)
    return [
        f"slopes at most {slopes}; tolerance {count.tolerance:g}",
        *make_table(rows),
        f"No continuous choice of fewer than {count.least_parameters:,} parameters "
        f"({count.least_parameters_formula}) does it for every such function.",
    ]


def _amount(error: float | None) -> str:
    return "none there" if error is None else f"{error:.4g}"
