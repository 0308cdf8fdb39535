"""Pairs of arms compared at equal seeds: how much better, how sure, and against which chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pellucid._checks import DataError, check_choice
from pellucid.regularization.record import Measured, RunRecord
from pellucid.regularization.statistics.paired_differences import (
    bootstrap_interval,
    combine_seeds_and_images,
    cut,
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
from pellucid.regularization.statistics.power import SIGNIFICANCE, Power, power, seeds_needed

MOMENTS = ("last", "best")


@dataclass(frozen=True)
class Comparison:
    """Two arms at one moment, paired by seed: what ``a`` has more than ``b`` in test accuracy.

    Three intervals answer three questions. ``low, high``: would other seeds say the same on these
    test images? ``sampling_low, sampling_high``: would other test images say the same of these
    networks? ``combined_low, combined_high``: would other seeds on other test images?

    All accuracies are in [0, 1], so a difference lies in [-1, 1] and its intervals are cut to that:
    two seeds alone would often allow more. The p values know no such cut. What cannot be estimated
    is None, and `note` says why.

    Attributes:
        a: Name of one arm.
        b: Name of the arm it is compared with.
        moment: ``"last"`` or ``"best"``.
        n_seeds: Seeds that both arms have; no others are used.
        seeds: Which.
        differences: Of each of these seeds, ``a - b``.
        difference: Their mean.
        sd: Their standard deviation.
        low: Lower end of Student's 95 % interval over seeds.
        high: Upper end.
        p: Of the paired t test.
        p_holm: The same, guarded for all comparisons at this moment.
        p_wilcoxon: Of the exact signed-rank test; cannot fall below ``2 / 2**n_seeds``.
        bootstrap_low: Lower end of the percentile bootstrap interval; too short with few seeds.
        bootstrap_high: Upper end.
        effect_size: ``d_z``, the mean over the standard deviation of the differences; too large
            on average with few seeds.
        effect_size_corrected: ``d_z`` without that (Hedges).
        seeds_with_other_sign: Seeds whose difference points against the mean.
        test_images: Number of test images.
        sampling_low: Lower end of the 95 % interval over test images.
        sampling_high: Upper end.
        p_mcnemar: One p of the seeds' exact McNemar tests, valid however they depend.
        mcnemar_seeds: Seeds whose own McNemar test has p < .05.
        combined_low: Lower end of the 95 % interval over both.
        combined_high: Upper end.
        p_combined: Of the difference being 0, both varying.
        p_combined_holm: The same, guarded for all comparisons at this moment.
        seeds_needed: Seeds that would decide a true difference as large as this one with a chance
            of 80 %, whatever the other comparisons (the level of Holm's strictest step); None if
            more than 1000 or unknown.
        flagged_seeds: Seeds at which either run collapsed or diverged. They are counted above.
        difference_without_flagged: The mean difference of the other seeds, where both exist.
        note: What could not be estimated and why; empty if nothing.
    """

    a: str
    b: str
    moment: str
    n_seeds: int
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    difference: float
    sd: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    p_wilcoxon: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    effect_size: float | None
    effect_size_corrected: float | None
    seeds_with_other_sign: int
    test_images: int
    sampling_low: float | None
    sampling_high: float | None
    p_mcnemar: float
    mcnemar_seeds: int
    combined_low: float | None
    combined_high: float | None
    p_combined: float | None
    p_combined_holm: float | None
    seeds_needed: int | None
    flagged_seeds: tuple[int, ...]
    difference_without_flagged: float | None
    note: str


def group_runs(records: Sequence[RunRecord]) -> dict[str, dict[int, RunRecord]]:
    """Return the records by arm and seed; arms in order of appearance, seeds in rising order.

    Raises:
        DataError: there are no records, a seed appears twice in an arm, or the test sets differ.
    """
    if not records:
        raise DataError("a study needs at least one finished run, got 0. Train an arm first.")
    sizes = sorted({len(record.last.test_correct) for record in records})
    if len(sizes) > 1 or sizes[0] == 0:
        raise DataError(
            f"all runs must be tested on the same images, one or more, got {sizes} of them. "
            "Compare runs of one study."
        )
    arms: dict[str, dict[int, RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.seed):
        runs = arms.setdefault(record.arm, {})
        if record.seed in runs:
            raise DataError(
                f"each seed must appear once in an arm, got seed {record.seed} twice in "
                f"{record.arm!r}. Give each recipe a name of its own."
            )
        runs[record.seed] = record
    order = dict.fromkeys(record.arm for record in records)
    return {arm: arms[arm] for arm in order}


def at_moment(record: RunRecord, moment: str) -> Measured:
    """Return the run's network measured at ``"last"`` or ``"best"``."""
    return record.last if moment == "last" else record.best


def correct_answers(measured: Sequence[Measured]) -> NDArray[np.float64]:
    """Return which images each run got right as 0 and 1, shape (runs, n_test)."""
    return np.stack([np.asarray(m.test_correct, dtype=np.float64) for m in measured])


def compare(records: Sequence[RunRecord], *, baseline: str | None = None) -> tuple[Comparison, ...]:
    """Compare arms at equal seeds, after the last epoch and at their best.

    All pairs are compared, the later arm minus the earlier; with `baseline` only every other arm
    minus the baseline, so that fewer comparisons share the 5 %. Pairs without a common seed are
    left out.

    Raises:
        DataError: as for `group_runs`.
        UsageError: there is no arm of the name `baseline`.
    """
    arms = group_runs(records)
    if baseline is None:
        pairs = [(a, b) for b, a in itertools.combinations(arms, 2)]
    else:
        check_choice("baseline", baseline, arms)
        pairs = [(arm, baseline) for arm in arms if arm != baseline]
    found: list[Comparison] = []
    for moment in MOMENTS:
        family = [
            _compare_pair(arms[a], arms[b], moment)
            for a, b in pairs
            if arms[a].keys() & arms[b].keys()
        ]
        guarded = holm([c.p for c in family])
        guarded_combined = holm([c.p_combined for c in family])
        found += [
            replace(
                comparison,
                p_holm=p,
                p_combined_holm=p_combined,
                seeds_needed=_seeds_needed(comparison, len(family)),
            )
            for comparison, p, p_combined in zip(family, guarded, guarded_combined, strict=True)
        ]
    return tuple(found)


def _compare_pair(
    runs_a: Mapping[int, RunRecord], runs_b: Mapping[int, RunRecord], moment: str
) -> Comparison:
    seeds = [seed for seed in runs_a if seed in runs_b]
    pairs = [(runs_a[seed], runs_b[seed]) for seed in seeds]
    measured_a = [at_moment(a, moment) for a, _ in pairs]
    measured_b = [at_moment(b, moment) for _, b in pairs]
    differences = np.array(
        [a.test_accuracy - b.test_accuracy for a, b in zip(measured_a, measured_b, strict=True)]
    )
    per_answer = correct_answers(measured_a) - correct_answers(measured_b)
    mean, sd = float(differences.mean()), standard_deviation(differences)
    mcnemar = [
        mcnemar_test(
            np.asarray(a.test_correct, dtype=np.bool_), np.asarray(b.test_correct, dtype=np.bool_)
        )
        for a, b in zip(measured_a, measured_b, strict=True)
    ]
    low, high = cut(t_interval(differences), -1, 1) or (None, None)
    bootstrap_low, bootstrap_high = bootstrap_interval(differences) or (None, None)
    sampling_low, sampling_high = cut(sampling_interval(per_answer.mean(0)), -1, 1) or (None, None)
    combined = combine_seeds_and_images(per_answer)
    d_z, factor = effect_size(differences), small_sample_factor(len(seeds))
    broken = np.array([{a.status, b.status} != {"finished"} for a, b in pairs])
    partly = bool(broken.any() and not broken.all())
    return Comparison(
        a=pairs[0][0].arm,
        b=pairs[0][1].arm,
        moment=moment,
        n_seeds=len(seeds),
        seeds=tuple(seeds),
        differences=tuple(differences.tolist()),
        difference=mean,
        sd=sd,
        low=low,
        high=high,
        p=t_test(differences),
        p_holm=None,
        p_wilcoxon=wilcoxon_test(differences),
        bootstrap_low=bootstrap_low,
        bootstrap_high=bootstrap_high,
        effect_size=d_z,
        effect_size_corrected=None if d_z is None or factor is None else d_z * factor,
        seeds_with_other_sign=int(np.sum(differences * mean < 0)),
        test_images=per_answer.shape[1],
        sampling_low=sampling_low,
        sampling_high=sampling_high,
        p_mcnemar=merge_p_values(mcnemar),
        mcnemar_seeds=sum(p < SIGNIFICANCE for p in mcnemar),
        combined_low=None if combined is None else max(-1.0, combined.low),
        combined_high=None if combined is None else min(1.0, combined.high),
        p_combined=None if combined is None else combined.p,
        p_combined_holm=None,
        seeds_needed=None,
        flagged_seeds=tuple(s for s, flag in zip(seeds, broken, strict=True) if flag),
        difference_without_flagged=float(differences[~broken].mean()) if partly else None,
        note=_note(differences, per_answer),
    )


def _seeds_needed(comparison: Comparison, comparisons: int) -> int | None:
    if comparison.sd is None:
        return None
    level = SIGNIFICANCE / comparisons
    return seeds_needed(comparison.difference, sd=comparison.sd, significance=level)


def _note(differences: NDArray[np.float64], per_answer: NDArray[np.float64]) -> str:
    """Say what could not be estimated, and why."""
    if not per_answer.any():
        return "Both arms give right and wrong answers on exactly the same test images."
    if len(differences) == 1:
        return (
            "One common seed: how much seeds differ is unknown, so there is no interval over "
            "seeds and no test."
        )
    if not has_spread(differences):
        return (
            "The difference is the same at every seed, so how much seeds differ cannot be "
            "estimated: no interval over seeds and no t test."
        )
    if len(differences) == 2:
        return "Two common seeds: too few for a bootstrap interval; the others are very wide."
    return ""


def study_power(comparisons: Sequence[Comparison], *, moment: str = "last") -> Power:
    """Tell what a study with the spread of this one finds.

    The standard deviation is the root mean square over the comparisons at the moment. Comparisons
    with a collapsed or diverged run are left out as long as others are left: one broken run would
    pass for the ordinary spread.
    """
    family = [c for c in comparisons if c.moment == moment]
    sound = [c for c in family if c.sd is not None and not c.flagged_seeds]
    used = sound or [c for c in family if c.sd is not None]
    if not used:
        return power(None, min((c.n_seeds for c in family), default=0))
    sd = math.sqrt(sum(c.sd**2 for c in used if c.sd is not None) / len(used))
    return power(sd, min(c.n_seeds for c in used), comparisons=len(family))
