"""The work "digits-64": Pellucid, a black box with the same backbone, and CaBRNet 1.2.

    python benchmarks/digits64.py --jobs 2

trains Pellucid (six variants) and the black box at seeds 0 to 4, and writes the table
``docs/measurements/digits64.md``. The peer's figures come from ``benchmarks/results``; to measure
them again, run this file with the Python of an environment that has CaBRNet (and no Pellucid):

    python -m venv cabrnet-env && cabrnet-env/bin/pip install cabrnet==1.2
    cabrnet-env/bin/python benchmarks/digits64.py --peer cabrnet --jobs 2

The work: scikit-learn's digits, split by ``train_test_split(test_size=.2, random_state=0,
stratify=y)`` into 1437 training and 360 test images; 8x8 counts times 255/16, rounded, bicubic to
64x64, RGB, resized to 32x32; no augmentation. ResNet-18 with random weights cut after layer2
(128x4x4), 1x1 convolution to 64 channels without bias, sigmoid; depth 5, 31 prototypes; Adam,
batches of 64, 15 epochs; class-constrained projection. The peer and the black box use Adam at 1e-3
and pixels normalized by (.5, .5); Pellucid the defaults of ``TreeRecipe`` for all that the work
does not fix, with the same share of the epochs for its warm-up. Nothing is chosen by the test
split: there is no validation split, so the last epoch stands.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results"
TABLE = BENCHMARKS.parent / "docs" / "measurements" / "digits64.md"

DEPTH, LATENT_CHANNELS, BATCH_SIZE, EPOCHS, LEARNING_RATE = 5, 64, 64, 15, 1e-3
IMAGE_SIZE_PX = 32

PELLUCID_VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "pellucid-plain": (
        "Pellucid, no warm-up, random prototypes, projection only at the end, soft loss",
        {
            "warm_up_epochs": 0,
            "prototype_initialization": "random",
            "interim_projections": 0,
            "routing_steepness": 1.0,
        },
    ),
    "pellucid-patches": ("Pellucid, no warm-up, prototypes from patches", {"warm_up_epochs": 0}),
    "pellucid-warm-up": (
        "Pellucid, warm-up, random prototypes",
        {"prototype_initialization": "random"},
    ),
    "pellucid-soft": (
        "Pellucid, warm-up, prototypes from patches, soft loss",
        {"routing_steepness": 1.0},
    ),
    "pellucid": ("**Pellucid: warm-up, prototypes from patches, steep branches in the loss**", {}),
    "pellucid-default": (
        "**Pellucid's default recipe: its own epochs and augmentation (not in the work)**",
        {"augmentation": None, "epochs": None, "warm_up_epochs": None},
    ),
}
TITLES = {
    "cabrnet": "CaBRNet 1.2",
    **{name: title for name, (title, _) in PELLUCID_VARIANTS.items()},
    "black-box": "black box (global average pooling + linear)",
}
MEASURES = {
    "soft": "soft",
    "projected": "projected",
    "most_probable_leaf": "most probable leaf",
    "greedy": "greedy",
    "greedy_fidelity": "greedy fidelity",
}


def run_pellucid(variant: str, seed: int, epochs: int) -> dict[str, object]:
    """Fit one tree through the public Python API."""
    from pellucid.data import Augmentation, load_data
    from pellucid.evaluation import evaluate_tree
    from pellucid.prototree import TreeRecipe, fit_tree

    default = TreeRecipe()
    data = load_data("digits", image_size=IMAGE_SIZE_PX, validation_fraction=0.0)
    fixed_by_the_work: dict[str, object] = {
        "backbone": "resnet18",
        "stage": None,
        "depth": DEPTH,
        "latent_channels": LATENT_CHANNELS,
        "batch_size": BATCH_SIZE,
        "epochs": epochs,
        "warm_up_epochs": math.ceil(epochs * default.warm_up_epochs / default.epochs),
        "class_constrained_projection": True,
        "augmentation": Augmentation(),
    }
    _, changes = PELLUCID_VARIANTS[variant]
    fields = fixed_by_the_work | changes
    own = {name: getattr(default, name) for name, value in fields.items() if value is None}
    fields |= own | {"stage": None}
    recipe = replace(default, **fields)
    started = time.perf_counter()
    fit = fit_tree(data, recipe, seed=seed, quiet=True)
    seconds = time.perf_counter() - started
    test = data.splits.test
    before = evaluate_tree(fit.unprojected, data.images, test)
    after = evaluate_tree(fit.fitted, data.images, test)
    return {
        "soft": before.distributed.value,
        "projected": after.distributed.value,
        "most_probable_leaf": after.most_probable_leaf.value,
        "greedy": after.greedy.value,
        "greedy_fidelity": after.fidelity_greedy.value,
        "prototypes": fit.fitted.tree.topology.branches,
        "leaves": fit.fitted.tree.topology.leaves,
        "seconds": seconds,
        "pixels_sha256": _pixel_digest(data.images.read(test).numpy(), data.images.labels[test]),
        "recipe": repr(recipe),
    }


def run_black_box(variant: str, seed: int, epochs: int) -> dict[str, object]:
    """Train the same backbone under global average pooling and a linear layer."""
    from black_box import train_black_box

    from pellucid.data import load_data

    data = load_data("digits", image_size=IMAGE_SIZE_PX, validation_fraction=0.0)
    accuracy, seconds = train_black_box(data, seed=seed, epochs=epochs, batch_size=BATCH_SIZE)
    test = data.splits.test
    return {
        "soft": accuracy,
        "seconds": seconds,
        "pixels_sha256": _pixel_digest(data.images.read(test).numpy(), data.images.labels[test]),
    }


def run_cabrnet(variant: str, seed: int, epochs: int) -> dict[str, object]:
    """Train, project and evaluate CaBRNet's ProtoTree through its own classes."""
    import torch
    from cabrnet.archs.generic.conv_extractor import ConvExtractor
    from cabrnet.archs.prototree.decision import ProtoTreeClassifier, SamplingStrategy
    from cabrnet.archs.prototree.model import ProtoTree
    from loguru import logger
    from torch.utils.data import DataLoader, TensorDataset

    logger.remove()
    (train_pixels, train_labels), (test_pixels, test_labels) = _read_digits()
    train = TensorDataset(_normalized(train_pixels), torch.from_numpy(train_labels))
    test_images, test_labels = _normalized(test_pixels), torch.from_numpy(test_labels)
    torch.manual_seed(seed)
    extractor = ConvExtractor(
        {
            "backbone": {"arch": "resnet18", "weights": ""},
            "convnet": {
                "source_layer": "layer2",
                "add_on": {
                    "init_mode": "XAVIER",
                    "conv1": {
                        "type": "Conv2d",
                        "params": {
                            "out_channels": LATENT_CHANNELS,
                            "kernel_size": 1,
                            "bias": False,
                        },
                    },
                    "sigmoid1": {"type": "Sigmoid"},
                },
            },
        }
    )
    classifier = ProtoTreeClassifier(
        similarity_config={"name": "ProtoTreeSimilarity"},
        num_classes=10,
        depth=DEPTH,
        num_features=LATENT_CHANNELS,
    )
    model = ProtoTree(extractor, classifier)
    # The leaves are parameters too, but learn without gradients: they stay out of the optimizer.
    optimizer = torch.optim.Adam([*extractor.parameters(), classifier.prototypes], lr=LEARNING_RATE)
    loaders = {
        "train_set": DataLoader(train, batch_size=BATCH_SIZE, shuffle=True),
        "projection_set": DataLoader(train, batch_size=BATCH_SIZE),
    }
    started = time.perf_counter()
    for epoch in range(epochs):
        model.train_epoch(loaders, optimizer, device="cpu", epoch_idx=epoch)
    model.eval()
    with torch.no_grad():
        unprojected = model(test_images)[0].argmax(1)
    model.project(loaders["projection_set"], device="cpu")
    seconds = time.perf_counter() - started
    with torch.no_grad():
        soft, nodes = model(test_images)
        likely, likely_info = model(test_images, strategy=SamplingStrategy.SAMPLE_MAX)
        own_greedy, own_info = model(test_images, strategy=SamplingStrategy.GREEDY)
        leaves = list(classifier.tree.leaves)
        # Its GREEDY strategy looks at path probabilities; the flags below are the walk itself.
        walked = torch.stack([nodes[leaf.node_id]["greedy_path"][:, 0] for leaf in leaves])
        # An exact tie at a branch flags both children; the first one is as good as the other.
        walk_end = walked.to(torch.int8).argmax(0)
        walk = torch.cat([leaf.distribution for leaf in leaves])[walk_end]
        walk_names = [leaves[index].node_id for index in walk_end.tolist()]
    soft, likely, own_greedy, walk = (
        answer.argmax(1) for answer in (soft, likely, own_greedy, walk)
    )
    same_leaf = [
        one == other
        for one, other in zip(likely_info["decision_leaf"], own_info["decision_leaf"], strict=True)
    ]
    walk_is_own = [
        one == other for one, other in zip(walk_names, own_info["decision_leaf"], strict=True)
    ]
    return {
        "soft": _share(unprojected == test_labels),
        "projected": _share(soft == test_labels),
        "most_probable_leaf": _share(likely == test_labels),
        "greedy": _share(walk == test_labels),
        "greedy_fidelity": _share(walk == soft),
        "own_greedy": _share(own_greedy == test_labels),
        "own_greedy_fidelity": _share(own_greedy == soft),
        "own_greedy_is_most_probable_leaf": sum(same_leaf) / len(same_leaf),
        "own_greedy_is_the_greedy_walk": sum(walk_is_own) / len(walk_is_own),
        "prototypes": len(classifier.tree.active_prototypes),
        "leaves": classifier.tree.num_leaves,
        "seconds": seconds,
        "pixels_sha256": _pixel_digest(_channels_first(test_pixels), test_labels),
    }


