from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pellucid import DataError, UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.expressions import parse
from pellucid.approximation.tables import TableTarget
from pellucid.approximation.targets import (
    BlackBoxTarget,
    CallableTarget,
    ExpressionTarget,
    Target,
    target,
    target_from_json,
)

LINE, SQUARE = Box((0.0,), (1.0,)), Box((0.0, 0.0), (1.0, 2.0))


def product_of_rows(points):
    return points[:, 0] * points[:, 1]


def product_of_columns(x, y):
    return x * y


def product_of_numbers(x, y):
    return float(x) * float(y) if x > 0 else 0.0


def product_of_one_point(point):
    return point[0] * point[1]


@pytest.mark.parametrize(
    "function", [product_of_rows, product_of_columns, product_of_numbers, product_of_one_point]
)
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_target_function_of_any_calling_form_has_its_values(function, count):
    points = SQUARE.sample(count, np.random.default_rng(0))
    made = target(function, SQUARE, [2.0, 1.0])
    assert made.kind == "callable"
    np.testing.assert_allclose(made(points), points[:, 0] * points[:, 1])


@pytest.mark.parametrize("function", [math.sin, np.sin, lambda x: math.sin(x), lambda p: np.sin(p)])
def test_target_function_of_one_coordinate_has_its_values(function):
    points = LINE.sample(20, np.random.default_rng(0))
    np.testing.assert_allclose(target(function, LINE)(points), np.sin(points[:, 0]))


def test_target_function_that_is_no_map_of_rows_is_called_point_by_point():
    # Over an array it would divide by the largest of all points.
    made = target(lambda x: x / np.max(x) if np.max(x) else 1.0, LINE, 1.0)
    np.testing.assert_allclose(made([[0.5], [0.25]]), [1.0, 1.0])


@pytest.mark.parametrize(
    ("f", "box", "lipschitz", "kind"),
    [
        ("sin(x)", LINE, None, "expression"),
        (parse("sin(x)"), LINE, None, "expression"),
        (np.sin, LINE, 1.0, "callable"),
        (np.sin, LINE, None, "black_box"),
        (np.zeros((3, 4)), SQUARE, 1.0, "table"),
        ([0.0, 1.0], LINE, 1.0, "table"),
    ],
)
def test_target_kind_follows_from_what_is_given(f, box, lipschitz, kind):
    made = target(f, box, lipschitz)
    assert made.kind == kind
    assert isinstance(made, Target)
    assert made.dimension == box.dimension
    assert made(box.grid(3)).shape == (3**box.dimension,)


def test_target_sympy_expression_is_a_formula():
    sympy = pytest.importorskip("sympy")
    x, y = sympy.symbols("x y")
    formula = sympy.Piecewise((sympy.Abs(x - y), x < sympy.Rational(1, 2)), (sympy.exp(y), True))
    made = target(formula + sympy.Max(x, y) ** sympy.Rational(1, 3), SQUARE)
    assert made([[0.25, 1.0]]) == pytest.approx([1.75])
    assert made([[0.75, 1.0]]) == pytest.approx([math.e + 1.0])


def test_target_formula_knows_its_slopes_range_and_continuity():
    made = target("sin(6*x)*y", SQUARE)
    assert isinstance(made, ExpressionTarget)
    assert made.lipschitz == pytest.approx((12.0, 1.0), rel=0.03)
    assert made.range == pytest.approx((-2.0, 2.0), rel=0.03)
    assert made.continuous is True
    assert made.slack == 0.0
    assert made.enclose([[0.0, 0.0]], [[1.0, 2.0]], order=1).gradient.shape == (1, 2)


@pytest.mark.parametrize(
    ("f", "box", "lipschitz", "message"),
    [
        ("1/x", LINE, None, "1/x divides by zero at x=0"),
        ("x*y", LINE, None, "y is coordinate 2, but there are only 1"),
        ("x", LINE, 3.0, "lipschitz must be left out for a formula"),
        (parse("x*y"), LINE, None, r"box must have 2 dimension\(s\)"),
        (lambda x: x / 0, LINE, 1.0, "function must return finite numbers, got inf at"),
        (lambda x: math.log(x), LINE, 1.0, "function raised ValueError at .*math domain error"),
        (lambda p: p, SQUARE, 1.0, r"function must return one number at .*, got \(1, 2\)"),
        (lambda x: "a", LINE, 1.0, "function must return one number at .*, got <U1"),
        (lambda x: x + 0j, LINE, 1.0, "function must return one number at .*, got complex128"),
        (np.sin, LINE, -1.0, "lipschitz must be a number in"),
        (np.sin, LINE, [1.0, 2.0], "lipschitz must be one number, or one for each of 1"),
        (np.sin, LINE, "a", "lipschitz must be a number in"),
        ([["a"]], LINE, 1.0, "table must be an array of numbers"),
        (None, LINE, None, "f must be a formula, a function or an array of values, got NoneType"),
        (lambda a, b, c: a, SQUARE, 1.0, "function raised TypeError"),
    ],
)
def test_target_mistake_is_found_at_once(f, box, lipschitz, message):
    with pytest.raises(UsageError, match=message):
        target(f, box, lipschitz)


