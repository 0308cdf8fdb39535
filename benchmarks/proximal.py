"""Proximal steps under momentum: zeros, size of the weights, accuracy, time.

    python benchmarks/proximal.py --jobs 2

trains the small CNN on noisy digits (``proximal_work.py``) under each penalty at five seeds, one
thread each, times the penalties against a step of stacked networks, and writes
``docs/measurements/proximal.md``. ``--table-only`` writes the table again from
``benchmarks/results/proximal.json``; ``--times-only`` measures only the times again, ``--keep``
trains only what is not in that file yet, such as after a change of a default strength.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import torch
from machine import describe_machine, machine_line
from proximal_work import (
    BATCH_SIZE,
    KINDS,
    LEARNING_RATE,
    MOMENTUM,
    SmallCnn,
    load_noisy_digits,
    measure,
    train,
)
from stopwatch import interleaved_medians

from pellucid.data import LabelledData, load_data
from pellucid.regularization.named_penalties import PENALTY_NAMES, named_penalty
from pellucid.regularization.penalties import Penalty, StackedPenalty
from pellucid.regularization.recipe import NetworkRecipe

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results" / "proximal.json"
TABLE = BENCHMARKS.parent / "docs" / "measurements" / "proximal.md"
SEEDS = range(5)
STRENGTHS = (3e-4, 6e-4, 1e-3)
POLISH = 30

Variant = tuple[Penalty, dict[str, float]]
COMPARED: dict[str, Variant] = {}
for _strength in STRENGTHS:
    COMPARED |= {
        f"subgradient {_strength:g}": (Penalty(l1=_strength, method="subgradient"), {}),
        f"uncorrected {_strength:g}": (Penalty(l1=_strength), {"assumed_momentum": 0.0}),
        f"at once {_strength:g}": (Penalty(l1=_strength), {"builds_up": False}),
        f"proximal {_strength:g}": (Penalty(l1=_strength), {}),
    }
POLISHED: dict[str, Variant] = {
    "no penalty": (Penalty(), {}),
    "no penalty, polished": (Penalty(polish_steps=POLISH), {}),
    "L1 0.0006": (Penalty(l1=6e-4), {}),
    "L1 0.0006, polished": (Penalty(l1=6e-4, polish_steps=POLISH), {}),
    "L1 0.0006, polished by steps ten times as long": (
        Penalty(l1=6e-4, polish_steps=POLISH),
        {"polish_rate": LEARNING_RATE / (1 - MOMENTUM)},
    ),
    "L1 0.0006, ramp": (Penalty(l1=6e-4, ramp=0.5), {}),
    "L1 0.003": (Penalty(l1=3e-3), {}),
    "L1 0.003, ramp": (Penalty(l1=3e-3, ramp=0.5), {}),
    "L1 0.003, ramp, polished": (Penalty(l1=3e-3, ramp=0.5, polish_steps=POLISH), {}),
}
NAMED: dict[str, Variant] = {name: (named_penalty(name), {}) for name in PENALTY_NAMES}

load_once = functools.cache(load_noisy_digits)


def run_one(penalty: Penalty, options: dict[str, float], seed: int) -> dict[str, float]:
    torch.set_num_threads(1)
    return measure(train(load_once(), penalty, seed=seed, **options), load_once())


def train_all(jobs: int, figures: dict) -> None:
    """Train every variant that has no figures yet at every seed, and keep them as they come."""
    results = figures.setdefault("runs", {})
    wanted: dict[str, Variant] = {}
    for penalty, options in [*COMPARED.values(), *POLISHED.values(), *NAMED.values()]:
        if key_of(penalty, options) not in results:
            wanted[key_of(penalty, options)] = (penalty, options)
    with ProcessPoolExecutor(jobs) as pool:
        futures = {
            key: [pool.submit(run_one, *variant, seed) for seed in SEEDS]
            for key, variant in wanted.items()
        }
        for key, runs in futures.items():
            results[key] = [run.result() for run in runs]
            accuracy = statistics.mean(run["test"] for run in results[key])
            print(f"{key}: {accuracy:.3f}", flush=True)
            RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


def key_of(penalty: Penalty, options: dict[str, float]) -> str:
    extras = [f"{name}={value:g}" for name, value in options.items()]
    return "; ".join([penalty.title, *extras])


def step_milliseconds(data: LabelledData, count: int) -> list[float]:
    """Time epochs of stacked training of `count` networks, without evaluations, per step."""
    from pellucid.regularization.stacking.stacked_training import train_stack

    steps = []
    for attempt in range(3):
        marks = []
        train_stack(
            [(NetworkRecipe(epochs=3), 100 * attempt + number) for number in range(count)],
            data,
            train_metrics="running",
            on_epoch=lambda *_, marks=marks: marks.append(time.perf_counter()),
        )
        per_epoch = -(-len(data.splits.train) // BATCH_SIZE)
        steps += [1e3 * (later - sooner) / per_epoch for sooner, later in pairwise(marks)]
    return steps


def measure_times() -> list[dict[str, float]]:
    """Milliseconds of a training step of M networks, and of what the penalties add to it.

    A step is an epoch of stacked training without measurements, divided by its steps. What a
    penalty adds is timed by itself, on the same weights: the difference of two steps would be lost
    in the noise of a step.
    """
    torch.set_num_threads(1)
    data = load_data("digits", image_size=32, validation_fraction=0.0, test_fraction=0.7)
    rows = []
    for count in (1, 8, 15):
        step = statistics.median(step_milliseconds(data, count))
        network = SmallCnn()
        stack = {
            name: torch.stack([parameter.detach()] * count)
            for name, parameter in network.named_parameters()
        }
        for weights in stack.values():
            weights.grad = torch.zeros_like(weights)

        def caller(penalty: Penalty, *, count: int = count, stack=stack):
            penalties = StackedPenalty([penalty] * count, stack, kinds=KINDS)

            def both() -> None:
                penalties.add_gradients(1.0)
                penalties.proximal_step(learning_rate=1e-9, momentum=MOMENTUM)

            return both

        contestants = {
            "proximal L1": caller(Penalty(l1=6e-4)),
            "subgradient L1": caller(Penalty(l1=6e-4, method="subgradient")),
            "L2": caller(Penalty(l2=2.5e-2)),
            "group lasso": caller(Penalty(group=6e-4)),
            "sparse group lasso": caller(Penalty(l1=6e-4, group=6e-4)),
            "max-norm": caller(Penalty(max_norm=1.0)),
        }
        medians = interleaved_medians(contestants, rounds=100, warm_up=5)
        rows.append({"networks": count, "step": step, **medians})
    return rows


def mean_of(runs: list[dict[str, float]], name: str) -> float:
    return statistics.mean(run[name] for run in runs)


def spread_of(runs: list[dict[str, float]], name: str) -> str:
    return f"{mean_of(runs, name):.3f} ± {statistics.stdev(run[name] for run in runs):.3f}"


COLUMNS = (
    "| | training | validation | test (worst seed) | gap | exact zeros | L1 norm |\n"
    "|---|---|---|---|---|---|---|"
)


def variant_line(title: str, runs: list[dict[str, float]]) -> str:
    worst = min(run["test"] for run in runs)
    gap = 100 * (mean_of(runs, "train") - mean_of(runs, "validation"))
    return (
        f"| {title} | {spread_of(runs, 'train')} | {spread_of(runs, 'validation')} | "
        f"{spread_of(runs, 'test')} ({worst:.3f}) | {gap:.1f} | {mean_of(runs, 'zeros'):.1%} | "
        f"{mean_of(runs, 'l1_norm'):.0f} |"
    )


def write_table(figures: dict) -> None:
    results, times = figures["runs"], figures["times"]

    def runs_of(variant: Variant) -> list[dict[str, float]]:
        return results[key_of(*variant)]

    lines = [
        "# Proximal steps under momentum",
        "",
        "Written by `python benchmarks/proximal.py`; the argument is in "
        "[Penalties](../concepts/penalties.md).",
        "",
        "The small CNN (82,106 parameters) on 400 digits at 32×32, 20 % of the training labels "
        "wrong; SGD, rate .01, momentum .9, batches of 64, 60 epochs, last epoch; the plain loop, "
        f"seeds 0 to {len(SEEDS) - 1}; mean ± standard deviation over the seeds. Training accuracy "
        "is on the noisy labels: 0.8 is all right answers and no wrong label learned by heart. "
        "*Gap*: training minus validation, in points.",
        "",
        "## Ways to the same L1",
        "",
        "*Subgradient*: λ sign(w) in the gradient. *Uncorrected*: soft threshold lr·λ. *At once*: "
        "soft threshold lr·λ/(1 − momentum) from the first step. *Proximal*: the same, built up as "
        "the velocity is, times 1 − momentum^k at step k. *Ratio*: L1 norm over that of the "
        "subgradient at the same λ and seed. *Below .001*: what weights of |w| < .001 "
        "add to the L1 norm: mostly dithering around 0.",
        "",
        "| λ | | L1 norm | ratio | below .001 | exact zeros | training | test |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for strength in STRENGTHS:
        subgradient = runs_of(COMPARED[f"subgradient {strength:g}"])
        for way in ("subgradient", "uncorrected", "at once", "proximal"):
            runs = runs_of(COMPARED[f"{way} {strength:g}"])
            ratio = statistics.mean(
                run["l1_norm"] / other["l1_norm"]
                for run, other in zip(runs, subgradient, strict=True)
            )
            title = f"**{way}**" if way == "proximal" else way
            lines.append(
                f"| {strength:g} | {title} | {mean_of(runs, 'l1_norm'):.0f} | {ratio:.3f} | "
                f"{mean_of(runs, 'l1_norm_tiny'):.1f} | {mean_of(runs, 'zeros'):.1%} | "
                f"{spread_of(runs, 'train')} | {spread_of(runs, 'test')} |"
            )
    lines += ["", "## Polish and ramp", ""]
    lines += [
        f"*Polished*: {POLISH} full-batch proximal steps after the last epoch, without momentum, "
        "of the length of the learning rate. *Ramp*: strengths rise over the first half.",
        "",
        COLUMNS,
        *(variant_line(title, runs_of(variant)) for title, variant in POLISHED.items()),
        "",
        "Polishing helps a network without any penalty too: much of what it adds in accuracy is "
        "the end of the mini-batches' noise, not the penalty. So no named penalty has it by "
        "default: one arm must not differ from another by two things. Steps ten times as long, "
        "which is how far the momentum carries, are unstable.",
        "",
        "## Named penalties at their default strengths",
        "",
        "Strengths were chosen by the validation images of this work, so their validation accuracy "
        "is too good by the choice; the test images decided nothing. When they were chosen, "
        "thresholds did not build up yet (*at once*).",
        "",
        COLUMNS,
        *(
            variant_line(f"`{name}`: {variant[0].title}", runs_of(variant))
            for name, variant in NAMED.items()
        ),
        "",
        "## Time",
        "",
        "One thread, float32, batches of 64. *Step*: of so many stacked networks without penalty, "
        "milliseconds. Others: what the penalty adds where every network has it, milliseconds "
        "(share of the step). Other work ran on the machine.",
        "",
    ]
    names = [name for name in times[0] if name not in ("networks", "step")]
    lines += [
        f"| networks | step | {' | '.join(names)} |",
        "|---" * (len(names) + 2) + "|",
        *(
            f"| {row['networks']} | {row['step']:.1f} | "
            + " | ".join(f"{row[n]:.2f} ({row[n] / row['step']:.1%})" for n in names)
            + " |"
            for row in times
        ),
    ]
    lines += ["", "## Goals", "", "| goal | wanted | measured | |", "|---|---|---|---|"]
    lines += goal_lines(figures)
    lines += ["", f"{machine_line(figures['machine'])}"]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def goal_lines(figures: dict) -> list[str]:
    """Say which goals are met at the default strength."""
    runs = figures["runs"][key_of(*COMPARED["proximal 0.0006"])]
    others = figures["runs"][key_of(*COMPARED["subgradient 0.0006"])]
    deviation = abs(mean_of(runs, "l1_norm") / mean_of(others, "l1_norm") - 1)
    zeros, none = mean_of(runs, "zeros"), mean_of(others, "zeros")
    cost = max(row["proximal L1"] / row["step"] for row in figures["times"])
    goals = [
        ("L1 norm at λ = 6e-4, away from the subgradient's", "≤ 5 %", deviation, deviation <= 0.05),
        ("exact zeros at λ = 6e-4", "≥ 30 %", zeros, zeros >= 0.3),
        ("exact zeros of the subgradient", "none", none, none == 0),
        ("time that proximal L1 adds to a step, at most", "≤ 5 %", cost, cost <= 0.05),
    ]
    return [
        f"| {goal} | {wanted} | {value:.1%} | {'met' if is_met else '**not met**'} |"
        for goal, wanted, value, is_met in goals
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--table-only", action="store_true", help="train and time nothing")
    parser.add_argument("--keep", action="store_true", help="train only what has no figures yet")
    parser.add_argument("--times-only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    keeps = arguments.keep or arguments.table_only or arguments.times_only
    figures = json.loads(RESULTS.read_text()) if keeps and RESULTS.exists() else {}
    if not arguments.table_only:
        if not arguments.times_only:
            train_all(arguments.jobs, figures)
        figures["times"] = measure_times()
        figures["machine"] = describe_machine(
            threads=1, distributions=("torch", "scikit-learn", "pellucid")
        )
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    write_table(figures)


if __name__ == "__main__":
    main()
