"""Where the nodes of a binary tree stand: root at the left, one row for each leaf, in O(n).

Each leaf has a row of its own, in tree order with the right ("present") child above the left one;
a branch stands midway between its children. Equal subtrees are therefore drawn equally, edges do
not cross, and the result is as tall as the tree has leaves. A more compact drawing (Reingold and
Tilford, IEEE TSE 7(2), 1981) lets leaves of different levels share rows; one row for each leaf is
preferred here because a column of class bars is read like a table.

On one level, two branches are at least 2 rows apart, a branch and a leaf 1.5, two leaves 1: a
branch over leaf rows a..b stands between a + 1/2 and b - 1/2.

Nothing here recurses: a chain of a thousand branches is laid out like any other tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid._checks import UsageError, check_integer

ROOT = 0


@dataclass(frozen=True, eq=False)
class TreeLayout:
    """Levels (0 = root) and rows (0 = top) of the branches and leaves, in tree units."""

    branch_level: np.ndarray  # int (branches,)
    branch_row: np.ndarray  # float (branches,)
    leaf_level: np.ndarray  # int (leaves,)
    leaf_row: np.ndarray  # float (leaves,)

    @property
    def levels(self) -> int:
        """Number of levels, leaves included."""
        return 1 + int(self.leaf_level.max())

    @property
    def rows(self) -> int:
        """Number of rows: one for each leaf."""
        return len(self.leaf_row)


@dataclass(frozen=True)
class TreePart:
    """A connected piece of a tree, small enough for one figure.

    ``branches[i]`` is the branch of the whole tree that is branch ``i`` here. ``ends[j]`` is what
    stands at leaf ``j`` here: a leaf of the whole tree (``~leaf``), or a branch (>= 0) whose
    subtree is drawn in a part of its own.
    """

    branches: tuple[int, ...]
    ends: tuple[int, ...]
    left_child: tuple[int, ...]
    right_child: tuple[int, ...]
    level: int  # of the part's root in the whole tree


def preorder(
    left_child: Sequence[int] | np.ndarray, right_child: Sequence[int] | np.ndarray
) -> list[int]:
    """Return the nodes (branch >= 0, ``~leaf``) from the root down, right child before left.

    Raises:
        UsageError: the arrays do not describe one binary tree rooted at branch 0, with leaves
            numbered 0 to ``branches``.
    """
    left, right = [int(node) for node in left_child], [int(node) for node in right_child]
    branches = len(left)
    if len(right) != branches:
        raise UsageError(
            f"left_child and right_child must have the same length, got {branches} and "
            f"{len(right)}. Give both children of every branch."
        )
    if branches == 0:
        return [~0]
    visited: list[int] = []
    seen: set[int] = set()
    stack = [ROOT]
    while stack:
        node = stack.pop()
        if node in seen or node >= branches or ~node > branches:
            name = f"branch {node}" if node >= 0 else f"leaf {~node}"
            raise UsageError(
                f"left_child and right_child must describe one tree of {branches} branches and "
                f"{branches + 1} leaves, got {name} {'twice' if node in seen else 'beyond it'}. "
                "Write a leaf as ~leaf and number the nodes of a pruned tree anew."
            )
        seen.add(node)
        visited.append(node)
        if node >= 0:
            stack.append(left[node])
            stack.append(right[node])
    if len(visited) != 2 * branches + 1:
        raise UsageError(
            f"left_child and right_child must reach every branch from branch 0, got "
            f"{len(visited)} of {2 * branches + 1} nodes. Number the nodes of a pruned tree anew."
        )
    return visited


def lay_out_tree(
    left_child: Sequence[int] | np.ndarray, right_child: Sequence[int] | np.ndarray
) -> TreeLayout:
    """Return the level and row of every node, in time and memory linear in their number.

    Raises:
        UsageError: the arrays do not describe one binary tree rooted at branch 0.
    """
    visited = preorder(left_child, right_child)
    branches = len(left_child)
    branch_level, branch_row = np.zeros(branches, dtype=np.int64), np.zeros(branches)
    leaf_level, leaf_row = np.zeros(branches + 1, dtype=np.int64), np.zeros(branches + 1)
    next_row = 0
    for node in visited:  # parents before children: levels; leaves from top to bottom: rows
        if node < 0:
            leaf_row[~node] = next_row
            next_row += 1
            continue
        for child in (int(left_child[node]), int(right_child[node])):
            if child >= 0:
                branch_level[child] = branch_level[node] + 1
            else:
                leaf_level[~child] = branch_level[node] + 1
    for node in reversed(visited):  # children before parents
        if node >= 0:
            rows = [
                branch_row[child] if child >= 0 else leaf_row[~child]
                for child in (int(left_child[node]), int(right_child[node]))
            ]
            branch_row[node] = (rows[0] + rows[1]) / 2
    return TreeLayout(branch_level, branch_row, leaf_level, leaf_row)


def smallest_row_height_px(
    *, branch_height_px: float, leaf_height_px: float, gap_px: float
) -> float:
    """Return the row height at which no two nodes of a level come closer than ``gap_px``."""
    return max(
        leaf_height_px + gap_px,
        (branch_height_px + gap_px) / 2,
        ((branch_height_px + leaf_height_px) / 2 + gap_px) / 1.5,
    )


def split_tree(
    left_child: Sequence[int] | np.ndarray,
    right_child: Sequence[int] | np.ndarray,
    *,
    levels: int,
) -> tuple[TreePart, ...]:
    """Cut a tree into parts of at most ``levels`` levels of branches, the root's part first.

    A tree of nine levels is like an atlas: one sheet for the top, and a sheet for what lies below
    each branch at which the top ends.
    """
    check_integer("levels", levels, low=1)
    preorder(left_child, right_child)
    if len(left_child) == 0:
        return (TreePart((), (~0,), (), (), 0),)
    parts: list[TreePart] = []
    starts = [(ROOT, 0)]
    for start, start_level in starts:  # grows while it is walked: breadth first
        branches: list[int] = []
        ends: list[int] = []
        children: dict[int, list[int]] = {0: [], 1: []}
        stack: list[tuple[int, int, int, int]] = [(start, 0, -1, 0)]
        while stack:
            node, depth, parent, side = stack.pop()
            if node >= 0 and depth < levels:
                local = len(branches)
                branches.append(node)
                children[0].append(0)
                children[1].append(0)
                stack.append((int(left_child[node]), depth + 1, local, 0))
                stack.append((int(right_child[node]), depth + 1, local, 1))
            else:
                local = ~len(ends)
                ends.append(node)
                if node >= 0:
                    starts.append((node, start_level + depth))
            if parent >= 0:
                children[side][parent] = local
        parts.append(
            TreePart(
                tuple(branches), tuple(ends), tuple(children[0]), tuple(children[1]), start_level
            )
        )
    return tuple(parts)


def choose_levels(depth: int, leaves: int) -> int:
    """Return how many levels of branches one figure shows: all of a small tree, else evenly many.

    Args:
        depth: levels of branches of the whole tree.
        leaves: leaves of the whole tree.
    """
    if leaves <= 40 and depth <= 8:
        return max(depth, 1)
    figures_deep = -(-depth // 5)
    return -(-depth // figures_deep)
