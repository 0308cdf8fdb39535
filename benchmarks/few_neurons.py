"""How many neurons do the searches find, with free knots and with knots by rule?

    python benchmarks/few_neurons.py
    python benchmarks/few_neurons.py --beside 4     # while busy processes run beside

runs the spectral, ridge and separable schemes on each function, on one thread, and takes the
smallest network that meets the tolerance. Prints the table of
``docs/concepts/approximation/few-neurons.md``; the digests must not depend on ``--beside``.
"""

# ruff: noqa: E402 - threads are counted when NumPy loads
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from certificates import CASES, Case
from machine import describe_machine, machine_line

from pellucid.approximation.box import Box
from pellucid.approximation.constructions import Construction, NotApplicable
from pellucid.approximation.constructions.ridge import ridge
from pellucid.approximation.constructions.separable import separable
from pellucid.approximation.constructions.spectral import spectral
from pellucid.approximation.expressions import parse

SECONDS = 600.0  # far beyond the work: the clock is not to strike on a busy machine
CUBE = (0, 1, 0, 1, 0, 1)
NAMES = ("1 + ½ sin 2πx cos 2πy", "Gaussian", "sin(20x)·y", "|x − y|", "Franke", "sin 2πx")
MORE = (
    Case("√(x² + y²)", "sqrt(x**2 + y**2)", (-1, 1, -1, 1), 0.01),
    Case("xyz", "x*y*z", CUBE, 0.01),
    Case("sin 3x sin 3y sin 3z", "sin(3*x)*sin(3*y)*sin(3*z)", CUBE, 0.01),
    Case("e^(xy)", "exp(x*y)", (0, 1, 0, 1), 0.001),
    Case("√x + √y", "sqrt(x) + sqrt(y)", (0, 1, 0, 1), 0.02),
)


@dataclass(frozen=True)
class Row:
    """The smallest network for one function, and what all schemes together took."""

    name: str
    tolerance: float
    free: bool
    scheme: str
    layers: tuple[int, ...]
    knots: str
    met: bool
    share_of_tolerance: float
    work: float
    processor_seconds: float
    digest: str
    stopped_by_clock: bool


def measure(case: Case, *, free: bool) -> Row:
    """Run the schemes that fit one function."""
    box, target = Box.from_ends(case.ends), parse(case.text, len(case.ends) // 2)
    begin = time.process_time()
    found: list[Construction] = []
    for scheme in (spectral,) if box.dimension == 1 else (ridge, separable):
        try:
            found.append(
                scheme(target, box, tolerance=case.tolerance, free=free, max_seconds=SECONDS)
            )
        except NotApplicable:
            continue
    seconds = time.process_time() - begin
    best = min(
        found,
        key=lambda one: (
            not one.details["met"],
            one.network.hidden_neurons if one.details["met"] else one.details["measured_error"],
        ),
    )
    return Row(
        name=case.name,
        tolerance=case.tolerance,
        free=free,
        scheme=best.network.scheme,
        layers=best.network.neurons_per_layer,
        knots=best.details["knots"],
        met=best.details["met"],
        share_of_tolerance=best.details["measured_error"] / case.tolerance,
        work=sum(one.details["work"] for one in found),
        processor_seconds=seconds,
        digest=best.network.digest,
        stopped_by_clock=any(one.details["stopped_by_clock"] for one in found),
    )


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep that many processes busy beside."""
    workers = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()


def _spin() -> None:
    while True:
        sum(range(10_000))


def make_table(rows: list[Row]) -> str:
    """Return a line for each function: free knots, then knots by rule."""
    lines = [
        "| f | tolerance | neurons | work | processor s | digest | "
        "by rule: neurons | work | processor s | digest |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for free, tied in zip(rows[::2], rows[1::2], strict=True):
        cells = [free.name.replace("|", "\\|"), f"{free.tolerance:g}"]
        for row in (free, tied):
            layers = " + ".join(str(layer) for layer in row.layers)
            count = f"**{sum(row.layers)}** ({layers}, {row.scheme})"
            if not row.met:
                count = f"not reached: {row.share_of_tolerance:.2g} times the tolerance"
            cells += [count, f"{row.work:.1f}", f"{row.processor_seconds:.1f}", row.digest[:8]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="How many neurons do the searches find?")
    parser.add_argument("--beside", type=int, default=0, help="busy processes to run beside")
    parser.add_argument("--only", help="run the functions whose name contains this")
    given = parser.parse_args()
    cases = [case for name in NAMES for case in CASES if case.name == name]
    rows = []
    with busy(given.beside):
        for case in (*cases, *MORE):
            if given.only is None or given.only in case.name:
                for free in (True, False):
                    rows.append(measure(case, free=free))
                    print(json.dumps(asdict(rows[-1])), file=sys.stderr)
    print(make_table(rows))
    machine = describe_machine(threads=1, distributions=("pellucid", "numpy", "scipy"))
    print("\n" + machine_line(machine))
    # Work that the clock cut off would not be the same elsewhere.
    return int(any(row.stopped_by_clock for row in rows))


if __name__ == "__main__":
    sys.exit(main())
