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


def test_verdict_two_seeds_claims_nothing_impossible():
    sentences = judge(make_arm("none", (0.3, 0.9)), make_arm("l1", (0.9, 0.3)))
    text = " ".join(sentences)
    numbers = [float(n) for n in re.findall(r"(-?\d+\.\d+) (?:to|points)", text)]
    assert all(abs(number) <= 100 for number in numbers)
    assert "any difference remains possible" in text
    assert "no difference, however large, would be found" in text


def test_verdict_equal_on_average_is_said_without_more_or_fewer():
    sentences = judge(make_arm("none", (0.80, 0.81)), make_arm("l1", (0.81, 0.80)))
    assert "On average 'l1' is right as often as 'none' (95 %" in sentences[0]
    assert "0.0 points" not in sentences[0]


def test_verdict_largest_of_several_differences_reads_as_one():
    sentences = judge(make_arm("none", NONE), make_arm("l1", SIMILAR), make_arm("l2", SIMILAR))
    assert "The largest difference is with 'l1', 0.1 points more of the test" in sentences[0]


def test_verdict_diverged_and_collapsed_runs_are_told_apart():
    broken = {3: "collapsed", 4: "diverged"}
    sentences = judge(
        make_arm("none", NONE),
        make_arm("l1", (*BETTER[:3], 0.1, 0.1), broken=broken),
        titles={"l1": "lasso"},
    )
    assert ". Lasso collapsed at 1 of 5 seeds and diverged at 1 of 5 seeds." in sentences[0]
    assert "broke" not in " ".join(sentences)


def test_verdict_one_arm_has_nothing_to_compare():
    sentences = judge(make_arm("l2", NONE))
    assert sentences[0].startswith("Nothing to compare: 'l2' alone answers 80.0 %")
    assert_readable(sentences)


def test_verdict_many_arms_counts_what_it_does_not_tell():
    turned = [SIMILAR[i:] + SIMILAR[:i] for i in range(5)]
    sentences = judge(*(make_arm(f"arm{i}", turned[i]) for i in range(5)))
    assert sum("remain possible" in s for s in sentences) == 6
    assert "4 more comparisons of 10 are undecided too." in sentences


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
    said = sentence(judge(make_arm("none", NONE)), "Over-fitting")
    assert "shows with 'none' from epoch 12 of 40 (over seeds 11 to 13; rise 0.5" in said


def test_verdict_over_fitting_of_all_arms_is_one_sentence():
    sentences = judge(
        make_arm("none", NONE),
        make_arm("l1", BETTER),
        make_arm("l2", SIMILAR, overfits=False, train_accuracy=0.83),
    )
    said = sentence(sentences, "ver-fitting")
    assert "shows with 'none' from epoch" in said
    assert "and with 'l1' from epoch" in said
    assert "hardly rises with 'l2' (rise 0.0" in said
    assert said.endswith("no over-fitting shows there.")
    assert_readable(sentences)


def test_verdict_wide_gap_is_never_called_no_over_fitting():
    sentences = judge(
        make_arm("none", NONE, overfits=False), make_arm("l1", BETTER, overfits=False)
    )
    said = sentence(sentences, "although the validation loss hardly rises")
    assert said.startswith("The gaps are 13.0 points (12.4 to 13.5) with 'none' and 10.4 points")
    assert "no over-fitting" not in " ".join(sentences)


def turned_up(arm, rises):
    """Return runs whose loss is flat with a small wobble, then higher by ``rises`` in the end."""
    records = []
    for run, rise in zip(make_arm(arm, NONE), rises, strict=True):
        history = [
            {**row, "validation_loss": 0.6 + 0.01 * (epoch % 2) + (rise if epoch >= 30 else 0.0)}
            for epoch, row in enumerate(run.history)
        ]
        records.append(dataclasses.replace(run, history=tuple(history)))
    return records


def test_verdict_uncertain_rise_is_undecided():
    sentences = judge(turned_up("none", (0.0, 0.5, 0.0, 0.0, 0.1)))
    said = sentence(sentences, "whether there is over-fitting".capitalize())
    assert "with 'none' (rise 0.12, 0.00 to 0.3" in said
    assert "is undecided, against a wobble of 0.01" in said


def test_verdict_one_run_between_wobble_and_rise_is_undecided():
    # Mean rise: twice the wobble, too much for "hardly" and too little for one run.
    (run, *_) = turned_up("none", (0.02, 0.0, 0.0, 0.0, 0.0))
    said = sentence(judge([run]), "Whether there is over-fitting")
    assert "with 'none' (rise 0.02) is undecided" in said


def test_verdict_loss_that_rises_while_training_gets_worse_is_no_over_fitting():
    records = [
        dataclasses.replace(
            run,
            history=tuple({**row, "train_loss": row["validation_loss"]} for row in run.history),
        )
        for run in turned_up("none", (0.5, 0.52, 0.5, 0.51, 0.5))
    ]
    assert "speaks of training rather than" in sentence(judge(records), "validation loss rises")


