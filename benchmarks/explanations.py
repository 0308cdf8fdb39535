"""How good the explanations of trees are, way by way, on creatures; and a black box beside them.

    python benchmarks/explanations.py --jobs 2

trains each way (`WAYS`) and the black boxes at seeds 0 to 2 on the creatures of ``load_data`` (64
px, 20 classes, 100 training images each), measures trees on test images with the evaluation suite,
and prints the tables of ``docs/measurements/explanations.md``. What was done is not done again:
trees are kept in ``--folder``, figures in ``benchmarks/results/explanations/``, a file a run.
Choices were made on validation images, as that page tells; test images are looked at here only.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "explanations"
FOLDER = HERE.parent / "runs" / "explanations"
EPOCHS, SEEDS, IMAGES = 30, (0, 1, 2), 200
TONES = {"brightness": 0.1, "contrast": 0.2}


@dataclass(frozen=True)
class Way:
    """One way of training.

    Attributes:
        title: What to call it in the table.
        data: A name for `load_data`.
        recipe: What differs from the default recipe.
        augmentation: What differs from the default augmentation.
        is_black_box: Backbone, max pooling and one layer instead of a tree.
    """

    title: str
    data: str = "creatures"
    recipe: dict[str, Any] = field(default_factory=dict)
    augmentation: dict[str, float] = field(default_factory=dict)
    is_black_box: bool = False


WAYS = {
    "patch25": Way("**25 px (the default)**"),
    "free": Way("no bound: 53 px (the default before)", recipe={"patch_size_px": 0}),
    "patch17": Way("17 px", recipe={"patch_size_px": 17}),
    "tones": Way("25 px, brightness and contrast varied", augmentation=TONES),
    "shortcut": Way("25 px on creatures-shortcut", data="creatures-shortcut"),
    "box-max": Way("black box, 25 px, max pooling", is_black_box=True),
    "box-free-max": Way(
        "black box, 53 px, max pooling", recipe={"patch_size_px": 0}, is_black_box=True
    ),
}
COLUMNS = {
    "greedy": "greedy",
    "soft": "soft",
    "prototypes": "prototypes",
    "local_perturbation_outside": "outside (< 5 %)",
    "local_perturbation_inside": "inside (> 30 %)",
    "purity_top_10": "purity, 10 nearest (≥ .8)",
    "purity": "purity, where present",
    "single_deletion": "single deletion (≥ .8)",
}
MORE_COLUMNS = {
    "box_size": "box, share of the image",
    "consistency": "consistency",
    "prototypes_on_background": "prototypes beside the creature",
    "target_sensitivity": "target sensitivity",
    "preservation_check": "preservation",
    "deletion_check": "deletion",
    "background_changes_answer": "answers that another background changes",
    "importance_on_background": "importance beside the creature",
}


def make_recipe(way: Way, epochs: int):
    """Return the recipe of one way."""
    from dataclasses import replace

    from pellucid.prototree import TreeRecipe

    recipe = TreeRecipe(epochs=epochs, **way.recipe)
    return replace(recipe, augmentation=replace(recipe.augmentation, **way.augmentation))


def run_one(name: str, seed: int, epochs: int, folder: Path, train_only: bool) -> dict[str, Any]:
    """Train one way at one seed on one thread, or go on from the kept tree, and measure."""
    import torch

    torch.set_num_threads(1)
    from pellucid.data import load_data

    way, path = WAYS[name], RESULTS / f"{name}-{seed}.json"
    data = load_data(way.data)
    if way.is_black_box:
        figures = run_black_box(way, data, seed, epochs)
    else:
        tree = folder / f"{name}-{seed}-{epochs}.safetensors"
        figures = json.loads(path.read_text()) if path.is_file() else {}
        if not tree.is_file():
            figures = train_tree(way, data, seed, epochs, tree)
        if not train_only:
            figures |= measure_tree(tree, data)
    figures |= {"way": name, "seed": seed, "epochs": epochs}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def train_tree(way: Way, data, seed: int, epochs: int, path: Path) -> dict[str, Any]:
    """Train a tree, keep it and return its accuracies on the test images."""
    from pellucid.evaluation import evaluate_tree
    from pellucid.prototree import fit_tree, save_tree

    started = time.perf_counter()
    fit = fit_tree(data, make_recipe(way, epochs), seed=seed, quiet=True)
    seconds = time.perf_counter() - started
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tree(fit.fitted, path)
    before = evaluate_tree(fit.unprojected, data.images, data.splits.test)
    after = evaluate_tree(fit.fitted, data.images, data.splits.test)
    return {
        "greedy": after.greedy.value,
        "soft": after.distributed.value,
        "soft_before_projection": before.distributed.value,
        "greedy_fidelity": after.fidelity_greedy.value,
        "prototypes": fit.fitted.tree.topology.branches,
        "path_length": after.path_lengths[0],
        "coverage": fit.fitted.receptive_field.coverage,
        "fit_seconds": seconds,
    }


def measure_tree(path: Path, data) -> dict[str, Any]:
    """Return the suite's figures of a kept tree on test images."""
    from pellucid.evaluation import TreeExplainer, evaluate_explanations
    from pellucid.prototree import load_tree

    found = evaluate_explanations(TreeExplainer(load_tree(path)), data, images=IMAGES, quiet=True)
    return {"explanations": found.to_dict()}


