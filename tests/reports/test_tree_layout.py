from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid._checks import UsageError
from pellucid.reports.tree_layout import (
    choose_levels,
    lay_out_tree,
    preorder,
    smallest_row_height_px,
    split_tree,
)
from tests.reference.tree_layout import lay_out_tree_recursively
from tests.reports.synthetic_report import full_tree, random_tree


@st.composite
def topologies(draw, most_branches: int = 60):
    branches = draw(st.integers(0, most_branches))
    seed = draw(st.integers(0, 2**32 - 1))
    return random_tree_or_leaf(branches, seed)


def random_tree_or_leaf(branches: int, seed: int):
    if branches == 0:
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int)
    return random_tree(branches, np.random.default_rng(seed))


def chain(branches: int):
    nodes = np.arange(branches)
    left = np.where(nodes + 1 < branches, nodes + 1, ~nodes - 1)
    return left, ~nodes


@given(topologies())
@settings(deadline=None)
def test_lay_out_tree_any_topology_equals_recursive_reference(tree):
    layout = lay_out_tree(*tree)
    expected = lay_out_tree_recursively(*tree)
    for branch in range(len(tree[0])):
        assert (layout.branch_level[branch], layout.branch_row[branch]) == expected[branch]
    for leaf in range(layout.rows):
        assert (layout.leaf_level[leaf], layout.leaf_row[leaf]) == expected[~leaf]


@given(topologies())
@settings(deadline=None)
def test_lay_out_tree_any_topology_centers_parents_between_children(tree):
    layout = lay_out_tree(*tree)

    def row(node: int) -> float:
        return layout.branch_row[node] if node >= 0 else layout.leaf_row[~node]

    for branch, (below, above) in enumerate(zip(*tree, strict=True)):
        assert row(above) < layout.branch_row[branch] < row(below)
        assert layout.branch_row[branch] == pytest.approx((row(above) + row(below)) / 2)


@given(
    topologies(),
    st.floats(1, 200),
    st.floats(1, 200),
    st.floats(0, 30),
)
@settings(deadline=None)
def test_lay_out_tree_any_node_sizes_nothing_overlaps(tree, branch_px, leaf_px, gap_px):
    layout = lay_out_tree(*tree)
    row_px = smallest_row_height_px(
        branch_height_px=branch_px, leaf_height_px=leaf_px, gap_px=gap_px
    )
    nodes = [
        (int(level), row * row_px, height)
        for levels, rows, height in (
            (layout.branch_level, layout.branch_row, branch_px),
            (layout.leaf_level, layout.leaf_row, leaf_px),
        )
        for level, row in zip(levels, rows, strict=True)
    ]
    by_level: dict[int, list[tuple[float, float]]] = {}
    for level, mid, height in nodes:
        by_level.setdefault(level, []).append((mid - height / 2, mid + height / 2))
    for spans in by_level.values():
        spans.sort()
        for (_, bottom), (top, _) in itertools.pairwise(spans):
            assert top - bottom >= gap_px - 1e-9 * (1 + row_px * layout.rows)


def test_lay_out_tree_chain_deeper_than_the_recursion_limit_is_laid_out():
    branches = 3 * sys.getrecursionlimit()
    layout = lay_out_tree(*chain(branches))
    assert layout.levels == branches + 1
    assert layout.rows == branches + 1


@pytest.mark.parametrize("branches", [1023, 4095])
def test_lay_out_tree_reads_each_child_a_fixed_number_of_times(branches):
    class Counted(list):
        reads = 0

        def __getitem__(self, index):
            Counted.reads += 1
            return super().__getitem__(index)

    left, right = (Counted(side.tolist()) for side in chain(branches))
    lay_out_tree(left, right)
    assert Counted.reads <= 4 * branches


def test_lay_out_tree_present_child_stands_above():
    layout = lay_out_tree([~0], [~1])
    assert layout.leaf_row.tolist() == [1.0, 0.0]


def test_lay_out_tree_single_leaf_has_one_row():
    layout = lay_out_tree([], [])
    assert (layout.levels, layout.rows) == (1, 1)


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ([0], [~0], "branch 0 twice"),
        ([~0], [~0], "leaf 0 twice"),
        ([~0], [~2], "leaf 2 beyond"),
        ([5], [~0], "branch 5 beyond"),
        ([~0, ~1], [~2, ~1], "3 of 5 nodes"),
        ([~0], [], "same length"),
    ],
)
def test_preorder_not_a_tree_says_what_is_wrong(left, right, message):
    with pytest.raises(UsageError, match=message):
        preorder(left, right)


@given(topologies(), st.integers(1, 5))
@settings(deadline=None)
def test_split_tree_any_topology_parts_hold_every_node_once(tree, levels):
    parts = split_tree(*tree, levels=levels)
    branches = [branch for part in parts for branch in part.branches]
    leaves = [~end for part in parts for end in part.ends if end < 0]
    continued = [end for part in parts for end in part.ends if end >= 0]
    assert sorted(branches) == list(range(len(tree[0])))
    assert sorted(leaves) == list(range(len(tree[0]) + 1))
    assert continued == [part.branches[0] for part in parts[1:]] or sorted(continued) == sorted(
        part.branches[0] for part in parts[1:]
    )


@given(topologies(), st.integers(1, 5))
@settings(deadline=None)
def test_split_tree_any_topology_keeps_children_and_depth(tree, levels):
    for part in split_tree(*tree, levels=levels):
        assert lay_out_tree(part.left_child, part.right_child).levels <= levels + 1
        for local, branch in enumerate(part.branches):
            for side, whole in ((part.left_child, tree[0]), (part.right_child, tree[1])):
                child = side[local]
                original = part.branches[child] if child >= 0 else part.ends[~child]
                assert original == whole[branch]


@pytest.mark.parametrize(
    ("depth", "leaves", "levels"), [(5, 32, 5), (9, 512, 5), (8, 256, 4), (7, 20, 7), (0, 1, 1)]
)
def test_choose_levels_depth_and_leaves_gives_figures_of_equal_depth(depth, leaves, levels):
    assert choose_levels(depth, leaves) == levels


def test_full_tree_depth_five_has_every_leaf_at_level_five():
    assert set(lay_out_tree(*full_tree(5)).leaf_level.tolist()) == {5}
