"""Projection by looking at every patch of every image, one after the other.

Source: Nauta et al. 2021, equation 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.reference.recursive_tree import Leaf, Node, nearest_patch

Found = tuple[float, int, int, int]
"""(distance, image, row, column)."""


def majority_classes(node: Node, majority: Sequence[int]) -> set[int]:
    """Return the majority classes of the leaves below a node."""
    if isinstance(node, Leaf):
        return {int(majority[node.number])}
    return majority_classes(node.left, majority) | majority_classes(node.right, majority)


def branch_nodes(node: Node) -> dict[int, Node]:
    if isinstance(node, Leaf):
        return {}
    return {node.number: node} | branch_nodes(node.left) | branch_nodes(node.right)


def nearest_images(
    prototype: np.ndarray,
    latents: np.ndarray,
    labels: Sequence[int],
    *,
    classes: set[int] | None,
    top_k: int,
) -> list[Found]:
    """Return the best patch of each allowed image, the ``top_k`` nearest of them."""
    found = []
    for image, (latent, label) in enumerate(zip(latents, labels, strict=True)):
        if classes is None or int(label) in classes:
            distance, row, column = nearest_patch(latent, prototype)
            found.append((distance, image, row, column))
    return sorted(found, key=lambda entry: entry[:2])[:top_k]


def project(
    root: Node,
    prototypes: np.ndarray,
    latents: np.ndarray,
    labels: Sequence[int],
    majority: Sequence[int],
) -> tuple[list[Found], list[int]]:
    """Return each branch's source, and the branches that had to look at all classes."""
    sources, unconstrained = [], []
    nodes = branch_nodes(root)
    for branch in range(len(nodes)):
        classes = majority_classes(nodes[branch], majority)
        found = nearest_images(prototypes[branch], latents, labels, classes=classes, top_k=1)
        if not found:
            unconstrained.append(branch)
            found = nearest_images(prototypes[branch], latents, labels, classes=None, top_k=1)
        sources.append(found[0])
    return sources, unconstrained
