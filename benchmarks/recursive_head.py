"""A prototype tree's head the plain way: node objects, recursion, a dictionary for what they say.

Written from the description in Nauta et al. 2021 in the manner of their program: all distances by
two convolutions and the expanded square, then one Python call for each node, one for each leaf
update, and one for each pair of image and prototype in the projection. It stands for "the original"
in the comparison; it shares no code with Pellucid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Leaf:
    """Row ``index`` of the leaf counts."""

    index: int


@dataclass(frozen=True, eq=False)
class Branch:
    """Prototype ``index``; right where it is similar."""

    index: int
    left: Branch | Leaf
    right: Branch | Leaf


class RecursiveHead(nn.Module):
    """Features (batch, D, h, w) to class probabilities (batch, classes), node by node.

    Args:
        prototypes: Shape (branches, D), branches in level order.
        leaf_counts: Shape (leaves, classes), leaves from left to right.
    """

    def __init__(self, prototypes: Tensor, leaf_counts: Tensor) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(prototypes.clone()[:, :, None, None])
        self.ones = torch.ones_like(self.prototypes)
        self.leaf_counts = [row.clone() for row in leaf_counts]
        self.root = self._grow(0)

    def _grow(self, index: int) -> Branch | Leaf:
        if index >= len(self.prototypes):
            return Leaf(index - len(self.prototypes))
        return Branch(index, self._grow(2 * index + 1), self._grow(2 * index + 2))

    def distances(self, features: Tensor) -> Tensor:
        """Return all distances, shape (batch, branches, h, w)."""
        squared_features = torch.conv2d(features**2, self.ones)
        squared_prototypes = (self.prototypes**2).sum((1, 2, 3)).view(-1, 1, 1)
        products = torch.conv2d(features, self.prototypes)
        squared = squared_features + squared_prototypes - 2 * products
        return torch.sqrt(torch.abs(squared) + 1e-14)

    def forward(self, features: Tensor) -> tuple[Tensor, dict[Leaf, Tensor]]:
        """Return class probabilities and the probability of arriving at each leaf."""
        distances = self.distances(features)
        nearest = -nn.functional.max_pool2d(-distances, kernel_size=distances.shape[2:])
        similarities = torch.exp(-nearest.flatten(1))
        arrivals: dict[Leaf, Tensor] = {}
        root = features.new_ones(len(features), 1)
        return self._answer(self.root, similarities, root, arrivals), arrivals

    def _answer(
        self, node: Branch | Leaf, similarities: Tensor, arrived: Tensor, arrivals: dict
    ) -> Tensor:
        if isinstance(node, Leaf):
            arrivals[node] = arrived
            distribution = _distribution(self.leaf_counts[node.index])
            return distribution[None].expand(len(similarities), -1)
        right = similarities[:, node.index : node.index + 1]
        from_left = self._answer(node.left, similarities, arrived * (1 - right), arrivals)
        from_right = self._answer(node.right, similarities, arrived * right, arrivals)
        return (1 - right) * from_left + right * from_right

    @torch.no_grad()
    def update_leaves(
        self,
        answer: Tensor,
        arrivals: dict[Leaf, Tensor],
        labels: Tensor,
        *,
        counts_at_epoch_start: list[Tensor],
        batches: int,
    ) -> None:
        """Take one derivative-free step in every leaf."""
        target = nn.functional.one_hot(labels, answer.shape[1]).to(answer.dtype)
        for leaf, arrived in arrivals.items():
            counts = self.leaf_counts[leaf.index]
            update = (arrived * _distribution(counts) * target / answer).sum(0)
            counts -= counts_at_epoch_start[leaf.index] / batches
            counts.relu_()
            counts += update

    @torch.no_grad()
    def find_projection(self, batches: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Return each prototype's nearest patch, looking at one pair after the other."""
        least = [torch.tensor(float("inf"))] * len(self.prototypes)
        patches: list[Tensor] = [self.prototypes] * len(self.prototypes)
        for features, _ in batches:
            distances = self.distances(features)
            for prototype in range(len(self.prototypes)):
                for latent, row in zip(features, distances[:, prototype], strict=True):
                    distance, position = row.min(), row.argmin()
                    patch = latent.view(len(latent), -1)[:, position]
                    if distance < least[prototype]:
                        least[prototype], patches[prototype] = distance, patch.clone()
        return patches


def _distribution(counts: Tensor) -> Tensor:
    return torch.softmax(counts - counts.max(), dim=0)
