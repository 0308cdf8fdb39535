from __future__ import annotations

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.prototree import Topology
from tests.reference import nested_pruning, recursive_tree

SEED_EXAMPLE = ((0, 1), 2)


def chain(depth: int):
    """Return a tree whose every branch has one leaf to the right, nested."""
    nested = 0
    for leaf in range(1, depth + 1):
        nested = (nested, leaf)
    return nested


def nested(topology: Topology):
    return recursive_tree.nest(recursive_tree.grow_from_arrays(topology.left, topology.right))


# ---------------------------------------------------------------- full


def test_full_depth_1_is_one_branch_with_two_leaves():
    assert Topology.full(1) == Topology((~0,), (~1,))


def test_full_depth_3_numbers_leaves_from_left_to_right():
    assert nested(Topology.full(3)) == (((0, 1), (2, 3)), ((4, 5), (6, 7)))


@pytest.mark.parametrize("depth", [1, 2, 5, 9, 12])
def test_full_counts_are_powers_of_two(depth):
    topology = Topology.full(depth)
    assert (topology.branches, topology.leaves) == (2**depth - 1, 2**depth)
    assert topology.depth == depth
    assert set(topology.leaf_depths) == {depth}


@pytest.mark.parametrize("depth", [0, 17, -1, 2.5, True, "5"])
def test_full_depth_out_of_range_is_refused(depth):
    with pytest.raises(UsageError, match=r"depth must be an integer in \[1, 16\], got"):
        Topology.full(depth)


# ---------------------------------------------------------------- from_nested


def test_from_nested_seed_example_has_its_arrays():
    topology = Topology.from_nested(SEED_EXAMPLE)
    assert topology.left == (1, ~0)
    assert topology.right == (~2, ~1)


def test_from_nested_full_tree_equals_full():
    assert Topology.from_nested((((0, 1), (2, 3)), ((4, 5), (6, 7)))) == Topology.full(3)


@pytest.mark.parametrize("wrong", [0, [0, 1], "tree", None])
def test_from_nested_no_pair_is_refused(wrong):
    with pytest.raises(UsageError, match=r"nested must be a \(left, right\) pair, got"):
        Topology.from_nested(wrong)


@pytest.mark.parametrize("wrong", [(0, 1, 2), ((0,), 1), ((), 0)])
def test_from_nested_not_two_children_is_refused(wrong):
    with pytest.raises(UsageError, match=r"nested must hold \(left, right\) pairs, got"):
        Topology.from_nested(wrong)


@pytest.mark.parametrize("wrong", [(0, "1"), (0, -1), (0, 1.0), (0, [1, 2])])
def test_from_nested_leaf_no_number_is_refused(wrong):
    with pytest.raises(UsageError, match="leaf must be an integer >= 0, got"):
        Topology.from_nested(wrong)


@pytest.mark.parametrize("wrong", [(0, 0), (1, 2), ((0, 1), 3)])
def test_from_nested_leaves_not_0_to_n_are_refused(wrong):
    with pytest.raises(UsageError, match="every leaf, exactly once"):
        Topology.from_nested(wrong)


# ---------------------------------------------------------------- arrays by hand


def test_topology_no_branches_is_refused():
    with pytest.raises(UsageError, match="same length of at least 1, got 0 and 0"):
        Topology((), ())


def test_topology_unequal_lengths_are_refused():
    with pytest.raises(UsageError, match="same length of at least 1, got 2 and 1"):
        Topology((1, ~0), (~1,))


@pytest.mark.parametrize(
    ("left", "right"),
    [((~0,), (~0,)), ((1, ~0), (1, ~1)), ((0,), (~0,)), ((2, ~0), (~1, ~2)), ((~0,), (~2,))],
)
def test_topology_child_twice_or_missing_is_refused(left, right):
    with pytest.raises(UsageError, match="every leaf, exactly once"):
        Topology(left, right)


