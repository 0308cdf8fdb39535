"""CaBRNet's prototype-tree head, timed in its own environment; called by ``head.py``.

Prints one JSON object on stdout. The bare distance matmul is measured here again, in the same
rounds, so that ratios to it can be compared with those of the other environment.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import torch
from cabrnet.archs.prototree.decision import ProtoTreeClassifier
from cabrnet.archs.prototree.model import ProtoTree
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
from loguru import logger
from machine import describe_machine
from stopwatch import interleaved_medians, peak_memory_mib
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class LeafStopwatch:
    """Stands in for an optimizer: CaBRNet updates its leaves between ``step`` and ``zero_grad``."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self._started: float | None = None

    def step(self) -> None:
        """Note the moment at which the leaf update begins."""
        self._started = time.perf_counter()

    def zero_grad(self) -> None:
        """Note the moment at which it is over."""
        if self._started is not None:
            self.milliseconds.append(1e3 * (time.perf_counter() - self._started))
            self._started = None


def build_model(depth: int) -> ProtoTree:
    """Return CaBRNet's tree on top of features that are already there."""
    classifier = ProtoTreeClassifier(
        similarity_config={"name": "ProtoTreeSimilarity"},
        num_classes=CLASSES,
        depth=depth,
        num_features=DIM,
    )
    with torch.no_grad():
        classifier.prototypes.copy_(draw_prototypes(depth)[:, :, None, None])
        for leaf, counts in zip(classifier.tree.leaves, draw_leaf_counts(depth), strict=True):
            leaf._relative_distribution.copy_(counts[None])
    # Its leaves learn without gradients.
    for leaf in classifier.tree.leaves:
        leaf._relative_distribution.requires_grad_(False)
    return ProtoTree(nn.Identity(), classifier)


def measure(depth: int, *, rounds: int, projection_rounds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds by operation and contestant, and MiB."""
    print(f"CaBRNet, depth {depth}", file=sys.stderr)
    model = build_model(depth)
    features = draw_features().requires_grad_()
    labels = draw_labels()

    def forward() -> Tensor:
        return model.classifier(features)[0]

    def inference() -> None:
        with torch.no_grad():
            forward()

    def forward_backward() -> None:
        features.grad = model.classifier.prototypes.grad = None
        nn.functional.nll_loss(torch.log(forward()), labels).backward()

    inference_baselines, training_baselines = bare_matmuls(draw_features(), draw_prototypes(depth))
    stopwatch = LeafStopwatch()
    loaders = {"train_set": DataLoader(TensorDataset(draw_features(), labels), batch_size=BATCH)}
    for _ in range(1 + rounds):
        model.train_epoch(loaders, stopwatch, device="cpu")
    images, image_labels = zip(*projection_batches(), strict=True)
    projection_set = DataLoader(
        TensorDataset(torch.cat(images), torch.cat(image_labels)), batch_size=BATCH
    )

    def project() -> None:
        model.project(projection_set, device="cpu", update_prototypes=False)

    return {
        "forward": interleaved_medians(
            {**inference_baselines, "cabrnet": inference}, rounds=rounds
        ),
        "forward_backward": interleaved_medians(
            {**training_baselines, "cabrnet": forward_backward}, rounds=rounds
        ),
        "leaf_update": {"cabrnet": sorted(stopwatch.milliseconds[1:])[rounds // 2]},
        "projection_constrained": interleaved_medians(
            {"cabrnet": project}, rounds=projection_rounds
        ),
        "memory": {"cabrnet": peak_memory_mib(forward_backward)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", nargs="+", type=int, default=[5, 7, 9, 12])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--projection-rounds", type=int, default=3)
    options = parser.parse_args()
    logger.remove()
    torch.set_num_threads(1)
    measured = {
        str(depth): measure(
            depth, rounds=options.rounds, projection_rounds=options.projection_rounds
        )
        for depth in options.depths
    }
    machine = describe_machine(threads=1, distributions=("torch", "cabrnet"))
    print(json.dumps({"machine": machine, "depths": measured}))


if __name__ == "__main__":
    main()