def _read_digits():
    """Return ((training pixels, labels), (test pixels, labels)) without Pellucid."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    counts, labels = load_digits(return_X_y=True)
    native = np.rint(counts * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    small = (IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    pixels = np.stack(
        [
            Image.fromarray(grey)
            .resize((64, 64), Image.Resampling.BICUBIC)
            .resize(small, Image.Resampling.BILINEAR)
            for grey in native
        ]
    )
    train, test = train_test_split(
        np.arange(len(labels)), test_size=0.2, random_state=0, stratify=labels
    )
    train, test = np.sort(train), np.sort(test)
    return tuple((pixels[part], labels[part].astype(np.int64)) for part in (train, test))


def _channels_first(pixels):
    return pixels[:, None].repeat(3, axis=1)


def _normalized(pixels):
    import torch

    return torch.from_numpy(_channels_first(pixels)).float() / 127.5 - 1


def _share(holds) -> float:
    return holds.double().mean().item()


def _pixel_digest(pixels, labels) -> str:
    """Show that everyone was tested on the same pixels in the same order."""
    import numpy as np

    content = np.ascontiguousarray(pixels).tobytes() + np.asarray(labels).astype("<i8").tobytes()
    return hashlib.sha256(content).hexdigest()


RUNNERS = {
    "cabrnet": run_cabrnet,
    "black-box": run_black_box,
    **dict.fromkeys(PELLUCID_VARIANTS, run_pellucid),
}


def run_one(variant: str, seed: int, epochs: int) -> tuple[str, int, dict[str, object]]:
    """Run one variant at one seed on one thread (top level, so that processes can import it)."""
    import torch

    torch.set_num_threads(1)
    return variant, seed, RUNNERS[variant](variant, seed, epochs)


def run_all(variants: list[str], seeds: list[int], *, epochs: int, jobs: int, folder: Path) -> None:
    """Run every variant at every seed, ``jobs`` processes at a time; write each one when done."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    results: dict[str, dict[int, dict[str, object]]] = {variant: {} for variant in variants}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = [
            pool.submit(run_one, variant, seed, epochs) for variant in variants for seed in seeds
        ]
        for number, done in enumerate(as_completed(waiting), start=1):
            variant, seed, result = done.result()
            results[variant][seed] = result
            shown = " ".join(
                f"{name}={result[name]:.4f}" for name in [*MEASURES, "seconds"] if name in result
            )
            print(f"[{number}/{len(waiting)}] {variant} seed {seed}: {shown}", file=sys.stderr)
            if len(results[variant]) == len(seeds):
                write_results(variant, results[variant], epochs=epochs, folder=folder)


