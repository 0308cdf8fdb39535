"""Jets against mpmath with 120 digits: values, gradients and Hessians lie within."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import UsageError
from pellucid.approximation.enclosures import enclose
from pellucid.approximation.enclosures.jets import CHUNK
from pellucid.approximation.expressions import Expression, parse
from tests.reference.formula_values import gradient_at, hessian_at, value_at
from tests.reference.random_formulas import formulas

both_arithmetics = pytest.mark.parametrize("arithmetic", ["intervals", "balls"])
SMOOTH = [
    "sin(6*x)*cos(4*y) + x*y",
    "exp(-200*((x-0.5)**2 + (y-0.5)**2))",
    "tanh(3*x)*sigmoid(5*y) - erf(x*y)",
    "x**y + 2**y + (x+0.1)**(1/3)",
    "atan(x*y) + asin(0.9*x) - acos(0.5*y)",
    "sinh(x)/cosh(y) + tan(x*y) + log(1 + x + y)",
    "hypot(x + 0.1, y) + sqrt(x + y**2)",
    "(x + 0.5)**-2 * (y + 0.1)**3 / (1 + x*y) + x**pi",
]


def boxes(dimension: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes of all sizes, with faces at 0 and points too, and a point inside each."""
    generator = np.random.default_rng(seed)
    lower = np.round(generator.normal(size=(count, dimension)), 1) * generator.choice([1.0, 5.0])
    lower[:2] = 0.0
    width = np.abs(generator.normal(size=(count, dimension))) * 10.0 ** generator.uniform(
        -5, 0, (count, 1)
    )
    width[2] = 0.0
    share = generator.uniform(0.1, 0.9, (count, dimension))
    return lower, lower + width, np.clip(lower + share * width, lower, lower + width)


def holds(lower: float, upper: float, value: mpmath.mpf, relative: float) -> bool:
    slack = abs(value) * relative
    return (lower == -np.inf or lower <= value + slack) and (
        upper == np.inf or value - slack <= upper
    )


def assert_sound(expression: Expression, seed: int, arithmetic: str) -> None:
    dimension = expression.dimension
    lower, upper, points = boxes(dimension, 8, seed)
    for order in (0, 1, 2):
        jet = enclose(expression, lower, upper, order=order, arithmetic=arithmetic)
        parts = [part for part in (jet.value, jet.gradient, jet.hessian) if part is not None]
        assert len(parts) == order + 1
        for part in parts:
            assert np.all(part.lower <= part.upper)  # never nan
        for row, point in enumerate(points):
            value = value_at(expression, point)
            if value is None or abs(value) > 1e30:
                continue
            assert holds(jet.value.lower[row], jet.value.upper[row], value, 0.0)
            if not ((lower[row] < point) & (point < upper[row])).all():
                continue
            if order == 1 and row % 2:
                for i, slope in enumerate(gradient_at(expression, point)):
                    low, high = jet.gradient.lower[row, i], jet.gradient.upper[row, i]
                    if mpmath.isfinite(slope) and abs(slope) < 1e12:
                        assert holds(low, high, slope, 1e-17) or abs(slope) < 1e-25
            if order == 2 and row % 4 == 1:
                for i, bends in enumerate(hessian_at(expression, point)):
                    for j, bend in enumerate(bends):
                        low, high = jet.hessian.lower[row, i, j], jet.hessian.upper[row, i, j]
                        if mpmath.isfinite(bend) and abs(bend) < 1e9:
                            assert holds(low, high, bend, 1e-10) or abs(bend) < 1e-18


@both_arithmetics
@settings(max_examples=60, deadline=None)
@given(text=formulas(2), seed=st.integers(0, 1000))
def test_enclose_random_formula_holds_the_true_jets(arithmetic, text, seed):
    try:
        expression = parse(text, 2)
    except UsageError:
        return
    assert_sound(expression, seed, arithmetic)


@both_arithmetics
@pytest.mark.parametrize("text", SMOOTH)
def test_enclose_smooth_formula_holds_the_true_jets(arithmetic, text):
    for seed in range(5):
        assert_sound(parse(text, 2), seed, arithmetic)


@pytest.mark.parametrize("text", SMOOTH)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_enclose_intervals_and_balls_overlap(text, order):
    generator = np.random.default_rng(0)
    lower = generator.random((50, 2))
    upper = lower + 0.01
    intervals, balls = (
        enclose(parse(text), lower, upper, order=order, arithmetic=arithmetic)
        for arithmetic in ("intervals", "balls")
    )
    for name in ("value", "gradient", "hessian")[: order + 1]:
        a, b = getattr(intervals, name), getattr(balls, name)
        assert np.all(a.lower <= b.upper)
        assert np.all(b.lower <= a.upper)


@pytest.mark.parametrize("text", SMOOTH)
def test_enclose_is_tight_or_its_excess_shrinks_with_the_square_of_the_box(text):
    generator = np.random.default_rng(0)
    center = 0.2 + 0.6 * generator.random((50, 2))
    excess = []
    for size in (1e-2, 1e-3):
        box = center - size / 2, center + size / 2
        jet = enclose(parse(text), *box, order=1)
        samples = np.stack(
            [
                parse(text)(box[0] + size * np.array([a, b]))
                for a in np.linspace(0, 1, 9)
                for b in np.linspace(0, 1, 9)
            ]
        )
        excess.append(np.median(jet.value.width - np.ptp(samples, axis=0)))
    assert excess[1] < max(excess[0] / 40, 1e-12)


