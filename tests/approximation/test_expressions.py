from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special

from pellucid import UsageError
from pellucid.approximation.expressions import MAXIMAL_LENGTH, parse
from tests.reference.random_formulas import formulas

# What Python itself makes of a formula: the twin of our parser and of the evaluation.
NAMES = {
    name: getattr(np, {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name))
    for name in (
        *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "log"),
        *("sqrt", "abs", "sign", "hypot", "where", "pi", "e"),
    )
}
NAMES |= {"min": np.minimum, "max": np.maximum, "sigmoid": special.expit, "erf": special.erf}


def by_python(text: str, points: np.ndarray) -> np.ndarray:
    variables = dict(zip("xyz", points.T, strict=False))
    with np.errstate(all="ignore"):
        values = eval(text, {"__builtins__": {}}, NAMES | variables)
    return np.broadcast_to(np.asarray(values, dtype=np.float64), len(points))


@settings(max_examples=300, deadline=None)
@given(formulas(3))
@example("(min(0, 0))**-1")
@example("(x)**(((-1))**(0.5))")
def test_parse_random_formula_has_the_values_python_gives(text):
    points = np.random.default_rng(0).normal(size=(20, 3))
    try:
        values = parse(text, 3)(points)
    except UsageError as error:
        assert "division by zero" in str(error) or "exponent" in str(error)  # noqa: PT017
        return
    try:
        expected = by_python(text, points)
    except (ZeroDivisionError, OverflowError):
        return
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        # Python and NumPy go to complex numbers, or refuse negative powers of whole ones.
        return
    # Both may overflow, or lose all digits, in other places.
    sane = np.isfinite(expected) & (np.abs(expected) < 1e9) & np.isfinite(values)
    close = np.isclose(values, expected, rtol=1e-6, atol=1e-6)
    assert (close | ~sane).mean() > 0.8


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-x**2", -9.0),
        ("2**-x", 0.125),
        ("2**3**2", 512.0),
        ("2^x", 8.0),
        ("1 - 2 - x", -4.0),
        ("8/2/x", 4 / 3),
        ("-x*2", -6.0),
        ("+x", 3.0),
        ("1/3", 1 / 3),
        ("x1", 3.0),
        ("t", 3.0),
        ("ln(x) - log(x)", 0.0),
        ("log2(8) + log10(1000)", 6.0),
        ("pow(x, 2)", 9.0),
        ("min(x, 1, 2) + max(4, x)", 5.0),
        ("hypot(x, 4)", 5.0),
        ("Abs(-x)", 3.0),
        ("where(x < 3, 0, 1)", 1.0),
        ("where(x <= 3, 0, 1)", 0.0),
        ("where(1 < x < 2, 0, 1)", 1.0),
        ("where(1 < x <= 3 and not x == 2, 5, 1)", 5.0),
        ("where((x > 4) | (x < 3.5) & (x > 2), 5, 1)", 5.0),
        ("Piecewise((0, x < 1), (2, x < 4), (3, True))", 2.0),
        ("2 × x − 1 · π", 6 - math.pi),
        ("(x+x+x+x)*1e-1", 1.2),
    ],
)
def test_parse_formula_has_value_at_three(text, value):
    assert parse(text)([[3.0]]) == pytest.approx([value])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2x", r"at character 2: a product is written with \*, so 2\*x\.\n    2x\n     \^"),
        ("(x+1)(x-1)", r"a product is written with \*"),
        ("x(2)", r"a product is written with \*"),
        ("sin(x", r"this parenthesis is never closed\.\n    sin\(x\n       \^"),
        ("sine(x)", r"unknown function 'sine'. Did you mean 'sin'\?\n    sine\(x\)\n    \^\^\^\^"),
        ("q + 1", "unknown name 'q'. Functions: abs acos"),
        ("sin", r"sin is a function: write sin\(\.\.\.\)"),
        ("x +", "the formula ends too early"),
        ("x)", r"unexpected '\)'"),
        ("* x", r"unexpected '\*': a number, a name or \( was expected"),
        ("sin(x, y)", r"sin takes 1 argument\(s\), got 2"),
        ("where(x, 1, 2)", "where needs a condition such as"),
        ("x < 1", "a comparison has no value as a number"),
        ("sin(x < 1)", "a comparison has no value as a number"),
        ("x and y", "and needs a condition"),
        ("x = 1", "use == to compare"),
        ("x²", r"write \*\*2"),
        ("x[0]", "use parentheses"),
        ("1/0", "division by zero"),
        ("x/(2-2)", "division by zero"),
        ("1e999", "too large, too small or too long"),
        ("9**9**9", "an exponent must be between"),
        ("x**5000", "an exponent must be between"),
        ("(x**900)*(x**900)", "an exponent must be between"),
        ("10**300*10**300", "too large for float64"),
        ("9**999", "too large or too small"),
        ("x4 + t", "t is the last of 4 coordinates"),
        ("Piecewise((0, x < 1))", "the last piece needs the condition True"),
        ("", "must not be empty"),
        ("   ", "must not be empty"),
    ],
)
def test_parse_mistake_is_shown_with_its_place(text, message):
    with pytest.raises(UsageError, match=message):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('ls')",
        "x.__class__",
        "().__class__.__bases__",
        "[x for x in (1,)]",
        "lambda: 1",
        "exec(x)",
        "open('file')",
        "x if x else 1",
        "f'{x}'",
        "x := 1",
        "x; y",
        "@x",
        "'" * 50,
        "\\",
        "\x00",
        "💥",
    ],
)
def test_parse_code_is_refused(text):
    with pytest.raises(UsageError, match="cannot be read at character"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["(" * 5_000, "-" * 5_000 + "x", "sin(" * 200 + "x" + ")" * 200, "2**" * 500 + "2"]
)
def test_parse_deep_nesting_is_refused(text):
    with pytest.raises(UsageError, match="nested more than"):
        parse(text)


