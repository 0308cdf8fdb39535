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


def network_of(side: int, sharpness: float) -> tuple[np.ndarray, SigmoidNetwork]:
    middle = (np.arange(side) + 0.5) / side
    values = 1 + 0.5 * np.sin(2 * np.pi * middle)[:, None] * np.cos(2 * np.pi * middle)
    edges = [np.linspace(0, 1, side + 1)[1:-1]] * 2
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
    softer = localize(network_of(SIDE, 1024.0)[1], precision="float32")
    points = np.random.default_rng(0).random((POINTS, 2), dtype=np.float32)
    table = torch.from_numpy(single)[None, None]
    places = (torch.from_numpy(points) * 2 - 1).view(1, 1, POINTS, 2)
    scaled = np.ascontiguousarray((points * (SIDE - 1)).T)
    axes = (np.arange(SIDE) + 0.5) / SIDE
    regular = RegularGridInterpolator(
        (axes, axes), single, method="linear", bounds_error=False, fill_value=None
    )

    def plain() -> object:
        return torch.nn.functional.grid_sample(table, places, align_corners=True)

    def mapped() -> object:
        return map_coordinates(single, scaled, order=1, mode="nearest")

    def mapped_with_scaling() -> object:
        return map_coordinates(single, (points * (SIDE - 1)).T, order=1, mode="nearest")

    contestants = {
        "network, local, float32": lambda: fast(points),
        "the same, steepness 1024 over a cell": lambda: softer(points),
        "torch `grid_sample`, float32": plain,
        "scipy `map_coordinates`, order 1, coordinates scaled before": mapped,
        "scipy `map_coordinates`, order 1, scaling counted": mapped_with_scaling,
        "scipy `RegularGridInterpolator`": lambda: regular(points),
    }
    with torch.inference_mode():
        times = in_turn_twice(contestants, rounds)
    some = points[:50_000]
    started = time.perf_counter()
    reference = exact(some.astype(np.float64))
    times["network, local, float64"] = 1e3 * (time.perf_counter() - started) * POINTS / len(some)
    errors = {
        "float32 against float64": float(np.max(np.abs(fast(some) - reference))),
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
    options.out.write_text(
        f"""# Local evaluation of a million cells

Written by `python benchmarks/local_evaluation.py`. The network has {SIDE} × {SIDE} cells and
{SIDE * SIDE - 1 + 2 * (SIDE - 1):,} neurons, steps of steepness {STEEPNESS_TIMES_SIDE:g} over a
cell; {POINTS:,} random points; medians of {options.rounds} rounds in which each way runs twice in
a row and the second counts, processor time of the one thread. How it works is in
[Cells](../concepts/approximation/cells.md).

| | million points/s | time, in ours |
|---|---|---|
{chr(10).join(rows)}

- The network takes {ours / plain:.2f} times the time of plain bilinear interpolation of its cell
  values by `grid_sample`. `map_coordinates` takes {mapped / ours:.1f} times as long as the network
  with its coordinates scaled beforehand, {counted / ours:.1f} times as long from the same points.
- `grid_sample` and scipy interpolate between cell values; the network is a staircase with smooth
  steps. They compute different functions of the same table; the comparison is of work alone.
- Evaluation form: {errors["bytes"] / 1e6:.2f} MB. Greatest difference of float32 from float64:
  {errors["float32 against float64"]:.1e}.
- At 10⁴ cells the local form in float64 differs from the dense network by at most {difference:.1e},
  half of the points within a few steps' widths of edges; the dense network does
  {dense_speed:.4f} million points/s.
- {machine_line(machine)}. Other work ran on the machine.

## Ways that were tried

Nanoseconds a point on this processor in quiet moments, single precision:

| step | ns |
|---|---|
| bilinear `grid_sample` of all points | 3.5 |
| nearest-neighbor `grid_sample` of all points | 1.4 |
| `index_select` after computing cell numbers | 1.4 + 1.6 |
| NumPy `take` after computing cell numbers | 1.6 + 1.6 |
| warping all positions (floor, sigmoid, exponential) | about 3.5 |
| finding the points in a transition | 0.9 |

- *Bilinear sampling at warped positions* of all points was estimated at about 7 ns from its parts:
  the warp costs as much as the sampling.
- *Cell numbers and a gather* instead of nearest-neighbor sampling took as long, with the points
  given as two columns, and longer from pairs.
- *What is used*: nearest-neighbor sampling of all points, and the steps only where a point is in a
  transition. Those are few because steps are steep: the softer network of the table has about ten
  times as many.
"""
    )
    print(options.out.read_text())


if __name__ == "__main__":
    main()
