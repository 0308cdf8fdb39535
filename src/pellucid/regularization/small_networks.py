"""Networks that a study trains: a small CNN, a small perceptron, timm's models, the user's own."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid._checks import UsageError, check_integer, did_you_mean
from pellucid.backbones import create_backbone
from pellucid.regularization.recipe import NetworkFactory
from pellucid.runs import sequence_seed

SMALL_NETWORKS = ("small_cnn", "small_mlp", "patch_cnn")


class SmallCnn(nn.Module):
    """Two convolutions and three linear layers, after LeNet-5.

    5x5 convolution to 8 channels, ReLU, 2x2 max-pooling; 3x3 convolution to 16 channels, ReLU, 2x2
    max-pooling; linear to 120, ReLU; linear to 84, ReLU; linear to the classes.

    Args:
        classes: Number of classes, >= 2.
        image_size: Height and width in pixels, at least 12 each.

    Raises:
        UsageError: the images are too small for two rounds of pooling.
    """

    def __init__(self, classes: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        check_integer("classes", classes, low=2)
        height, width = (((side - 4) // 2 - 2) // 2 for side in image_size)
        if height < 1 or width < 1:
            raise UsageError(
                f"image_size must be at least 12x12 px for 'small_cnn', got {image_size!r}. "
                "Use network='small_mlp' or larger images."
            )
        self.conv1 = nn.Conv2d(3, 8, 5)
        self.conv2 = nn.Conv2d(8, 16, 3)
        self.fc1 = nn.Linear(16 * height * width, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (batch, classes)."""
        features = F.max_pool2d(F.relu(self.conv1(images)), 2)
        features = F.max_pool2d(F.relu(self.conv2(features)), 2)
        hidden = F.relu(self.fc1(torch.flatten(features, 1)))
        return self.fc3(F.relu(self.fc2(hidden)))


class SmallMlp(nn.Module):
    """The linear layers of `SmallCnn` on the pixels themselves, for images of a few pixels.

    Args:
        classes: Number of classes, >= 2.
        image_size: Height and width in pixels.
    """

    def __init__(self, classes: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        check_integer("classes", classes, low=2)
        self.fc1 = nn.Linear(3 * image_size[0] * image_size[1], 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (batch, classes)."""
        hidden = F.relu(self.fc1(torch.flatten(images, 1)))
        return self.fc3(F.relu(self.fc2(hidden)))


def create_network(
    network: str | NetworkFactory, *, classes: int, image_size: tuple[int, int], seed: int
) -> nn.Module:
    """Build a network whose start depends on ``seed`` alone: the same in every arm of a study.

    Args:
        network: ``"small_cnn"``, ``"small_mlp"``, ``"patch_cnn"`` (the trees' default backbone
            under global average pooling), the name of a timm model, or a factory
            ``(classes, image_size) -> nn.Module``.
        classes: Number of classes, >= 2.
        image_size: Height and width of the images in pixels.
        seed: Source of the initial weights; the global random state is left as it was.

    Raises:
        UsageError: the name is unknown, the network cannot be built for such images, or the
            factory gives something else than a module.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sequence_seed(seed, "network"))
        if not isinstance(network, str):
            module = network(classes, image_size)
        elif network == "small_cnn":
            module = SmallCnn(classes, image_size)
        elif network == "small_mlp":
            module = SmallMlp(classes, image_size)
        elif network == "patch_cnn":
            module = _pool_backbone(network, classes, image_size)
        else:
            module = _create_timm_model(network, classes, image_size)
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"network must give an nn.Module, got {type(module).__name__} from {network!r}. "
            "Return the module itself."
        )
    return module


def _pool_backbone(name: str, classes: int, image_size: tuple[int, int]) -> nn.Module:
    """Put global average pooling and one linear layer on a backbone of the trees."""
    backbone = create_backbone(name, image_size=image_size)
    layers = {
        "features": backbone.features,
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(backbone.channels, classes),
    }
    return nn.Sequential(OrderedDict(layers))


def _create_timm_model(name: str, classes: int, image_size: tuple[int, int]) -> nn.Module:
    import timm  # slow to load

    if not timm.is_model(name.split(".")[0]):
        guess = did_you_mean(name, [*SMALL_NETWORKS, *timm.list_models()])
        raise UsageError(
            f"network must be one of {', '.join(map(repr, SMALL_NETWORKS))} or the name of a timm "
            f"model, got {name!r}. "
            f"{guess or 'Use timm.list_models() to see them.'}"
        )
    arguments: dict[str, Any] = {"img_size": image_size}
    while True:
        try:
            return timm.create_model(name, num_classes=classes, **arguments)
        except TypeError as error:
            # Whether a model knows the argument is told only by trying.
            if not arguments or not re.search(r"argument 'img_size'", str(error)):
                raise _not_built(name, image_size, error) from error
            arguments = {}
        except Exception as error:
            raise _not_built(name, image_size, error) from error


def _not_built(name: str, image_size: tuple[int, int], error: Exception) -> UsageError:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return UsageError(
        f"network {name!r} cannot be built for images of {image_size[0]}x{image_size[1]} px: "
        f"{first_line}. Use another image size, or 'small_cnn'."
    )