def write_results(variant: str, by_seed: dict, *, epochs: int, folder: Path) -> None:
    """Write one variant's figures as JSON."""
    from machine import describe_machine

    packages = ("torch", "torchvision", "scikit-learn", "pillow")
    packages += ("cabrnet",) if variant == "cabrnet" else ("timm", "pellucid")
    document = {
        "variant": variant,
        "epochs": epochs,
        "machine": describe_machine(threads=1, distributions=packages),
        "seeds": {str(seed): by_seed[seed] for seed in sorted(by_seed)},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"digits64-{variant}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {path}", file=sys.stderr)


def render_table(folder: Path) -> str:
    """Return the markdown page of all results in ``folder``."""
    from machine import machine_line

    documents = {}
    for variant in TITLES:
        path = folder / f"digits64-{variant}.json"
        if path.exists():
            documents[variant] = json.loads(path.read_text())
    digests = {
        result["pixels_sha256"] for d in documents.values() for result in d["seeds"].values()
    }
    lines = [
        "# digits-64",
        "",
        "Written by `python benchmarks/digits64.py`; the work, and how to measure the peer again, "
        "are described at the top of that file and in `benchmarks/README.md`.",
        "",
        "Share of the 360 test images: mean ± standard deviation over the seeds, worst seed in "
        "brackets. *Soft* is before the last projection, all others after it (for Pellucid: after "
        "projection and pruning; where it projects while training too, *drop* is that of the last "
        "projection). *Greedy fidelity*: greedy and soft answers agree, after projection. *Drop*: "
        "points of accuracy from soft to projected. Seconds: the whole fit on one thread.",
        "",
        "| | " + " | ".join(MEASURES.values()) + " | drop | prototypes | seconds |",
        "|---|" + "---|" * (len(MEASURES) + 3),
    ]
    for variant, document in documents.items():
        seeds = list(document["seeds"].values())
        cells = [_summary(seeds, name) for name in MEASURES]
        drops = [{"drop": 100 * (s["soft"] - s["projected"])} for s in seeds if "projected" in s]
        cells += [
            _mean(drops, "drop", ".1f"),
            _mean(seeds, "prototypes", ".1f"),
            _mean(seeds, "seconds", ".0f"),
        ]
        lines.append(f"| {TITLES[variant]} | " + " | ".join(cells) + " |")
    lines += ["", "## Each seed", ""]
    lines += ["| | seed | " + " | ".join(MEASURES.values()) + " | prototypes | seconds |"]
    lines += ["|---|---|" + "---|" * (len(MEASURES) + 2)]
    for variant, document in documents.items():
        for seed, result in document["seeds"].items():
            cells = [_cell(result.get(name), ".4f") for name in MEASURES]
            cells += [_cell(result.get("prototypes"), "d"), _cell(result.get("seconds"), ".0f")]
            title = TITLES[variant].strip("*")
            lines.append(f"| {title} | {seed} | " + " | ".join(cells) + " |")
    lines += ["", "## Notes", ""]
    if "cabrnet" in documents:
        lines += _peer_notes(list(documents["cabrnet"]["seeds"].values()))
    if len(digests) == 1:
        lines.append("- Everyone was tested on the same pixels (one SHA-256 over all of them).")
    else:
        lines.append("- **The test pixels were not the same for all** (different SHA-256).")
    for variant, document in documents.items():
        if "remark" in document:
            lines.append(f"- {variant}: {document['remark']}")
    recipes = [s.get("recipe") for s in documents.get("pellucid", {"seeds": {}})["seeds"].values()]
    lines += [f"- Pellucid in the work: `{recipe}`." for recipe in recipes[:1] if recipe]
    machines: dict[str, list[str]] = {}
    for variant, document in documents.items():
        machines.setdefault(machine_line(document["machine"]), []).append(variant)
        if document["epochs"] != EPOCHS:
            lines.append(f"- **{variant}: a trial run of {document['epochs']} epochs only.**")
    lines += [f"- {', '.join(variants)}: {machine}." for machine, variants in machines.items()]
    return "\n".join(lines) + "\n"


