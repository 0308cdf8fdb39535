"""Sentences about the course of training: over-fitting, gaps, and what stopping early changes."""

from __future__ import annotations

from collections.abc import Callable

from pellucid.regularization.statistics.findings import (
    Case,
    write_list,
    write_p,
    write_points,
    write_range,
    write_signed_points,
)
from pellucid.regularization.statistics.overfitting import WOBBLE_FACTOR, least_rise
from pellucid.regularization.statistics.paired_differences import holm
from pellucid.regularization.statistics.power import SIGNIFICANCE
from pellucid.regularization.statistics.summaries import ArmSummary, Interval

# A gap that is surely wider is never passed over, whatever the validation loss does.
_WIDE_GAP = 0.05
# A change by stopping early that is not decided is still told from this on.
_TOLD_UNDECIDED = 0.01


# ---------------------------------------------------------------- stopping early


def say_early_stopping(case: Case) -> list[str]:
    """Say what stopping at the best checkpoint changes for the baseline and the best other arm.

    Nothing is said where neither change is decided and that of the baseline is below a point.
    """
    arms = case.arms("last")
    told = [s for s in arms if s.arm in _arms_to_tell(case)]
    changes = [(s, s.early_stopping) for s in told if s.early_stopping is not None]
    if not changes or all(s.early_stopping is None or s.early_stopping.mean == 0 for s in told):
        return []
    adjusted = holm([s.p_early_stopping for s in arms])
    guarded = {s.arm: p for s, p in zip(arms, adjusted, strict=True)}
    decided = {arm for arm, p in guarded.items() if p is not None and p < SIGNIFICANCE}
    if not decided & {s.arm for s in told} and abs(changes[0][1].mean) < _TOLD_UNDECIDED:
        return []
    parts = [_write_change(case, s, change, guarded[s.arm]) for s, change in changes]
    return [
        "stopping at the best validation checkpoint instead of the last epoch changes test "
        f"accuracy by {write_list(parts)}{_compare_with_arms(case, decided)}."
    ]


def _arms_to_tell(case: Case) -> list[str]:
    """Return the baseline, and the arm that is ahead of it after the last epoch if one is."""
    others = case.against_baseline("last")
    ahead = [others[0].arm] if others and others[0].difference > 0 else []
    return [case.baseline, *ahead]


def _write_change(case: Case, summary: ArmSummary, change: Interval, p: float | None) -> str:
    if change.low is None or change.high is None or p is None:
        brackets = (
            "one seed, which decides nothing" if summary.n_seeds == 1 else "no interval over seeds"
        )
    else:
        word = "decided" if p < SIGNIFICANCE else "undecided"
        interval = f"95 % interval over seeds {write_range((change.low, change.high))}"
        brackets = f"{interval}, Holm {write_p(p)}, {word}"
    return f"{write_signed_points(change.mean)} points with {case.name(summary.arm)} ({brackets})"


def _compare_with_arms(case: Case, decided: set[str]) -> str:
    """Say that stopping early gives the baseline more than any other arm does, where it does."""
    base = next(s for s in case.arms("last") if s.arm == case.baseline)
    others = case.against_baseline("last")
    change = base.early_stopping
    if change is None or case.baseline not in decided or not others:
        return ""
    top = others[0]
    if change.mean <= max(top.difference, 0.0):
        return ""
    most = (
        f"the most is {write_points(top.difference)} with {case.name(top.arm)}"
        if top.difference > 0
        else "none gains any"
    )
    return (
        f"; for {case.name(case.baseline)} that is more than any other arm gains over it after "
        f"the last epoch ({most})"
    )


# ---------------------------------------------------------------- over-fitting


def say_overfitting(case: Case) -> list[str]:
    """Say in one sentence which arms over-fit, and in another how wide the gaps are."""
    arms = case.arms("last")
    if any(s.rise_after_it is None for s in arms):
        return [
            "without validation images over-fitting can only be read from the gap between "
            f"training and test accuracy after the last epoch, {_write_gaps(case)}."
        ]
    return [
        f"{'; '.join(_write_judgments(case))}.",
        "the gap between training and validation accuracy after the last epoch is "
        f"{_write_gaps(case)}.",
    ]


def _write_judgments(case: Case) -> list[str]:
    parts: list[str] = []
    groups: tuple[tuple[str, Callable[[list[ArmSummary]], str]], ...] = (
        ("over-fits", lambda group: _write_overfitting(case, group)),
        ("undecided", lambda group: _write_undecided(case, group)),
        ("not learning", lambda group: _write_worse_on_both(case, group)),
        ("wide gap", lambda group: _write_wide_gaps(case, group)),
        ("none", lambda group: _write_no_overfitting(case, group)),
    )
    for kind, write in groups:
        group = [s for s in case.arms("last") if _judge(s) == kind]
        if group:
            parts.append(write(group))
    return parts