def test_topology_child_before_its_parent_is_refused():
    # Branches 1 and 2 are each other's child, and no one's from the root.
    with pytest.raises(UsageError, match="must come before its children, got child 1 of branch 2"):
        Topology((~0, 2, 1), (~1, ~2, ~3))


def test_topology_numpy_integers_become_plain_integers():
    topology = Topology(tuple(np.array([1, -1])), tuple(np.array([-3, -2])))
    assert topology == Topology.from_nested(SEED_EXAMPLE)
    assert {type(child) for child in topology.left + topology.right} == {int}


# ---------------------------------------------------------------- paths and levels


def test_paths_seed_example_are_those_of_the_formula():
    assert Topology.from_nested(SEED_EXAMPLE).paths == (
        ((0, False), (1, False)),
        ((0, False), (1, True)),
        ((0, True),),
    )


def test_leaves_below_each_branch_of_a_crooked_tree():
    topology = Topology.from_nested(((3, (1, 4)), (0, 2)))
    assert [topology.leaves_below(branch) for branch in range(4)] == [
        [0, 1, 2, 3, 4],
        [1, 3, 4],
        [0, 2],
        [1, 4],
    ]


def test_levels_seed_example_hold_one_branch_each():
    levels = Topology.from_nested(SEED_EXAMPLE).levels
    assert [level.branches.tolist() for level in levels] == [[0], [1]]


def test_chain_of_depth_200_has_every_path():
    topology = Topology.from_nested(chain(200))
    assert topology.depth == 200
    assert sorted(topology.leaf_depths) == [*range(1, 201), 200]


# ---------------------------------------------------------------- without_leaves


def test_without_leaves_last_of_the_seed_example_leaves_its_left_child():
    reduction = Topology.from_nested(SEED_EXAMPLE).without_leaves([2])
    assert reduction.topology == Topology((~0,), (~1,))
    assert (reduction.branches, reduction.leaves) == ((1,), (0, 1))


def test_without_leaves_none_changes_nothing():
    topology = Topology.full(3)
    reduction = topology.without_leaves([])
    assert reduction.topology == topology
    assert reduction.branches == tuple(range(7))
    assert reduction.leaves == tuple(range(8))


def test_without_leaves_whole_side_lifts_the_other_side_to_the_root():
    reduction = Topology.full(3).without_leaves(range(4))
    assert reduction.topology == Topology.full(2)
    assert (reduction.branches, reduction.leaves) == ((2, 5, 6), (4, 5, 6, 7))


def test_without_leaves_chain_of_depth_200_keeps_every_other_branch():
    reduction = Topology.from_nested(chain(200)).without_leaves(range(1, 200, 2))
    assert reduction.topology == Topology.from_nested(chain(100))


@pytest.mark.parametrize("removed", [[3], [-1], [0, 99]])
def test_without_leaves_unknown_leaf_is_refused(removed):
    with pytest.raises(UsageError, match=r"removed must be leaves in \[0, 2\], got"):
        Topology.from_nested(SEED_EXAMPLE).without_leaves(removed)


def test_without_leaves_one_left_is_refused():
    with pytest.raises(UsageError, match="at least two leaves, got 2 of 3"):
        Topology.from_nested(SEED_EXAMPLE).without_leaves([0, 1])


def test_without_leaves_equals_nested_rebuilding():
    tree = ((3, (1, 4)), ((0, 5), 2))
    reduction = Topology.from_nested(tree).without_leaves([1, 2])
    twin = nested_pruning.without_leaves(recursive_tree.grow(tree), {1, 2})
    ours = nested_pruning.renumber(
        recursive_tree.grow_from_arrays(reduction.topology.left, reduction.topology.right),
        dict(enumerate(reduction.branches)),
        dict(enumerate(reduction.leaves)),
    )
    assert nested_pruning.describe(ours) == nested_pruning.describe(twin)
