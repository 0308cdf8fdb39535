"""How do certified networks compare with the text-book, interpolation and trained networks?

    python benchmarks/approximation_comparison.py

approximates each function below by each method, one after the other on one thread, and searches
each result for its worst point in the same way (`error_search.py`). What the methods are is in
`approximation_peers.py`. Writes ``docs/measurements/approximation-comparison.md``; half an hour,
nearly all of it for the trained networks, or a few seconds with ``--quick``, for trying it out.
"""

from __future__ import annotations

import os

# Before NumPy loads: one thread for everybody.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import math
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from approximation_peers import (
    Budget,
    Built,
    Case,
    build_chebyshev,
    build_interpolant,
    build_pellucid,
    build_sklearn_mlp,
    build_tiling,
    build_torch_mlp,
)
from error_search import CLIMB_POINTS, worst_error
from machine import describe_machine, machine_line

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.expressions import parse
from pellucid.approximation.neuron_counts import neuron_count

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results" / "approximation-comparison.json"
TABLE = BENCHMARKS.parent / "docs" / "measurements" / "approximation-comparison.md"

_FRANKE = (
    "0.75*exp(-((9*x-2)**2 + (9*y-2)**2)/4) + 0.75*exp(-(9*x+1)**2/49 - (9*y+1)/10)"
    " + 0.5*exp(-((9*x-7)**2 + (9*y-3)**2)/4) - 0.2*exp(-(9*x-4)**2 - (9*y-7)**2)"
)
#: Name in tables, formula, tolerance; all on the unit interval, square or cube.
FUNCTIONS = (
    ("1 + ½ sin 2πx cos 2πy", "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", 0.01),
    ("Gaussian exp(-200 r²)", "exp(-200*((x-0.5)**2 + (y-0.5)**2))", 0.01),
    ("sin(20x)·y", "sin(20*x)*y", 0.01),
    ("abs(x - y)", "abs(x - y)", 0.01),
    ("Franke's function", _FRANKE, 0.001),
    ("sin 2πx", "sin(2*pi*x)", 1.2e-5),
    ("sin(3x) cos(2y) exp(-z)", "sin(3*x)*cos(2*y)*exp(-z)", 0.01),
)
#: Name on the command line: title in tables, and what builds it.
METHODS: dict[str, tuple[str, Callable[[Case, Budget], Built]]] = {
    "tiling": ("text-book towers, w = 500", lambda c, b: build_tiling(c, b, 500.0)),
    "steep-tiling": ("text-book towers, w = 50 / side", lambda c, b: build_tiling(c, b, None)),
    "linear": ("SciPy, linear", lambda c, b: build_interpolant(c, b, "linear")),
    "cubic": ("SciPy, cubic splines", lambda c, b: build_interpolant(c, b, "cubic")),
    "chebyshev": ("Chebyshev", build_chebyshev),
    "torch": ("torch MLP 32², LBFGS", build_torch_mlp),
    "sklearn": ("scikit-learn MLP 32²", build_sklearn_mlp),
    "grid": (
        "**Pellucid**, equal cells",
        lambda c, b: build_pellucid(c, b, "staircase" if c.box.dimension == 1 else "grid"),
    ),
    "kd": ("**Pellucid**, kd cells", lambda c, b: build_pellucid(c, b, "kd")),
    "pellucid": ("**Pellucid**", lambda c, b: build_pellucid(c, b, "auto")),
}
_QUICK = Budget(
    seconds=0.3,
    seeds=1,
    points=2000,
    towers=20_000,
    values=20_000,
    training_points=300,
    sigmoids=1e8,
)


def make_cases(names: Iterable[str] | None = None) -> list[Case]:
    """Return the cases, or those whose names are, or else contain, one of the given texts."""
    cases, known = [], {name for name, *_ in FUNCTIONS}
    for name, expression, tolerance in FUNCTIONS:
        if names is None or any(part == name if part in known else part in name for part in names):
            target = parse(expression)
            box = Box((0.0,) * target.dimension, (1.0,) * target.dimension)
            cases.append(Case(name, expression, box, tolerance, target))
    return cases


