"""Pruning: leaves that say nothing and branches that change nothing go.

All criteria look at training images only, through two tables gathered over batches: the distance
of each image to each prototype, and its label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pellucid._checks import check_number
from pellucid.prototree.leaves import fit_leaves, leaf_log_distributions
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.routing import distributed, greedy_leaf, path_log_probabilities
from pellucid.prototree.topology import Topology

_SAME_OUTPUT = 1e-6
"""Sibling leaves no further apart than this in any class may be merged: no answer changes more."""

_ROUNDS = 3
"""Leaf steps after each attempt; the leaves that stay were fitted before, so they move little."""


@dataclass(frozen=True)
class Pruning:
    """What pruning took away.

    Attributes:
        prototypes_before: Number of prototypes before.
        prototypes_after: Number of prototypes after.
        uniform_leaves: Leaves removed because their distribution was close to uniform.
        equal_leaves: Leaves merged with an equal sibling.
        superfluous_leaves: Leaves removed because the tree answers as well without them.
        branches: For each remaining branch, the number it had before.
    """

    prototypes_before: int
    prototypes_after: int
    uniform_leaves: int
    equal_leaves: int
    superfluous_leaves: int
    branches: tuple[int, ...]

    def then(self, later: Pruning) -> Pruning:
        """Return both as one: this pruning, followed by ``later`` on the tree it left."""
        return Pruning(
            prototypes_before=self.prototypes_before,
            prototypes_after=later.prototypes_after,
            uniform_leaves=self.uniform_leaves + later.uniform_leaves,
            equal_leaves=self.equal_leaves + later.equal_leaves,
            superfluous_leaves=self.superfluous_leaves + later.superfluous_leaves,
            branches=tuple(self.branches[branch] for branch in later.branches),
        )


def uniform_threshold(classes: int) -> float:
    """Return the highest class probability below which a leaf counts as uniform.

    ``2 / classes``: the reference's 0.01 at its 200 classes; for few classes halfway between
    uniform and certain, which is less.
    """
    return min(2 / classes, (1 + 1 / classes) / 2)


@torch.no_grad()
def prune(
    tree: ProtoTree,
    distances: Float[Tensor, "images branches"],
    labels: Int[Tensor, images],
    *,
    tolerance: float = 0.001,
) -> Pruning:
    """Remove uniform leaves, merge equal siblings, then prune by reduced error; changes ``tree``.

    A uniform leaf goes, and after the merges any leaf, when, with the other leaves fitted
    again, neither the soft nor the greedy answer errs on more than ``tolerance`` of the images
    beyond what the tree erred on at the start. Leaves are tried in order of how many images they
    answer for, fewest first.

    Source: Nauta et al. 2021, section 3.3 (uniform leaves); Quinlan 1987 (reduced error pruning).
    Deviation: the errors are counted on the training images, not on a held-out set.

    Args:
        tree: Changed in place.
        distances: Of each training image to each prototype.
        labels: Classes of these images.
        tolerance: Share of images in [0, 1) on which the smaller tree may newly err; 0 prunes only
            what costs nothing.

    Raises:
        UsageError: ``tolerance`` is out of range.
    """
    tolerance = check_number("tolerance", tolerance, low=0, high=1, open_high=True)
    branches = tuple(range(tree.topology.branches))
    start = _Candidate(tree.topology, distances, tree.leaf_counts.clone(), branches)
    soft, greedy = start.errors(labels)
    limits = soft + tolerance * len(labels), greedy + tolerance * len(labels)
    informative = _without_uniform_leaves(start, labels, limits)
    merged = _without_equal_siblings(informative)
    state = _reduced_error_pruning(merged, labels, limits)
    report = Pruning(
        prototypes_before=tree.topology.branches,
        prototypes_after=state.topology.branches,
        uniform_leaves=start.topology.leaves - informative.topology.leaves,
        equal_leaves=informative.topology.leaves - merged.topology.leaves,
        superfluous_leaves=merged.topology.leaves - state.topology.leaves,
        branches=state.branches,
    )
    tree.prototypes = nn.Parameter(tree.prototypes[list(state.branches)].clone())
    tree.leaf_counts = state.counts
    tree.topology = state.topology
    return report


@dataclass(frozen=True)
class _Candidate:
    """A smaller tree, seen through its distances and counts; ``branches`` are its old numbers."""

    topology: Topology
    distances: Tensor
    counts: Tensor
    branches: tuple[int, ...]

    def without(self, leaves: list[int]) -> _Candidate:
        if not leaves:
            return self
        reduction = self.topology.without_leaves(leaves)
        return _Candidate(
            reduction.topology,
            self.distances[:, list(reduction.branches)],
            self.counts[list(reduction.leaves)],
            tuple(self.branches[branch] for branch in reduction.branches),
        )

    def fitted(self, labels: Tensor) -> _Candidate:
        paths = path_log_probabilities(self.distances, self.topology)
        counts = fit_leaves(self.counts, paths, labels, rounds=_ROUNDS)
        return replace(self, counts=counts)

    def errors(self, labels: Tensor) -> tuple[int, int]:
        paths = path_log_probabilities(self.distances, self.topology)
        leaves = leaf_log_distributions(self.counts)
        soft = distributed(paths, leaves).argmax(1)
        greedy = leaves.argmax(1)[greedy_leaf(self.distances, self.topology)]
        return int((soft != labels).sum()), int((greedy != labels).sum())

    def spared(self, leaves: list[int]) -> list[int]:
        """Return ``leaves``, less the first ones if fewer than two leaves would remain."""
        return leaves[max(0, len(leaves) - (self.topology.leaves - 2)) :]


def _attempt(
    state: _Candidate, leaves: list[int], labels: Tensor, limits: tuple[float, float]
) -> _Candidate | None:
    """Return the tree without ``leaves``, the others fitted again; None if it errs too much."""
    smaller = state.without(leaves).fitted(labels)
    soft, greedy = smaller.errors(labels)
    return smaller if soft <= limits[0] and greedy <= limits[1] else None


def _without_uniform_leaves(
    state: _Candidate, labels: Tensor, limits: tuple[float, float]
) -> _Candidate:
    highest = leaf_log_distributions(state.counts).amax(1).exp()
    threshold = uniform_threshold(state.counts.shape[1])
    uniform = state.spared((highest < threshold).nonzero()[:, 0].tolist())
    if uniform and (taken := _attempt(state, uniform, labels, limits)) is not None:
        return taken
    # Removing a leaf renumbers only those after it.
    for leaf in reversed(uniform):
        state = _attempt(state, [leaf], labels, limits) or state
    return state


def _without_equal_siblings(state: _Candidate) -> _Candidate:
    # Merges up a chain add up, so each may change the output by its share only.
    same = _SAME_OUTPUT / state.topology.depth
    while equal := state.spared(_equal_siblings(state, same)):
        state = state.without(equal)
    return state


def _equal_siblings(state: _Candidate, same: float) -> list[int]:
    """Return the left one of each pair of sibling leaves with the same distribution."""
    distributions = leaf_log_distributions(state.counts).exp()
    return [
        ~left
        for left, right in zip(state.topology.left, state.topology.right, strict=True)
        if left < 0
        and right < 0
        and (distributions[~left] - distributions[~right]).abs().max() <= same
    ]


def _reduced_error_pruning(
    state: _Candidate, labels: Tensor, limits: tuple[float, float]
) -> _Candidate:
    """Remove the leaves that answer for the fewest images, many at a time while that is harmless.

    Half of the leaves are tried first, then a quarter and so on; one by one, each leaf is tried
    once. So there are about as many attempts as leaves that stay.
    """
    together = state.topology.leaves // 2
    kept = 0
    while True:
        fewest_first = state.counts.sum(1).argsort(stable=True).tolist()
        leaves = state.spared(fewest_first[kept : kept + together])
        if not leaves:
            return state
        if (taken := _attempt(state, leaves, labels, limits)) is not None:
            state = taken
        elif together > 1:
            together //= 2
        else:
            kept += 1
