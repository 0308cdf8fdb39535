from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pellucid import DataError, UsageError
from pellucid.regularization.statistics.comparison import compare, group_runs
from pellucid.regularization.statistics.paired_differences import combine_seeds_and_images
from tests.reference import statistics as plain
from tests.regularization.made_records import BETTER, NONE, SIMILAR, make_arm


def at_last(comparisons):
    return [c for c in comparisons if c.moment == "last"]


def study():
    return [*make_arm("none", NONE), *make_arm("l1", BETTER), *make_arm("l2", SIMILAR)]


# ---------------------------------------------------------------- which runs


def test_compare_all_pairs_at_both_moments_later_minus_earlier():
    found = [(c.moment, c.a, c.b) for c in compare(study())]
    pairs = [("l1", "none"), ("l2", "none"), ("l2", "l1")]
    assert found == [(moment, a, b) for moment in ("last", "best") for a, b in pairs]


def test_compare_with_a_baseline_shares_the_level_among_fewer():
    comparisons = at_last(compare(study(), baseline="l2"))
    assert [(c.a, c.b) for c in comparisons] == [("none", "l2"), ("l1", "l2")]
    smaller, larger = sorted((c.p, c.p_holm) for c in comparisons)
    assert smaller[1] == pytest.approx(2 * smaller[0])
    assert larger[1] == pytest.approx(larger[0])


def test_compare_unknown_baseline_is_refused():
    with pytest.raises(UsageError, match=r"baseline must be one of 'none', 'l1', 'l2', got 'l3'"):
        compare(study(), baseline="l3")


def test_compare_uses_only_common_seeds_whatever_the_order():
    records = [*make_arm("l1", BETTER, first_seed=2)[::-1], *make_arm("none", NONE)]
    (comparison,) = at_last(compare(records))
    assert (comparison.a, comparison.b) == ("none", "l1")
    assert comparison.seeds == (2, 3, 4)
    expected = [NONE[seed] - BETTER[seed - 2] for seed in (2, 3, 4)]
    assert comparison.differences == pytest.approx(expected)


def test_compare_without_common_seeds_is_left_out():
    records = [*make_arm("none", NONE), *make_arm("l1", BETTER, first_seed=50)]
    assert compare(records) == ()


def test_compare_one_arm_gives_nothing():
    assert compare(make_arm("none", NONE)) == ()


def test_group_runs_nothing_is_refused():
    with pytest.raises(DataError, match="at least one finished run, got 0"):
        group_runs([])


def test_group_runs_a_seed_twice_is_refused():
    with pytest.raises(DataError, match="got seed 0 twice in 'none'"):
        group_runs([*make_arm("none", NONE[:1]), *make_arm("none", NONE[:1])])


def test_group_runs_different_test_sets_are_refused():
    records = [*make_arm("none", NONE), *make_arm("l1", BETTER, images=500)]
    with pytest.raises(DataError, match=r"tested on the same images.*got \[500, 1000\]"):
        group_runs(records)


# ---------------------------------------------------------------- figures


def test_compare_figures_equal_their_definitions():
    comparisons = at_last(compare(study()))
    for c in comparisons:
        values = list(c.differences)
        assert c.difference == pytest.approx(np.mean(values))
        assert c.sd == pytest.approx(np.std(values, ddof=1))
        assert (c.low, c.high) == pytest.approx(plain.t_interval(values))
        assert c.p == pytest.approx(plain.t_test(values))
        assert c.p_wilcoxon == pytest.approx(plain.wilcoxon([round(v, 12) for v in values]))
        assert c.effect_size == pytest.approx(c.difference / c.sd)
        assert abs(c.effect_size_corrected) < abs(c.effect_size)
        assert c.seeds_with_other_sign == sum(v * c.difference < 0 for v in values)
        assert c.low <= c.bootstrap_low <= c.difference <= c.bootstrap_high <= c.high
    assert [c.p_holm for c in comparisons] == pytest.approx(plain.holm([c.p for c in comparisons]))


