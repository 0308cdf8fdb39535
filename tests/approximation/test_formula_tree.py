from __future__ import annotations

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.approximation.expressions import parse
from tests.reference.formula_values import value_at


def test_expression_many_points_equal_one_at_a_time():
    expression = parse("sin(6*x)*cos(4*y) + x*y")
    points = np.random.default_rng(0).random((40_000, 2))
    one_by_one = [expression(points[i : i + 1])[0] for i in range(0, 40_000, 4_001)]
    np.testing.assert_array_equal(expression(points)[::4_001], one_by_one)


def test_expression_values_agree_with_many_digits():
    expression = parse("tanh(3*x)*sigmoid(y) - erf(x*y) + 2**y + x**(1/3) + hypot(x, y)")
    points = np.random.default_rng(1).random((50, 2))
    exact = [float(value_at(expression, point)) for point in points]
    np.testing.assert_allclose(expression(points), exact, rtol=1e-14)


def test_expression_undefined_value_is_nan_without_a_warning():
    assert np.isnan(parse("sqrt(x)")([[-1.0]])).all()


def test_expression_constant_has_one_value_per_point():
    assert parse("3", 2)(np.zeros((5, 2))).tolist() == [3.0] * 5


def test_expression_no_points_give_no_values():
    assert parse("x")(np.zeros((0, 1))).shape == (0,)


def test_expression_wrong_shape_is_refused():
    with pytest.raises(UsageError, match=r"points must have shape \(n, 2\), got \(3,\)"):
        parse("x + y")(np.zeros(3))


@pytest.mark.parametrize(
    ("text", "continuous"), [("sin(x)", True), ("where(x<1, 0, 1)", None), ("sign(x)", None)]
)
def test_expression_continuous_is_known_from_the_tree(text, continuous):
    assert parse(text).continuous is continuous


def test_expression_text_of_node_is_what_was_typed():
    expression = parse("1 + sin( 6*x )")
    node = next(node for node in expression.steps if node.operation == "sin")
    assert expression.text_of(node) == "sin( 6*x )"
