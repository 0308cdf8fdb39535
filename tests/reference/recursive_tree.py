"""The prototype tree as nested Python objects and plain loops, in double precision.

A slow and obvious twin of `pellucid.prototree`: similarity is a probability, a branch asks its two
children, a leaf answers. Nothing here is vectorized, and nothing is in log space.

Source: Nauta et al. 2021, sections 3.1 and 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class Leaf:
    number: int


@dataclass
class Branch:
    number: int
    left: Branch | Leaf
    right: Branch | Leaf


Node = Branch | Leaf


def grow(nested) -> Node:
    """Build the tree from nested ``(left, right)`` pairs; branches are numbered breadth first."""
    root = Leaf(nested) if not isinstance(nested, tuple) else Branch(0, None, None)
    count, level = 1, [(root, nested)]
    while level:
        below = []
        for node, (left, right) in ((n, pair) for n, pair in level if isinstance(n, Branch)):
            for side, child in (("left", left), ("right", right)):
                if isinstance(child, tuple):
                    made = Branch(count, None, None)
                    count += 1
                    below.append((made, child))
                else:
                    made = Leaf(child)
                setattr(node, side, made)
        level = below
    return root


def grow_from_arrays(left: Sequence[int], right: Sequence[int], child: int = 0) -> Node:
    """Build the tree from parallel arrays of children."""
    if child < 0:
        return Leaf(~child)
    return Branch(
        child,
        grow_from_arrays(left, right, left[child]),
        grow_from_arrays(left, right, right[child]),
    )


def nest(node: Node):
    """Write the tree down as nested ``(left, right)`` pairs again."""
    if isinstance(node, Leaf):
        return node.number
    return nest(node.left), nest(node.right)


def nearest_patch(latent: np.ndarray, prototype: np.ndarray) -> tuple[float, int, int]:
    """Return (distance, row, column) of the patch nearest to one prototype.

    Args:
        latent: Shape (dim, rows, columns).
        prototype: Shape (dim, height, width).
    """
    dim, height, width = prototype.shape
    best = (math.inf, -1, -1)
    for row in range(latent.shape[1] - height + 1):
        for column in range(latent.shape[2] - width + 1):
            squared = 0.0
            for d in range(dim):
                for i in range(height):
                    for j in range(width):
                        gap = float(latent[d, row + i, column + j]) - float(prototype[d, i, j])
                        squared += gap * gap
            distance = math.sqrt(squared)
            if distance < best[0]:
                best = (distance, row, column)
    return best


def similarity(distance: float) -> float:
    return math.exp(-distance)


def steepened(probability: float, steepness: float) -> float:
    """Return the probability whose odds are those of ``probability`` to the power ``steepness``."""
    present, absent = probability**steepness, (1 - probability) ** steepness
    return present / (present + absent)


def traverse(
    node: Node, distances: Sequence[float], leaves: np.ndarray, steepness: float = 1.0
) -> list[float]:
    """Return the class probabilities: ``sim * right + (1 - sim) * left``."""
    if isinstance(node, Leaf):
        return [float(p) for p in leaves[node.number]]
    sim = steepened(similarity(distances[node.number]), steepness)
    right = traverse(node.right, distances, leaves, steepness)
    left = traverse(node.left, distances, leaves, steepness)
    return [sim * r + (1 - sim) * other for r, other in zip(right, left, strict=True)]


def path_probabilities(
    node: Node, distances: Sequence[float], arrived: float = 1.0
) -> dict[int, float]:
    """Return the probability of arriving at each leaf."""
    if isinstance(node, Leaf):
        return {node.number: arrived}
    sim = similarity(distances[node.number])
    right = path_probabilities(node.right, distances, arrived * sim)
    left = path_probabilities(node.left, distances, arrived * (1 - sim))
    return right | left


def greedy_path(node: Node, distances: Sequence[float]) -> tuple[list[tuple[int, bool]], int]:
    """Return the turns of the greedy walk as (branch, goes right), and the leaf it ends at."""
    if isinstance(node, Leaf):
        return [], node.number
    goes_right = distances[node.number] <= math.log(2)
    path, leaf = greedy_path(node.right if goes_right else node.left, distances)
    return [(node.number, goes_right), *path], leaf


def most_probable_leaf(node: Node, distances: Sequence[float]) -> int:
    paths = path_probabilities(node, distances)
    return min(paths, key=lambda leaf: (-paths[leaf], leaf))


def path_margin(node: Node, distances: Sequence[float]) -> float:
    path, _ = greedy_path(node, distances)
    return min(abs(distances[branch] - math.log(2)) for branch, _ in path)


def all_paths(node: Node, above: tuple = ()) -> dict[int, tuple]:
    """Return for each leaf its (branch, goes right) steps from the root."""
    if isinstance(node, Leaf):
        return {node.number: above}
    return all_paths(node.left, (*above, (node.number, False))) | all_paths(
        node.right, (*above, (node.number, True))
    )
