from __future__ import annotations

from fractions import Fraction

import pytest

from pellucid.approximation.expressions import parse
from pellucid.approximation.tree_building import MAXIMAL_NODES, TreeBuilder, TreeError


def variable(builder: TreeBuilder, index: int = 0):
    return builder.leaf("variable", index, (0, 1))


def test_apply_same_operation_twice_is_one_node():
    builder = TreeBuilder()
    x = variable(builder)
    assert builder.apply("sin", x, span=(0, 1)) is builder.apply("sin", x, span=(5, 6))


def test_apply_exact_constants_are_folded_exactly():
    root = parse("1/3 + 2*(5 - 1)/3").root
    assert root.value == Fraction(3)
    assert root.operation == "constant"


def test_number_is_the_nearest_float():
    assert parse("0.1").root.value == Fraction(0.1)


def test_apply_product_of_powers_adds_the_exponents():
    assert parse("x**2*x*x**3").root.value == 6


def test_apply_variables_are_those_below():
    assert parse("sin(x) + z").root.variables == {0, 2}


def test_apply_too_many_operations_are_refused():
    builder = TreeBuilder()
    node = variable(builder)

    def grow() -> None:
        nonlocal node
        for _ in range(MAXIMAL_NODES):
            node = builder.apply("sin", node, span=(0, 1))

    with pytest.raises(TreeError, match=f"more than {MAXIMAL_NODES} operations"):
        grow()


def test_power_of_long_constants_is_left_to_the_arithmetic():
    node = parse("(5/7)**700").root
    assert node.operation == "power"