def test_verdict_gaps_are_one_sentence_and_compared_with_the_baseline():
    sentences = judge(
        make_arm("none", NONE), make_arm("l1", BETTER), make_arm("l2", SIMILAR, train_accuracy=0.97)
    )
    said = sentence(sentences, "The gap between training and validation accuracy")
    assert "13.0 points (12.4 to 13.5) with 'none', 10.4 points" in said
    assert "the interval of 'l1' lies below that of 'none'" in said
    assert "the interval of 'l2' lies above that of 'none'" in said


def test_verdict_without_validation_images_reads_the_gap_to_test():
    sentences = judge(
        make_arm("none", NONE, validation=None), make_arm("l1", BETTER, validation=None)
    )
    assert "with 'l1'" in sentence(sentences, "Without validation images")
    assert not any("best validation checkpoint" in s for s in sentences)
    assert not any("best checkpoint" in s for s in sentences)
    assert not any("Choosing" in s for s in sentences)
    assert_readable(sentences)


# ---------------------------------------------------------------- stopping early

STOPPED = (0.900, 0.911, 0.898, 0.902, 0.896)  # about 10 points more than NONE at every seed


def test_verdict_early_stopping_that_gains_more_than_any_arm_comes_second():
    sentences = judge(make_arm("none", NONE, best=STOPPED), make_arm("l1", BETTER, best=STOPPED))
    assert sentences[1].startswith(
        "Stopping at the best validation checkpoint instead of the last epoch changes test "
        "accuracy by +10.1 points with 'none' (95 % interval over seeds 9.7 to 10.5, Holm p < 0.001"
        ", decided) and +7.5 points with 'l1'"
    )
    assert (
        "more than any other arm gains over it after the last epoch (the most is 2.6 with 'l1'"
        in sentences[1]
    )
    assert_readable(sentences)


def test_verdict_early_stopping_that_gains_less_than_an_arm_claims_no_more():
    a_little = (*(accuracy + 0.01 for accuracy in NONE[:4]), NONE[4] + 0.011)
    sentences = judge(make_arm("none", NONE, best=a_little), make_arm("l1", BETTER))
    said = sentence(sentences, "Stopping at the best")
    assert "+1.0 points with 'none'" in said
    assert "more than any other arm" not in said


def test_verdict_early_stopping_of_an_arm_that_is_behind_is_left_out():
    sentences = judge(make_arm("none", BETTER, best=STOPPED), make_arm("l1", NONE, best=STOPPED))
    assert "'l1'" not in sentences[1]
    assert "(none gains any)" in sentences[1]


def test_verdict_early_stopping_that_hardly_matters_is_left_out():
    sentences = judge(make_arm("none", NONE, best=SIMILAR), make_arm("l1", NONE[::-1]))
    assert not any("Stopping at the best" in s for s in sentences)


def test_verdict_early_stopping_with_one_seed_decides_nothing():
    sentences = judge(make_arm("none", NONE[:1], best=STOPPED[:1]), make_arm("l1", BETTER[:1]))
    assert "+10.0 points with 'none' (one seed, which decides nothing)" in sentences[1]
    assert "more than any other arm" not in sentences[1]


# ---------------------------------------------------------------- weights, broken runs, limits


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
    assert "'l1' collapsed at 1 of 5 seeds." in sentences[0]
    said = sentence(sentences, "'l1' collapsed at 1 of 5 seeds (seed 4); this run is counted")
    assert "Without collapsed and diverged runs 'l1' against 'none' would be 2.5 points." in said


def test_verdict_collapsed_baseline_tells_every_arm_without_it():
    sentences = judge(
        make_arm("none", (*NONE[:4], 0.1), broken={4: "diverged"}), make_arm("l1", BETTER)
    )
    assert "'l1' against 'none' would be 2.5 points" in sentence(sentences, "this run is counted")


def test_verdict_arm_collapsed_everywhere_is_in_the_headline():
    flat = (0.10, 0.101, 0.099, 0.10, 0.102)
    sentences = judge(
        make_arm("none", NONE), make_arm("l1", flat, broken=dict.fromkeys(range(5), "collapsed"))
    )
    assert sentences[0].startswith("No arm beats 'none'")
    assert "'l1' collapsed at every seed." in sentences[0]
    assert "not of the penalty" in sentence(sentences, "these runs are counted")
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


def test_verdict_path_comes_before_the_limits_and_changes_them():
    arms = make_arm("none", NONE), make_arm("l1", BETTER)
    sentences = judge(*arms, path_words="Along 8 strengths of L1 ...")
    assert sentences[-2] == "Along 8 strengths of L1 ..."
    assert "what other strengths would do for the other arms, for none was" in sentences[-1]
    assert "outside those tried" in judge(*arms, tuned=True, path_words="Along 8.")[-1]


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
