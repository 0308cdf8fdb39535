from __future__ import annotations

import dataclasses
import re

import pytest

from pellucid import DataError, UsageError
from pellucid.regularization.statistics.summaries import compare, study_power, summarize
from pellucid.regularization.statistics.verdict import verdict
from tests.regularization.made_records import BETTER, NONE, SIMILAR, make_arm


def judge(*arms, **options):
    records = [record for arm in arms for record in arm]
    comparisons = compare(records)
    return verdict(summarize(records), comparisons, study_power(comparisons), **options)


def sentence(sentences, part):
    """Return the one sentence that holds the words."""
    (found,) = [s for s in sentences if part in s]
    return found


def assert_readable(sentences):
    assert all(re.search(r"[.]$", s) for s in sentences)
    text = " ".join(sentences)
    assert not re.search(r"\b(nan|inf|None)\b|-0\.0\b|  ", text)


# ---------------------------------------------------------------- headline


def test_verdict_clear_winner_leads_with_amount_interval_and_p():
    sentences = judge(make_arm("none", NONE), make_arm("l1", BETTER))
    (comparison, _) = compare([*make_arm("none", NONE), *make_arm("l1", BETTER)])
    low, high = 100 * comparison.low, 100 * comparison.high
    assert sentences[0].startswith(
        "'l1' helps: after the last epoch it answers 2.6 points more of the test images right than "
        f"'none' (95 % interval over seeds {low:.1f} to {high:.1f}, Holm p "
    )
    assert "5 seeds" in sentences[0]
    assert_readable(sentences)


def test_verdict_two_winners_apart_names_the_better():
    best = (0.873, 0.878, 0.874, 0.877, 0.876)
    sentences = judge(make_arm("none", NONE), make_arm("l1", BETTER), make_arm("l2", best))
    assert sentences[0].startswith("'l2' helps most: 'l2' and 'l1' both beat 'none'")
    assert "'l2' also beats the other arm" in sentences[0]
    assert "Also decided after the last epoch" in sentence(sentences, "'l2' over 'l1'")


def test_verdict_two_winners_alike_leaves_the_order_open():
    other = (0.829, 0.824, 0.828, 0.823, 0.829)
    sentences = judge(make_arm("none", NONE), make_arm("l1", BETTER), make_arm("l2", other))
    assert sentences[0].startswith("'l2' and 'l1' help")
    assert "Which of them is best is not decided." in sentences[0]
    assert "which is not equal" in sentence(sentences, "'l2' against 'l1'")


def test_verdict_worse_arm_is_no_help():
    sentences = judge(make_arm("none", BETTER), make_arm("l1", NONE))
    assert sentences[0].startswith("No arm beats 'none' after the last epoch; 'l1' does worse: ")
    assert "-2.6 points" in sentences[0]


def test_verdict_no_difference_is_undecided_not_equal():
    sentences = judge(make_arm("none", NONE), make_arm("l1", SIMILAR))
    assert sentences[0].startswith("Undecided: with 5 seeds no arm differs from 'none'")
    assert "Undecided is not equal." in sentences[0]
    undecided = sentence(sentences, "remain possible")
    assert "'l1' against 'none'" in undecided
    assert "helps" not in " ".join(sentences)
    assert_readable(sentences)


def test_verdict_undecided_names_the_seeds_that_would_decide():
    arms = make_arm("none", NONE), make_arm("l1", (0.812, 0.804, 0.809, 0.799, 0.806))
    comparison = compare([*arms[0], *arms[1]])[0]
    assert f"about {comparison.seeds_needed} seeds" in sentence(judge(*arms), "remain possible")


def test_verdict_seeds_agree_but_images_do_not_says_so():
    # The same small step at each seed, on 200 images.
    few = {"images": 200}
    sentences = judge(
        make_arm("none", (0.800, 0.805, 0.795, 0.800, 0.810), **few),
        make_arm("l1", (0.815, 0.825, 0.810, 0.820, 0.825), **few),
    )
    assert sentences[0].startswith("'l1' helps")
    assert "Other test images could still overturn this" in sentences[0]


def test_verdict_same_arm_twice_is_right_equally_often():
    twin = [dataclasses.replace(record, arm="l1") for record in make_arm("none", NONE)]
    sentences = judge(make_arm("none", NONE), twin)
    assert sentences[0].startswith("'l1' is right exactly as often as 'none' at every seed")
    assert "exactly the same test images" in sentence(sentences, "'l1' against 'none'")
    assert_readable(sentences)


