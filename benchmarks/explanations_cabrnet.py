"""CaBRNet's ProtoTree on the creatures, for ``explanations_peers.py``; needs CaBRNet's environment.

Training is that of its own configuration for ProtoTree on CUB-200 (``configs/prototree/cub200`` in
its repository), through its own classes, with these changes, which the pictures ask for:

- ResNet-18 with random weights, cut after ``layer2`` (8x8 cells of a 64 px image), 1x1 convolution
  to 64 channels, depth 5, as in ``digits64.py``. Nothing is frozen, since nothing is pre-trained.
- The augmentation of Pellucid's tree. Its own also mirrors images and changes their colors.
- As many epochs as Pellucid's tree instead of 100, for the processor's time.
- Leaves are pruned at 2 / classes, not at .01 = 2 / 200, which 20 classes never reach.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

DEPTH, LATENT_CHANNELS, BATCH_SIZE, EPOCHS = 5, 64, 64, 60


def _optimizer_settings(epochs: int) -> dict[str, object]:
    """Return its optimizer settings; its five halvings of the rate keep their share of the epochs.

    ``weight_decay_rate`` is how its files spell it. Torch takes no notice of that name, so AdamW
    decays by its default of .01, here as there.
    """
    group = {"lr": 1e-3, "weight_decay_rate": 0.0}
    return {
        "param_groups": {
            "backbone": "extractor.convnet",
            "add_on_layers": "extractor.add_on",
            "prototypes": "classifier.prototypes",
        },
        "optimizers": {
            "main_optimizer": {
                "type": "AdamW",
                "groups": {
                    name: dict(group) for name in ("backbone", "add_on_layers", "prototypes")
                },
                "params": {"lr": 1e-3, "eps": 1e-7},
                "scheduler": {
                    "type": "MultiStepLR",
                    "params": {
                        "milestones": [round(share * epochs) for share in (0.6, 0.7, 0.8, 0.9)],
                        "gamma": 0.5,
                    },
                },
            }
        },
        "num_epochs": epochs,
    }


class AugmentedBatches:
    """The training batches of one epoch, drawn anew each time; stands in for a ``DataLoader``."""

    def __init__(self, data, *, seed: int) -> None:
        self._data, self._random = data, torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self._data.splits.train) / BATCH_SIZE)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        from pellucid.prototree import TreeRecipe

        vary, images = TreeRecipe().augmentation, self._data.images
        train = self._data.splits.train
        for part in train[torch.randperm(len(train), generator=self._random)].split(BATCH_SIZE):
            pixels = vary(images.read(part).float() / 255, self._random)
            yield 2 * pixels - 1, images.labels[part]


def build_model(classes: int):
    """Return CaBRNet's untrained ProtoTree."""
    from cabrnet.archs.generic.conv_extractor import ConvExtractor
    from cabrnet.archs.prototree.decision import ProtoTreeClassifier
    from cabrnet.archs.prototree.model import ProtoTree
    from loguru import logger

    logger.remove()
    convolution = {"out_channels": LATENT_CHANNELS, "kernel_size": 1, "bias": False}
    extractor = ConvExtractor(
        {
            "backbone": {"arch": "resnet18", "weights": ""},
            "convnet": {
                "source_layer": "layer2",
                "add_on": {
                    "init_mode": "XAVIER",
                    "conv1": {"type": "Conv2d", "params": convolution},
                    "sigmoid1": {"type": "Sigmoid"},
                },
            },
        }
    )
    classifier = ProtoTreeClassifier(
        similarity_config={"name": "ProtoTreeSimilarity"},
        num_classes=classes,
        depth=DEPTH,
        num_features=LATENT_CHANNELS,
    )
    # The leaves are parameters too, but learn without gradients.
    for leaf in classifier.tree.leaves:
        leaf._relative_distribution.requires_grad_(False)
    return ProtoTree(extractor, classifier)


@dataclass(frozen=True)
class TrainedCabrnet:
    """A tree of CaBRNet's, and what became of it on the way.

    Attributes:
        model: Projected and pruned.
        facts: Accuracy on validation images before and after projection and after pruning, leaves,
            prototypes, seconds, epochs.
    """

    model: object
    facts: dict[str, float]


def train(data, *, seed: int, epochs: int = EPOCHS) -> TrainedCabrnet:
    """Train, project and prune. Nothing is chosen by the test images: the last epoch stands."""
    from cabrnet.core.utils.optimizers import OptimizerManager

    torch.manual_seed(seed)
    images, splits = data.images, data.splits
    model = build_model(len(images.class_names))
    optimizer = OptimizerManager.build_from_config(_optimizer_settings(epochs), model)
    batches = {"train_set": AugmentedBatches(data, seed=seed)}
    started = time.perf_counter()
    for epoch in range(epochs):
        figures = model.train_epoch(batches, optimizer, device="cpu", epoch_idx=epoch)
        optimizer.scheduler_step(epoch=epoch, metric=figures["train_set/loss"])
        seconds = time.perf_counter() - started
        print(
            f"epoch {epoch + 1}/{epochs}: loss {figures['train_set/loss']:.3f}, "
            f"accuracy {figures['train_set/accuracy']:.3f}, {seconds:.0f} s",
            file=sys.stderr,
        )
    facts = {"epochs": epochs, "validation_soft": _accuracy(model, data)}
    plain = TensorDataset(
        2 * (images.read(splits.train).float() / 255) - 1, images.labels[splits.train]
    )
    model.eval()
    model.project(DataLoader(plain, batch_size=BATCH_SIZE), device="cpu")
    facts["validation_projected"] = _accuracy(model, data)
    facts |= {"leaves_before_pruning": model.classifier.tree.num_leaves}
    model.prune(pruning_threshold=2 / len(images.class_names))
    facts |= {
        "validation_pruned": _accuracy(model, data),
        "leaves": model.classifier.tree.num_leaves,
        "prototypes": len(model.classifier.tree.active_prototypes),
        "training_seconds": time.perf_counter() - started,
    }
    return TrainedCabrnet(model.eval(), facts)


@torch.no_grad()
def _accuracy(model, data) -> float:
    model.eval()
    validation = data.splits.validation
    pixels = 2 * (data.images.read(validation).float() / 255) - 1
    answers = model(pixels)[0].argmax(1)
    return (answers == data.images.labels[validation]).double().mean().item()


def save(trained: TrainedCabrnet, path: Path) -> None:
    """Write weights, the pruned tree's shape and the facts as one safetensors file."""
    from safetensors.torch import save_file

    state = dict(trained.model.state_dict())
    shape = state.pop("_extra_state")
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
    described = json.dumps({"tree": shape, "facts": trained.facts})
    save_file(tensors, str(path), metadata={"cabrnet": described})


def load(path: Path, *, classes: int) -> TrainedCabrnet:
    """Read what ``save`` wrote."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        described = json.loads(file.metadata()["cabrnet"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = build_model(classes)
    model.set_extra_state(described["tree"])
    model.load_state_dict({**state, "_extra_state": described["tree"]})
    return TrainedCabrnet(model.eval(), described["facts"])
