from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pellucid.regularization.statistics.paired_differences import (
    bootstrap_interval,
    combine_seeds_and_images,
    effect_size,
    has_spread,
    holm,
    mcnemar_test,
    merge_p_values,
    sampling_interval,
    small_sample_factor,
    standard_deviation,
    t_interval,
    t_test,
    wilcoxon_test,
)
from tests.reference import statistics as plain

FIVE = (0.012, 0.034, -0.004, 0.021, 0.009)
# Too short or too equal to say anything about spread.
WITHOUT_SPREAD = [(), (0.02,), (0.02, 0.02, 0.02), (0.0, 0.0), (0.8 - 0.7, 0.1)]


def draws(n: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.01, 0.02, n)


# ---------------------------------------------------------------- over seeds


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_t_interval_and_t_test_equal_their_formulas(n):
    values = draws(n)
    assert t_interval(values) == pytest.approx(plain.t_interval(values.tolist()), abs=1e-12)
    assert t_test(values) == pytest.approx(plain.t_test(values.tolist()), abs=1e-12)


def test_t_interval_holds_zero_exactly_when_p_is_at_least_five_percent():
    for seed in range(50):
        values = draws(5, seed=seed)
        low, high = t_interval(values)
        assert (low <= 0 <= high) == (t_test(values) >= 0.05)


@pytest.mark.parametrize("values", WITHOUT_SPREAD)
@pytest.mark.parametrize(
    "function",
    [t_interval, t_test, bootstrap_interval, standard_deviation, effect_size, sampling_interval],
)
def test_estimates_without_spread_are_none(function, values):
    assert function(values) is None
    assert not has_spread(values)


def test_bootstrap_interval_equals_all_resamples_of_five():
    low, high = bootstrap_interval(FIVE)
    expected = plain.bootstrap_interval(FIVE)
    assert (low, high) == pytest.approx(expected, abs=0.0012)  # a grid of 0.001


def test_bootstrap_interval_same_values_give_the_same_interval():
    assert bootstrap_interval(FIVE) == bootstrap_interval(FIVE)


def test_bootstrap_interval_of_two_values_is_none():
    assert bootstrap_interval((0.01, 0.02)) is None


@pytest.mark.parametrize(
    "values",
    [
        FIVE,
        (1, 2, 3, 4, 5),
        (1, -2, 3, -4, 5, 6, 7),
        (1, 1, 2, -2, 3),  # ties
        (2, 2, 2, 2, 2),  # all equal
        (0, 0, 1, -1, 2, 3),  # zeros and ties
        (0.81 - 0.80, 0.92 - 0.91, 0.03),  # a tie but for rounding
        (-1,),
    ],
)
def test_wilcoxon_test_equals_counting_all_signs(values):
    rounded = [round(value, 12) for value in values]
    assert wilcoxon_test(values) == pytest.approx(plain.wilcoxon(rounded), abs=1e-12)


def test_wilcoxon_test_five_of_one_sign_is_one_sixteenth():
    assert wilcoxon_test((1, 2, 3, 4, 5)) == 0.0625


def test_wilcoxon_test_only_zeros_is_none():
    assert wilcoxon_test((0.0, 0.0)) is None
    assert wilcoxon_test(()) is None


def test_holm_equals_its_definition():
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 10):
        p_values = rng.uniform(0, 0.3, n).tolist()
        assert holm(p_values) == pytest.approx(plain.holm(p_values), abs=1e-15)


def test_holm_known_example():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))


def test_holm_none_stays_none_and_counts():
    assert holm([0.02, None, 0.9]) == pytest.approx((0.06, None, 1.0))
    assert holm([]) == ()
    assert holm([None]) == (None,)


def test_effect_size_is_mean_over_standard_deviation():
    assert effect_size((1, 2, 3)) == pytest.approx(2.0)