def test_verdict_one_seed_decides_nothing():
    sentences = judge(make_arm("none", NONE[:1]), make_arm("l1", BETTER[:1]))
    assert sentences[0].startswith("One seed decides nothing: 'l1' is 2.7 points ahead of 'none'")
    assert "helps" not in " ".join(sentences)
    assert "Apart from the seeds, the 1,000 test images" in sentence(sentences, "test images are")
    assert_readable(sentences)


def test_verdict_two_seeds_is_readable():
    sentences = judge(make_arm("none", NONE[:2]), make_arm("l1", SIMILAR[:2]))
    assert "with 2 seeds" in sentences[0]
    assert_readable(sentences)


def test_verdict_one_arm_has_nothing_to_compare():
    sentences = judge(make_arm("l2", NONE))
    assert sentences[0].startswith("Nothing to compare: 'l2' alone answers 80.0 %")
    assert_readable(sentences)


def test_verdict_many_arms_counts_what_it_does_not_tell():
    turned = [SIMILAR[i:] + SIMILAR[:i] for i in range(5)]
    sentences = judge(*(make_arm(f"arm{i}", turned[i]) for i in range(5)))
    assert sum("remain possible" in s for s in sentences) == 6
    assert "4 more comparisons of 10 undecided too." in sentences


# ---------------------------------------------------------------- last epoch against best


def test_verdict_reversal_beyond_chance_is_in_the_headline():
    # L1 - none: +5.7 points at the last epoch, -1.2 at the best checkpoint, over 20 seeds.
    base = [0.780 + 0.001 * (seed % 7) for seed in range(20)]
    steps = [0.057 + 0.002 * ((seed % 5) - 2) for seed in range(20)]
    at_best = [0.850 + 0.001 * (seed % 3) for seed in range(20)]
    back = [-0.012 + 0.002 * ((seed % 5) - 2) for seed in range(20)]
    sentences = judge(
        make_arm("none", base, best=at_best),
        make_arm(
            "l1",
            [a + d for a, d in zip(base, steps, strict=True)],
            best=[a + d for a, d in zip(at_best, back, strict=True)],
        ),
    )
    assert "But when training stops decides: after the last epoch 'l1' beats 'none'" in sentences[0]
    assert "the order is reversed (-1.2 points" in sentences[0]
    assert "Wilcoxon" not in " ".join(sentences)  # 20 seeds can
    assert_readable(sentences)


def test_verdict_reversal_at_one_moment_only_is_possible_not_shown():
    sentences = judge(
        make_arm("none", NONE, best=SIMILAR),
        make_arm("l1", BETTER, best=(0.800, 0.797, 0.806, 0.795, 0.803)),
    )
    assert "only one of the two is beyond chance" in sentence(sentences, "The sign of")
    assert "reversed" not in sentences[0]


def test_verdict_reversal_within_noise_is_called_noise():
    sentences = judge(make_arm("none", NONE, best=SIMILAR), make_arm("l1", SIMILAR, best=NONE))
    assert "no more than noise may do" in sentence(sentences, "The sign of")


def test_verdict_at_the_best_checkpoint_speaks_of_it():
    arms = make_arm("none", NONE, best=NONE[::-1]), make_arm("l1", NONE, best=BETTER)
    sentences = judge(*arms, moment="best")
    assert sentences[0].startswith("'l1' helps: at the best checkpoint")
    optimism = sentence(sentences, "Choosing raises it")
    assert "2.0 ('none') and 2.0 ('l1')" in optimism


# ---------------------------------------------------------------- the rest


def test_verdict_over_fitting_names_the_epoch_from_one():
    said = sentence(judge(make_arm("none", NONE)), "over-fits")
    assert "least after epoch 12 of 40 (seeds: 11 to 13)" in said
    gap = 100 * (0.95 - 0.02 - sum(NONE) / 5)
    assert f"is {gap:.1f} points" in said


def test_verdict_no_over_fitting_is_not_claimed():
    sentences = judge(
        make_arm("none", NONE, overfits=False), make_arm("l1", BETTER, overfits=False)
    )
    assert not any("over-fits" in s for s in sentences)
    assert sum("shows no over-fitting" in s for s in sentences) == 2


def test_verdict_gap_is_compared_with_the_baseline():
    sentences = judge(
        make_arm("none", NONE), make_arm("l1", BETTER), make_arm("l2", SIMILAR, train_accuracy=0.96)
    )
    said = sentence(sentences, "Against 'none' the gap is")
    assert "2.6 points smaller with 'l1' (the intervals do not meet)" in said
    assert "0.9 points larger with 'l2' (the intervals meet)" in said


