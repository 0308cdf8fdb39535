from __future__ import annotations

import threading
from fractions import Fraction

import flint
import numpy as np
import pytest
import scipy.sparse
from flint import arb

from pellucid.approximation.enclosures.balls import Balls, working_precision
from pellucid.approximation.enclosures.intervals import Intervals

#: Method, where to try it, and how much wider than intervals a wide ball may be.
FUNCTIONS: dict[str, tuple[float, float]] = {
    "exp": (-50, 50),
    "log": (1e-6, 50),
    "sqrt": (0, 50),
    "sin": (-50, 50),
    "cos": (-50, 50),
    "tan": (-1.5, 1.5),
    "tanh": (-20, 20),
    "sinh": (-20, 20),
    "cosh": (-20, 20),
    "atan": (-50, 50),
    "asin": (-1, 1),
    "acos": (-1, 1),
    "erf": (-6, 6),
    "sigmoid": (-50, 50),
    "sigmoid_slope": (-50, 50),
    "sigmoid_curvature": (-50, 50),
    "tanh_slope": (-20, 20),
    "tanh_curvature": (-20, 20),
    "square": (-50, 50),
    "reciprocal": (0.1, 50),
    "__abs__": (-50, 50),
    "positive": (-5, 5),
    "sign": (-5, 5),
}


def pairs(low: float, high: float, size: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    lower = generator.uniform(low, high, size)
    width = (high - low) * 10.0 ** generator.uniform(-12, 0, size)
    return lower, np.minimum(lower + width, high)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_sampled_values_lie_within(name):
    lower, upper = pairs(*FUNCTIONS[name])
    with working_precision():
        result = getattr(Balls.from_bounds(lower, upper), name)()
        for share in (0.0, 0.3, 1.0):
            points = np.clip(lower + share * (upper - lower), lower, upper)
            thin = getattr(Balls.exact(points), name)()
            for ball, point in zip(result.balls, thin.balls, strict=True):
                assert ball.overlaps(point)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_overlaps_the_intervals_and_is_about_as_wide(name):
    lower, upper = pairs(*FUNCTIONS[name])
    with working_precision():
        balls = getattr(Balls.from_bounds(lower, upper), name)()
        intervals = getattr(Intervals(lower, upper), name)()
        assert np.all(balls.lower <= intervals.upper)
        assert np.all(intervals.lower <= balls.upper)
        bounded = intervals.is_bounded & balls.is_bounded
        room = 1e-8 * (1 + np.abs(upper - lower) + intervals.magnitude)
        assert np.all(balls.width[bounded] <= (1.15 * intervals.width + room)[bounded])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_a_number_is_tight_to_a_few_ulps(name):
    points, _ = pairs(*FUNCTIONS[name])
    with working_precision():
        result = getattr(Balls.exact(points), name)()
        assert np.all(result.width <= 2.0**-50 * np.maximum(result.magnitude, 1e-300))


@pytest.mark.parametrize("exponent", [Fraction(p) for p in ("3", "4", "-1", "-2", "1/3", "-5/2")])
def test_power_overlaps_the_intervals(exponent):
    lower, upper = pairs(0.01, 20)
    with working_precision():
        balls, intervals = (
            kind.from_bounds(lower, upper).power(exponent) for kind in (Balls, Intervals)
        )
        assert np.all(balls.lower <= intervals.upper)
        assert np.all(intervals.lower <= balls.upper)
        assert np.all(balls.width <= 1.2 * intervals.width + 1e-8 * intervals.magnitude)


@pytest.mark.parametrize("name", ["sqrt", "log", "reciprocal", "asin", "tan"])
def test_function_across_the_edge_of_its_domain_is_never_nan(name):
    ends = [(-2.0, -1.5), (-1.0, 1.0), (0.0, 1.0), (0.5, 3.0), (0.0, 0.0), (-np.inf, np.inf)]
    with working_precision():
        result = getattr(Balls.from_bounds(*zip(*ends, strict=True)), name)()
    assert not np.isnan(result.lower).any()
    assert np.all(result.lower <= result.upper)


def test_float_bounds_are_outside_and_exact_numbers_stay():
    with working_precision(100):
        third = Balls.constant(Fraction(1, 3))
        assert third.lower[0] < third.upper[0]
        assert Fraction(float(third.lower[0])) < Fraction(1, 3) < Fraction(float(third.upper[0]))
        exact = Balls.exact([0.0, -2.5, 1e-320])
    assert exact.lower.tolist() == [0.0, -2.5, 1e-320]
    assert exact.upper.tolist() == [0.0, -2.5, 1e-320]


def test_float_bounds_of_extreme_balls_are_outside():
    with working_precision():
        result = Balls.exact([-1e5, 1e5]).exp()
    assert result.lower.tolist() == [0.0, np.finfo(float).max]
    assert result.upper.tolist() == [5e-324, np.inf]


@pytest.mark.parametrize("sparse", [False, True])
def test_affine_agrees_with_exact_sums(sparse):
    generator = np.random.default_rng(1)
    weight, bias = generator.normal(size=(4, 6)), generator.normal(size=4)
    weight[0, 3] = weight[2] = 0.0
    points = generator.normal(size=(5, 6))
    given = scipy.sparse.csr_array(weight) if sparse else weight
    with working_precision():
        result = Balls.exact(points).affine(given, bias)
    for row in range(5):
        for out in range(4):
            products = zip(weight[out].tolist(), points[row].tolist(), strict=True)
            exact = Fraction(bias[out]) + sum(Fraction(w) * Fraction(x) for w, x in products)
            assert Fraction(result.lower[row, out]) <= exact <= Fraction(result.upper[row, out])
    assert result.width.max() < 1e-14


def test_affine_and_intervals_overlap_on_boxes():
    generator = np.random.default_rng(2)
    weight, lower = generator.normal(size=(4, 6)), generator.normal(size=(5, 6))
    upper = lower + generator.random((5, 6))
    with working_precision():
        balls, intervals = (
            kind.from_bounds(lower, upper).affine(weight) for kind in (Balls, Intervals)
        )
    np.testing.assert_allclose(balls.lower, intervals.lower, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(balls.upper, intervals.upper, rtol=1e-7, atol=1e-7)


def test_array_before_balls_leaves_the_operation_to_them():
    result = np.array([1.0, 2.0]) * Balls.exact([3.0, 4.0]) - np.array([1.0, 1.0])
    assert isinstance(result, Balls)
    assert result.lower.tolist() == [2.0, 7.0]


def test_working_precision_is_restored():
    before = flint.ctx.prec
    with working_precision(100):
        assert flint.ctx.prec == 100
    assert flint.ctx.prec == before


def test_working_precision_threads_wait_for_each_other():
    seen = []

    def work(bits: int) -> None:
        with working_precision(bits):
            for _ in range(200):
                seen.append(flint.ctx.prec == bits)
                arb(2).sqrt()

    threads = [threading.Thread(target=work, args=(bits,)) for bits in (60, 80, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(seen)
    assert len(seen) == 600
