"""Topology against nested objects, over random binary shapes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pellucid.prototree import Topology
from tests.properties.strategies import QUICK, nested_trees
from tests.reference import nested_pruning, recursive_tree


@QUICK
@given(nested_trees())
def test_from_nested_any_shape_is_the_tree_written_down(nested):
    topology = Topology.from_nested(nested)
    assert recursive_tree.nest(recursive_tree.grow_from_arrays(topology.left, topology.right)) == (
        nested
    )


@QUICK
@given(nested_trees())
def test_from_nested_any_shape_numbers_branches_breadth_first(nested):
    topology = Topology.from_nested(nested)
    twin = nested_pruning.describe(recursive_tree.grow(nested))
    arrays = recursive_tree.grow_from_arrays(topology.left, topology.right)
    assert nested_pruning.describe(arrays) == twin


@QUICK
@given(nested_trees())
def test_paths_any_shape_equal_recursive_ones(nested):
    topology = Topology.from_nested(nested)
    assert dict(enumerate(topology.paths)) == recursive_tree.all_paths(recursive_tree.grow(nested))


@QUICK
@given(nested_trees())
def test_levels_any_shape_hold_each_branch_once_at_its_depth(nested):
    topology = Topology.from_nested(nested)
    depths = {
        branch: depth
        for depth, level in enumerate(topology.levels)
        for branch in level.branches.tolist()
    }
    assert sorted(depths) == list(range(topology.branches))
    for path in topology.paths:
        assert [depths[branch] for branch, _ in path] == list(range(len(path)))
    assert topology.depth == max(topology.leaf_depths)


@QUICK
@given(nested_trees())
def test_levels_parents_any_shape_point_at_the_branch_itself(nested):
    topology = Topology.from_nested(nested)
    left, right = np.array(topology.left), np.array(topology.right)
    children = np.zeros(1, int)
    for level in topology.levels:
        assert children[level.parents].tolist() == level.branches.tolist()
        children = np.stack([left[level.branches], right[level.branches]], axis=1).ravel()
    assert (children < 0).all()


@QUICK
@given(nested_trees())
def test_leaf_places_any_shape_find_each_leaf_among_all_children(nested):
    topology = Topology.from_nested(nested)
    left, right = np.array(topology.left), np.array(topology.right)
    children = [
        side[branch]
        for level in topology.levels
        for branch in level.branches
        for side in (left, right)
    ]
    children = np.array(children)
    assert children[topology.leaf_places].tolist() == [~leaf for leaf in range(topology.leaves)]


@QUICK
@given(nested_trees())
def test_leaves_below_any_shape_equal_recursive_ones(nested):
    topology = Topology.from_nested(nested)

    def check(node):
        if isinstance(node, recursive_tree.Leaf):
            return [node.number]
        below = sorted(check(node.left) + check(node.right))
        assert topology.leaves_below(node.number) == below
        return below

    check(recursive_tree.grow(nested))


@QUICK
@given(nested_trees(), st.data())
def test_without_leaves_any_shape_equals_nested_rebuilding(nested, data):
    topology = Topology.from_nested(nested)
    removed = data.draw(
        st.sets(st.integers(0, topology.leaves - 1), max_size=topology.leaves - 2), label="removed"
    )
    reduction = topology.without_leaves(removed)
    twin = nested_pruning.without_leaves(recursive_tree.grow(nested), removed)
    ours = nested_pruning.renumber(
        recursive_tree.grow_from_arrays(reduction.topology.left, reduction.topology.right),
        dict(enumerate(reduction.branches)),
        dict(enumerate(reduction.leaves)),
    )
    assert nested_pruning.describe(ours) == nested_pruning.describe(twin)
    assert reduction.leaves == tuple(sorted(set(range(topology.leaves)) - removed))


@QUICK
@given(nested_trees(), st.data())
def test_without_leaves_in_two_steps_equals_one(nested, data):
    topology = Topology.from_nested(nested)
    removed = data.draw(
        st.lists(st.integers(0, topology.leaves - 1), unique=True, max_size=topology.leaves - 2),
        label="removed",
    )
    half = len(removed) // 2
    first = topology.without_leaves(removed[:half])
    names = {old: new for new, old in enumerate(first.leaves)}
    second = first.topology.without_leaves([names[leaf] for leaf in removed[half:]])
    at_once = topology.without_leaves(removed)
    assert second.topology == at_once.topology
    assert tuple(first.branches[b] for b in second.branches) == at_once.branches
