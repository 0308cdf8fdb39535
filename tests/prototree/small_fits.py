"""Small images and fitted trees that a test can know all about."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.backbones import measure_receptive_field, wrap_module
from pellucid.data import InMemoryImages, LabelledData, Normalization, Splits
from pellucid.prototree import FittedTree, PatchSource, ProtoTree, Pruning, Topology, TreeRecipe
from pellucid.prototree.fitted import USER_BACKBONE

NORMALIZATION = Normalization((0.4, 0.45, 0.5), (0.2, 0.25, 0.3))


class TwoConvolutions(nn.Module):
    """A backbone of stride 2 whose cells see 7 x 7 pixels."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def colored_patches(
    count: int = 36, *, size: tuple[int, int] = (8, 10), classes: int = 3, seed: int = 0
) -> InMemoryImages:
    """Return noise in which a bright 3 x 3 patch of one color, anywhere, tells the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    pixels = torch.randint(0, 60, (count, 3, *size), generator=generator)
    for image, label in enumerate(labels.tolist()):
        top = int(torch.randint(size[0] - 2, (), generator=generator))
        left = int(torch.randint(size[1] - 2, (), generator=generator))
        pixels[image, label % 3, top : top + 3, left : left + 3] = 250
    return InMemoryImages(
        pixels.to(torch.uint8),
        labels=labels,
        class_names=tuple(f"class {number}" for number in range(classes)),
        names=[f"patches[{index}]" for index in range(count)],
        digest="patches",
    )


def small_data(count: int = 36, *, classes: int = 3, test: int = 9, validation: int = 6):
    images = colored_patches(count, classes=classes)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    splits = Splits(
        train=order[test + validation :],
        validation=order[test : test + validation],
        test=order[:test],
    )
    return LabelledData("patches", images, splits)


def small_recipe(**options) -> TreeRecipe:
    chosen = {
        "depth": 2,
        "latent_channels": 8,
        "epochs": 3,
        "warm_up_epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "top_k": 2,
    }
    return TreeRecipe(**{**chosen, **options})


def fitted_by_hand(
    *,
    topology: Topology | None = None,
    prototype_size: tuple[int, int] = (1, 1),
    image_size: tuple[int, int] = (8, 10),
    seed: int = 0,
) -> FittedTree:
    """Return an untrained tree with every field of a fitted one filled in."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = wrap_module(TwoConvolutions(), image_size=image_size)
        tree = ProtoTree(
            backbone,
            3,
            topology=topology or Topology.from_nested(((0, 1), (2, 3))),
            latent_channels=5,
            prototype_size=prototype_size,
        )
        tree.leaf_counts.copy_(5 * torch.rand(tree.leaf_counts.shape))
        backbone.features.layers[1].running_mean.uniform_(-0.1, 0.1)
    branches = range(tree.topology.branches)
    source = PatchSource(image=3, label=1, row=2, column=4, distance=0.1 + 0.2)
    return FittedTree(
        tree=tree.eval(),
        recipe=small_recipe(
            backbone=USER_BACKBONE, latent_channels=5, prototype_size=prototype_size
        ),
        class_names=("plain", '<img onerror="alert(1)">', "ünï 码"),
        image_size=image_size,
        normalization=NORMALIZATION,
        receptive_field=measure_receptive_field(backbone, image_size),
        sources=tuple(source for _ in branches),
        neighbors=tuple((source, PatchSource(0, 0, 0, branch, 1 / 3)) for branch in branches),
        pruning=Pruning(7, tree.topology.branches, 1, 2, 3, tuple(branches)),
    )
