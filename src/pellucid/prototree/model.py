"""The prototype tree as a plain module: backbone, add-on, prototypes, leaves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import unfold

from pellucid._checks import UsageError, check_integer
from pellucid.prototree.leaves import leaf_log_distributions
from pellucid.prototree.nearest_patch import nearest_patch
from pellucid.prototree.routing import (
    distributed,
    greedy_leaf,
    most_probable_leaf,
    path_log_probabilities,
)
from pellucid.prototree.topology import Topology


@dataclass(frozen=True)
class Answers:
    """What a tree says of a batch, softly and along single paths.

    Attributes:
        distances: Distance of each image to each branch's prototype.
        positions: Row and column of the nearest patch in the latent map.
        path_log_probability: Log-probability of arriving at each leaf.
        log_probabilities: Log of the mixture of all leaves (`distributed`).
        most_probable_leaf: The leaf with the highest path probability.
        greedy_leaf: The leaf at the end of the more probable turns.
    """

    distances: Float[Tensor, "batch branches"]
    positions: Int[Tensor, "batch branches 2"]
    path_log_probability: Float[Tensor, "batch leaves"]
    log_probabilities: Float[Tensor, "batch classes"]
    most_probable_leaf: Int[Tensor, batch]
    greedy_leaf: Int[Tensor, batch]


class ProtoTree(nn.Module):
    """A soft binary decision tree over learned image patches.

    An image becomes a latent map ``z = sigmoid(add_on(backbone(x)))``; branch ``n`` sends it
    right with probability ``exp(-min_p ||z_p - P_n||)``; a leaf answers with its class
    distribution. ``forward`` returns the log of the mixture of all leaves.

    Source: Nauta, van Bree, Seifert: Neural Prototype Trees for Interpretable Fine-grained Image
    Recognition, CVPR 2021. Deviation: any binary topology, log space throughout.

    Args:
        backbone: Maps images, commonly (batch, 3, height, width), to (batch, channels, h, w); has
            an integer attribute ``channels``; see `pellucid.backbones`.
        classes: Number of classes, >= 2.
        topology: The tree's shape; a full tree is ``Topology.full(depth)``.
        latent_channels: Channels of the latent map after the 1x1 add-on convolution.
        prototype_size: (height, width) of a prototype in latent cells.

    Example:
        >>> import torch
        >>> from pellucid.backbones import create_backbone
        >>> tree = ProtoTree(
        ...     create_backbone("patch_cnn", image_size=(32, 32)), 10, topology=Topology.full(5)
        ... )
        >>> tree(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    leaf_counts: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        classes: int,
        *,
        topology: Topology,
        latent_channels: int = 64,
        prototype_size: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        classes = check_integer("classes", classes, low=2)
        latent_channels = check_integer("latent_channels", latent_channels, low=1)
        height = check_integer("prototype_size[0]", prototype_size[0], low=1)
        width = check_integer("prototype_size[1]", prototype_size[1], low=1)
        channels = getattr(backbone, "channels", None)
        if not isinstance(channels, int):
            raise UsageError(
                f"backbone must have an integer attribute channels, got {channels!r}. "
                "Wrap your module with pellucid.backbones.wrap_module(module, image_size=...)."
            )
        self.topology = topology
        self.backbone = backbone
        self.add_on = nn.Conv2d(channels, latent_channels, kernel_size=1, bias=False)
        # As in the reference: near the middle of the sigmoid, where untrained latents lie.
        prototypes = torch.empty(topology.branches, latent_channels, height, width)
        self.prototypes = nn.Parameter(nn.init.normal_(prototypes, 0.5, 0.1))
        self.register_buffer("leaf_counts", torch.zeros(topology.leaves, classes))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.leaf_counts.shape[1]

    def latent(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch dim rows columns"]:
        """Return the latent map, every entry in (0, 1)."""
        return torch.sigmoid(self.add_on(self.backbone(images)))

    def patches(
        self, latent: Float[Tensor, "batch dim rows columns"]
    ) -> Float[Tensor, "batch positions patch_dim"]:
        """Return each window of prototype size as one row, positions counted row by row."""
        size = tuple(self.prototypes.shape[2:])
        if size == (1, 1):
            return latent.flatten(2).transpose(1, 2)
        if latent.shape[2] < size[0] or latent.shape[3] < size[1]:
            raise UsageError(
                f"prototype_size must fit into the latent map {tuple(latent.shape[2:])}, got "
                f"{size}. Use a smaller prototype or a larger image."
            )
        return unfold(latent, size).transpose(1, 2).contiguous()

    def distances(
        self, latent: Float[Tensor, "batch dim rows columns"]
    ) -> tuple[Float[Tensor, "batch branches"], Int[Tensor, "batch branches 2"]]:
        """Return each prototype's distance to its nearest patch, and that patch's (row, column)."""
        found = nearest_patch(self.patches(latent), self.prototypes.flatten(1))
        columns = latent.shape[3] - self.prototypes.shape[3] + 1
        row = found.position.div(columns, rounding_mode="floor")
        return found.distance, torch.stack([row, found.position % columns], dim=2)

    def leaf_log_distributions(self) -> Float[Tensor, "leaves classes"]:
        """Return the log class distribution of each leaf."""
        return leaf_log_distributions(self.leaf_counts)

    def answer(self, images: Float[Tensor, "batch channels height width"]) -> Answers:
        """Return everything the tree says of a batch: see `Answers`."""
        return self.answer_latent(self.latent(images))

    def answer_latent(self, latent: Float[Tensor, "batch dim rows columns"]) -> Answers:
        """Return everything the tree says of a batch of latent maps: see `Answers`."""
        distances, positions = self.distances(latent)
        paths = path_log_probabilities(distances, self.topology)
        return Answers(
            distances=distances,
            positions=positions,
            path_log_probability=paths,
            log_probabilities=distributed(paths, self.leaf_log_distributions()),
            most_probable_leaf=most_probable_leaf(paths),
            greedy_leaf=greedy_leaf(distances, self.topology),
        )

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return log-probabilities of the classes; train with ``nll_loss``."""
        latent = self.latent(images)
        distances = nearest_patch(self.patches(latent), self.prototypes.flatten(1)).distance
        paths = path_log_probabilities(distances, self.topology)
        return distributed(paths, self.leaf_log_distributions())