def _peer_notes(seeds: list[dict]) -> list[str]:
    same = sum(seed["own_greedy_is_most_probable_leaf"] for seed in seeds) / len(seeds)
    walk = sum(seed["own_greedy_is_the_greedy_walk"] for seed in seeds) / len(seeds)
    return [
        f"- CaBRNet's own GREEDY strategy ends in its most probable leaf on {same:.1%} of the test "
        f"images, and in the leaf of the greedy walk on {walk:.1%}. The column *greedy* shows the "
        "walk, read from the flags that its nodes leave; its own strategy has accuracy "
        f"{_mean(seeds, 'own_greedy', '.3f')} and fidelity "
        f"{_mean(seeds, 'own_greedy_fidelity', '.3f')}.",
        "- CaBRNet is driven through `ConvExtractor`, `ProtoTreeClassifier` and "
        "`ProtoTree.train_epoch` / `.project`, with similarity `ProtoTreeSimilarity`, "
        "probabilities not in log space (its default) and no pruning (its threshold of .01 removes "
        "no leaf of 10 classes).",
    ]


def _mean(seeds: list[dict], name: str, style: str) -> str:
    values = [seed[name] for seed in seeds if name in seed]
    return _cell(sum(values) / len(values) if values else None, style)


def _summary(seeds: list[dict], name: str) -> str:
    values = [seed[name] for seed in seeds if name in seed]
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread} ({min(values):.3f})"


def _cell(value: object, style: str) -> str:
    return "" if value is None else format(value, style)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", choices=["cabrnet"], help="measure this peer, and nothing else")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=[name for name in TITLES if name != "cabrnet"],
        default=[name for name in TITLES if name != "cabrnet"],
        help="what to measure (default: all but the peer)",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="fewer only for a trial run")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--table", type=Path, default=TABLE, help="the markdown file to write")
    parser.add_argument("--table-only", action="store_true", help="only write the table again")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if not options.table_only:
        variants = [options.peer] if options.peer else options.variants
        run_all(
            variants,
            options.seeds,
            epochs=options.epochs,
            jobs=options.jobs,
            folder=options.results,
        )
    options.table.parent.mkdir(parents=True, exist_ok=True)
    options.table.write_text(render_table(options.results))
    print(f"wrote {options.table}", file=sys.stderr)


if __name__ == "__main__":
    main()
