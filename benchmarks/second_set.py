"""A second data set: drawn shapes with marks, tree against black box with the same backbone.

    python benchmarks/second_set.py --jobs 2

draws a folder of PNG pictures (8 classes, each a body and a mark that other classes share; random
place, size, turn, colors and clutter), reads it as any folder, and trains at seeds 0 to 4 the
default recipe on ResNet-18, the black box with the same epochs, augmentation, learning rate, decay
and schedule, and the black box plainly: Adam at 1e-3, no augmentation. Nothing was tuned on these
pictures. Writes ``benchmarks/results/second-set.json`` after each fit and
``docs/measurements/second-set.md`` at the end; what the first has is not measured again (remove it
to start anew).
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

TABLE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "second-set.md"
RESULTS = Path(__file__).resolve().parent / "results" / "second-set.json"
BODIES = {"disk": 32, "square": 4, "triangle": 3, "hexagon": 6}
MARKS = ("dot", "bar")
SIDE_PX, IMAGES_PER_CLASS, EPOCHS = 64, 180, 60


def draw_picture(body: str, mark: str, random: np.random.Generator) -> Image.Image:
    """Draw one body with its mark on a noisy background with clutter."""
    shade = random.integers(0, 256, 3)
    noise = random.normal(0, 12, (SIDE_PX, SIDE_PX, 3))
    picture = Image.fromarray(np.clip(shade + noise, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(4):
        x, y = random.integers(0, SIDE_PX, 2).tolist()
        x2, y2 = (np.array([x, y]) + random.integers(-20, 21, 2)).tolist()
        draw.line([x, y, x2, y2], fill=tuple(random.integers(0, 256, 3).tolist()), width=1)
    radius = random.uniform(13, 19)
    center = random.uniform(radius + 1, SIDE_PX - radius - 1, 2)
    turn = math.radians(random.uniform(-20, 20))
    color = (shade + 128 + random.integers(-40, 41, 3)) % 256
    draw.polygon(_corners(center, radius, BODIES[body], turn), fill=tuple(color.tolist()))
    ink = tuple(((color + 128) % 256).tolist())
    if mark == "dot":
        draw.polygon(_corners(center, radius / 3, 16, 0.0), fill=ink)
    else:
        along = radius / 2 * np.array([math.cos(turn), math.sin(turn)])
        draw.line([*(center - along), *(center + along)], fill=ink, width=4)
    return picture


def _corners(
    center: np.ndarray, radius: float, count: int, turn: float
) -> list[tuple[float, float]]:
    angles = turn - math.pi / 2 + 2 * math.pi * (np.arange(count) + 0.5 * (count == 4)) / count
    points = center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [tuple(point) for point in points.tolist()]


def draw_folder(folder: Path) -> None:
    """Write the pictures as ``folder/<body> with <mark>/<number>.png``; the same every time."""
    random = np.random.default_rng(0)
    for body in BODIES:
        for mark in MARKS:
            target = folder / f"{body} with {mark}"
            target.mkdir(parents=True)
            for number in range(IMAGES_PER_CLASS):
                draw_picture(body, mark, random).save(target / f"{number:03}.png")


def run_tree(folder: str, seed: int, epochs: int) -> dict[str, float]:
    """Train the default recipe on ResNet-18."""
    from pellucid.evaluation import evaluate_tree
    from pellucid.prototree import TreeRecipe, fit_tree

    data = _load(folder)
    fit = fit_tree(data, TreeRecipe(backbone="resnet18", epochs=epochs), seed=seed, quiet=True)
    before = evaluate_tree(fit.unprojected, data.images, data.splits.test)
    after = evaluate_tree(fit.fitted, data.images, data.splits.test)
    return {
        "soft": before.distributed.value,
        "projected": after.distributed.value,
        "most probable leaf": after.most_probable_leaf.value,
        "greedy": after.greedy.value,
        "greedy fidelity": after.fidelity_greedy.value,
        "prototypes": fit.fitted.tree.topology.branches,
    }


def run_black_box(folder: str, seed: int, epochs: int) -> dict[str, float]:
    """Train the black box as the tree is trained."""
    from black_box import train_black_box

    from pellucid.prototree import TreeRecipe

    recipe = TreeRecipe(backbone="resnet18", epochs=epochs)
    accuracy, _ = train_black_box(_load(folder), seed=seed, epochs=epochs, recipe=recipe)
    return {"black box": accuracy}


def run_plain_black_box(folder: str, seed: int, epochs: int) -> dict[str, float]:
    """Train the black box with Adam at 1e-3 and without augmentation."""
    from black_box import train_black_box

    accuracy, _ = train_black_box(_load(folder), seed=seed, epochs=epochs)
    return {"black box, plain": accuracy}


SIDES = {"tree": run_tree, "black box": run_black_box, "plain black box": run_plain_black_box}


def run_side(side: str, folder: str, seed: int, epochs: int) -> tuple[int, dict[str, float]]:
    """Train one side at one seed on one thread."""
    import torch

    torch.set_num_threads(1)
    return seed, SIDES[side](folder, seed, epochs)


def _load(folder: str):
    from pellucid.data import load_data

    return load_data(folder, image_size=32, validation_fraction=0.0, quiet=True)


def _is_measured(found: dict[str, dict[str, float]], side: str, seed: int) -> bool:
    name = {"tree": "greedy", "black box": "black box", "plain black box": "black box, plain"}[side]
    return name in found.get(str(seed), {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of both sides")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--table", type=Path, default=TABLE, help="the markdown file to write")
    options = parser.parse_args()
    from machine import describe_machine, machine_line

    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    found: dict[str, dict[str, float]] = (
        stored["seeds"] if stored.get("epochs") == options.epochs else {}
    )
    with tempfile.TemporaryDirectory() as folder:
        draw_folder(Path(folder) / "shapes")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            shapes = str(Path(folder) / "shapes")
            waiting = [
                pool.submit(run_side, side, shapes, seed, options.epochs)
                for side in SIDES
                for seed in options.seeds
                if not _is_measured(found, side, seed)
            ]
            for done in as_completed(waiting):
                seed, figures = done.result()
                found.setdefault(str(seed), {}).update(figures)
                print(seed, figures, file=sys.stderr)
                RESULTS.write_text(json.dumps({"epochs": options.epochs, "seeds": found}, indent=1))
    rows = [found[str(seed)] for seed in options.seeds]
    names = list(rows[0])
    lines = [
        "# A second data set: shapes with marks",
        "",
        "Written by `python benchmarks/second_set.py`, which draws the pictures and says how. "
        f"{len(BODIES) * len(MARKS)} classes, {len(BODIES) * len(MARKS) * IMAGES_PER_CLASS} "
        f"pictures, {options.epochs} epochs, ResNet-18 cut after layer2 with random weights at "
        "32 px for both sides; last epoch, no validation split, nothing tuned on these pictures. "
        "*Black box* trains as the tree does (augmentation, AdamW, cosine rate); *plain* is Adam "
        "at 1e-3 without augmentation.",
        "",
        "| seed | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for seed, row in zip(options.seeds, rows, strict=True):
        cells = [
            f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()
        ]
        lines.append(f"| {seed} | " + " | ".join(cells) + " |")
    means = [f"{statistics.fmean(row[name] for row in rows):.4f}" for name in names]
    lines.append("| **mean** | " + " | ".join(means) + " |")
    machine = describe_machine(threads=1, distributions=("torch", "timm", "pillow", "pellucid"))
    lines += ["", machine_line(machine) + "."]
    options.table.write_text("\n".join(lines) + "\n")
    print(f"wrote {options.table}", file=sys.stderr)


if __name__ == "__main__":
    main()