def run_black_box(way: Way, data, seed: int, epochs: int) -> dict[str, Any]:
    """Train backbone, pooling and one layer in the tree's own loop; return the test accuracy."""
    import torch
    from torch import nn

    from pellucid.backbones import create_backbone
    from pellucid.data import Normalization, measure_channels
    from pellucid.training import Batch, TrainingPlan, train

    recipe, size = make_recipe(way, epochs), data.images.image_size
    torch.manual_seed(seed)
    backbone = create_backbone(
        recipe.backbone, image_size=size, patch_size_px=recipe.choose_patch_size_px(size)
    )

    class BlackBox:
        """A `pellucid.training.Task` with the tree's optimizer and schedule."""

        def __init__(self) -> None:
            head = nn.Linear(backbone.channels, len(data.images.class_names))
            self.module = nn.ModuleDict({"backbone": backbone, "head": head})
            parameters = list(self.module.parameters())
            matrices = [p for p in parameters if p.ndim >= 2]
            vectors = [p for p in parameters if p.ndim < 2]
            decay = recipe.decoupled_weight_decay
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": matrices, "weight_decay": decay},
                    {"params": vectors, "weight_decay": 0.0},
                ],
                lr=recipe.learning_rate,
            )

        def begin_epoch(self, epoch: int, steps: int) -> str:
            self.module.train()
            return "black box"

        def learning_rate_factor(self, epoch: int, fraction: float) -> float:
            return 0.5 * (1 + math.cos(math.pi * (epoch + fraction) / epochs))

        def predict(self, images):
            latent = backbone(images)
            return torch.log_softmax(self.module["head"](latent.amax((2, 3))), dim=1)

        def step(self, images, labels):
            answers = self.predict(images)
            loss = nn.functional.nll_loss(answers, labels)
            return Batch(loss, loss, answers.detach(), {})

        def absorb(self, sums) -> None:
            return None

    task, started = BlackBox(), time.perf_counter()
    normalization = Normalization(*measure_channels(data.images, data.splits.train))
    train(
        task,
        data.images,
        training=data.splits.train,
        validation=data.splits.validation,
        plan=TrainingPlan(
            epochs=epochs,
            batch_size=recipe.batch_size,
            seed=seed,
            device=torch.device("cpu"),
            normalization=normalization,
            augmentation=recipe.augmentation,
        ),
        quiet=True,
    )
    task.module.eval()
    with torch.inference_mode():
        right = [
            task.predict(normalization(data.images.read(part))).argmax(1)
            == data.images.labels[part]
            for part in data.splits.test.split(256)
        ]
    return {
        "accuracy": torch.cat(right).double().mean().item(),
        "fit_seconds": time.perf_counter() - started,
    }


def is_done(name: str, seed: int, epochs: int, train_only: bool) -> bool:
    """Return whether the figures of a run are there."""
    path = RESULTS / f"{name}-{seed}.json"
    if not path.is_file():
        return False
    found = json.loads(path.read_text())
    whole = train_only or WAYS[name].is_black_box or "explanations" in found
    return found["epochs"] == epochs and bool(whole)


def read_value(figures: dict[str, Any], name: str) -> float | None:
    """Return a figure of a run: one of ours, or a measure of the suite."""
    if name in figures:
        return figures[name]
    measures = figures.get("explanations", {}).get("measures", [])
    return next((m["value"] for m in measures if m["name"] == name), None)


def summarize(runs: list[dict[str, Any]], name: str) -> str:
    """Return mean and range over the seeds of one figure."""
    values = [value for run in runs if (value := read_value(run, name)) is not None]
    if not values:
        return ""
    style = ".0f" if name == "prototypes" else ".3f"
    low, high = min(values), max(values)
    return f"{statistics.fmean(values):{style}} ({low:{style}} to {high:{style}})"


def render_table(folder: Path = RESULTS) -> str:
    """Return the markdown of all runs that are there."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        runs[found["way"]].append(found)
    lines = []
    for columns in (COLUMNS, MORE_COLUMNS):
        lines.append(f"| | seeds | {' | '.join(columns.values())} |")
        lines.append("|---|" + "---|" * (len(columns) + 1))
        for name, way in WAYS.items():
            if runs[name] and not way.is_black_box:
                cells = [summarize(runs[name], column) for column in columns]
                lines.append(f"| {way.title} | {len(runs[name])} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["| black box | seeds | accuracy |", "|---|---|---|"]
    for name, way in WAYS.items():
        if runs[name] and way.is_black_box:
            title = way.title.removeprefix("black box, ")
            lines.append(f"| {title} | {len(runs[name])} | {summarize(runs[name], 'accuracy')} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="fewer only for a trial run")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where trees are kept")
    parser.add_argument("--train-only", action="store_true", help="leave the suite for later")
    parser.add_argument("--table-only", action="store_true", help="only print the table")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if not options.table_only:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            waiting = [
                pool.submit(run_one, name, seed, options.epochs, options.folder, options.train_only)
                for seed in options.seeds
                for name in options.ways
                if not is_done(name, seed, options.epochs, options.train_only)
            ]
            for done in as_completed(waiting):
                found = done.result()
                print(found["way"], found["seed"], round(found["fit_seconds"]), file=sys.stderr)
    print(render_table())


if __name__ == "__main__":
    main()
