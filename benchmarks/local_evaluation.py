"""How fast a network of a million cells is evaluated locally, beside interpolation of its values.

Writes ``docs/measurements/local-evaluation.md``. Run: ``python benchmarks/local_evaluation.py``
(one thread; minutes, for the dense network). All ways of one table run in turn, in rounds.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import describe_machine, machine_line
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import map_coordinates

from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import STEEPNESS_TIMES_SIDE, build_grid
from pellucid.approximation.local_evaluation import localize
from pellucid.approximation.network import SigmoidNetwork

POINTS = 1_000_000
SIDE = 1000


def network_of(
    side: int, sharpness: float, *, uneven: bool = False
) -> tuple[np.ndarray, SigmoidNetwork]:
    middle = (np.arange(side) + 0.5) / side
    values = 1 + 0.5 * np.sin(2 * np.pi * middle)[:, None] * np.cos(2 * np.pi * middle)
    edges = [np.linspace(0, 1, side + 1)[1:-1]] * 2
    if uneven:
        edges = list(np.sort(np.random.default_rng(3).random((2, side - 1))))
    return values, build_grid(edges, values, [sharpness * side] * 2, gate=AndGate.of(2))


def in_turn_twice(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return median milliseconds of the thread: each way twice in a row in turn, the second counts.

    Time of the thread, so that being interrupted does not count; twice, so that each way finds its
    table in the cache, as it does in a loop over batches.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            call()
            started = time.thread_time()
            call()
            taken[name].append(1e3 * (time.thread_time() - started))
    return {name: statistics.median(values) for name, values in taken.items()}


def in_turn(rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return median milliseconds of all ways at 10^6 points, and errors of the local forms."""
    values, network = network_of(SIDE, STEEPNESS_TIMES_SIDE)
    single = values.astype(np.float32)
    fast = localize(network, precision="float32")
    exact = localize(network)
    soft = network_of(SIDE, 1024.0)[1]
    softer, exact_softer = localize(soft, precision="float32"), localize(soft)
    uneven = localize(network_of(SIDE, STEEPNESS_TIMES_SIDE, uneven=True)[1])
    points = np.random.default_rng(0).random((POINTS, 2), dtype=np.float32)
    table = torch.from_numpy(single)[None, None]
    places = (torch.from_numpy(points) * 2 - 1).view(1, 1, POINTS, 2)
    scaled = np.ascontiguousarray((points * (SIDE - 1)).T)
    double, scaled_double = points.astype(np.float64), scaled.astype(np.float64)
    axes = (np.arange(SIDE) + 0.5) / SIDE
    regular = RegularGridInterpolator(
        (axes, axes), single, method="linear", bounds_error=False, fill_value=None
    )

    def plain() -> object:
        return torch.nn.functional.grid_sample(table, places, align_corners=True)

    def mapped() -> object:
        return map_coordinates(single, scaled, order=1, mode="nearest")

    def mapped_double() -> object:
        return map_coordinates(values, scaled_double, order=1, mode="nearest")

    def mapped_with_scaling() -> object:
        return map_coordinates(single, (points * (SIDE - 1)).T, order=1, mode="nearest")

    contestants = {
        "network, local, float32": lambda: fast(points),
        "network, local, float32, steepness 1024 over a cell": lambda: softer(points),
        "network, local, float64": lambda: exact(double),
        "network, local, float64, steepness 1024 over a cell": lambda: exact_softer(double),
        "network, local, float64, random edges": lambda: uneven(double),
        "torch `grid_sample`, float32": plain,
        "scipy `map_coordinates`, order 1, coordinates scaled before": mapped,
        "scipy `map_coordinates`, order 1, scaling counted": mapped_with_scaling,
        "scipy `map_coordinates`, order 1, float64, scaled before": mapped_double,
        "scipy `RegularGridInterpolator`": lambda: regular(points),
    }
    with torch.inference_mode():
        times = in_turn_twice(contestants, rounds)
    errors = {
        "float32 against float64": float(np.max(np.abs(fast(points) - exact(double)))),
        "bytes": fast.nbytes,
    }
    return times, errors


def against_dense() -> tuple[float, float]:
    """Return the difference of the local from the dense network at 10^4 cells, and its speed."""
    _, network = network_of(100, STEEPNESS_TIMES_SIDE)
    points = np.random.default_rng(1).random((2000, 2))
    points[:1000] = np.round(points[:1000] * 100) / 100
    points[:1000] += np.random.default_rng(2).normal(0, 5 / (100 * STEEPNESS_TIMES_SIDE), (1000, 2))
    started = time.perf_counter()
    dense = network(points)
    seconds = time.perf_counter() - started
    return float(np.max(np.abs(localize(network)(points) - dense))), len(points) / seconds / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    default = Path(__file__).parents[1] / "docs/measurements/local-evaluation.md"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    times, errors = in_turn(options.rounds)
    difference, dense_speed = against_dense()
    ours = times["network, local, float32"]
    rows = [
        f"| {name} | {POINTS / 1e3 / ms:.1f} | {ms / ours:.2f} |"
        for name, ms in sorted(times.items(), key=lambda item: item[1])
    ]
    machine = describe_machine(threads=1, distributions=("pellucid", "numpy", "scipy", "torch"))
    plain = times["torch `grid_sample`, float32"]
    mapped = times["scipy `map_coordinates`, order 1, coordinates scaled before"]
    counted = times["scipy `map_coordinates`, order 1, scaling counted"]
    double = times["network, local, float64"]
    mapped_double = times["scipy `map_coordinates`, order 1, float64, scaled before"]
    options.out.write_text(
        f"""# Local evaluation of a million cells

Written by `python benchmarks/local_evaluation.py`. The network has {SIDE} × {SIDE} cells and
{SIDE * SIDE - 1 + 2 * (SIDE - 1):,} neurons, steps of steepness {STEEPNESS_TIMES_SIDE:g} over a
cell; {POINTS:,} random points; medians of {options.rounds} rounds in which each way runs twice in
a row and the second counts, processor time of the one thread. How it works is in
[Cells](../concepts/approximation/cells.md), what else was tried in
[decision 15](../decisions/0015-local-evaluation.md).

| | million points/s | time, in ours |
|---|---|---|
{chr(10).join(rows)}

- The network takes {ours / plain:.2f} times the time of plain bilinear interpolation of its cell
  values by `grid_sample`. `map_coordinates` takes {mapped / ours:.1f} times as long as the network
  with its coordinates scaled beforehand, {counted / ours:.1f} times as long from the same points.
- In float64 `map_coordinates` takes {mapped_double / double:.1f} times as long as the network.
- `grid_sample` and scipy interpolate between cell values; the network is a staircase with smooth
  steps. They compute different functions of the same table; the comparison is of work alone.
- Evaluation form: {errors["bytes"] / 1e6:.2f} MB. Greatest difference of float32 from float64:
  {errors["float32 against float64"]:.1e}.
- At 10⁴ cells the local form in float64 differs from the dense network by at most {difference:.1e},
  half of the points within a few steps' widths of edges; the dense network does
  {dense_speed:.4f} million points/s.
- {machine_line(machine)}. Load average of the last minute {os.getloadavg()[0]:.1f} on
  {os.cpu_count()} processors.
"""
    )
    print(options.out.read_text())


if __name__ == "__main__":
    main()
