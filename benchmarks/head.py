"""Time and memory of a prototype tree's head: features in, class probabilities out.

    python benchmarks/head.py --peer-python cabrnet-env/bin/python

Features 64x256x7x7, 200 classes, float32, one thread. Contestants run in turn in one process and
medians are compared: the bare distance matmul (as einsum and as 1x1 convolution), Pellucid's head,
and a recursive head in the manner of the original program (``recursive_head.py``). CaBRNet's head
lives in another environment: ``--peer-python`` runs ``head_peer.py`` there, which measures the same
bare matmul again; the ratio to that is what can be compared. Writes ``docs/measurements/head.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from head_work import (
    BATCH,
    CLASSES,
    DIM,
    bare_matmuls,
    draw_features,
    draw_labels,
    draw_leaf_counts,
    draw_prototypes,
    projection_batches,
)
from machine import describe_machine, machine_line
from recursive_head import RecursiveHead
from stopwatch import interleaved_medians, peak_memory_mib
from torch import Tensor, nn

from pellucid.prototree import ProtoTree, Topology, path_log_probabilities, project
from pellucid.prototree.leaves import leaf_responsibilities, update_counts

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results" / "head.json"
TABLE = BENCHMARKS.parent / "docs" / "measurements" / "head.md"

OPERATIONS = {
    "forward": "forward",
    "forward_backward": "forward + backward",
    "leaf_update": "leaf update",
    "projection": "projection of 512 maps",
    "projection_constrained": "the same, class-constrained",
}
CONTESTANTS = ("bare einsum", "bare conv2d", "pellucid", "recursive", "cabrnet")


class _NoBackbone(nn.Module):
    channels = 1


class Head(ProtoTree):
    """Pellucid's tree on top of latent maps that are already there."""

    def latent(self, images: Tensor) -> Tensor:
        """Return the maps themselves."""
        return images


def build_heads(depth: int) -> tuple[Head, RecursiveHead]:
    """Return both heads with the same prototypes and leaves, after a check that they agree."""
    prototypes, counts = draw_prototypes(depth), draw_leaf_counts(depth)
    head = Head(_NoBackbone(), CLASSES, topology=Topology.full(depth), latent_channels=DIM)
    with torch.no_grad():
        head.prototypes.copy_(prototypes[:, :, None, None])
        head.leaf_counts.copy_(counts)
        recursive = RecursiveHead(prototypes, counts)
        features = draw_features()
        ours, theirs = head(features).exp(), recursive(features)[0]
    # Pellucid mixes a thousandth of the uniform distribution into its leaves.
    if (difference := (ours - theirs).abs().max().item()) > 1e-3:
        raise SystemExit(f"the two heads must agree to 1e-3 in probability, got {difference:.1e}")
    return head, recursive


