"""The same measures of explanations over a CNN with attributions, CaBRNet's tree and Pellucid's.

    python benchmarks/explanations_peers.py --cabrnet-python cabrnet-env/bin/python

trains each model on the creatures (64 px, 20 classes, 100 training images each) at every seed,
measures its explanations with ``pellucid.evaluation.evaluate_explanations`` on the same test images
and writes ``docs/measurements/explanation-comparison.md``. What ``benchmarks/results`` has is not
measured again unless ``--again`` says so; trained networks are kept in ``--models``. CaBRNet lives
in an environment of its own:

    python -m venv cabrnet-env && cabrnet-env/bin/pip install cabrnet==1.2
    cabrnet-env/bin/pip install --no-deps jaxtyping wadler-lindig timm safetensors platformdirs

This file then runs there too, with Pellucid from the source folder. Without ``--cabrnet-python``
its figures are those of the last time. Nothing is chosen by the test images: the last epoch stands,
no setting was tried on them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from explanations_peers_page import ROWS, render_page
from machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "measurements" / "explanation-comparison.md"
MODELS = ROOT / "runs" / "explanation-peers"
EPOCHS = 30
"""Of the CNN and of Pellucid's tree: half of the default, for the processor's time."""


def measure(row: str, seed: int, *, models: Path, images: int) -> dict[str, object]:
    """Return one row's figures at one seed."""
    import torch

    from pellucid.data import load_data
    from pellucid.evaluation import evaluate_explanations

    torch.set_num_threads(1)
    data = load_data("creatures")
    model, facts = MAKERS[row](data, seed, models)
    evaluation = evaluate_explanations(model, data, images=images, seed=0, quiet=True)
    test = data.splits.test
    pixels, labels = data.images.read(test), data.images.labels[test]
    answers = model.probabilities(pixels).argmax(1)
    on_test = {"accuracy": _share(answers == labels)}
    if hasattr(model, "greedy_predictions"):
        walked, turns = model.greedy_predictions(pixels)
        on_test |= {
            "greedy_accuracy": _share(walked == labels),
            "greedy_fidelity": _share(walked == answers),
            "path_length": turns.double().mean().item(),
        }
    return {
        "evaluation": evaluation.to_dict(),
        "test": on_test,
        "training": facts,
        "pixels_sha256": hashlib.sha256(pixels.numpy().tobytes()).hexdigest(),
    }


def _share(holds) -> float:
    return holds.double().mean().item()


def make_grad_cam(data, seed: int, models: Path):
    """Return the CNN with Grad-CAM at its last map."""
    from pellucid.evaluation import GradCam

    network, normalization, facts = _cnn(data, seed, models)
    names = data.images.class_names
    return GradCam(
        network, network[0], class_names=names, normalization=normalization, name="CNN, Grad-CAM"
    ), facts


def make_integrated_gradients(data, seed: int, models: Path):
    """Return the CNN with integrated gradients."""
    from pellucid.evaluation import IntegratedGradients

    network, normalization, facts = _cnn(data, seed, models)
    return IntegratedGradients(
        network,
        class_names=data.images.class_names,
        normalization=normalization,
        name="CNN, integrated gradients",
    ), facts


def _cnn(data, seed: int, models: Path):
    """Return the black box with Pellucid's default backbone, trained with its default recipe."""
    from black_box import build_black_box, fit_black_box
    from safetensors.torch import load_file, save_file

    from pellucid.data import Normalization
    from pellucid.prototree import TreeRecipe

    recipe = TreeRecipe()
    path = models / f"cnn-{seed}.safetensors"
    noted = path.with_suffix(".json")
    network = build_black_box(data, backbone=recipe.backbone)
    if not path.exists():
        started = time.perf_counter()
        network = fit_black_box(
            data, seed=seed, epochs=EPOCHS, recipe=recipe, backbone=recipe.backbone
        )
        save_file(network.state_dict(), str(path))
        validation = data.splits.validation
        answers = network(2 * (data.images.read(validation).float() / 255) - 1).argmax(1)
        right = answers == data.images.labels[validation]
        facts = {
            "backbone": recipe.backbone,
            "epochs": EPOCHS,
            "validation_accuracy": _share(right),
            "training_seconds": time.perf_counter() - started,
        }
        noted.write_text(json.dumps(facts))
    network.load_state_dict(load_file(str(path)))
    halves = (0.5, 0.5, 0.5)
    return network.eval(), Normalization(halves, halves), json.loads(noted.read_text())


PELLUCID_ROWS = {
    "pellucid-unbounded": {"patch_size_px": 0},
    "pellucid": {},
}
"""What differs from the default recipe, besides the epochs."""