def _judge(summary: ArmSummary) -> str:
    """Return what can be said of an arm that has validation images."""
    rise, gap = summary.rise_after_it, summary.gap
    assert rise is not None
    wobble = summary.wobble or 0.0
    least = least_rise(wobble, runs=summary.n_seeds)
    if summary.overfits:
        return "over-fits"
    if (rise.mean if rise.low is None else rise.low) > least:
        return "not learning"
    if rise.mean > WOBBLE_FACTOR * wobble:
        return "undecided"
    return "wide gap" if (gap.mean if gap.low is None else gap.low) > _WIDE_GAP else "none"


def _write_overfitting(case: Case, group: list[ArmSummary]) -> str:
    told = []
    for summary in group:
        epoch = summary.epoch_of_least_validation_loss
        assert epoch is not None
        told.append(
            f"with {case.name(summary.arm)} from epoch {epoch.median + 1:.0f} of {summary.epochs} "
            f"({_write_spread(epoch.low, epoch.high)}rise {_write_rise(summary)})"
        )
    return (
        "over-fitting (the validation loss rises while the training loss goes on falling) shows "
        f"{write_list(told)}"
    )


def _write_undecided(case: Case, group: list[ArmSummary]) -> str:
    told = [f"{case.name(s.arm)} (rise {_write_rise(s)})" for s in group]
    return (
        f"whether there is over-fitting with {write_list(told)} is undecided, against a wobble of "
        f"{_write_wobbles(group)} from epoch to epoch"
    )


def _write_worse_on_both(case: Case, group: list[ArmSummary]) -> str:
    told = [f"{case.name(s.arm)} (rise {_write_rise(s)})" for s in group]
    return (
        f"the validation loss rises with {write_list(told)}, but the training loss rises too or "
        "training accuracy is not ahead, which speaks of training rather than of over-fitting"
    )


def _write_wide_gaps(case: Case, group: list[ArmSummary]) -> str:
    told = [f"{_write_gap(s)} with {case.name(s.arm)}" for s in group]
    word = "gap is" if len(group) == 1 else "gaps are"
    return f"the {word} {write_list(told)} although the validation loss hardly rises"


def _write_no_overfitting(case: Case, group: list[ArmSummary]) -> str:
    told = [f"{case.name(s.arm)} (rise {_write_rise(s)})" for s in group]
    return f"the validation loss hardly rises with {write_list(told)}: no over-fitting shows there"


def _write_rise(summary: ArmSummary) -> str:
    rise = summary.rise_after_it
    assert rise is not None
    if rise.low is None or rise.high is None:
        return f"{rise.mean:.2f}"
    return f"{rise.mean:.2f}, {max(rise.low, 0.0):.2f} to {rise.high:.2f}"


def _write_wobbles(group: list[ArmSummary]) -> str:
    wobbles = [s.wobble or 0.0 for s in group]
    return " to ".join(dict.fromkeys(f"{end:.2f}" for end in (min(wobbles), max(wobbles))))


def _write_spread(low: float, high: float) -> str:
    return "" if low == high else f"over seeds {low + 1:.0f} to {high + 1:.0f}; "


# ---------------------------------------------------------------- gaps


def _write_gap(summary: ArmSummary) -> str:
    gap = summary.gap
    amount = "1 point" if write_points(gap.mean) == "1.0" else f"{write_points(gap.mean)} points"
    if gap.low is None or gap.high is None:
        return amount
    return f"{amount} ({write_range((gap.low, gap.high))})"


def _write_gaps(case: Case) -> str:
    """Write all gaps; those whose interval lies apart from the baseline's are called so."""
    arms = case.arms("last")
    base = next(s for s in arms if s.arm == case.baseline)
    text = write_list([f"{_write_gap(s)} with {case.name(s.arm)}" for s in arms])
    for word, apart in (
        ("below", [s for s in arms if _lies_below(s.gap, base.gap)]),
        ("above", [s for s in arms if _lies_below(base.gap, s.gap)]),
    ):
        if apart:
            lie = "interval of {} lies" if len(apart) == 1 else "intervals of {} lie"
            names = lie.format(write_list([case.name(s.arm) for s in apart]))
            text += f"; the {names} {word} that of {case.name(base.arm)}"
    return text


def _lies_below(one: Interval, other: Interval) -> bool:
    return one.high is not None and other.low is not None and one.high < other.low
