"""The measures of a tree's explanations, put in order for the page."""

from __future__ import annotations

from pellucid.evaluation.explanations import ExplanationEvaluation
from pellucid.reports.contents import TrustRow, TrustTable


def tabulate_trust(evaluation: ExplanationEvaluation) -> TrustTable:
    """Return findings and measures; what was not measured is grouped by the reason why."""
    unmeasured: dict[str, list[str]] = {}
    rows = []
    for measure in evaluation.measures:
        if measure.value is None:
            unmeasured.setdefault(measure.note, []).append(measure.label)
            continue
        rows.append(
            TrustRow(
                label=measure.label,
                value=measure.value,
                low=measure.low,
                high=measure.high,
                chance=measure.chance,
                better=measure.better,
                unit=measure.unit,
                total=measure.total,
                note=measure.note,
            )
        )
    return TrustTable(
        findings=evaluation.findings,
        rows=tuple(rows),
        images=evaluation.images,
        unmeasured=tuple((why, tuple(labels)) for why, labels in unmeasured.items()),
    )