def test_compare_image_figures_equal_their_definitions():
    none, better = make_arm("none", NONE), make_arm("l1", BETTER)
    (c,) = at_last(compare([*none, *better]))
    table = np.stack(
        [b.last.test_correct * 1.0 - a.last.test_correct for a, b in zip(none, better, strict=True)]
    )
    assert (c.sampling_low, c.sampling_high) == pytest.approx(plain.t_interval(table.mean(0)))
    combined = combine_seeds_and_images(table)
    assert (c.combined_low, c.combined_high) == (combined.low, combined.high)
    assert c.p_combined_holm == c.p_combined == combined.p
    p_values = sorted(plain.mcnemar(int((row > 0).sum()), int((row < 0).sum())) for row in table)
    assert c.p_mcnemar == pytest.approx(min(1, p_values[2] * 5 / 3))
    assert c.mcnemar_seeds == sum(p < 0.05 for p in p_values)
    assert c.test_images == 1000


def test_compare_swapping_arms_turns_signs_only():
    (forward,) = at_last(compare([*make_arm("none", NONE), *make_arm("l1", BETTER)]))
    (backward,) = at_last(compare([*make_arm("l1", BETTER), *make_arm("none", NONE)]))
    assert backward.difference == -forward.difference
    assert (backward.low, backward.high) == pytest.approx((-forward.high, -forward.low))
    assert backward.p == pytest.approx(forward.p)
    assert backward.p_wilcoxon == forward.p_wilcoxon
    assert backward.p_mcnemar == forward.p_mcnemar


def test_compare_moments_are_apart():
    records = [*make_arm("none", NONE, best=BETTER), *make_arm("l1", BETTER, best=NONE)]
    last, best = compare(records)
    assert last.difference == pytest.approx(-best.difference)
    assert last.difference > 0


def test_compare_seeds_needed_is_for_the_strictest_step():
    two = at_last(compare([*make_arm("none", NONE), *make_arm("l2", SIMILAR)]))
    three = at_last(compare(study()))
    assert three[1].seeds_needed > two[0].seeds_needed > 5


# ---------------------------------------------------------------- little to go by


def test_compare_one_seed_has_images_only():
    (c,) = at_last(compare([*make_arm("none", NONE[:1]), *make_arm("l1", BETTER[:1])]))
    assert c.difference == pytest.approx(0.027)
    for name in ("sd", "low", "p", "p_holm", "bootstrap_low", "effect_size", "combined_low"):
        assert getattr(c, name) is None
    assert c.sampling_low < c.difference < c.sampling_high
    assert c.p_mcnemar < 1
    assert "One common seed" in c.note


def test_compare_two_seeds_has_no_bootstrap():
    (c,) = at_last(compare([*make_arm("none", NONE[:2]), *make_arm("l1", BETTER[:2])]))
    assert c.low is not None
    assert c.bootstrap_low is None
    assert c.effect_size_corrected is None
    assert "Two common seeds" in c.note


def test_compare_equal_differences_have_no_test():
    shifted = [accuracy + 0.02 for accuracy in NONE]
    (c,) = at_last(compare([*make_arm("none", NONE), *make_arm("l1", shifted)]))
    assert (c.p, c.p_holm, c.low, c.sd, c.seeds_needed) == (None,) * 5
    assert "the same at every seed" in c.note
    assert c.p_wilcoxon == 0.0625


def test_compare_identical_arms_say_so():
    twins = [dataclasses.replace(record, arm="l1") for record in make_arm("none", NONE)]
    (c,) = at_last(compare([*make_arm("none", NONE), *twins]))
    assert c.difference == 0
    assert (c.p, c.p_wilcoxon, c.sampling_low, c.combined_low) == (None,) * 4
    assert c.p_mcnemar == 1
    assert c.seeds_with_other_sign == 0
    assert "exactly the same test images" in c.note


def test_compare_broken_runs_are_counted_and_named():
    arm = make_arm("l1", (*BETTER[:3], 0.1, 0.1), broken={3: "collapsed", 4: "diverged"})
    (c,) = at_last(compare([*make_arm("none", NONE), *arm]))
    assert c.flagged_seeds == (3, 4)
    assert c.n_seeds == 5
    assert c.difference < -0.2
    assert c.difference_without_flagged == pytest.approx(
        np.mean([BETTER[seed] - NONE[seed] for seed in range(3)])
    )


def test_compare_all_broken_leaves_nothing_without():
    arm = make_arm("l1", (0.1, 0.11), broken={0: "collapsed", 1: "collapsed"})
    (c,) = at_last(compare([*make_arm("none", NONE[:2]), *arm]))
    assert c.flagged_seeds == (0, 1)
    assert c.difference_without_flagged is None
