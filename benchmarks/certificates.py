"""Do the certificates hold where somebody looks for a violation, and what do they cost?

    python benchmarks/certificates.py

approximates each function below, one after the other on one thread; then an adversary looks at a
million points of its box (uniform, edges, faces, vertices, near the places where neurons turn) and
climbs from the worst of them. A *violation* is a point where the network errs by more than the
certificate allows; the script ends with an error if there is one. A fresh process verifies the
files. Writes ``docs/measurements/certificates.md``.
"""

# ruff: noqa: E402 - threads are counted when NumPy loads
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from machine import describe_machine, machine_line

from pellucid.approximation.certificate import worst_point
from pellucid.approximation.schemes import approximate

TABLE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "certificates.md"

LARGE, POINTS_OF_LARGE = 2_000, 30_000

FRANKE = (
    "0.75*exp(-((9*x-2)**2 + (9*y-2)**2)/4) + 0.75*exp(-(9*x+1)**2/49 - (9*y+1)/10)"
    " + 0.5*exp(-((9*x-7)**2 + (9*y-3)**2)/4) - 0.2*exp(-(9*x-4)**2 - (9*y-7)**2)"
)
UNIT = {1: (0, 1), 2: (0, 1, 0, 1), 3: (0, 1, 0, 1, 0, 1)}


@dataclass(frozen=True)
class Case:
    """A function, its box, the tolerance, and the most neurons that were asked for."""

    name: str
    text: str
    ends: tuple[float, ...]
    tolerance: float
    goal: int | None = None
    scheme: str = "auto"


CASES = (
    Case("1 + ½ sin 2πx cos 2πy", "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", UNIT[2], 0.01, 16),
    Case("Gaussian", "exp(-200*((x-0.5)**2 + (y-0.5)**2))", UNIT[2], 0.01, 24),
    Case("sin(20x)·y", "sin(20*x)*y", UNIT[2], 0.01, 24),
    Case("abs(x − y)", "abs(x - y)", UNIT[2], 0.01, 24),
    Case("Franke", FRANKE, UNIT[2], 0.001, 56),
    Case("sin 2πx", "sin(2*pi*x)", UNIT[1], 1.2e-5, 8),
    Case("abs(x − 0.3)", "abs(x - 0.3)", UNIT[1], 0.001),
    Case("√x", "sqrt(x)", UNIT[1], 0.01),
    Case("Runge", "1/(1 + 25*x**2)", (-1, 1), 0.001),
    Case("e^x", "exp(x)", (-2, 3), 0.001),
    Case("sin(40x) + x", "sin(40*x) + x", UNIT[1], 0.01),
    Case("tanh(20(x − y))", "tanh(20*(x - y))", UNIT[2], 0.01),
    Case("√(x² + y²)", "sqrt(x**2 + y**2)", (-1, 1, -1, 1), 0.02),
    Case("√x + √y", "sqrt(x) + sqrt(y)", UNIT[2], 0.02),
    Case("e^(xy)", "exp(x*y)", UNIT[2], 0.001),
    Case("sin 6x cos 4y + xy", "sin(6*x)*cos(4*y) + x*y", UNIT[2], 0.001),
    Case("max(x, y)", "max(x, y)", UNIT[2], 0.01),
    Case("1/(1 + x + y)", "1/(1 + x + y)", (0, 3, 0, 2), 0.001),
    Case("xyz", "x*y*z", UNIT[3], 0.01),
    Case("sin(x + 2y + 3z)", "sin(x + 2*y + 3*z)", UNIT[3], 0.01),
    Case("3-D Gaussian", "exp(-4*(x**2 + y**2 + z**2))", (-1, 1, -1, 1, -1, 1), 0.02),
    Case("sin(3x) y + z²", "sin(3*x)*y + z**2", UNIT[3], 0.01),
    # The schemes that auto leaves for smaller ones.
    Case("sin 2πx", "sin(2*pi*x)", UNIT[1], 0.001, scheme="staircase"),
    Case("√x", "sqrt(x)", UNIT[1], 0.01, scheme="staircase"),
    Case("sin 2πx", "sin(2*pi*x)", UNIT[1], 0.001, scheme="soft_grid"),
    Case("sin 6x cos 4y", "sin(6*x)*cos(4*y)", UNIT[2], 0.02, scheme="soft_grid"),
    Case("Gaussian", "exp(-200*((x-0.5)**2 + (y-0.5)**2))", UNIT[2], 0.01, scheme="kd"),
    Case("√x + √y", "sqrt(x) + sqrt(y)", UNIT[2], 0.02, scheme="kd"),
    Case("xyz", "x*y*z", UNIT[3], 0.1, scheme="kd"),
    Case("sin 6x cos 4y", "sin(6*x)*cos(4*y)", UNIT[2], 0.05, scheme="grid"),
    Case("xyz", "x*y*z", UNIT[3], 0.1, scheme="grid"),
)