def test_small_sample_factor_makes_the_effect_size_right_on_average():
    rng = np.random.default_rng(2)
    values = rng.normal(0.5, 1.0, (200_000, 5))
    plain_mean = (values.mean(1) / values.std(1, ddof=1)).mean()
    assert plain_mean * small_sample_factor(5) == pytest.approx(0.5, abs=0.01)
    assert plain_mean > 0.6  # or there would be nothing to correct


@pytest.mark.parametrize("n", [0, 1, 2])
def test_small_sample_factor_of_two_or_fewer_is_none(n):
    assert small_sample_factor(n) is None


# ---------------------------------------------------------------- over images


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (3, 12), (30, 10)])
def test_mcnemar_test_equals_binomial_sums(only_a, only_b):
    a = np.array([True] * only_a + [False] * only_b + [True] * 7 + [False] * 3)
    b = np.array([False] * only_a + [True] * only_b + [True] * 7 + [False] * 3)
    assert mcnemar_test(a, b) == pytest.approx(plain.mcnemar(only_a, only_b), abs=1e-12)


def test_merge_p_values_is_about_twice_the_median():
    assert merge_p_values([0.02]) == 0.02
    assert merge_p_values([0.5, 0.01]) == pytest.approx(0.02)  # two: the smaller, twice
    assert merge_p_values([0.3, 0.01, 0.03]) == pytest.approx(0.03 * 3 / 2)
    assert merge_p_values([0.9, 0.8]) == 1.0


def test_merge_p_values_of_one_shared_p_stays_valid():
    # Full dependence: the merged p of n copies is below u at most as often as u.
    for u in (0.01, 0.2, 1.0):
        assert merge_p_values([u] * 5) >= u


def test_sampling_interval_of_one_network_is_the_usual_interval_of_a_share():
    right = np.arange(1000) < 800
    low, high = sampling_interval(right)
    assert (low, high) == pytest.approx((0.8 - 0.0248, 0.8 + 0.0248), abs=2e-4)


# ---------------------------------------------------------------- over both


def answers(seeds: int, images: int, *, seed: int = 0, luck: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.3, 1.0, images) + luck * rng.standard_normal((seeds, 1))
    first = rng.uniform(size=(seeds, images)) < chance
    return first * 1.0 - (rng.uniform(size=(seeds, images)) < 0.6)


@pytest.mark.parametrize("luck", [0.0, 0.2])
def test_combine_seeds_and_images_equals_plain_loops(luck):
    table = answers(4, 60, luck=luck)
    a, b, c = plain.two_way_variance(table.tolist())
    estimate = combine_seeds_and_images(table)
    variance = max(a + b - c, a, b)
    degrees = max(variance**2 / (a**2 / 3 + b**2 / 59 + c**2 / (3 * 59)), 3)
    assert estimate.degrees_of_freedom == pytest.approx(degrees)
    half = (estimate.high - estimate.low) / 2
    assert (estimate.high + estimate.low) / 2 == pytest.approx(table.mean())
    assert half == pytest.approx(stats.t.ppf(0.975, degrees) * math.sqrt(variance))


def test_combine_seeds_and_images_p_agrees_with_the_interval():
    for seed in range(20):
        estimate = combine_seeds_and_images(answers(3, 200, seed=seed))
        assert (estimate.low <= 0 <= estimate.high) == (estimate.p >= 0.05)


@pytest.mark.parametrize(
    "table",
    [
        np.ones((1, 50)),
        np.zeros((5, 50)),
        np.tile([1.0, 0.0, -1.0], (4, 1)),  # seeds agree on every image
        np.ones((4, 1)) * np.arange(4)[:, None],
    ],
)
def test_combine_seeds_and_images_without_spread_is_none(table):
    assert combine_seeds_and_images(table) is None


def test_combine_seeds_and_images_is_no_narrower_than_either_error():
    table = answers(5, 300, luck=0.1)
    estimate = combine_seeds_and_images(table)
    low, high = sampling_interval(table.mean(0))
    assert estimate.high - estimate.low >= (high - low) * (1 - 1e-9)