def test_target_random_function_is_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(UsageError, match="function must be deterministic"):
        target(lambda x: generator.random(), LINE, 1.0)


def test_target_function_failing_later_says_where():
    made = target(lambda x: np.where(x == 0.123, np.nan, x), LINE, 1.0)
    with pytest.raises(UsageError, match=r"got nan at \(0.123\)"):
        made([[0.5], [0.123]])


def test_target_function_raising_later_says_so():
    def function(x):
        if np.any(np.asarray(x) == 0.123):
            raise RuntimeError("no such file")
        return x * 1.0

    made = target(function, LINE, 1.0)
    with pytest.raises(UsageError, match="function raised RuntimeError: no such file"):
        made([[0.5], [0.123]])


def test_tabulate_table_is_within_its_slack_of_the_function():
    made = target(lambda x, y: np.sin(6 * x) * np.cos(4 * y), SQUARE, [6.0, 4.0])
    assert isinstance(made, CallableTarget)
    table = made.tabulate(0.05)
    assert table.slack <= 0.05
    points = SQUARE.sample(2_000, np.random.default_rng(0))
    assert np.abs(made(points) - table(points)).max() <= table.slack


def test_tabulate_too_many_values_is_refused():
    made = target(lambda x, y: x * 1e3, SQUARE, 1e3)
    assert isinstance(made, CallableTarget)
    with pytest.raises(
        UsageError, match=r"tolerance needs .* values of .*lambda.*, more than 1000"
    ):
        made.tabulate(1e-3, maximal_values=1_000)


def test_tabulate_function_steeper_than_said_is_refused():
    made = target(lambda x: 3 * x, LINE, 1.0)
    assert isinstance(made, CallableTarget)
    with pytest.raises(UsageError, match="lipschitz must be at least 3"):
        made.tabulate(0.01)


@pytest.mark.parametrize("f", ["sin(6*x)*y", np.arange(6.0).reshape(2, 3)])
def test_json_round_trip_gives_the_same_target(f):
    made = target(f, SQUARE, None if isinstance(f, str) else 9.0)
    again = target_from_json(json.loads(json.dumps(made.to_json())))
    assert again.to_json() == made.to_json()
    np.testing.assert_array_equal(again(SQUARE.grid(3)), made(SQUARE.grid(3)))


@pytest.mark.parametrize("lipschitz", [None, 1.0])
def test_json_of_a_function_cannot_be_read_back(lipschitz):
    data = target(np.sin, LINE, lipschitz).to_json()
    with pytest.raises(DataError, match="'sin', which a file cannot hold"):
        target_from_json(json.loads(json.dumps(data)))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "other"},
        {"kind": "expression"},
        {"kind": "expression", "text": "x", "dimension": "1", "box": [[0, 1]]},
        {"kind": "expression", "text": "1/x", "dimension": 1, "box": [[0, 1]]},
        {"kind": "expression", "text": "x", "dimension": 1, "box": [[1, 0]]},
        {"kind": "expression", "text": 5, "dimension": 1, "box": [[0, 1]]},
        {"kind": "expression", "text": "x", "dimension": 1, "box": None},
        {"kind": "table"},
        [],
    ],
)
def test_json_damaged_target_is_refused(data):
    with pytest.raises(
        DataError, match=r"(target|table) (in the file is damaged|must have a kind)"
    ):
        target_from_json(data)


def test_target_of_a_formula_on_another_box_is_checked_there():
    made = target("log(x)", Box((1.0,), (2.0,)))
    with pytest.raises(UsageError, match="needs a positive argument"):
        target(made, LINE)


def test_target_of_a_table_on_another_box_is_refused():
    with pytest.raises(UsageError, match="box must be that of the target"):
        target(target([0.0, 1.0], LINE, 1.0), Box((0.0,), (2.0,)))


def test_target_of_a_target_is_itself():
    made = target("x", LINE)
    assert target(made, LINE) is made
    assert isinstance(target([0.0, 1.0], LINE, 1.0), TableTarget)
    assert isinstance(target(np.sin, LINE), BlackBoxTarget)
