"""The plots of a study whose rows are arms or pairs of arms: differences, accuracy and gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pellucid.regularization.record import Measured, RunRecord
from pellucid.regularization.statistics.comparison import Comparison
from pellucid.regularization.statistics.power import SIGNIFICANCE
from pellucid.regularization.statistics.summaries import ArmSummary
from pellucid.reports.study.arm_styles import Arms
from pellucid.reports.study.interval_strips import StripAxis, draw_scale, draw_strip
from pellucid.reports.study.wording import finite, points, points_interval, signed, write_p
from pellucid.reports.wording import percent


@dataclass(frozen=True, eq=False)
class StripRow:
    """One row of a plot.

    Attributes:
        name: What it is about.
        swatch: Stands before the name; may be empty.
        strip: Drawn on the plot's axis.
        value: The mean in words.
        notes: Further words beside it.
        tag: What follows from it, or "".
        stands_out: Whether the tag is to be seen from afar.
    """

    name: str
    swatch: Markup
    strip: Markup
    value: str
    notes: tuple[str, ...] = ()
    tag: str = ""
    stands_out: bool = False


@dataclass(frozen=True, eq=False)
class StripPlot:
    """Rows on one axis.

    Attributes:
        quantity: What the axis measures, with its unit.
        scale: Its numbers.
        rows: In order.
    """

    quantity: str
    scale: Markup
    rows: tuple[StripRow, ...]


def _at(record: RunRecord, moment: str) -> Measured:
    return record.best if moment == "best" else record.last


def plot_comparisons(comparisons: Sequence[Comparison], arms: Arms) -> dict[str, StripPlot]:
    """Return the paired differences by moment, both moments on one axis."""
    # One collapsed run would press all others into a corner of the axis.
    sound = [one for one in comparisons if not one.flagged_seeds] or comparisons
    values: list[float | None] = [0.0]
    for one in sound:
        values += [*one.differences, one.low, one.high, one.sampling_low, one.sampling_high]
    axis = StripAxis.around(finite(values), least_span=0.02)
    plots: dict[str, StripPlot] = {}
    for moment in ("last", "best"):
        rows = tuple(
            _draw_comparison(one, axis, arms) for one in comparisons if one.moment == moment
        )
        if rows:
            scale = draw_scale(axis, _write_tick_points)
            plots[moment] = StripPlot("difference in test accuracy, points", scale, rows)
    return plots


def _draw_comparison(one: Comparison, axis: StripAxis, arms: Arms) -> StripRow:
    a, b = arms.title(one.a), arms.title(one.b)
    interval = points_interval(one.low, one.high)
    strip = draw_strip(
        axis,
        one.differences,
        style=None,
        label=f"{a} minus {b}: {points(one.difference)}" + (interval and f", 95 % {interval}"),
        mean=one.difference,
        interval=_span(one.low, one.high),
        second_interval=_span(one.sampling_low, one.sampling_high),
        zero=0.0,
    )
    is_clear = one.p_holm is not None and one.p_holm < SIGNIFICANCE
    tag = "undecided" if one.p_holm is not None else "not tested"
    if is_clear:
        tag = f"{a if one.difference > 0 else b} is better"
        # The test over seeds and images together is the stricter one.
        if one.p_combined_holm is None or one.p_combined_holm >= SIGNIFICANCE:
            tag += " on these test images"
    notes = [interval] if interval else []
    if one.p_holm is not None:
        notes.append(f"p\N{NO-BREAK SPACE}{write_p(one.p_holm)}")
    return StripRow(
        name=f"{a} \N{MINUS SIGN} {b}",
        swatch=Markup(),
        strip=strip,
        value=points(one.difference),
        notes=tuple(notes),
        tag=tag,
        stands_out=is_clear,
    )


def _span(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _write_tick_points(share: float) -> str:
    return signed(100 * share, 0 if abs(100 * share - round(100 * share)) < 1e-6 else 1)


def _write_tick_percent(share: float) -> str:
    return f"{round(100 * share, 6):g}".replace("-", "\N{MINUS SIGN}")


def plot_seeds(
    summaries: Sequence[ArmSummary], records: Sequence[RunRecord], arms: Arms
) -> dict[str, tuple[StripPlot, ...]]:
    """Return test accuracy and gap of every run by moment, both moments on the same axes."""
    return {
        moment: tuple(
            _plot_quantity(quantity, moment, summaries, records, arms)
            for quantity in ("accuracy", "gap")
        )
        for moment in ("last", "best")
        if any(one.moment == moment for one in summaries)
    }


def _plot_quantity(
    quantity: str,
    moment: str,
    summaries: Sequence[ArmSummary],
    records: Sequence[RunRecord],
    arms: Arms,
) -> StripPlot:
    is_gap = quantity == "gap"

    def value(one: Measured) -> float:
        return one.gap if is_gap else one.test_accuracy

    # The axis is that of the sound runs, where there are any.
    values: list[float | None] = [0.0] if is_gap else []
    for record in [r for r in records if r.status == "finished"] or records:
        values += [value(record.last), value(record.best)]
    for one in summaries:
        interval = one.gap if is_gap else one.test_accuracy
        if not (one.collapsed or one.diverged):
            values += [interval.low, interval.high]
    axis = StripAxis.around(finite(values), least_span=0.02)
    rows = []
    for one in summaries:
        if one.moment != moment:
            continue
        seeds = [value(_at(record, moment)) for record in records if record.arm == one.arm]
        interval = one.gap if is_gap else one.test_accuracy
        words = points(interval.mean).lstrip("+") if is_gap else percent(interval.mean)
        strip = draw_strip(
            axis,
            seeds,
            style=arms.style(one.arm),
            label=f"{arms.title(one.arm)}: {quantity} {words}, {len(seeds)} seeds as dots",
            mean=interval.mean,
            interval=_span(interval.low, interval.high),
            zero=0.0 if is_gap else None,
        )
        rows.append(StripRow(arms.title(one.arm), arms.style(one.arm).swatch(), strip, words))
    return StripPlot(
        "gap, points" if is_gap else "test accuracy, %",
        draw_scale(axis, _write_tick_percent),
        tuple(rows),
    )
