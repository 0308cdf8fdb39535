"""The result of a study as a few plain lines."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pellucid.cli.output import make_table, write_percent

if TYPE_CHECKING:
    from pellucid.regularization.result import StudyResult
    from pellucid.regularization.statistics.summaries import ArmSummary

_WIDTH = 88
_SENTENCES = 7


def describe_study(result: StudyResult) -> list[str]:
    """Return the headline, a table with a row an arm, and further sentences of the verdict."""
    lines = [*_wrap(result.verdict[0]), ""] if result.verdict else []
    titles = {arm.name: arm.title for arm in result.arms}
    last = [one for one in result.summaries if one.moment == "last"]
    best = {one.arm: one for one in result.summaries if one.moment == "best"}
    with_best = result.data.validation > 0
    heading = ["arm", "test", "95 % interval", "gap", "zeros"]
    rows = [(*heading, "test at best checkpoint") if with_best else tuple(heading)]
    for one in last:
        row = [
            titles.get(one.arm, one.arm),
            write_percent(one.test_accuracy.mean),
            _write_interval(one),
            f"{100 * one.gap.mean:.1f} points",
            write_percent(one.exact_zeros),
        ]
        if with_best:
            row.append(write_percent(best[one.arm].test_accuracy.mean) if one.arm in best else "")
        rows.append(tuple(row))
    if last:
        lines += [*make_table(rows), ""]
    sentences = list(result.verdict[1:])
    if len(sentences) > _SENTENCES:
        # The last sentence says what cannot be concluded.
        left_out = len(sentences) - _SENTENCES
        stand = "finding stands" if left_out == 1 else "findings stand"
        note = f"{left_out} further {stand} in the report and in result.json."
        sentences = [*sentences[: _SENTENCES - 1], note, sentences[-1]]
    for sentence in sentences:
        lines += _wrap(sentence, bullet="- ")
    return lines


def _write_interval(summary: ArmSummary) -> str:
    low, high = summary.test_accuracy.low, summary.test_accuracy.high
    broken = len({*summary.collapsed, *summary.diverged})
    text = "one seed" if summary.n_seeds == 1 else "none"
    if low is not None and high is not None:
        text = f"{100 * low:.1f} to {write_percent(high)}"
    return f"{text}, {broken} of {summary.n_seeds} broken" if broken else text


def _wrap(sentence: str, *, bullet: str = "") -> list[str]:
    """Return a sentence in lines of a terminal's width; a long name is not cut."""
    return textwrap.wrap(
        sentence,
        _WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
