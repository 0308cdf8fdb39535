"""The verdict of a study in words: every figure in it is read from the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from pellucid._checks import DataError, check_choice
from pellucid.regularization.statistics.comparison import MOMENTS, Comparison
from pellucid.regularization.statistics.course import say_early_stopping, say_overfitting
from pellucid.regularization.statistics.findings import (
    MOMENT_WORDS,
    Case,
    Finding,
    capitalize,
    count,
    find_reversals,
    other_moment,
    write_amount,
    write_figures,
    write_how_many,
    write_list,
    write_points,
    write_range,
    write_share,
)
from pellucid.regularization.statistics.headline import write_headline
from pellucid.regularization.statistics.power import SIGNIFICANCE, Power
from pellucid.regularization.statistics.summaries import ArmSummary

# Pairs without the baseline that get a sentence each; more are counted.
_MOST_SENTENCES = 6


def verdict(
    summaries: Sequence[ArmSummary],
    comparisons: Sequence[Comparison],
    power: Power,
    *,
    moment: str = "last",
    baseline: str | None = None,
    titles: Mapping[str, str] | None = None,
    tuned: bool = False,
    path_words: str | None = None,
) -> tuple[str, ...]:
    """Say what the figures allow to be said: the headline first, then sentences.

    A difference is called decided where Holm's p of the paired t tests is below .05, because the t
    interval is the one that keeps its promise with few seeds. Nothing undecided is called equal.

    Args:
        summaries: From `summarize`, both moments.
        comparisons: From `compare`, both moments.
        power: From `study_power`.
        moment: The one the headline speaks of; name it before looking.
        baseline: The arm the others are measured against; by default ``"none"`` if there is one,
            else the first.
        titles: Words for the names of arms; names are quoted without.
        tuned: Whether each arm's strength was chosen on validation images with equal effort.
        path_words: What is said of a path of strengths, from `write_path_words`; it comes before
            the limits.

    Raises:
        DataError: there are no summaries.
        UsageError: there is no such moment or arm.
    """
    check_choice("moment", moment, MOMENTS)
    if not summaries:
        raise DataError("a verdict needs at least one arm, got 0. Train an arm first.")
    arms = list(dict.fromkeys(s.arm for s in summaries))
    if baseline is None:
        baseline = "none" if "none" in arms else arms[0]
    check_choice("baseline", baseline, arms)
    words = titles or {}
    case = Case(
        summaries, comparisons, power, moment, baseline, lambda arm: words.get(arm, f"'{arm}'")
    )
    parts = [
        [write_headline(case)],
        say_early_stopping(case),
        say_overfitting(case),
        _say_differences(case),
        _say_other_moment(case),
        _say_sampling(case),
        _say_optimism(case),
        _say_weights(case),
        _say_broken(case),
        _say_power(case),
        [] if path_words is None else [path_words],
        _say_limits(case, tuned, has_path=path_words is not None),
    ]
    return tuple(capitalize(sentence) for sentence in itertools.chain(*parts))


# ---------------------------------------------------------------- differences


def _say_differences(case: Case) -> list[str]:
    told = [f.comparison for f in case.told_in_headline()]
    pairs = [f for f in case.pairs() if f.comparison.n_seeds >= 2]
    decided = [f for f in pairs if f.decided and f.comparison not in told]
    open_pairs = [f for f in pairs if not f.decided]
    sentences = []
    if decided:
        amounts = [
            f"{case.name(f.arm)} over {case.name(f.other)} ({write_figures(f)})" for f in decided
        ]
        sentences.append(
            f"also decided {MOMENT_WORDS[case.moment]}, on these test images: {'; '.join(amounts)}."
        )
    sentences += [_say_undecided(case, f) for f in open_pairs[:_MOST_SENTENCES]]
    left = len(open_pairs) - _MOST_SENTENCES
    if left > 0:
        verb = "is" if left == 1 else "are"
        sentences.append(f"{count(left, 'more comparison')} of {len(pairs)} {verb} undecided too.")
    return sentences


def _say_undecided(case: Case, finding: Finding) -> str:
    finding = _from_other_than_baseline(case, finding)
    arm, other = case.name(finding.arm), case.name(finding.other)
    if finding.interval is None:
        return f"{arm} against {other}: {finding.comparison.note}"
    farthest = max(abs(end) for end in finding.interval)
    opening = (
        f"{arm} against {other} is undecided ({write_figures(finding)}), which is not equal: "
        + (
            "any difference remains possible"
            if finding.interval == (-1.0, 1.0)
            else f"differences of up to {write_amount(farthest)} remain possible"
        )
    )
    needed = finding.comparison.seeds_needed
    if needed is None:
        return f"{opening}. A difference as small as the one seen would take over 1,000 seeds."
    return (
        f"{opening}. If the true difference is as large as the one seen, about {needed} seeds "
        "would find it four times in five."
    )


def _from_other_than_baseline(case: Case, finding: Finding) -> Finding:
    if finding.arm != case.baseline:
        return finding
    return Finding(finding.other, finding.arm, finding.comparison)


# ---------------------------------------------------------------- the other moment


def _say_other_moment(case: Case) -> list[str]:
    moment = other_moment(case)
    others = [f for f in case.against_baseline(moment) if f.comparison.n_seeds >= 2]
    sentences = []
    if others and not _same_moments(case):
        told = [
            f"{case.name(f.arm)} {write_figures(f)}, {'decided' if f.decided else 'undecided'}"
            for f in others
        ]
        sentences.append(
            f"{MOMENT_WORDS[moment]}, against {case.name(case.baseline)}: {'; '.join(told)}."
        )
    for here, there in find_reversals(case):
        if here.decided and there.decided:
            continue
        here = _from_other_than_baseline(case, here)
        there = _from_other_than_baseline(case, there)
        arm, other = case.name(here.arm), case.name(here.other)
        change = (
            f"{write_points(here.difference)} points {MOMENT_WORDS[case.moment]}, "
            f"{write_points(there.difference)} {MOMENT_WORDS[moment]}"
        )
        doubt = (
            "only one of the two is beyond chance, so a reversal is possible but not shown"
            if here.decided or there.decided
            else "neither is beyond chance, so this is no more than noise may do"
        )
        sentences.append(f"the sign of {arm} against {other} changes ({change}): {doubt}.")
    return sentences


def _same_moments(case: Case) -> bool:
    """Tell whether the best checkpoint is the last epoch everywhere, as without validation."""
    pairs = zip(case.arms("last"), case.arms("best"), strict=False)
    return all(
        last.validation_accuracy is None
        or (last.test_accuracy == best.test_accuracy and last.test_loss == best.test_loss)
        for last, best in pairs
    )


# ---------------------------------------------------------------- chance of the images


def _say_sampling(case: Case) -> list[str]:
    told = [
        f"{case.name(f.arm)} {write_range(f.sampling)}"
        for f in case.against_baseline()
        if f.sampling is not None
    ]
    if not told:
        return []
    images = count(case.arms()[0].test_images, "test image")
    sentence = (
        f"apart from the seeds, the {images} are a draw too; for these very networks their chance "
        f"alone allows, against {case.name(case.baseline)} in points: {'; '.join(told)}"
    )
    both = [
        f"{case.name(f.arm)} {write_range(f.combined)}"
        for f in case.against_baseline()
        if f.combined is not None
    ]
    return [
        f"{sentence}; seeds and images together: {'; '.join(both)}." if both else f"{sentence}."
    ]


def _say_optimism(case: Case) -> list[str]:
    told = [
        f"{write_points(s.optimism.mean)} ({case.name(s.arm)})"
        for s in case.arms("best")
        if s.optimism is not None
    ]
    if not told or _same_moments(case):
        return []
    return [
        "validation minus test accuracy at the checkpoint chosen by the former, in points: "
        f"{write_list(told)}. Choosing raises it; the test figures are free of that."
    ]


# ---------------------------------------------------------------- weights and broken runs


def _say_weights(case: Case) -> list[str]:
    arms = case.arms()
    base = next(s for s in arms if s.arm == case.baseline)
    told = []
    for summary in arms:
        share = write_share(summary.exact_zeros) if summary.exact_zeros > 0 else "0 %"
        norm = f"sum of |w| {summary.l1_norm:.4g}"
        if summary is not base and base.l1_norm > 0:
            norm += f", {summary.l1_norm / base.l1_norm:.2f} times that of {case.name(base.arm)}"
        told.append(f"{case.name(summary.arm)} {share} ({norm})")
    return [f"weights that are exactly zero {MOMENT_WORDS[case.moment]}: {'; '.join(told)}."]


def _say_broken(case: Case) -> list[str]:
    sentences = []
    for summary in case.arms():
        for seeds, what in ((summary.collapsed, "collapsed"), (summary.diverged, "diverged")):
            if not seeds:
                continue
            arm = case.name(summary.arm)
            if len(seeds) == summary.n_seeds:
                which = f"at {write_how_many(len(seeds), summary.n_seeds)}"
                advice = " Its figures speak of this strength and rate, not of the penalty."
            else:
                word = "seed" if len(seeds) == 1 else "seeds"
                which = (
                    f"at {write_how_many(len(seeds), summary.n_seeds)} "
                    f"({word} {write_list([*map(str, seeds)])})"
                )
                advice = ""
            sentences.append(
                f"{arm} {what} {which}; {_write_counted(len(seeds))}."
                f"{_say_without(case, summary.arm)}{advice}"
            )
    return sentences


def _write_counted(runs: int) -> str:
    if runs == 1:
        return "this run is counted with the accuracy it has"
    return "these runs are counted with the accuracy they have"


def _say_without(case: Case, arm: str) -> str:
    others = case.against_baseline() if arm == case.baseline else [case.find(arm, case.baseline)]
    told = [
        f"{case.name(f.arm)} against {case.name(f.other)} would be "
        f"{write_points(f.without_flagged)} points"
        for f in others
        if f is not None and f.without_flagged is not None
    ]
    return f" Without collapsed and diverged runs {write_list(told)}." if told else ""


# ---------------------------------------------------------------- power and limits


def _say_power(case: Case) -> list[str]:
    power = case.power
    sentences = []
    if power.sd is not None and power.detectable is not None:
        near = min(power.chances, key=lambda pair: abs(pair[1] - 0.5), default=None)
        found = ""
        if near is not None:
            found = (
                f" a true difference of {write_amount(near[0])} would be found "
                f"{100 * near[1]:.0f} % of the time;"
            )
        sentences.append(
            f"with {count(power.n_seeds, 'seed')} and the spread seen (standard deviation of a "
            f"paired difference {write_amount(power.sd)}){found} {_write_detectable(power)}."
        )
    if power.n_seeds >= 2 and power.wilcoxon_least_p > SIGNIFICANCE:
        sentences.append(
            f"with {count(power.n_seeds, 'seed')} the exact Wilcoxon test cannot fall below "
            f"p = {power.wilcoxon_least_p:.4g}, whatever the figures, so the paired t test decides."
        )
    return sentences


def _write_detectable(power: Power) -> str:
    """Say which difference is found with a chance of 80 %; above 100 points there is none."""
    detectable, strict = power.detectable, power.detectable_strict
    if detectable is None or detectable > 1:
        return "no difference, however large, would be found with a chance of 80 %"
    text = f"a chance of 80 % takes {write_amount(detectable)}"
    if power.comparisons > 1 and strict is not None:
        among = f"among {power.comparisons} comparisons"
        if strict <= 1:
            text += f", or {write_amount(strict)} to pass {among}"
        else:
            text += f"; to pass {among} with that chance no difference is large enough"
    return text


def _say_limits(case: Case, tuned: bool, *, has_path: bool) -> list[str]:
    arms = case.arms()
    few = min(s.n_seeds for s in arms)
    limits = [
        "what other data would say",
        "what another division of these data into training, validation and test would say",
    ]
    if tuned:
        limits.append("what strengths outside those tried would do")
    elif has_path:
        limits.append("what other strengths would do for the other arms, for none was tuned")
    else:
        limits.append("what other strengths would do, for none was tuned")
    if few < 10:
        limits.append(
            f"whether differences over seeds are normal, which {count(few, 'seed')} cannot show "
            "and the t test supposes"
        )
    others = case.against_baseline()
    if others and all(f.sampling is None for f in others):
        limits.append(f"more than {count(arms[0].test_images, 'test image')} can tell apart")
    return [f"what cannot be concluded: {'; '.join(limits)}."]
