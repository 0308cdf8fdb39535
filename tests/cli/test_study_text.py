from __future__ import annotations

import dataclasses

from pellucid.cli.study_text import describe_study
from tests.reports.synthetic_study import make_study


def test_describe_study_headline_comes_first_and_limits_last():
    result = make_study(arms=8, path=False)
    lines = describe_study(result)
    text = " ".join(line.strip() for line in lines)
    assert text.startswith(result.verdict[0])
    assert text.endswith(result.verdict[-1])
    assert "further findings" in text


def test_describe_study_table_has_a_row_an_arm():
    result = make_study()
    lines = describe_study(result)
    head = next(i for i, line in enumerate(lines) if line.startswith("arm "))
    assert lines[head].split("  ")[0] == "arm"
    rows = lines[head + 2 : head + 2 + len(result.arms)]
    for arm, row in zip(result.arms, rows, strict=True):
        summary = next(s for s in result.summaries if (s.arm, s.moment) == (arm.name, "last"))
        assert row.startswith(arm.title)
        assert f"{100 * summary.test_accuracy.mean:.1f} %" in row
        assert f"{100 * summary.gap.mean:.1f} points" in row
        assert f"{100 * summary.exact_zeros:.1f} %" in row


def test_describe_study_one_seed_has_no_interval():
    lines = describe_study(make_study(arms=2, seeds=1, path=False))
    assert sum("one seed" in line for line in lines) == 2


def test_describe_study_without_validation_names_no_best_checkpoint():
    lines = describe_study(make_study(arms=2, validation=False, path=False))
    assert not any("best checkpoint" in line for line in lines if line.startswith("arm "))


def test_describe_study_broken_runs_are_counted():
    assert any("1 of 5 broken" in line for line in describe_study(make_study(broken=True)))


def test_describe_study_short_verdict_is_not_cut():
    result = dataclasses.replace(make_study(arms=2, path=False), verdict=("Yes.", "Because."))
    lines = describe_study(result)
    assert lines[0] == "Yes."
    assert lines[-1] == "- Because."


def test_describe_study_lines_fit_a_terminal():
    result = make_study(arms=3)
    assert max(map(len, describe_study(result))) <= 100
