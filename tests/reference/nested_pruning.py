"""Taking leaves off a tree by rebuilding its nested objects.

Source: Nauta et al. 2021, section 3.3.
"""

from __future__ import annotations

from tests.reference.recursive_tree import Branch, Leaf, Node


def without_leaves(node: Node, removed: set[int]) -> Node | None:
    """Return the tree less some leaves; a branch with one child left is replaced by that child."""
    if isinstance(node, Leaf):
        return None if node.number in removed else Leaf(node.number)
    left = without_leaves(node.left, removed)
    right = without_leaves(node.right, removed)
    if left is None or right is None:
        return right if left is None else left
    return Branch(node.number, left, right)


def describe(node: Node):
    """Return ``(branch, left, right)`` all the way down, with the numbers nodes carry."""
    if isinstance(node, Leaf):
        return node.number
    return node.number, describe(node.left), describe(node.right)


def renumber(node: Node, branches: dict[int, int], leaves: dict[int, int]) -> Node:
    """Return the tree under new numbers."""
    if isinstance(node, Leaf):
        return Leaf(leaves[node.number])
    return Branch(
        branches[node.number],
        renumber(node.left, branches, leaves),
        renumber(node.right, branches, leaves),
    )
