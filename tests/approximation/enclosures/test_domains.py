from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.enclosures.domains import bisect, check_defined
from pellucid.approximation.expressions import parse
from tests.reference.formula_values import value_at
from tests.reference.random_formulas import formulas


def unit_box(dimension: int) -> Box:
    return Box((0.0,) * dimension, (1.0,) * dimension)


FINE = [
    "sqrt(x)",
    "x**0.5 + x**pi",
    "sin(x)/(x+1)",
    "log(1+x**2)",
    "sqrt(x**2+y**2)",
    "exp(-1/(x+0.1))",
    "sqrt(x*(1-x))",
    "asin(x) + acos(x)",
    "(x+0.1)**y",
    "1/(1+exp(1000*x))",
    "1/(sin(50*x)+1.0001)",
    "where(x > 0.5, sqrt(x-0.5), 0)",
    "where(abs(x) > 1e-6, sin(x)/x, 1)",
    "where(x < 0.5, 1/(x-0.7), 1/(x-0.3))",
    "where(x < 0.7 and y > 0.2, 1/(x-0.8), 1)",
    "where(not (x < 0.3 or y < 0.3), log(x - 0.2) + log(y - 0.2), 0)",
    "where(0.25 <= x <= 0.75, sqrt((x-0.25)*(0.75-x)), 0)",
    "where(x < 0.5, where(x < 0.25, 1/(x-0.3), 1/(x-0.2)), log(x))",
    "log(exp(x))",
    "tan(x)",
    "sqrt(abs(x-y))",
    "x + tanh(exp(800*x))",
]


@pytest.mark.parametrize("text", FINE)
def test_check_defined_fine_formula_passes(text):
    expression = parse(text)
    check_defined(expression, unit_box(expression.dimension))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1/x", r"^1/x divides by zero at x=0\. Choose a box without this place, or appr"),
        ("2 + sin(3/x)", r"^3/x divides by zero at x=0"),
        ("x**-2", r"^x\*\*-2 divides by zero at x=0"),
        ("1/(1+1/x)", r"^1/x divides by zero at x=0"),
        ("1/(x-y)", r"^1/\(x-y\) divides by zero at x=0, y=0"),
        ("1/(x-y-0.1)", r"^1/\(x-y-0.1\) divides by zero near x="),
        ("1/(x**2+y**2-0.5)", r"divides by zero at x=0.5, y=0.5"),
        ("log(x)", r"^log\(x\) needs a positive argument, got 0 at x=0.*log\(max\(x, 1e-6\)\)"),
        ("x*log(x)", r"^log\(x\) needs a positive argument"),
        ("tan(2*x)", r"^tan\(2\*x\) has a pole near x=0.785398"),
        ("sqrt(x-0.5)", r"^sqrt\(x-0.5\) needs an argument of at least 0, got -0.5 at x=0"),
        ("(x-0.5)**0.3", r"^\(x-0.5\)\*\*0.3 needs a positive base, got -0.5 at x=0"),
        ("(x-0.5)**y", r"needs a positive base, got -0.25 at x=0.25, y=0.5"),
        ("x**-0.5", r"^x\*\*-0.5 needs a positive base, got 0"),
        ("asin(2*x)", r"^asin\(2\*x\) needs an argument in \[-1, 1\], got 2 at x=1"),
        ("exp(1000*x)", r"^exp\(1000\*x\) is larger than float64 can hold .* at x=1"),
        ("x + sin(sinh(10**10))", r"^sinh\(10\*\*10\) is larger than float64 can hold .* at x=0"),
        ("cos(exp(800*x))", r"^exp\(800\*x\) is larger than float64 can hold .* at x=1"),
        ("where(x > 0, sin(x)/x, 1)", r"^sin\(x\)/x divides by zero near x=.*could not be shown"),
        ("sqrt(x**2-2*x+1)", r"near x=1\..*write sqrt\(max\(x\*\*2-2\*x\+1, 0\)\)"),
        ("log(t)", r"at t=0"),
    ],
)
def test_check_defined_names_the_part_the_place_and_the_remedy(text, message):
    expression = parse(text)
    with pytest.raises(UsageError, match=message):
        check_defined(expression, unit_box(expression.dimension))


def test_check_defined_end_written_like_a_number_of_the_formula_is_fine():
    check_defined(parse("sqrt(x - 0.3)"), Box((0.3,), (1.0,)))


def test_check_defined_pole_away_from_round_numbers_is_found():
    with pytest.raises(UsageError, match="divides by zero near x=0"):
        check_defined(parse("1/x"), Box((-1.0,), (2.0,)))


def test_check_defined_other_dimension_is_refused():
    with pytest.raises(UsageError, match=r"box must have 2 dimension\(s\), as the formula has"):
        check_defined(parse("x + y"), unit_box(1))


@settings(max_examples=150, deadline=None)
@given(formulas(2), st.integers(0, 1000))
def test_check_defined_passing_formula_is_defined_at_random_points(text, seed):
    try:
        expression = parse(text, 2)
        check_defined(expression, unit_box(2))
    except UsageError:
        return
    generator = np.random.default_rng(seed)
    points = np.concatenate([generator.random((10, 2)), generator.integers(0, 2, (6, 2))])
    for point in points:
        assert value_at(expression, point) is not None or not np.isfinite(expression([point]))
    assert np.isfinite(expression(points)).all()


def test_bisect_halves_cover_the_box():
    lower, upper = bisect(np.array([[0.0, 0.0]]), np.array([[1.0, 4.0]]), np.array([1]))
    assert lower.tolist() == [[0.0, 0.0], [0.0, 2.0]]
    assert upper.tolist() == [[1.0, 2.0], [1.0, 4.0]]
