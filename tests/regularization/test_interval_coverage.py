"""A small edition of ``benchmarks/interval_coverage.py``: do intervals and tests keep promises?"""

from __future__ import annotations

import math

import pytest

from benchmarks.interval_coverage import simulate_images, simulate_seeds

ROUNDS = 250
FOUR_ERRORS = 4 * math.sqrt(0.05 * 0.95 / ROUNDS)


@pytest.fixture(scope="module", params=[3, 5])
def seeds_only(request):
    return simulate_seeds("normal", request.param, rounds=ROUNDS, seed=1, bootstrap=False)


def test_t_interval_normal_differences_covers_as_promised(seeds_only):
    assert seeds_only["t interval"].share == pytest.approx(0.95, abs=FOUR_ERRORS)


def test_t_test_false_alarms_are_those_outside_the_interval(seeds_only):
    assert seeds_only["t test"].share == pytest.approx(1 - seeds_only["t interval"].share)


def test_wilcoxon_test_false_alarms_do_not_pass_the_level(seeds_only):
    assert seeds_only["Wilcoxon"].share <= 0.05 + FOUR_ERRORS


def test_holm_false_alarms_of_a_family_do_not_pass_the_level(seeds_only):
    assert seeds_only["Holm"].share <= 0.05 + FOUR_ERRORS
    assert seeds_only["raw"].share > 0.05  # or nothing would need guarding


def test_bootstrap_interval_of_three_seeds_is_too_short():
    rates = simulate_seeds("normal", 3, rounds=100, seed=2)
    four_errors = 4 * math.sqrt(0.05 * 0.95 / 100)
    assert rates["percentile"].share < 0.95 - four_errors
    assert rates["t interval"].share == pytest.approx(0.95, abs=four_errors)


@pytest.mark.parametrize("luck_sd", [0.02, 0.3])
def test_image_intervals_cover_the_truth_each_is_about(luck_sd):
    rates = simulate_images("normal", 5, images=200, luck_sd=luck_sd, rounds=150, seed=3)
    four_errors = 4 * math.sqrt(0.05 * 0.95 / 150)
    for name in ("seed interval", "sampling interval"):
        assert rates[name].share == pytest.approx(0.95, abs=four_errors)
    # Too wide where seeds hardly differ, never too short.
    assert rates["combined interval"].share >= 0.95 - four_errors


def test_merged_mcnemar_tests_do_not_pass_the_level_where_pooled_ones_do():
    rates = simulate_images("normal", 5, images=200, luck_sd=0.0, rounds=100, seed=4, mcnemar=True)
    assert rates["McNemar"].share <= 0.05
    assert rates["pooled McNemar"].share > 0.05