def make_pellucid(data, seed: int, models: Path, *, row: str):
    """Return Pellucid's tree."""
    from pellucid.evaluation import TreeExplainer
    from pellucid.prototree import TreeRecipe, fit_tree, load_tree, save_tree
    from pellucid.prototree.fitted import read_extra

    path = models / f"{row}-{seed}.safetensors"
    before = models / f"{row}-{seed}-before.safetensors"
    if not path.exists():
        started = time.perf_counter()
        recipe = TreeRecipe(epochs=EPOCHS, **PELLUCID_ROWS[row])
        fit = fit_tree(data, recipe, seed=seed, quiet=True)
        save_tree(fit.unprojected, before)
        save_tree(fit.fitted, path, extra={"training_seconds": time.perf_counter() - started})
    fitted = load_tree(path)
    facts = {
        "recipe": repr(fitted.recipe),
        "epochs": fitted.recipe.epochs,
        "prototypes": fitted.tree.topology.branches,
        "leaves": fitted.tree.topology.leaves,
        **read_extra(path),
    }
    unprojected = load_tree(before) if before.exists() else None
    return TreeExplainer(fitted, unprojected=unprojected), facts


PEER_ROWS = {
    "cabrnet": "CabrnetTree",
    "cabrnet-relevance": "CabrnetRelevance",
    "cabrnet-as-pellucid": "CabrnetAsPellucid",
}
"""Which class of ``explanations_cabrnet`` says what is important."""


def make_cabrnet(data, seed: int, models: Path, *, importance: str):
    """Return CaBRNet's tree; only in an environment that has it."""
    import explanations_cabrnet as peer

    path = models / f"cabrnet-{seed}.safetensors"
    if not path.exists():
        peer.save(peer.train(data, seed=seed), path)
    trained = peer.load(path, classes=len(data.images.class_names))
    return getattr(peer, importance)(trained.model, data), trained.facts


MAKERS = {
    "cnn-grad-cam": make_grad_cam,
    "cnn-integrated-gradients": make_integrated_gradients,
    **{row: partial(make_cabrnet, importance=name) for row, name in PEER_ROWS.items()},
    **{row: partial(make_pellucid, row=row) for row in PELLUCID_ROWS},
}


def run_row(row: str, options: argparse.Namespace) -> None:
    """Measure one row at all seeds that are missing, here or in CaBRNet's environment."""
    path = options.results / f"explanations-{row}.json"
    document = json.loads(path.read_text()) if path.exists() else {"row": row, "seeds": {}}
    missing = [s for s in options.seeds if options.again or str(s) not in document["seeds"]]
    for seed in missing:
        print(f"{row}, seed {seed}", file=sys.stderr)
        document["seeds"][str(seed)] = measure(
            row, seed, models=options.models, images=options.images
        )
        packages = ("torch", "numpy", "captum", "pellucid")
        packages += ("cabrnet",) if row in PEER_ROWS else ("timm",)
        document["machine"] = describe_machine(threads=1, distributions=packages)
        document["seeds"] = dict(sorted(document["seeds"].items()))
        path.write_text(json.dumps(document, indent=1) + "\n")
        print(f"wrote {path}", file=sys.stderr)


def run_elsewhere(python: Path, rows: list[str], options: argparse.Namespace) -> None:
    """Measure rows with the Python of another environment."""
    command = [str(python), __file__, "--no-page", "--rows", *rows]
    command += ["--seeds", *map(str, options.seeds), "--images", str(options.images)]
    command += ["--results", str(options.results), "--models", str(options.models)]
    command += ["--again"] if options.again else []
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cabrnet-python", type=Path, help="the Python that has CaBRNet")
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="default: all that can be measured")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=200, help="test images; default: %(default)s")
    parser.add_argument("--again", action="store_true", help="measure also what there is")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of trained networks")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--page", type=Path, default=PAGE, help="the markdown file to write")
    parser.add_argument("--page-only", action="store_true", help="only write the page again")
    parser.add_argument("--no-page", action="store_true", help="only measure")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for folder in (options.models, options.results):
        folder.mkdir(parents=True, exist_ok=True)
    if not options.page_only:
        rows = options.rows or [row for row in ROWS if row not in PEER_ROWS]
        elsewhere = [row for row in options.rows or ROWS if row in PEER_ROWS]
        if options.cabrnet_python is not None:
            rows = [row for row in rows if row not in PEER_ROWS]
            if elsewhere:
                run_elsewhere(options.cabrnet_python, elsewhere, options)
        for row in rows:
            run_row(row, options)
    if not options.no_page:
        options.page.parent.mkdir(parents=True, exist_ok=True)
        options.page.write_text(render_page(options.results))
        print(f"wrote {options.page}", file=sys.stderr)


if __name__ == "__main__":
    main()