def test_parse_megabyte_is_refused():
    with pytest.raises(UsageError, match=f"at most {MAXIMAL_LENGTH} characters"):
        parse("x+" * 500_000 + "x")


def test_parse_long_sum_is_read_without_recursion():
    expression = parse("+".join(["x"] * 3_000))
    assert expression([[2.0]]) == [6_000.0]
    assert len(repr(expression)) < 10_000


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="xyzt01.e+-*/^()<>=,sinwhere \t", max_size=30))
def test_parse_random_text_is_read_or_refused(text):
    try:
        expression = parse(text)
    except UsageError:
        return
    again = parse(str(expression), expression.dimension)
    point = np.full((1, expression.dimension), 0.3)
    np.testing.assert_array_equal(again(point), expression(point))


def test_parse_other_than_text_is_refused():
    with pytest.raises(UsageError, match="expression must be text, got int"):
        parse(3)  # type: ignore[arg-type]


def test_parse_too_many_variables_for_the_dimension_is_refused():
    with pytest.raises(UsageError, match="z is coordinate 3, but there are only 2"):
        parse("x + z", 2)


@pytest.mark.parametrize(
    ("text", "dimension"), [("1", 1), ("y", 2), ("x*t", 2), ("t", 1), ("x3", 3), ("x+y+z+t", 4)]
)
def test_parse_without_dimension_counts_the_variables(text, dimension):
    assert parse(text).dimension == dimension


def test_parse_time_is_the_last_coordinate():
    assert parse("t", 3)([[1.0, 2.0, 3.0]]) == [3.0]


def test_parse_equal_parts_are_one_node():
    expression = parse("sin(x*y) + sin(x*y)")
    assert [node.operation for node in expression.steps].count("sin") == 1


@pytest.mark.parametrize(
    ("text", "operation"),
    [("x*x", "power"), ("x**0.5", "sqrt"), ("sqrt(x**2)", "abs"), ("sqrt(x*x + y**2)", "norm")],
)
def test_parse_rewrites_to_what_encloses_best(text, operation):
    assert parse(text).root.operation == operation


@pytest.mark.parametrize("text", ["1e309", "1e400*x", "9" * 320])
def test_parse_number_beyond_float64_is_refused(text):
    with pytest.raises(UsageError, match="too large"):
        parse(text, 1)