def measure(case: Case, method: str, budget: Budget) -> dict[str, Any]:
    """Build by one method and search for the worst point; a method that fails leaves a note."""
    row: dict[str, Any] = {"case": case.name, "method": method}
    if method == "kd" and case.box.dimension == 1:
        return row | {"failed": "for two variables or more"}
    try:
        built = METHODS[method][1](case, budget)
    except UsageError as error:
        return row | {"failed": str(error)}
    except Exception as error:  # one method's trouble must not cost the others' half hour
        traceback.print_exc()
        return row | {"failed": f"{type(error).__name__}: {error}"}
    row |= {
        "neurons": built.neurons,
        "parameters": built.parameters,
        "seconds": built.seconds,
        "bound": built.bound if built.bound is None or math.isfinite(built.bound) else None,
        "status": built.status,
        "note": built.note,
        **built.extra,
    }
    if built.function is not None:
        points, starts = budget.points, 64
        if built.neurons and not method.endswith("tiling"):
            # A large dense network is looked at in fewer points: half of them before the climb.
            most = budget.sigmoids / built.neurons
            points = int(min(points, max(most / 2, 1000)))
            starts = int(min(starts, max(most / 2 / CLIMB_POINTS, 1)))
        started = time.perf_counter()
        error, place = worst_error(
            built.function,
            case.target,
            case.box,
            lines=built.lines,
            points=points,
            starts=starts,
        )
        row |= {
            "error": error if math.isfinite(error) else None,
            "worst_point": [float(part) for part in place],
            "points": points,
            "search_seconds": time.perf_counter() - started,
        }
    return row


def describe_case(case: Case) -> dict[str, Any]:
    """Return a case with what the reference counts for it."""
    from pellucid.approximation.enclosures.bounds import lipschitz_bounds

    slopes = lipschitz_bounds(parse(case.expression), case.box, relative=1e-3)
    count = neuron_count(max(slopes), case.tolerance, case.box.dimension)
    return {
        "name": case.name,
        "expression": case.expression,
        "dimension": case.box.dimension,
        "tolerance": case.tolerance,
        "lipschitz": list(slopes),
        "reference_cells": count.reference.cells,
        "reference_neurons": count.reference.hidden_neurons,
        "shared_neurons": count.schemes[1].hidden_neurons,
        "least_parameters": count.least_parameters,
    }


def write_table(figures: dict[str, Any]) -> str:
    """Return the page."""
    if not figures["rows"]:
        figures = {"budget": asdict(Budget()), **figures}
    budget = figures["budget"]
    rows = {(row["case"], row["method"]): row for row in figures["rows"]}
    lines = [
        "# Approximation: certified networks and others",
        "",
        "Written by `python benchmarks/approximation_comparison.py`; what the methods do is in "
        "`benchmarks/approximation_peers.py`.",
        "",
        "One thread; with `--keep`, rows of several runs on one machine stand together. *Error*: "
        "the largest that a search found, over "
        f"{budget['points']:,} points (fewer for large networks): uniform, on faces, at vertices, "
        "at the method's own grid lines, followed by a climb from the worst. *Certified*: a bound "
        "that holds at every point, with its status; only Pellucid has one. *Seconds*: to build, "
        "Pellucid's with the certificate; of interpolation at the coarsest resolution that meets "
        "the tolerance, without the search for it; of trained networks, the median of the seeds "
        "that meet the tolerance, or the seed that came closest.",
        "",
        "Trained networks have every advantage: float64, inputs and outputs scaled, a loss that is "
        "1 at the tolerance so that the optimizer does not stop early, training points on the "
        "boundary, and after every few hundred steps the worst points found are added. "
        f"Seeds: {budget['seeds']}, with {budget['seconds']:g} seconds each. They are stopped as "
        "soon as the search finds no error above the tolerance: that is not a proof.",
        "",
        "Interpolation is the fastest by far and needs no network. It gives no certificate and no "
        "network, and piecewise forms store more numbers.",
        "",
        "## Hidden neurons",
        "",
        *_summary(figures["cases"], rows),
    ]
    for case in figures["cases"]:
        lines += ["", f"## {case['name']}, tolerance {case['tolerance']:g}", ""]
        found = [rows[case["name"], name] for name in METHODS if (case["name"], name) in rows]
        slopes = ", ".join(f"{slope:.4g}" for slope in case["lipschitz"])
        lines += [
            f"`{case['expression']}` on the unit "
            f"{('interval', 'square', 'cube')[case['dimension'] - 1]}; "
            f"partial derivatives up to {slopes}. Reference: {case['reference_cells']:,} cells; no "
            f"continuous choice of fewer than {case['least_parameters']:,} parameters does it for "
            "every function with these derivatives.",
        ]
        if found:
            lines += [
                "",
                "| | hidden neurons | parameters | seconds | error | | certified | |",
                "|---|---|---|---|---|---|---|---|",
                *(_row(row, case["tolerance"]) for row in found),
            ]
    if not figures["rows"]:
        lines += ["", "**Nothing has been measured yet**; the counts follow from formulas."]
        return "\n".join(lines) + "\n"
    lines += ["", f"{machine_line(figures['machine'])}"]
    if figures.get("quick"):
        lines += ["", "**A quick run, to try the script; its figures mean nothing.**"]
    return "\n".join(lines) + "\n"


