"""How fast creatures are rendered: images a second on one core, with and without masks.

    python benchmarks/creatures.py

renders batches of the default set at several sizes, in turn, and takes the median. Writes
``docs/measurements/creatures.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from machine import describe_machine, machine_line
from stopwatch import interleaved_medians

from pellucid.data import Creatures, CreatureSettings

TABLE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "creatures.md"
HEAD = """# Rendering creatures

Images a second on one core, medians over {rounds} batches of {batch} images of the default set
(`python benchmarks/creatures.py`). *Images* is what training takes: pixels as bytes. *Changed* is a
rendering without a part. *Annotated* gives masks, centers and what each part touched. A set that
fits in 512 MiB is rendered once and then kept.

| Size, px | images | changed | annotated |
|---|---|---|---|
"""


def measure(size: int, batch: int, rounds: int) -> dict[str, float]:
    """Return images a second by kind of work."""
    images = Creatures(CreatureSettings(), image_size=(size, size))
    indices = torch.arange(batch)
    work: dict[str, Callable[[], object]] = {
        "images": lambda: images.render(indices),
        "changed": lambda: images.without_part(indices, "ears"),
        "annotated": lambda: images.annotations(indices),
    }
    return {name: 1e3 * batch / ms for name, ms in interleaved_medians(work, rounds=rounds).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 224], metavar="PX")
    parser.add_argument("--batch", type=int, default=256, help="images a call")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--table", type=Path, default=TABLE, help="the page to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for size in options.sizes:
        rates = measure(size, options.batch, options.rounds)
        lines.append(f"| {size} | " + " | ".join(f"{rate:,.0f}" for rate in rates.values()) + " |")
        print(lines[-1])
    machine = describe_machine(threads=1, distributions=("numpy", "torch"))
    options.table.parent.mkdir(parents=True, exist_ok=True)
    head = HEAD.format(rounds=options.rounds, batch=options.batch)
    options.table.write_text(head + "\n".join(lines) + f"\n\n{machine_line(machine)}\n")


if __name__ == "__main__":
    main()