def test_verdict_without_validation_images_reads_the_gap_to_test():
    sentences = judge(
        make_arm("none", NONE, validation=None), make_arm("l1", BETTER, validation=None)
    )
    assert sum("without validation images" in s for s in sentences) == 2
    assert not any("best checkpoint" in s for s in sentences)
    assert not any("Choosing" in s for s in sentences)
    assert_readable(sentences)


def test_verdict_weights_gives_zeros_and_norm_against_the_baseline():
    sentences = judge(
        make_arm("none", NONE, l1_norm=1277.0), make_arm("l1", BETTER, zeros=0.382, l1_norm=476.0)
    )
    said = sentence(sentences, "Weights that are exactly zero")
    assert "'none' 0 % (sum of |w| 1277)" in said
    assert "'l1' 38.2 % (sum of |w| 476, 0.37 times that of 'none')" in said


def test_verdict_collapsed_seed_is_named_with_the_figure_without_it():
    sentences = judge(
        make_arm("none", NONE), make_arm("l1", (*BETTER[:4], 0.1), broken={4: "collapsed"})
    )
    assert sentences[0].startswith("Undecided")
    assert "'l1' broke at 1 of 5 seeds." in sentences[0]
    said = sentence(sentences, "collapsed")
    assert "'l1' collapsed at 1 of 5 seeds (4)" in said
    assert "Without broken seeds 'l1' against 'none' would be 2.5 points." in said


def test_verdict_collapsed_baseline_tells_every_arm_without_it():
    sentences = judge(
        make_arm("none", (*NONE[:4], 0.1), broken={4: "diverged"}), make_arm("l1", BETTER)
    )
    assert "'l1' against 'none' would be 2.5 points" in sentence(sentences, "diverged")


def test_verdict_arm_collapsed_everywhere_is_in_the_headline():
    flat = (0.10, 0.101, 0.099, 0.10, 0.102)
    sentences = judge(
        make_arm("none", NONE), make_arm("l1", flat, broken=dict.fromkeys(range(5), "collapsed"))
    )
    assert sentences[0].startswith("No arm beats 'none'")
    assert "'l1' broke at every seed." in sentences[0]
    assert "not of the penalty" in sentence(sentences, "collapsed at every seed")
    assert_readable(sentences)


def test_verdict_power_says_what_five_seeds_can_find():
    arms = make_arm("none", NONE), make_arm("l1", SIMILAR)
    power = study_power(compare([*arms[0], *arms[1]]))
    sentences = judge(*arms)
    said = sentence(sentences, "a chance of 80 %")
    assert f"takes {100 * power.detectable:.1f} points" in said
    assert "cannot fall below p = 0.0625" in sentence(sentences, "Wilcoxon")


def test_verdict_limits_depend_on_tuning_and_seeds():
    arms = make_arm("none", NONE), make_arm("l1", BETTER)
    untuned = sentence(judge(*arms), "What cannot be concluded")
    tuned = sentence(judge(*arms, tuned=True), "What cannot be concluded")
    assert "none was tuned" in untuned
    assert "outside those tried" in tuned
    for said in (untuned, tuned):
        assert "other data" in said
        assert "another division" in said
        assert "which 5 seeds cannot show" in said


def test_verdict_baseline_is_none_else_the_first_else_as_asked():
    arms = make_arm("l1", BETTER), make_arm("none", NONE), make_arm("l2", SIMILAR)
    assert "than 'none'" in judge(*arms)[0]
    assert "'l1'" in judge(*arms[::2])[0]
    assert judge(*arms, baseline="l2")[0].startswith("'l1' helps")


def test_verdict_titles_replace_names():
    titles = {"none": "no penalty", "l1": "the lasso"}
    sentences = judge(make_arm("none", NONE), make_arm("l1", BETTER), titles=titles)
    assert sentences[0].startswith("The lasso helps: ")
    assert "than no penalty" in sentences[0]
    assert "'l1'" not in " ".join(sentences)


def test_verdict_nothing_is_refused():
    with pytest.raises(DataError, match="a verdict needs at least one arm, got 0"):
        verdict((), (), study_power(()))


@pytest.mark.parametrize("option", ["moment", "baseline"])
def test_verdict_unknown_choice_is_refused(option):
    with pytest.raises(UsageError, match=f"{option} must be one of"):
        judge(make_arm("none", NONE), **{option: "later"})