def _summary(cases: list[dict[str, Any]], rows: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    lines = [
        "| f | tolerance | text-book | neighbors sharing | grid | kd | **Pellucid** | certified | "
        "seconds | torch MLP 32² | scikit-learn |",
        "|---" * 11 + "|",
    ]
    for case in cases:
        best = rows.get((case["name"], "pellucid"), {})
        cells = [
            case["name"],
            f"{case['tolerance']:g}",
            f"{case['reference_neurons']:,}",
            f"{case['shared_neurons']:,}",
            *(_count(rows.get((case["name"], name), {}).get("neurons")) for name in ("grid", "kd")),
            f"**{_count(best.get('neurons'))}**" if "neurons" in best else "",
            _certified(best),
            _number(best.get("seconds"), 2),
            *(_trained(rows.get((case["name"], name), {})) for name in ("torch", "sklearn")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _row(row: dict[str, Any], tolerance: float) -> str:
    title = METHODS[row["method"]][0]
    if "failed" in row:
        return f"| {title} | | | | | | | {row['failed'].splitlines()[0]} |"
    error = row.get("error")
    met = "" if error is None else "met" if error <= tolerance else "**not met**"
    neurons = "no network" if row["neurons"] is None else _count(row["neurons"])
    cells = [
        title,
        neurons,
        _count(row["parameters"]),
        _number(row["seconds"], 2),
        _number(error, 3),
        met,
        _certified(row),
        row["note"],
    ]
    return "| " + " | ".join(cells) + " |"


def _certified(row: dict[str, Any]) -> str:
    bound = row.get("bound")
    if bound is None:
        return "none" if "neurons" in row else ""
    return f"≤ {bound:.3g}, {row['status']}"


def _trained(row: dict[str, Any]) -> str:
    if "met" not in row:
        return "not run"
    times = [seconds for seconds, met in zip(row["seconds_each"], row["met"], strict=True) if met]
    if not times:
        return f"none of {len(row['met'])} seeds; {_number(min(row['errors']), 2)} at best"
    return f"{min(times):.1f} to {max(times):.1f} s ({len(times)} of {len(row['met'])} seeds)"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", metavar="TEXT", help="functions with TEXT in them")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seconds", type=float, help="of one training or build (60)")
    parser.add_argument("--seeds", type=int, help="of each trained network (3)")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to try the script")
    parser.add_argument("--keep", action="store_true", help="measure only what has no figures yet")
    parser.add_argument("--table-only", action="store_true", help="measure nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--table", type=Path, default=TABLE, metavar="FILE")
    options = parser.parse_args()
    budget = _QUICK if options.quick else Budget()
    given = {name: getattr(options, name) for name in ("seconds", "seeds")}
    budget = replace(budget, **{name: value for name, value in given.items() if value is not None})
    has_figures = (options.keep or options.table_only) and options.results.exists()
    figures = json.loads(options.results.read_text()) if has_figures else {"rows": []}
    if not options.table_only:
        _measure_all(options, budget, figures)
    elif not figures["rows"]:
        figures["cases"] = [describe_case(case) for case in make_cases()]
    options.table.parent.mkdir(parents=True, exist_ok=True)
    options.table.write_text(write_table(figures), encoding="utf-8")


def _measure_all(options: argparse.Namespace, budget: Budget, figures: dict[str, Any]) -> None:
    cases = make_cases(options.cases)
    known = {case["name"]: case for case in figures.get("cases", [])}
    known |= {case.name: describe_case(case) for case in cases}
    figures["cases"] = [known[name] for name, *_ in FUNCTIONS if name in known]
    figures["budget"] = {name: getattr(budget, name) for name in budget.__dataclass_fields__}
    figures["quick"] = options.quick
    figures["machine"] = describe_machine(
        threads=1,
        distributions=("numpy", "scipy", "torch", "scikit-learn", "python-flint", "pellucid"),
    )
    if "torch" in options.methods:
        import torch

        torch.set_num_threads(1)
    done = {(row["case"], row["method"]) for row in figures["rows"]}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for case in cases:
        for method in options.methods:
            if (case.name, method) in done:
                continue
            started = time.perf_counter()
            row = measure(case, method, budget)
            figures["rows"].append(row)
            options.results.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
            error = row.get("failed") or _number(row.get("error"), 3) or row["note"]
            took = time.perf_counter() - started
            print(f"{case.name}, {method}: {error} ({took:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