@dataclass(frozen=True)
class Row:
    """What one function gave."""

    name: str
    tolerance: float
    goal: int | None
    scheme: str
    layers: tuple[int, ...]
    neurons: int
    parameters: int
    bound: float
    seen: float
    status: str
    build_seconds: float
    verify_seconds: float
    verified: bool


def measure(case: Case, points: int) -> Row:
    """Approximate one function, look for a violation, verify the files in a fresh process."""
    begin = time.perf_counter()
    result = approximate(case.text, case.ends, case.tolerance, case.scheme)
    seconds = time.perf_counter() - begin
    if result.network.hidden_neurons > LARGE:
        points = min(points, POINTS_OF_LARGE)
    _, seen = worst_point(result.network, result.target, result.box, points=points, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        files = result.save(folder)
        begin = time.perf_counter()
        ran = subprocess.run(
            [sys.executable, "-m", "pellucid", "verify", str(files["certificate"]), "--json"],
            capture_output=True,
            text=True,
        )
        verify_seconds = time.perf_counter() - begin
    return Row(
        name=case.name,
        tolerance=case.tolerance,
        goal=case.goal,
        scheme=result.scheme,
        layers=result.network.neurons_per_layer,
        neurons=result.network.hidden_neurons,
        parameters=result.network.parameters,
        bound=result.certificate.bound,
        seen=seen,
        status=result.certificate.status,
        build_seconds=seconds,
        verify_seconds=verify_seconds,
        verified=bool(json.loads(ran.stdout)["verified"]),
    )


def make_page(rows: list[Row], points: int) -> str:
    """Return the page of the measurements."""
    lines = [
        "# Certificates under attack",
        "",
        "`python benchmarks/certificates.py`. For each function: the network that `approximate` "
        f"wrote, the bound it certified, the largest error that a search over {points:,} points "
        f"({POINTS_OF_LARGE:,} above {LARGE:,} neurons) with local ascent found, "
        "and the time to build (certificate included) and to verify the "
        "files in a fresh process (its start included). One thread. The last rows name the scheme.",
        "",
        "| f | tolerance | scheme | hidden neurons | asked for | parameters | certified | seen | "
        "certified / seen | status | build s | verify s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        layers = " + ".join(str(layer) for layer in row.layers)
        ratio = f"{row.bound / row.seen:.2f}" if row.seen else "–"
        lines.append(
            f"| {row.name} | {row.tolerance:g} | {row.scheme} | **{row.neurons}** ({layers}) | "
            f"{'–' if row.goal is None else f'≤ {row.goal}'} | {row.parameters} | "
            f"{row.bound:.3g} | {row.seen:.3g} | {ratio} | "
            f"{row.status}{'' if row.verified else ', NOT verified'} | "
            f"{row.build_seconds:.1f} | {row.verify_seconds:.1f} |"
        )
    violations = sum(row.seen > row.bound for row in rows)
    machine = describe_machine(
        threads=1, distributions=("pellucid", "numpy", "scipy", "python-flint")
    )
    lines += ["", f"Violations: {violations} of {len(rows)}.", "", machine_line(machine), ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--only", help="run the functions whose name contains this")
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    rows = []
    for case in CASES:
        if given.only is None or given.only in case.name:
            rows.append(measure(case, given.points))
            print(json.dumps(asdict(rows[-1])), file=sys.stderr)
    page = make_page(rows, given.points)
    print(page)
    if given.only is None:
        given.table.write_text(page)
    return int(any(row.seen > row.bound or not row.verified for row in rows))


if __name__ == "__main__":
    sys.exit(main())
