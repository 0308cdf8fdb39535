"""The shape of a binary decision tree, as parallel arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pellucid._checks import UsageError, check_integer

Nested = int | tuple["Nested", "Nested"]
"""A tree written down by hand: a leaf is its number, a branch is ``(left, right)``."""

_MAX_FULL_DEPTH = 16


@dataclass(frozen=True)
class Level:
    """The branches at one depth and where their two children stand.

    ``branches`` index the prototypes. ``parents`` index the previous level's children: left and
    right child of its first branch, then of its second, and so on.
    """

    branches: np.ndarray
    parents: np.ndarray


@dataclass(frozen=True)
class Topology:
    """A binary tree of any shape, in the manner of scikit-learn's ``tree_``: parallel arrays.

    Branch ``n`` has children ``left[n]`` (the prototype is absent) and ``right[n]`` (present). A
    child ``c >= 0`` is branch ``c``; a child ``c < 0`` is leaf ``~c``. Branch 0 is the root, every
    branch comes before its children, and leaves are numbered 0 to ``leaves - 1``.

    Attributes:
        left: int tuple of length ``branches``.
        right: int tuple of length ``branches``.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "left", tuple(int(child) for child in self.left))
        object.__setattr__(self, "right", tuple(int(child) for child in self.right))
        self._check()

    def _check(self) -> None:
        if len(self.left) != len(self.right) or not self.left:
            raise UsageError(
                "left and right must have the same length of at least 1, got "
                f"{len(self.left)} and {len(self.right)}. A tree has at least one branch."
            )
        children = [*self.left, *self.right]
        branches = sorted(child for child in children if child >= 0)
        leaves = sorted(~child for child in children if child < 0)
        if branches != list(range(1, self.branches)) or leaves != list(range(self.leaves)):
            raise UsageError(
                "left and right must name every branch but the root, and every leaf, exactly "
                f"once, got left={self.left} and right={self.right}. Write leaf number j as ~j."
            )
        for branch in range(self.branches):
            for child in (self.left[branch], self.right[branch]):
                if 0 <= child <= branch:
                    raise UsageError(
                        f"every branch must come before its children, got child {child} of branch "
                        f"{branch}. Number the branches from the root downward."
                    )

    @classmethod
    def full(cls, depth: int) -> Topology:
        """Return the full tree: ``2**depth - 1`` branches in level order, ``2**depth`` leaves.

        Raises:
            UsageError: ``depth`` is not an integer in [1, 16].
        """
        depth = check_integer(
            "depth", depth, low=1, high=_MAX_FULL_DEPTH, remedy="A depth of 5 has 31 prototypes."
        )
        inner, last = 2 ** (depth - 1) - 1, 2**depth - 1
        left = [2 * n + 1 if n < inner else ~(2 * (n - inner)) for n in range(last)]
        right = [2 * n + 2 if n < inner else ~(2 * (n - inner) + 1) for n in range(last)]
        return cls(tuple(left), tuple(right))

    @classmethod
    def from_nested(cls, nested: Nested) -> Topology:
        """Return the tree written as nested ``(left, right)`` pairs; a leaf is its number.

        Example:
            ``f(x) = sim_1 c3 + (1 - sim_1)(sim_2 c2 + (1 - sim_2) c1)`` with leaves numbered
            from 0 is ``Topology.from_nested(((0, 1), 2))``.
        """
        if not isinstance(nested, tuple):
            raise UsageError(f"nested must be a (left, right) pair, got {nested!r}.")
        left: list[int] = []
        right: list[int] = []
        waiting: list[tuple[Nested, list[int], int]] = []

        def place(node: Nested, parent: list[int], slot: int) -> None:
            if isinstance(node, tuple):
                if len(node) != 2:
                    raise UsageError(f"nested must hold (left, right) pairs, got {node!r}.")
                waiting.append((node, parent, slot))
            else:
                parent[slot] = ~check_integer("leaf", node, low=0)

        place(nested, [0], 0)
        while waiting:  # breadth first, so that parents are numbered before their children
            (first, second), parent, slot = waiting.pop(0)  # type: ignore[misc]
            parent[slot] = branch = len(left)
            left.append(0)
            right.append(0)
            place(first, left, branch)
            place(second, right, branch)
        return cls(tuple(left), tuple(right))

    @property
    def branches(self) -> int:
        """Number of branches, and so of prototypes."""
        return len(self.left)

    @property
    def leaves(self) -> int:
        """Number of leaves: one more than branches."""
        return len(self.left) + 1

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The branches by depth, root first: see `Level`."""
        levels, branches, parents = [], np.zeros(1, np.int64), np.zeros(1, np.int64)
        left, right = np.asarray(self.left), np.asarray(self.right)
        while len(branches):
            levels.append(Level(branches, parents))
            children = np.stack([left[branches], right[branches]], axis=1).ravel()
            parents = np.flatnonzero(children >= 0)
            branches = children[parents]
        return tuple(levels)

    @cached_property
    def leaf_places(self) -> np.ndarray:
        """Where each leaf stands among the children of all levels, one level after the other."""
        left, right = np.asarray(self.left), np.asarray(self.right)
        children = [
            np.stack([left[level.branches], right[level.branches]], axis=1).ravel()
            for level in self.levels
        ]
        order = np.concatenate(children)
        places = np.zeros(self.leaves, np.int64)
        places[~order[order < 0]] = np.flatnonzero(order < 0)
        return places

    @cached_property
    def paths(self) -> tuple[tuple[tuple[int, bool], ...], ...]:
        """For each leaf the ``(branch, goes_right)`` steps from the root to it."""
        found: dict[int, tuple[tuple[int, bool], ...]] = {}
        waiting: list[tuple[int, tuple[tuple[int, bool], ...]]] = [(0, ())]
        while waiting:
            node, path = waiting.pop()
            if node < 0:
                found[~node] = path
            else:
                waiting.append((self.left[node], (*path, (node, False))))
                waiting.append((self.right[node], (*path, (node, True))))
        return tuple(found[leaf] for leaf in range(self.leaves))

    @property
    def depth(self) -> int:
        """Number of branches on the longest path."""
        return len(self.levels)

    @cached_property
    def leaf_depths(self) -> tuple[int, ...]:
        """Number of branches above each leaf."""
        return tuple(len(path) for path in self.paths)

    def leaves_below(self, branch: int) -> list[int]:
        """Return the leaves under ``branch``, in increasing order."""
        return [
            leaf for leaf, path in enumerate(self.paths) if any(step == branch for step, _ in path)
        ]

    def without_leaves(self, removed: Iterable[int]) -> Reduction:
        """Return the tree without some leaves: each lost leaf's sibling takes its parent's place.

        Source: Nauta et al. 2021, section 3.3 (pruning).

        Args:
            removed: Leaf numbers; at least two leaves must stay.

        Raises:
            UsageError: a number is no leaf, or fewer than two leaves would stay.
        """
        gone = set(removed)
        if not gone <= set(range(self.leaves)):
            raise UsageError(f"removed must be leaves in [0, {self.leaves - 1}], got {removed!r}.")
        if self.leaves - len(gone) < 2:
            raise UsageError(
                f"removed must leave at least two leaves, got {len(gone)} of {self.leaves}."
            )
        # Children come after their parents, so one pass from the end sees every child resolved.
        stand_in: dict[int, int | None] = {
            ~leaf: None if leaf in gone else ~leaf for leaf in range(self.leaves)
        }
        kept_children: dict[int, tuple[int, int]] = {}
        for branch in reversed(range(self.branches)):
            left, right = stand_in[self.left[branch]], stand_in[self.right[branch]]
            if left is not None and right is not None:
                kept_children[branch] = (left, right)
                stand_in[branch] = branch
            else:
                stand_in[branch] = right if left is None else left
        kept_branches = self._reachable(stand_in[0], kept_children)
        kept_leaves = [leaf for leaf in range(self.leaves) if leaf not in gone]
        renamed = {branch: new for new, branch in enumerate(kept_branches)}
        renamed |= {~leaf: ~new for new, leaf in enumerate(kept_leaves)}
        return Reduction(
            topology=Topology(
                tuple(renamed[kept_children[branch][0]] for branch in kept_branches),
                tuple(renamed[kept_children[branch][1]] for branch in kept_branches),
            ),
            branches=tuple(kept_branches),
            leaves=tuple(kept_leaves),
        )

    @staticmethod
    def _reachable(root: int | None, children: dict[int, tuple[int, int]]) -> list[int]:
        order: list[int] = []
        waiting = [root]
        while waiting:
            node = waiting.pop(0)
            if node is not None and node >= 0:
                order.append(node)
                waiting.extend(children[node])
        return order


@dataclass(frozen=True)
class Reduction:
    """A smaller tree and where its parts came from.

    Attributes:
        topology: The smaller tree.
        branches: For each of its branches, the number it had before.
        leaves: For each of its leaves, the number it had before.
    """

    topology: Topology
    branches: tuple[int, ...]
    leaves: tuple[int, ...]
