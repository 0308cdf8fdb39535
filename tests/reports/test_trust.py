from __future__ import annotations

import pytest

from pellucid.evaluation.explanations import ExplanationEvaluation
from pellucid.evaluation.measure import Measure
from pellucid.reports.trust import tabulate_trust
from pellucid.reports.wording import percent, write_measure


def _measure(name: str, value: float | None, note: str) -> Measure:
    return Measure(name, name, value, None, None, 0.5, "higher", "share", 9, note)


def test_tabulate_trust_keeps_order_and_groups_what_was_not_measured():
    evaluation = ExplanationEvaluation(
        model="tree",
        data="photos",
        measures=(
            _measure("a", None, "no parts"),
            _measure("b", 0.25, "how often"),
            _measure("c", None, "no parts"),
            _measure("d", None, "no tree"),
        ),
        images=9,
        seconds=1.0,
        findings=("Look out.",),
    )
    table = tabulate_trust(evaluation)
    assert [(row.label, row.value, row.chance) for row in table.rows] == [("b", 0.25, 0.5)]
    assert table.unmeasured == (("no parts", ("a", "c")), ("no tree", ("d",)))
    assert table.findings == ("Look out.",)


@pytest.mark.parametrize("value", [1 / 80, 0.0125, -0.0004, 0.9995])
def test_write_measure_share_reads_as_the_same_share_elsewhere(value):
    assert write_measure(value, "share") == percent(value)


def test_write_measure_follows_the_unit():
    written = [
        write_measure(-0.125, "share").replace("\N{NO-BREAK SPACE}", " "),
        write_measure(0.5, "relative change").replace("\N{NO-BREAK SPACE}", " "),
        write_measure(0.714, "correlation"),
        write_measure(4.75, "count"),
    ]
    assert written == ["\N{MINUS SIGN}12.5 %", "50.0 %", "0.71", "4.8"]
