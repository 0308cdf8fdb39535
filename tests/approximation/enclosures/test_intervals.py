"""Intervals against Arb with 200 bits: true values lie within, and not much room is left."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import flint
import numpy as np
import pytest
from flint import arb, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.approximation.enclosures.intervals import LARGEST_ANGLE, Intervals

ANY = (-1e6, 1e6)
#: Method, the same for one number of Arb, and where to try it.
FUNCTIONS: dict[str, tuple[Callable[[arb], arb], tuple[float, float]]] = {
    "exp": (arb.exp, (-700, 700)),
    "log": (arb.log, (1e-12, 1e6)),
    "sqrt": (arb.sqrt, (0, 1e6)),
    "sin": (arb.sin, ANY),
    "cos": (arb.cos, ANY),
    "tan": (arb.tan, ANY),
    "tanh": (arb.tanh, (-30, 30)),
    "sinh": (arb.sinh, (-300, 300)),
    "cosh": (arb.cosh, (-300, 300)),
    "atan": (arb.atan, ANY),
    "asin": (arb.asin, (-1, 1)),
    "acos": (arb.acos, (-1, 1)),
    "erf": (arb.erf, (-8, 8)),
    "sigmoid": (lambda x: 1 / (1 + (-x).exp()), (-800, 800)),
    "sigmoid_slope": (lambda x: x.exp() / (1 + x.exp()) ** 2, (-800, 800)),
    "sigmoid_curvature": (
        lambda x: x.exp() * (1 - x.exp()) / (1 + x.exp()) ** 3,
        (-800, 800),
    ),
    "tanh_slope": (lambda x: 1 / x.cosh() ** 2, (-300, 300)),
    "tanh_curvature": (lambda x: -2 * x.tanh() / x.cosh() ** 2, (-300, 300)),
    "square": (lambda x: x * x, ANY),
    "reciprocal": (lambda x: 1 / x, (1e-9, 1e9)),
    "__abs__": (abs, ANY),
}


def boxes(low: float, high: float, generator: np.random.Generator) -> Intervals:
    """Return intervals of all sizes and places in [low, high], ends and zero included."""
    size = 4_000
    at = generator.uniform(low, high, size)
    near = generator.choice([low, high, 0.0, 1.0], size) + generator.choice([0.0, 1e-8], size)
    at = np.where(generator.random(size) < 0.4, near, at)
    small = generator.uniform(-3, 3, size)
    at = np.where(generator.random(size) < 0.3, small, at)
    width = (high - low) * 10.0 ** generator.uniform(-20, 0, size)
    width = np.where(generator.random(size) < 0.2, 0.0, width)
    lower, upper = np.clip(at, low, high), np.clip(at + width, low, high)
    return Intervals(lower, upper)


def inside(box: Intervals, generator: np.random.Generator) -> np.ndarray:
    share = generator.choice([0.0, 1.0, 0.5, 0.2, 0.77], len(box))
    return np.clip(box.lower + share * (box.upper - box.lower), box.lower, box.upper)


def assert_contains(result: Intervals, exact: list[arb]) -> None:
    assert not np.isnan(result.lower).any()
    assert not np.isnan(result.upper).any()
    for low, high, value in zip(result.lower, result.upper, exact, strict=True):
        # An unbounded value of Arb says nothing; 200 bits settle all others.
        assert not value < arb(float(low)), (low, value)
        assert not value > arb(float(high)), (high, value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_true_values_lie_within(name):
    function, (low, high) = FUNCTIONS[name]
    generator = np.random.default_rng(0)
    box = boxes(low, high, generator)
    points = inside(box, generator)
    with flint.ctx.workprec(200):
        assert_contains(getattr(box, name)(), [function(arb(float(x))) for x in points])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_a_number_is_tight(name):
    low, high = FUNCTIONS[name][1]
    points = np.random.default_rng(1).uniform(max(low, -100), min(high, 100), 2_000)
    result = getattr(Intervals.exact(points), name)()
    bounded = result.is_bounded
    slack = 3e-14 + (1e-10 if name == "tan" else 0)
    scale = np.maximum(1.0, result.magnitude)
    assert bounded.mean() > 0.99
    assert np.all(result.width[bounded] <= slack * scale[bounded] ** (2 if name == "tan" else 1))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("tan", "__abs__")])
def test_function_of_wide_intervals_is_tight(name):
    function, (low, high) = FUNCTIONS[name]
    generator = np.random.default_rng(2)
    center, width = generator.uniform(max(low, -5), min(high, 5), 100), generator.random(100)
    box = Intervals(np.clip(center, low, high), np.clip(center + width, low, high))
    result = getattr(box, name)()
    sampled = np.array(
        [
            [float(function(arb(float(x)))) for x in np.linspace(a, b, 101)]
            for a, b in zip(box.lower, box.upper, strict=True)
        ]
    )
    room = np.maximum(result.upper - sampled.max(axis=1), sampled.min(axis=1) - result.lower)
    assert np.all(room <= 1e-3 * np.ptp(sampled, axis=1) + 1e-12 * np.abs(sampled).max(axis=1))


EXPONENTS = [Fraction(p) for p in (2, 3, 4, 7, 100, -1, -2, -3)]
EXPONENTS += [Fraction(1, 3), Fraction(-1, 3), Fraction(5, 2), Fraction(0.1), Fraction(-7, 5)]


@pytest.mark.parametrize("exponent", EXPONENTS, ids=str)
def test_power_true_values_lie_within(exponent):
    generator = np.random.default_rng(3)
    low = 0.0 if exponent.denominator > 1 else -50.0
    box = boxes(low, 50.0, generator)
    points = inside(box, generator)
    keep = points != 0 if exponent < 0 else np.ones(len(points), dtype=bool)
    with flint.ctx.workprec(200):
        power = fmpq(exponent.numerator, exponent.denominator)
        exact = [
            arb(float(x)) ** (power if exponent.denominator > 1 else int(exponent)) if x else arb(0)
            for x in points[keep]
        ]
        assert_contains(box.power(exponent)[keep], exact)


def test_general_power_true_values_lie_within():
    generator = np.random.default_rng(4)
    base, exponent = boxes(0.0, 20.0, generator), boxes(-8.0, 8.0, generator)
    x, y = inside(base, generator), inside(exponent, generator)
    keep = x > 0
    with flint.ctx.workprec(200):
        exact = [
            (arb(float(b)) * arb(float(a)).log()).exp()
            for a, b in zip(x[keep], y[keep], strict=True)
        ]
        assert_contains(base.general_power(exponent)[keep], exact)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_wave_full_turn_is_exactly_the_whole_range(name):
    result = getattr(Intervals.from_bounds([1.0], [8.0]), name)()
    assert (result.lower[0], result.upper[0]) == (-1.0, 1.0)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_wave_beyond_the_largest_angle_is_the_whole_range(name):
    result = getattr(Intervals.exact([2 * LARGEST_ANGLE]), name)()
    assert (result.lower[0], result.upper[0]) == (-1.0, 1.0)


def test_tan_across_a_pole_is_everything():
    result = Intervals.from_bounds([1.5], [1.6]).tan()
    assert (result.lower[0], result.upper[0]) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sqrt", -1.0, 4.0),
        ("sqrt", 0.0, 4.0),
        ("log", 0.0, 1.0),
        ("log", -1.0, 1.0),
        ("asin", 0.5, 2.0),
        ("acos", 0.5, 2.0),
    ],
)
def test_function_partly_defined_encloses_the_defined_part(name, low, high):
    result = getattr(Intervals.from_bounds([low], [high]), name)()
    points = np.linspace(max(low, 1e-9), high, 100)
    with np.errstate(all="ignore"):
        values = {"asin": np.arcsin, "acos": np.arccos}.get(name, getattr(np, name, None))(points)
    defined = np.isfinite(values)
    assert np.all(result.contains(values[defined]))


@pytest.mark.parametrize(("name", "at"), [("sqrt", -1.0), ("log", -1.0), ("asin", 2.0)])
def test_function_nowhere_defined_is_everything(name, at):
    result = getattr(Intervals.exact([at]), name)()
    assert (result.lower[0], result.upper[0]) == (-np.inf, np.inf)


@pytest.mark.parametrize("name", ["sin", "tan", "tanh", "atan", "asin", "erf", "sinh", "sqrt"])
def test_function_sign_at_zero_is_kept(name):
    assert getattr(Intervals.from_bounds([0.0], [0.5]), name)().lower[0] == 0.0


finite = st.floats(-1e300, 1e300)


@settings(max_examples=500, deadline=None)
@given(st.tuples(finite, finite), st.tuples(finite, finite), st.floats(0, 1), st.floats(0, 1))
def test_arithmetic_exact_results_lie_within(a, b, share_a, share_b):
    first, second = (Intervals.from_bounds([min(ends)], [max(ends)]) for ends in (a, b))
    x = float(np.clip(a[0] + share_a * (a[1] - a[0]), *sorted(a)))
    y = float(np.clip(b[0] + share_b * (b[1] - b[0]), *sorted(b)))
    exact = Fraction(x), Fraction(y)

    def check(result: Intervals, value: Fraction) -> None:
        low, high = float(result.lower[0]), float(result.upper[0])
        assert low < np.inf
        assert high > -np.inf
        assert low == -np.inf or Fraction(low) <= value
        assert high == np.inf or value <= Fraction(high)

    with np.errstate(all="ignore"):
        check(first + second, exact[0] + exact[1])
        check(first - second, exact[0] - exact[1])
        check(first * second, exact[0] * exact[1])
        check(first.square(), exact[0] ** 2)
        check(first * y, exact[0] * exact[1])
        if y:
            check(first / second, exact[0] / exact[1])


def test_arithmetic_of_unbounded_intervals_is_never_nan():
    ends = [-np.inf, -2.0, 0.0, 3.0, np.inf]
    pairs = [(low, high) for low in ends[:-1] for high in ends[1:] if low <= high]
    lower, upper = (np.array(side) for side in zip(*pairs, strict=True))
    a = Intervals(lower[:, None], upper[:, None])
    b = Intervals(lower[None, :], upper[None, :])
    for result in (a + b, a - b, a * b, a / b, a.reciprocal(), a.square(), abs(a)):
        assert not np.isnan(result.lower).any()
        assert np.all(result.lower <= result.upper)
        assert not np.isposinf(result.lower).any()


def test_multiply_zero_by_unbounded_is_zero():
    result = Intervals.exact([0.0]) * Intervals.everything((1,))
    assert (result.lower[0], result.upper[0]) == (0.0, 0.0)


def test_multiply_underflow_keeps_a_certain_sign():
    result = Intervals.exact([1e-200]) * Intervals.exact([1e-200])
    assert result.lower[0] == 0.0
    assert result.upper[0] > 0.0


def test_divide_by_zero_inside_is_everything():
    result = 1.0 / Intervals.from_bounds([-1.0], [2.0])
    assert (result.lower[0], result.upper[0]) == (-np.inf, np.inf)


def test_divide_by_zero_at_an_end_is_unbounded_on_one_side():
    result = 1.0 / Intervals.from_bounds([0.0], [2.0])
    assert 0.4999 < result.lower[0] <= 0.5
    assert result.upper[0] == np.inf


@pytest.mark.parametrize("sparse", [False, True])
def test_affine_exact_sums_lie_within(sparse):
    import scipy.sparse

    generator = np.random.default_rng(5)
    weight = generator.normal(size=(6, 9)) * 10.0 ** generator.integers(-3, 4, (6, 9))
    weight[generator.random((6, 9)) < 0.3] = 0.0
    bias = generator.normal(size=6) * 100
    box = boxes(-10.0, 10.0, generator)[:900].reshape(100, 9)
    points = np.clip(box.middle, box.lower, box.upper)
    result = box.affine(scipy.sparse.csr_array(weight) if sparse else weight, bias)
    for row, out in [(row, out) for row in range(100) for out in range(6)]:
        exact = Fraction(float(bias[out])) + sum(
            Fraction(float(w)) * Fraction(float(x))
            for w, x in zip(weight[out], points[row], strict=True)
        )
        assert Fraction(float(result.lower[row, out])) <= exact
        assert exact <= Fraction(float(result.upper[row, out]))


def test_affine_of_numbers_is_tight():
    generator = np.random.default_rng(6)
    weight, points = generator.normal(size=(5, 40)), generator.normal(size=(30, 40))
    assert Intervals.exact(points).affine(weight).width.max() < 1e-12


def test_affine_unbounded_input_counts_only_with_its_weight():
    box = Intervals.from_bounds([[0.0, -np.inf]], [[1.0, np.inf]])
    result = box.affine(np.array([[1.0, 0.0], [0.0, 2.0]]))
    assert result.is_bounded.tolist() == [[True, False]]


def test_array_before_intervals_leaves_the_operation_to_them():
    result = np.array([1.0, 2.0]) * Intervals.exact([3.0, 4.0]) - np.array([1.0, 1.0])
    assert isinstance(result, Intervals)
    assert np.all(result.contains([2.0, 7.0]))


def test_intersect_of_disjoint_keeps_the_first():
    result = Intervals.from_bounds([0.0], [1.0]).intersect(Intervals.from_bounds([2.0], [3.0]))
    assert (result.lower[0], result.upper[0]) == (0.0, 1.0)


def test_stack_and_concatenate_keep_the_order():
    a, b = Intervals.exact([1.0, 2.0]), Intervals.exact([3.0, 4.0])
    assert Intervals.stack([a, b], axis=1).lower.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert Intervals.concatenate([a, b]).lower.tolist() == [1.0, 2.0, 3.0, 4.0]
