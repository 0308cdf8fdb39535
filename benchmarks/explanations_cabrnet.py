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

import itertools
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
PERCENTILE = 0.7
"""Of its boxes, in its configurations for CUB-200 and Stanford Cars."""
NEGLIGIBLE_SHARE = 0.01
"""Prototypes with less than this share of the greatest weight are left out, for time."""


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


class CabrnetTree:
    """CaBRNet's tree as a `pellucid.evaluation.PrototypeModel`.

    It draws a picture for each prototype on the path, and none for a class. The evidence of a pixel
    adds them up, each by the share of the class's probability that would be lost if the prototype
    were not in the image, as for Pellucid's tree. The picture is CaBRNet's own: the cell of
    greatest similarity, enlarged to the image by cubic interpolation (``cubic_upsampling`` at
    location ``max``). The box is the one it draws, around all values above 1 - .7
    (``bbox_to_percentile``, the percentile of its configurations). A prototype is present where its
    own explanation shows it: at the turns called similar on the way to the decision leaf.

    Args:
        model: Projected and pruned.
        data: Whose classes and image size the model knows.
    """

    def __init__(self, model, data) -> None:
        from cabrnet.core.utils.tree import MappingMode
        from cabrnet.core.visualization.view import compute_bbox

        self.name = "CaBRNet 1.2 ProtoTree, enlarged similarity"
        self.class_names = tuple(data.images.class_names)
        self.model = model.eval()
        self.active = sorted(model.classifier.tree.active_prototypes)
        self.prototype_count = len(self.active)
        self.image_size = tuple(data.images.image_size)
        with torch.no_grad():
            blank = torch.zeros(1, 3, *self.image_size)
            self.latent_size = tuple(model.similarities(blank).shape[2:])
        self._maps, self._boxes = self._draw_cells(compute_bbox)
        (height, width), (rows, columns) = self.image_size, self.latent_size
        down = (torch.arange(rows) + 0.5) * height / rows
        across = (torch.arange(columns) + 0.5) * width / columns
        self._middles = torch.cartesian_prod(down, across)
        tree = model.classifier.tree
        self._paths = tree.get_mapping(mode=MappingMode.NODE_PATHS)
        self._nodes = tree.get_mapping(mode=MappingMode.ID_TO_NODE)

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the distributed answer, made to add up to 1."""
        with torch.inference_mode():
            parts = [self.model(part)[0] for part in self._normalized(images)]
        answers = torch.cat(parts)
        return answers / answers.sum(1, keepdim=True)

    def importance(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return the evidence of each pixel for one class an image."""
        found = []
        for part, chosen in zip(self._normalized(images), classes.split(BATCH_SIZE), strict=True):
            similarity, cells = self._nearest(part)
            weights = self._weights(similarity, chosen)
            found.append(self._spread(part, weights, cells))
        return torch.cat(found)

    def match(self, images: Tensor):
        """Return where each prototype is found in each image."""
        from pellucid.evaluation import Matches

        similarity, boxes, present, middles = [], [], [], []
        for part in self._normalized(images):
            near, cells = self._nearest(part)
            similarity.append(near[:, self.active])
            boxes.append(self._boxes[cells[:, self.active]])
            present.append(self._shown(part)[:, self.active])
            middles.append(self._middles[cells[:, self.active]])
        return Matches(
            torch.cat(similarity), torch.cat(boxes), torch.cat(present), torch.cat(middles)
        )

    def greedy_predictions(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class at the end of each greedy walk, and the number of its turns.

        The walk is read from the flags of its nodes; its own strategy GREEDY goes elsewhere.
        """
        leaves = list(self.model.classifier.tree.leaves)
        majority = torch.cat([leaf.distribution for leaf in leaves]).argmax(1)
        depths = torch.tensor([len(self._paths[leaf.node_id]) - 1 for leaf in leaves])
        ends = []
        with torch.inference_mode():
            for part in self._normalized(images):
                _, nodes = self.model(part)
                walked = [nodes[leaf.node_id]["greedy_path"][:, 0] for leaf in leaves]
                ends.append(torch.stack(walked).to(torch.int8).argmax(0))
        end = torch.cat(ends)
        return majority[end], depths[end]

    def _normalized(self, images: Tensor) -> Iterator[Tensor]:
        for part in images.split(BATCH_SIZE):
            yield 2 * (part.float() / 255) - 1

    def _nearest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the greatest similarity to each prototype and the number of its cell."""
        with torch.inference_mode():
            near, cell = self.model.similarities(images).flatten(2).max(2)
        return near.clone(), cell.clone()

    def _weights(self, similarity: Tensor, classes: Tensor) -> Tensor:
        """Return which share of the class's probability would be lost without each prototype."""
        similarity = similarity.clone().requires_grad_()
        head = self.model.classifier
        answers, _ = head.tree(
            parent_probs=head._root_prob,
            conditional_probs=head._root_prob,
            similarities=similarity,
            greedy_path=head._root_greedy_path,
        )
        chosen = answers.gather(1, classes[:, None]).clamp(min=1e-30).log().sum()
        (slope,) = torch.autograd.grad(chosen, similarity)
        return (slope * similarity).detach()

    def _spread(self, images: Tensor, weights: Tensor, cells: Tensor) -> Tensor:
        return torch.einsum("bp,bpyx->byx", weights, self._maps[cells])

    def _shown(self, images: Tensor) -> Tensor:
        """Return which prototypes its explanation calls similar, bool (b, all prototypes)."""
        from cabrnet.archs.prototree.decision import SamplingStrategy

        shown = torch.zeros(len(images), self.model.num_prototypes, dtype=torch.bool)
        with torch.inference_mode():
            _, nodes = self.model(images, strategy=SamplingStrategy.GREEDY)
        for image, leaf in enumerate(nodes["decision_leaf"]):
            path = self._paths[leaf]
            for parent, child in itertools.pairwise(path):
                node = self._nodes[parent]
                if node.get_submodule(f"{parent}_child_sim").node_id == child:
                    shown[image, node.proto_idxs[0]] = True
        return shown

    def _draw_cells(self, compute_bbox) -> tuple[Tensor, Tensor]:
        """Return the picture and the box of each cell."""
        import cv2
        import numpy as np
        from cabrnet.core.visualization.postprocess import normalize_min_max

        (rows, columns), (height, width) = self.latent_size, self.image_size
        maps, boxes = [], []
        for cell in range(rows * columns):
            alone = np.zeros((rows, columns), np.float32)
            alone[divmod(cell, columns)] = 1
            large = cv2.resize(alone, (width, height), interpolation=cv2.INTER_CUBIC)
            left, right, top, bottom = compute_bbox(normalize_min_max(large), 1 - PERCENTILE)
            boxes.append((top, left, bottom, right))
            # Its scaling to [0, 1] would lift what is nowhere near the cell above 0.
            positive = np.maximum(large, 0)
            maps.append(positive / positive.sum())
        return torch.from_numpy(np.stack(maps)), torch.tensor(boxes)


class CabrnetRelevance(CabrnetTree):
    """CaBRNet's tree with its prototype relevance propagation (Gautam et al. 2023).

    For the measures of importance alone: a box for each of thousands of changed images would take
    hours.
    """

    match = None

    def __init__(self, model, data) -> None:
        from cabrnet.core.visualization.gradients import prp
        from cabrnet.core.visualization.view import heatmap
        from cabrnet.core.visualization.visualizer import SimilarityVisualizer

        super().__init__(model, data)
        self.name = "CaBRNet 1.2 ProtoTree, prototype relevance propagation"
        # Its blur of 5 px is meant for images of 224 px.
        blur = 5 * self.image_size[0] / 224
        self._visualizer = SimilarityVisualizer(
            model, prp, heatmap, attribution_params={"gaussian_ksize": blur}
        )

    def _spread(self, images: Tensor, weights: Tensor, cells: Tensor) -> Tensor:
        from PIL import Image

        height, width = self.image_size
        picture = Image.new("RGB", (width, height))  # only its size is asked for
        found = torch.zeros(len(images), height, width)
        for image in range(len(images)):
            for prototype in self.active:
                weight = weights[image, prototype]
                if weight.abs() < NEGLIGIBLE_SHARE * weights[image].abs().max():
                    continue
                relevance = torch.from_numpy(
                    self._visualizer.get_attribution(
                        img=picture,
                        img_tensor=images[image : image + 1].clone(),
                        proto_idx=prototype,
                        device="cpu",
                        location="max",
                    ).copy()
                ).float()
                found[image] += weight * relevance / relevance.sum().clamp(min=1e-30)
        return found


class CabrnetAsPellucid(CabrnetTree):
    """CaBRNet's tree with the importance that Pellucid gives its own trees, not CaBRNet's pictures.

    What differs from Pellucid's rows is then the tree alone: see
    `pellucid.evaluation.tree_importance.explain_pixels`.
    """

    match = None

    def __init__(self, model, data) -> None:
        super().__init__(model, data)
        self.name = "CaBRNet 1.2 ProtoTree, importance as of Pellucid's trees"

    def importance(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return the evidence of each pixel for one class an image."""
        from pellucid.evaluation.replacements import blur
        from pellucid.evaluation.tree_importance import explain_worth

        found = []
        for part, chosen in zip(images.split(BATCH_SIZE), classes.split(BATCH_SIZE), strict=True):
            (sharp,) = self._normalized(part)
            (blurred,) = self._normalized(blur(part, deviation_px=max(self.image_size) / 8))
            near, _ = self._nearest(sharp)
            weights = self._weights(near, chosen) / near.clamp(min=1e-30)

            def worth(pixels: Tensor, weights: Tensor = weights) -> Tensor:
                return (weights * self.model.similarities(pixels).flatten(2).amax(2)).sum(1)

            found.append(explain_worth(worth, part, sharp, blurred))
        return torch.cat(found)