@both_arithmetics
def test_enclose_monotone_formula_is_exact(arithmetic):
    jet = enclose(
        parse("x**3 + x - exp(-y) - x*y"),
        [[1.1, 0.0]],
        [[2.0, 0.5]],
        order=1,
        arithmetic=arithmetic,
    )
    assert jet.value.lower[0] == pytest.approx(1.331 + 1.1 - np.exp(-0.5) - 0.55)
    assert jet.value.upper[0] == pytest.approx(9.0)


@both_arithmetics
def test_enclose_where_jump_has_unbounded_slope_along_its_coordinates_only(arithmetic):
    jet = enclose(
        parse("where(x < 0.5, 0, 2*y)"), [[0.4, 0.0]], [[0.6, 1.0]], order=2, arithmetic=arithmetic
    )
    assert jet.gradient.is_bounded.tolist() == [[False, True]]
    assert jet.gradient.upper[0, 1] == pytest.approx(2.0)
    assert jet.hessian.is_bounded.tolist() == [[[False, False], [False, True]]]


@both_arithmetics
@pytest.mark.parametrize(
    ("condition", "value"),
    [("x < 1", 1.0), ("x > 1", 2.0), ("not x < 1", 2.0), ("x < 1 and y < 1", 1.0),
     ("x > 1 or y > 1", 2.0), ("x == 2", 2.0), ("x != 2", 1.0), ("0 <= x <= 0.5", 1.0)],
)  # fmt: skip
def test_enclose_where_known_condition_takes_one_branch(arithmetic, condition, value):
    jet = enclose(
        parse(f"where({condition}, 1, 2)", 2), [[0.1, 0.1]], [[0.2, 0.2]], arithmetic=arithmetic
    )
    assert (jet.value.lower[0], jet.value.upper[0]) == (value, value)


@both_arithmetics
def test_enclose_norm_at_the_origin_has_slope_one(arithmetic):
    jet = enclose(
        parse("sqrt(x**2 + y**2)"), [[-1.0, -1.0]], [[1.0, 1.0]], order=1, arithmetic=arithmetic
    )
    np.testing.assert_allclose(jet.gradient.upper, 1.0)
    np.testing.assert_allclose(jet.gradient.lower, -1.0)


def test_enclose_absolute_value_has_both_slopes_at_its_kink():
    jet = enclose(parse("abs(x)"), [[-1.0], [1.0]], [[2.0], [2.0]], order=2)
    np.testing.assert_allclose(jet.gradient.lower, [[-1.0], [1.0]], rtol=1e-15)
    np.testing.assert_allclose(jet.gradient.upper, [[1.0], [1.0]], rtol=1e-15)
    assert jet.hessian.is_bounded.tolist() == [[[False]], [[True]]]


def test_enclose_root_at_zero_has_unbounded_slope_and_finite_value():
    jet = enclose(parse("sqrt(x)"), [[0.0]], [[0.25]], order=2)
    assert (jet.value.lower[0], jet.value.upper[0]) == (0.0, pytest.approx(0.5))
    assert jet.gradient.lower[0, 0] == pytest.approx(1.0)
    assert jet.gradient.upper[0, 0] == np.inf


@both_arithmetics
@pytest.mark.parametrize("text", ["tan(x)", "1/x", "x**-3", "log(x)", "sqrt(x)", "x**0.3"])
def test_enclose_across_a_gap_trusts_no_slope(arithmetic, text):
    jet = enclose(parse(text), [[-2.0]], [[2.0]], order=1, arithmetic=arithmetic)
    assert not jet.gradient.is_bounded.any()
    assert jet.gradient.lower[0, 0] == -np.inf


@both_arithmetics
def test_enclose_more_boxes_than_a_chunk_are_in_order(arithmetic):
    count = CHUNK + 3
    lower = np.linspace(0, 1, count)[:, None]
    jet = enclose(parse("2*x"), lower, lower, order=2, arithmetic=arithmetic)
    np.testing.assert_allclose(jet.value.lower, 2 * lower[:, 0], rtol=1e-12)
    assert jet.gradient.shape == (count, 1)
    assert jet.hessian.shape == (count, 1, 1)


@both_arithmetics
def test_enclose_no_boxes_gives_no_enclosures(arithmetic):
    jet = enclose(
        parse("x + y"), np.zeros((0, 2)), np.zeros((0, 2)), order=2, arithmetic=arithmetic
    )
    assert jet.hessian.shape == (0, 2, 2)


def test_enclose_constant_has_no_slope():
    jet = enclose(parse("3", 2), np.zeros((4, 2)), np.ones((4, 2)), order=2)
    assert np.all(jet.value.lower == 3.0)
    assert not jet.gradient.magnitude.any()
    assert not jet.hessian.magnitude.any()


def test_enclose_wrong_shape_is_refused():
    with pytest.raises(UsageError, match=r"must both have shape \(n, 2\), got \(3,\) and \(3,\)"):
        enclose(parse("x + y"), np.zeros(3), np.zeros(3))


def test_enclose_unknown_arithmetic_is_refused():
    with pytest.raises(UsageError, match="arithmetic must be one of 'intervals', 'balls'"):
        enclose(parse("x"), [[0.0]], [[1.0]], arithmetic="ball")  # type: ignore[arg-type]
