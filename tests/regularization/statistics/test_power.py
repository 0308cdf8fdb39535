from __future__ import annotations

import math

import pytest
from scipy import stats

from pellucid import UsageError
from pellucid.regularization.statistics.comparison import compare, study_power
from pellucid.regularization.statistics.power import (
    chance_to_find,
    detectable_difference,
    power,
    seeds_needed,
    wilcoxon_least_p,
)
from tests.reference import statistics as plain
from tests.regularization.made_records import BETTER, NONE, SIMILAR, make_arm


@pytest.mark.parametrize(("difference", "n"), [(0.0, 5), (0.01, 3), (0.01, 5), (0.02, 10)])
def test_chance_to_find_equals_the_share_of_drawn_studies(difference, n):
    drawn = plain.power(difference, 0.012, n, rounds=100_000, seed=3)
    assert chance_to_find(difference, sd=0.012, n_seeds=n) == pytest.approx(drawn, abs=0.007)


def test_chance_to_find_no_difference_is_the_level():
    for n in (2, 5, 50):
        for level in (0.05, 0.05 / 3, 0.05 / 190):
            chance = chance_to_find(0.0, sd=1.0, n_seeds=n, significance=level)
            assert chance == pytest.approx(level, rel=1e-3)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_chance_to_find_equals_the_noncentral_t_of_scipy_where_that_is_finite(n):
    critical = stats.t.ppf(0.975, n - 1)
    for shift in (0.5, 1.0, 3.0):
        tails = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
        chance = chance_to_find(shift / math.sqrt(n), sd=1.0, n_seeds=n)
        assert chance == pytest.approx(tails, abs=1e-6)


def test_chance_to_find_rises_with_the_difference_and_the_seeds():
    chances = [chance_to_find(x / 10, sd=1.0, n_seeds=5, significance=0.05 / 3) for x in range(60)]
    assert chances == sorted(chances)
    chances = [chance_to_find(0.5, sd=1.0, n_seeds=n) for n in range(2, 60)]
    assert chances == sorted(chances)


def test_chance_to_find_huge_difference_is_one():
    assert chance_to_find(1e6, sd=1e-3, n_seeds=2) == pytest.approx(1.0)
    assert chance_to_find(-1e3, sd=1e-3, n_seeds=20) == pytest.approx(1.0)


@pytest.mark.parametrize("n", [2, 3, 5, 20, 200])
def test_detectable_difference_is_found_with_the_chance_wanted(n):
    difference = detectable_difference(sd=0.02, n_seeds=n)
    assert chance_to_find(difference, sd=0.02, n_seeds=n) == pytest.approx(0.8, abs=1e-6)


def test_seeds_needed_is_the_least_number():
    n = seeds_needed(0.01, sd=0.015)
    assert n is not None
    assert chance_to_find(0.01, sd=0.015, n_seeds=n) >= 0.8
    assert chance_to_find(0.01, sd=0.015, n_seeds=n - 1) < 0.8


def test_seeds_needed_at_least_two():
    assert seeds_needed(1e6, sd=1e-3) == 2


def test_seeds_needed_for_nothing_is_none():
    assert seeds_needed(0.0, sd=0.01) is None


def test_wilcoxon_least_p_of_five_seeds():
    assert wilcoxon_least_p(5) == 0.0625
    assert wilcoxon_least_p(6) < 0.05
    assert wilcoxon_least_p(0) == 1.0


def test_power_strict_level_takes_a_larger_difference():
    result = power(0.012, 5, comparisons=3)
    assert result.detectable_strict > result.detectable
    assert [x for x, _ in result.chances] == sorted(x for x, _ in result.chances)
    assert [y for _, y in result.chances] == sorted(y for _, y in result.chances)


@pytest.mark.parametrize(("sd", "n"), [(None, 5), (0.01, 1), (None, 0)])
def test_power_without_spread_or_seeds_claims_nothing(sd, n):
    result = power(sd, n)
    assert result.chances == ()
    assert result.detectable is None
    assert result.detectable_strict is None


def test_power_negative_spread_is_refused():
    with pytest.raises(UsageError, match="sd must be a number in \\(0, inf\\), got -1"):
        power(-1.0, 5)


def test_study_power_pools_the_spread_of_all_comparisons():
    comparisons = compare(
        [*make_arm("none", NONE), *make_arm("l1", BETTER), *make_arm("l2", SIMILAR)]
    )
    last = [c for c in comparisons if c.moment == "last"]
    result = study_power(comparisons)
    assert result.sd == pytest.approx(math.sqrt(sum(c.sd**2 for c in last) / 3))
    assert (result.n_seeds, result.comparisons) == (5, 3)


def test_study_power_leaves_broken_runs_out():
    broken = make_arm("l1", (*BETTER[:4], 0.1), broken={4: "collapsed"})
    comparisons = compare([*make_arm("none", NONE), *broken, *make_arm("l2", SIMILAR)])
    assert study_power(comparisons).sd < 0.02


def test_study_power_of_one_seed_claims_nothing():
    comparisons = compare([*make_arm("none", NONE[:1]), *make_arm("l1", BETTER[:1])])
    result = study_power(comparisons)
    assert (result.n_seeds, result.sd, result.detectable) == (1, None, None)
    assert study_power(()).n_seeds == 0