def measure(depth: int, *, rounds: int, projection_rounds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds by operation and contestant, and MiB."""
    print(f"depth {depth}", file=sys.stderr)
    head, recursive = build_heads(depth)
    features, labels = draw_features().requires_grad_(), draw_labels()
    inference_baselines, training_baselines = bare_matmuls(draw_features(), draw_prototypes(depth))

    def pellucid_inference() -> None:
        with torch.no_grad():
            head(features)

    def pellucid_training() -> None:
        features.grad = head.prototypes.grad = None
        nn.functional.nll_loss(head(features), labels).backward()

    def recursive_inference() -> None:
        with torch.no_grad():
            recursive(features)

    def recursive_training() -> None:
        features.grad = recursive.prototypes.grad = None
        nn.functional.nll_loss(torch.log(recursive(features)[0]), labels).backward()

    with torch.no_grad():
        paths = path_log_probabilities(head.distances(features)[0], head.topology)
        answer, arrivals = recursive(features)
        log_distributions = head.leaf_log_distributions()
    at_start = head.leaf_counts.clone()
    rows_at_start = list(at_start)

    def pellucid_leaves() -> None:
        # As in training, the leaves' distributions are those that the forward pass has made.
        with torch.no_grad():
            responsibilities = leaf_responsibilities(paths, log_distributions, labels)
            update_counts(
                head.leaf_counts, at_start, responsibilities, batches=20, out=head.leaf_counts
            )

    def recursive_leaves() -> None:
        recursive.update_leaves(
            answer, arrivals, labels, counts_at_epoch_start=rows_at_start, batches=20
        )

    def batches():
        for number, (maps, map_labels) in enumerate(projection_batches_once):
            yield maps, map_labels, torch.arange(BATCH) + number * BATCH

    projection_batches_once = projection_batches()
    projection_labels = torch.cat([map_labels for _, map_labels in projection_batches_once])
    start = head.prototypes.detach().clone()

    def pellucid_projection(class_constrained: bool) -> None:
        # As after training, the labels are known before the images are looked at.
        project(head, batches, class_constrained=class_constrained, labels=projection_labels)
        with torch.no_grad():
            head.prototypes.copy_(start)

    memory = {
        "pellucid": peak_memory_mib(pellucid_training),
        "recursive": peak_memory_mib(recursive_training),
    }
    memory |= {name: peak_memory_mib(call) for name, call in training_baselines.items()}
    return {
        "forward": interleaved_medians(
            {
                **inference_baselines,
                "pellucid": pellucid_inference,
                "recursive": recursive_inference,
            },
            rounds=rounds,
        ),
        "forward_backward": interleaved_medians(
            {**training_baselines, "pellucid": pellucid_training, "recursive": recursive_training},
            rounds=rounds,
        ),
        "leaf_update": interleaved_medians(
            {"pellucid": pellucid_leaves, "recursive": recursive_leaves}, rounds=rounds
        ),
        "projection": interleaved_medians(
            {
                "pellucid": lambda: pellucid_projection(False),
                "recursive": lambda: recursive.find_projection(projection_batches_once),
            },
            rounds=projection_rounds,
        ),
        "projection_constrained": interleaved_medians(
            {"pellucid": lambda: pellucid_projection(True)}, rounds=projection_rounds
        ),
        "memory": memory,
    }


def measure_peer(python: str, options: argparse.Namespace) -> dict:
    """Run ``head_peer.py`` in the peer's environment and return what it prints."""
    command = [python, str(BENCHMARKS / "head_peer.py"), "--depths", *map(str, options.depths)]
    command += ["--rounds", str(options.rounds)]
    command += ["--projection-rounds", str(options.projection_rounds)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def bare(measured: dict[str, float]) -> float:
    """Return the time of the faster bare matmul."""
    return min(measured["bare einsum"], measured["bare conv2d"])


def render_table(document: dict) -> str:
    """Return the markdown page."""
    lines = [
        "# Speed and memory of the head",
        "",
        "Written by `python benchmarks/head.py`; how to repeat it is in `benchmarks/README.md`.",
        "",
        f"Features {BATCH}×{DIM}×7×7 (uniform), prototypes N(.5, .1), {CLASSES} classes, float32, "
        "one thread, medians of contestants that ran in turn. *bare*: the matrix product of all "
        "prototypes with all patches and nothing else, by `einsum` and by a 1×1 convolution; "
        "ratios are to the faster one, without gradients (× bare). *recursive*: in the manner of "
        "the original program, one Python call a node, leaf and pair. CaBRNet ran in its own "
        "environment; its times stand beside the bare matmul measured there. Forward is without "
        "gradients; backward gives gradients to features and prototypes. Memory: the most that "
        "PyTorch's CPU allocator held at once during forward + backward, inputs not counted, "
        "gradients counted; the packing buffers of the math library are not seen. Projection: 512 "
        "maps in batches of 64 with random labels; CaBRNet's is class-constrained and leaves "
        "a prototype without an image of its classes where it is; Pellucid then searches all, and "
        "is given the labels beforehand, as after training.",
    ]
    peers = document["peer"]["depths"] if document.get("peer") else {}
    for depth, ours in document["depths"].items():
        lines += ["", f"## Depth {depth} ({2 ** int(depth) - 1} prototypes)", ""]
        lines += _depth_table(ours, peers.get(depth))
    if "9" in document["depths"]:
        lines += ["", "## Goals at depth 9", ""]
        lines += _goals(document["depths"]["9"], peers.get("9"))
    lines += ["", f"- {machine_line(document['machine'])}."]
    if peers:
        lines.append(f"- CaBRNet: {machine_line(document['peer']['machine'])}.")
    return "\n".join(lines) + "\n"


def _depth_table(ours: dict, peer: dict | None) -> list[str]:
    lines = ["| ms (× bare) | " + " | ".join(CONTESTANTS) + " |"]
    lines.append("|---|" + "---|" * len(CONTESTANTS))
    for operation, title in OPERATIONS.items():
        cells = []
        for contestant in CONTESTANTS:
            source = peer if contestant == "cabrnet" else ours
            value = (source or {}).get(operation, {}).get(contestant)
            if value is None:
                cells.append("")
            else:
                cells.append(f"{value:.3g} ({value / bare(source['forward']):.2f})")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    memory = ours["memory"] | (peer or {}).get("memory", {})
    cells = [f"{memory[name]:.1f}" if name in memory else "" for name in CONTESTANTS]
    lines.append("| memory of forward + backward, MiB | " + " | ".join(cells) + " |")
    return lines


def _goals(ours: dict, peer: dict | None) -> list[str]:
    unit, training_unit = bare(ours["forward"]), bare(ours["forward_backward"])
    forward, both = ours["forward"]["pellucid"], ours["forward_backward"]["pellucid"]
    lines = ["| goal | wanted | measured | |", "|---|---|---|---|"]

    def row(name: str, sign: str, wanted: float, value: float) -> None:
        met = value <= wanted if sign == "≤" else value >= wanted
        verdict = "met" if met else "**not met**"
        lines.append(f"| {name} | {sign} {wanted:g} | {value:.2f} | {verdict} |")

    row("forward / bare matmul", "≤", 1.5, forward / unit)
    row("forward + backward / bare matmul (forward alone)", "≤", 2.5, both / unit)
    row("forward + backward / bare matmul with its own backward", "≤", 2.5, both / training_unit)
    speedups = {"forward": 5, "forward_backward": 6, "leaf_update": 40, "projection": 8}
    for operation, wanted in speedups.items():
        times = ours[operation]
        row(
            f"{OPERATIONS[operation]}: times faster than the recursive head",
            "≥",
            wanted,
            times["recursive"] / times["pellucid"],
        )
    memory = ours["memory"]
    row("memory / the recursive head's", "≤", 0.5, memory["pellucid"] / memory["recursive"])
    if peer:
        scale = unit / bare(peer["forward"])
        for operation in ("forward", "forward_backward", "leaf_update", "projection_constrained"):
            wanted = speedups.get(operation, speedups["projection"])
            row(
                f"{OPERATIONS[operation]}: times faster than CaBRNet (in bare matmuls)".replace(
                    "the same", "projection"
                ),
                "≥",
                wanted,
                scale * peer[operation]["cabrnet"] / ours[operation]["pellucid"],
            )
        row("memory / CaBRNet's", "≤", 0.5, memory["pellucid"] / peer["memory"]["cabrnet"])
    return lines


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="Python of an environment that has CaBRNet 1.2")
    parser.add_argument("--depths", nargs="+", type=int, default=[5, 7, 9, 12])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--projection-rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file to write")
    parser.add_argument("--table", type=Path, default=TABLE, help="the markdown file to write")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(1)
    peer = measure_peer(options.peer_python, options) if options.peer_python else None
    document = {
        "machine": describe_machine(threads=1, distributions=("torch", "pellucid")),
        "depths": {
            str(depth): measure(
                depth, rounds=options.rounds, projection_rounds=options.projection_rounds
            )
            for depth in options.depths
        },
        "peer": peer,
    }
    for path in (options.results, options.table):
        path.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(document, indent=1) + "\n")
    options.table.write_text(render_table(document))
    print(f"wrote {options.results} and {options.table}", file=sys.stderr)


if __name__ == "__main__":
    main()
