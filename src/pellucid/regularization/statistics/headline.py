"""The first sentence of a verdict: what was asked, answered as far as the figures go."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.regularization.statistics.findings import (
    MOMENT_WORDS,
    Case,
    Finding,
    capitalize,
    count,
    find_reversals,
    other_moment,
    write_amount,
    write_brackets,
    write_figures,
    write_how_many,
    write_list,
    write_range,
    write_share,
)
from pellucid.regularization.statistics.summaries import ArmSummary


def write_headline(case: Case) -> str:
    """Return which arm helps, that none does, or that this is not decided.

    A reversal between the moments that is beyond chance at both is part of it, and so are arms that
    broke.
    """
    others = case.against_baseline()
    base, when = case.name(case.baseline), MOMENT_WORDS[case.moment]
    if not others:
        summary = case.arms()[0]
        accuracy = f"{write_share(summary.test_accuracy.mean)} of the test images right"
        return f"nothing to compare: {case.name(summary.arm)} alone answers {accuracy} {when}."
    if all(f.comparison.n_seeds < 2 for f in others):
        return _headline_of_one_seed(case, others[0])
    decided = case.told_in_headline()
    if decided and decided[0].difference > 0:
        text = _headline_of_better(case, decided)
    elif decided:
        names = [case.name(f.arm) for f in decided]
        verb = "does" if len(names) == 1 else "do"
        text = (
            f"no arm beats {base} {when}; {write_list(names)} {verb} worse: "
            f"{_write_each(case, decided)}."
        )
    else:
        text = _headline_of_undecided(case, others)
    broken = [
        f" {capitalize(case.name(s.arm))} {_write_how_broken(s)}."
        for s in case.arms()
        if s.collapsed or s.diverged
    ]
    reversals = [f" But {sentence}" for sentence in _say_sure_reversals(case)]
    return text + "".join(broken + reversals)


def _write_how_broken(summary: ArmSummary) -> str:
    return write_list(
        [
            f"{what} at {write_how_many(len(seeds), summary.n_seeds)}"
            for what, seeds in (("collapsed", summary.collapsed), ("diverged", summary.diverged))
            if seeds
        ]
    )


def _write_each(case: Case, findings: Sequence[Finding]) -> str:
    return "; ".join(f"{case.name(f.arm)} {write_figures(f)}" for f in findings)


def _headline_of_one_seed(case: Case, top: Finding) -> str:
    arm, base, when = case.name(top.arm), case.name(top.other), MOMENT_WORDS[case.moment]
    if top.difference == 0:
        seen = f"{arm} and {base} are right equally often {when}"
    else:
        ahead, behind = (arm, base) if top.difference > 0 else (base, arm)
        seen = f"{ahead} is {write_amount(top.difference)} ahead of {behind} {when}"
    return (
        f"one seed decides nothing: {seen}, but how much another seed would change that is "
        "unknown. Train five seeds or more."
    )


def _headline_of_better(case: Case, better: Sequence[Finding]) -> str:
    base, when = case.name(case.baseline), MOMENT_WORDS[case.moment]
    top = better[0]
    if len(better) == 1:
        seeds = count(top.comparison.n_seeds, "seed")
        text = (
            f"{case.name(top.arm)} helps: {when} it answers "
            f"{write_amount(top.difference)} more of the test images right than {base} "
            f"({write_brackets(top)}, {seeds})."
        )
    else:
        ahead_of_rest = [
            f is not None and f.decided and f.difference > 0
            for f in (case.find(top.arm, rest.arm) for rest in better[1:])
        ]
        amounts = _write_each(case, better)
        names = write_list([case.name(f.arm) for f in better])
        if all(ahead_of_rest):
            quantity, rest = ("both", "other arm") if len(better) == 2 else ("all", "other arms")
            text = (
                f"{case.name(top.arm)} helps most: {names} {quantity} beat {base} {when} "
                f"({amounts}), and {case.name(top.arm)} also beats the {rest} among them."
            )
        else:
            text = (
                f"{names} help: more of the test images right than with {base} {when} "
                f"({amounts}). Which of them is best is not decided."
            )
    if not all(f.holds_elsewhere for f in better):
        shaky = [f for f in better if not f.holds_elsewhere]
        ranges = [f"{case.name(f.arm)} {write_range(f.combined)}" for f in shaky if f.combined]
        counted = f" (with their chance counted in: {'; '.join(ranges)})" if ranges else ""
        who = "this" if len(better) == 1 else write_list([case.name(f.arm) for f in shaky])
        text += f" Other test images could still overturn {who}{counted}."
    return text


def _headline_of_undecided(case: Case, others: Sequence[Finding]) -> str:
    base, when = case.name(case.baseline), MOMENT_WORDS[case.moment]
    if not any(any(f.comparison.differences) for f in others):
        names = write_list([case.name(f.arm) for f in others])
        verb = "is" if len(others) == 1 else "are"
        return f"{names} {verb} right exactly as often as {base} at every seed {when}."
    widest = max(others, key=lambda f: abs(f.difference))
    arm, seeds = case.name(widest.arm), count(widest.comparison.n_seeds, "seed")
    amount, brackets = write_amount(widest.difference), write_brackets(widest)
    if amount == "0.0 points":
        largest = f"On average {arm} is right as often as {base} ({brackets})"
        if len(others) > 1:
            largest = f"On average all are right equally often ({arm}: {brackets})"
    else:
        way = "more" if widest.difference > 0 else "fewer"
        right = f"{amount} {way} of the test images right"
        largest = f"{capitalize(arm)} answers {right} ({brackets})"
        if len(others) > 1:
            largest = f"The largest difference is with {arm}, {right} ({brackets})"
    return (
        f"undecided: with {seeds} no arm differs from {base} beyond chance {when}. {largest}. "
        "Undecided is not equal."
    )


def _say_sure_reversals(case: Case) -> list[str]:
    return [
        f"when training stops decides: {MOMENT_WORDS[case.moment]} {case.name(here.arm)} beats "
        f"{case.name(here.other)} ({write_figures(here)}), "
        f"{MOMENT_WORDS[other_moment(case)]} the order is reversed ({write_figures(there)}), and "
        "both are beyond chance."
        for here, there in find_reversals(case)
        if here.decided and there.decided
    ]
