"""What is left of the small CNN after `compact`, arm by arm, on the default digits.

    python benchmarks/compaction.py

Trains each arm once (seed 0, 60 epochs, one thread), compacts the last epoch and times both
networks in turns. Writes ``docs/measurements/compaction.md``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from machine import describe_machine, machine_line

from pellucid.regularization.compaction.compact import CompactionRow, compact
from pellucid.regularization.penalties import Penalty
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.study_data import StudyData

TABLE = Path(__file__).resolve().parent.parent / "docs" / "measurements" / "compaction.md"
ARMS = {
    "none": Penalty(),
    "L1 6e-4": Penalty(l1=6e-4),
    "L1 3e-3, ramp 0.5": Penalty(l1=3e-3, ramp=0.5),
    "group lasso 6e-4": Penalty(group=6e-4),
    "group lasso 1e-3": Penalty(group=1e-3),
    "group lasso 2e-3": Penalty(group=2e-3),
    "group lasso 3e-3, ramp 0.5": Penalty(group=3e-3, ramp=0.5),
}


def measure(name: str, penalty: Penalty, *, epochs: int) -> tuple[CompactionRow, float]:
    """Return what compaction did to one network and the network's test accuracy."""
    data = StudyData.of("digits").load()
    recipe = NetworkRecipe(penalty=penalty, epochs=epochs)
    outcome = recipe.fit(
        data, seed=0, run=None, device=torch.device("cpu"), resume=False, quiet=True
    )
    answers = outcome.last.predict
    images, labels = data.images.read(data.splits.test), data.images.labels[data.splits.test]
    accuracy = (answers(images).argmax(1) == labels).double().mean().item()
    example = answers.normalization(images)
    return compact(answers.module, example, name=name, repetitions=100).row, accuracy


def render_table(rows: list[tuple[CompactionRow, float]], epochs: int) -> str:
    """Return the markdown page."""
    layers = ", ".join(layer.name for layer in rows[0][0].layers)
    lines = [
        "# Compaction",
        "",
        "Written by `python benchmarks/compaction.py`. The small CNN on the default digits (400 "
        f"training images, 20 % of their labels wrong), {epochs} epochs, seed 0, last epoch. "
        f"Units: filters and neurons of {layers}. Speed: how many times as fast as before, the "
        "median over 100 turns in which both networks run once. Difference: largest of any logit "
        "on all test images.",
        "",
        "| arm | accuracy | units | parameters | not zero before | multiplications | bytes "
        "| speed, batch 1 | speed, batch 64 | difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row, accuracy in rows:
        before, after = row.before, row.after
        units = " ".join(str(layer.units_after) for layer in row.layers)
        speed = [f"{latency.ratio:.2f}" for latency in row.latencies]
        lines.append(
            f"| {row.name} | {accuracy:.3f} | {units} | {before.parameters:,} → "
            f"{after.parameters:,} | {before.nonzero_parameters:,} | {before.multiplications:,} → "
            f"{after.multiplications:,} | {before.file_bytes:,} → {after.file_bytes:,} | "
            f"{speed[0]} | {speed[1]} | {row.largest_difference:.1e} |"
        )
    machine = describe_machine(threads=torch.get_num_threads(), distributions=("pellucid", "torch"))
    lines += ["", f"- {machine_line(machine)}.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--table", type=Path, default=TABLE, help="the markdown file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name, penalty, epochs=options.epochs) for name, penalty in ARMS.items()]
    page = render_table(rows, options.epochs)
    options.table.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
