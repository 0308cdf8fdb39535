"""Pruning: leaves that say nothing and branches that change nothing go.

All criteria look at training images only, through two tables gathered over batches: the distance
of each image to each prototype, and its label.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pellucid._checks import check_number
from pellucid.prototree.leaves import fit_leaves, leaf_log_distributions
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.routing import distributed, greedy_leaf, path_log_probabilities
from pellucid.prototree.topology import Reduction, Topology

_SAME_OUTPUT = 1e-6
"""Sibling leaves no further apart than this in any class may be merged: no answer changes more."""


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

    The last step tries the leaves in order of how many images they answer for, fewest first. A leaf
    goes for good when, with the other leaves fitted again, neither the soft nor the greedy answer
    errs on more than ``tolerance`` of the images beyond what the tree erred on at the start.

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
    state = _Candidate(tree.topology, distances, tree.leaf_counts.clone())
    whole = tuple(range(tree.topology.branches))
    threshold = uniform_threshold(tree.classes)
    uniform = _spare_two(
        (leaf_log_distributions(state.counts).amax(1).exp() < threshold).nonzero()[:, 0].tolist(),
        state.topology,
    )
    state, whole = state.without(uniform, whole)
    equal = 0
    while pairs := _equal_siblings(state):
        removed = _spare_two(pairs, state.topology)
        if not removed:
            break
        equal += len(removed)
        state, whole = state.without(removed, whole)
    before_errors = state.topology.leaves
    state, whole = _reduced_error_pruning(state, whole, labels, tolerance * len(labels))
    superfluous = before_errors - state.topology.leaves
    report = Pruning(
        prototypes_before=tree.topology.branches,
        prototypes_after=state.topology.branches,
        uniform_leaves=len(uniform),
        equal_leaves=equal,
        superfluous_leaves=superfluous,
        branches=whole,
    )
    tree.prototypes = nn.Parameter(tree.prototypes[list(whole)].clone())
    tree.leaf_counts = state.counts
    tree.topology = state.topology
    return report


@dataclass(frozen=True)
class _Candidate:
    """A smaller tree, seen through its distances and counts."""

    topology: Topology
    distances: Tensor
    counts: Tensor

    def without(
        self, leaves: list[int], whole: tuple[int, ...]
    ) -> tuple[_Candidate, tuple[int, ...]]:
        if not leaves:
            return self, whole
        reduction: Reduction = self.topology.without_leaves(leaves)
        smaller = _Candidate(
            reduction.topology,
            self.distances[:, list(reduction.branches)],
            self.counts[list(reduction.leaves)],
        )
        return smaller, tuple(whole[branch] for branch in reduction.branches)

    def fitted(self, labels: Tensor) -> _Candidate:
        paths = path_log_probabilities(self.distances, self.topology)
        return _Candidate(self.topology, self.distances, fit_leaves(self.counts, paths, labels))

    def errors(self, labels: Tensor) -> tuple[int, int]:
        paths = path_log_probabilities(self.distances, self.topology)
        leaves = leaf_log_distributions(self.counts)
        soft = distributed(paths, leaves).argmax(1)
        greedy = leaves.argmax(1)[greedy_leaf(self.distances, self.topology)]
        return int((soft != labels).sum()), int((greedy != labels).sum())


def _spare_two(leaves: list[int], topology: Topology) -> list[int]:
    """Return ``leaves``, less the first ones if fewer than two leaves would remain."""
    return leaves[max(0, len(leaves) - (topology.leaves - 2)) :]


def _equal_siblings(state: _Candidate) -> list[int]:
    """Return the left one of each pair of sibling leaves with the same distribution."""
    distributions = leaf_log_distributions(state.counts).exp()
    return [
        ~left
        for left, right in zip(state.topology.left, state.topology.right, strict=True)
        if left < 0
        and right < 0
        and (distributions[~left] - distributions[~right]).abs().max() <= _SAME_OUTPUT
    ]


def _reduced_error_pruning(
    state: _Candidate, whole: tuple[int, ...], labels: Tensor, allowance: float
) -> tuple[_Candidate, tuple[int, ...]]:
    soft_limit, greedy_limit = (errors + allowance for errors in state.errors(labels))

    def attempt(leaves: list[int]) -> tuple[_Candidate, tuple[int, ...]] | None:
        smaller, kept = state.without(leaves, whole)
        smaller = smaller.fitted(labels)
        soft, greedy = smaller.errors(labels)
        return (smaller, kept) if soft <= soft_limit and greedy <= greedy_limit else None

    # Leaves that answer for less than one image go in halves of the list, the rest one by one.
    answered = state.fitted(labels).counts.sum(1)
    idle = [leaf for leaf in answered.argsort().tolist() if answered[leaf] < 1]
    idle = _spare_two(idle, state.topology)
    while idle:
        if (taken := attempt(idle)) is not None:
            state, whole = taken
            break
        idle = idle[: len(idle) // 2]
    shrinking = True
    while shrinking and state.topology.leaves > 2:
        shrinking = False
        for leaf in state.counts.sum(1).argsort().tolist():
            if (taken := attempt([leaf])) is not None:
                state, whole = taken
                shrinking = True
                break
    return state, whole
