"""The tables of a study's page: from a result to rows of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from pellucid.regularization.compaction.compact import CompactionRow
from pellucid.regularization.record import LayerWeights, RunRecord
from pellucid.regularization.statistics.comparison import Comparison
from pellucid.regularization.statistics.summaries import ArmSummary, Interval
from pellucid.reports.study.arm_styles import Arms
from pellucid.reports.study.wording import (
    count_of,
    points,
    points_interval,
    share_interval,
    signed,
    write_amount,
    write_bytes,
    write_p,
    write_seconds,
    write_seeds,
)
from pellucid.reports.wording import percent

_ARROW = " \N{RIGHTWARDS ARROW} "


class Cell(NamedTuple):
    """One cell: what it says, what stands small below it, and whether it is bad news."""

    text: str
    below: str = ""
    alarm: bool = False


@dataclass(frozen=True, eq=False)
class Row:
    """One arm's row."""

    title: str
    swatch: Markup
    cells: tuple[Cell, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A table with a row an arm."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    moment: str = ""
    heading: str = ""
    note: str = ""


def _table(
    columns: Sequence[tuple[str, Sequence[Cell | None]]],
    names: Sequence[str],
    arms: Arms,
    **words: str,
) -> Table:
    """Return the columns that have a cell in any row."""
    kept = [(title, cells) for title, cells in columns if any(cell is not None for cell in cells)]
    rows = tuple(
        Row(
            arms.title(name),
            arms.style(name).swatch(),
            tuple(cells[i] or Cell("not measured") for _, cells in kept),
        )
        for i, name in enumerate(names)
    )
    return Table(tuple(title for title, _ in kept), rows, **words)


def _share(interval: Interval | None) -> Cell | None:
    if interval is None:
        return None
    return Cell(percent(interval.mean), share_interval(interval.low, interval.high))


def _points(interval: Interval) -> Cell:
    ends = points_interval(interval.low, interval.high)
    return Cell(points(interval.mean).lstrip("+"), ends.replace("+", ""))


def _broken(one: ArmSummary) -> Cell:
    parts = [
        f"{len(seeds)} {what}"
        for seeds, what in ((one.collapsed, "collapsed"), (one.diverged, "diverged"))
        if seeds
    ]
    seeds = sorted({*one.collapsed, *one.diverged})
    if not parts:
        return Cell("none")
    return Cell(", ".join(parts), f"seed{'s' if len(seeds) > 1 else ''} {write_seeds(seeds)}", True)


def tabulate_arms(summaries: Sequence[ArmSummary], arms: Arms) -> tuple[Table, ...]:
    """Return the table of arms after the last epoch and, where it differs, at the best one."""
    tables = []
    has_validation = any(one.validation_accuracy is not None for one in summaries)
    for moment, heading, note in (
        (
            "last",
            "After the last epoch",
            "What training to the end gives.",
        ),
        (
            "best",
            "At the best checkpoint",
            "The epoch with the best validation accuracy of each run, as early stopping would "
            "choose it; the validation accuracy is flattered by that choice, the test accuracy is "
            "not.",
        ),
    ):
        own = [one for one in summaries if one.moment == moment]
        if not own or (moment == "best" and not has_validation):
            continue
        columns: list[tuple[str, Sequence[Cell | None]]] = [
            ("test accuracy", [_share(one.test_accuracy) for one in own]),
            ("training", [_share(one.train_accuracy) for one in own]),
            ("validation", [_share(one.validation_accuracy) for one in own]),
            ("gap", [_points(one.gap) for one in own]),
            ("test cross-entropy", [Cell(write_amount(one.test_loss.mean)) for one in own]),
        ]
        if moment == "last":
            columns.append(("over-fits from epoch", [_overfitting(one) for one in own]))
        columns += [
            ("zero weights", [Cell(percent(one.exact_zeros)) for one in own]),
            ("broken runs", [_broken(one) for one in own]),
        ]
        names = [one.arm for one in own]
        tables.append(_table(columns, names, arms, moment=moment, heading=heading, note=note))
    return tuple(tables)


def _overfitting(one: ArmSummary) -> Cell | None:
    epoch, rise = one.epoch_of_least_validation_loss, one.rise_after_it
    if epoch is None or rise is None:
        return None
    if not one.overfits:
        return Cell("not shown")
    return Cell(f"{epoch.median + 1:.0f}", f"loss then rises by {write_amount(rise.mean)}")


@dataclass(frozen=True, eq=False)
class TestsTable:
    """Every test of every comparison at one moment."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]


def tabulate_tests(comparisons: Sequence[Comparison], arms: Arms) -> TestsTable:
    """Return the tests of the comparisons of one moment."""
    columns = (
        "difference",
        "95 % over seeds (t)",
        "bootstrap",
        "p",
        "p, Holm",
        "p, Wilcoxon",
        "effect size",
        "seeds with other sign",
        "95 % over test images",
        "p, McNemar",
        "95 % over both",
        "p over both, Holm",
        "seeds needed",
    )
    rows, notes = [], []
    for one in comparisons:
        name = f"{arms.title(one.a)} \N{MINUS SIGN} {arms.title(one.b)}"
        cells = (
            points(one.difference),
            points_interval(one.low, one.high),
            points_interval(one.bootstrap_low, one.bootstrap_high),
            write_p(one.p),
            write_p(one.p_holm),
            write_p(one.p_wilcoxon),
            "" if one.effect_size is None else signed(one.effect_size),
            f"{one.seeds_with_other_sign} of {one.n_seeds}",
            points_interval(one.sampling_low, one.sampling_high),
            write_p(one.p_mcnemar),
            points_interval(one.combined_low, one.combined_high),
            write_p(one.p_combined_holm),
            "not known" if one.seeds_needed is None else str(one.seeds_needed),
        )
        rows.append((name, tuple(cell or "none" for cell in cells)))
        if one.note:
            notes.append(f"{name}: {one.note}")
        if one.flagged_seeds:
            text = f"{name}: a run collapsed or diverged at seed {write_seeds(one.flagged_seeds)}"
            if one.difference_without_flagged is not None:
                text += f"; without it the difference is {points(one.difference_without_flagged)}"
            notes.append(text + ".")
    notes.append(
        "Effect size: mean over standard deviation of the differences (d_z). Seeds needed: to "
        "decide a true difference as large as this one with a chance of 80 %. The exact Wilcoxon "
        "test and the bootstrap say little with few seeds."
    )
    return TestsTable(columns, tuple(rows), tuple(notes))


def tabulate_sparsity(
    records: Sequence[RunRecord], arms: Arms
) -> tuple[tuple[str, str, tuple[Row, ...]], ...]:
    """Return (layer, its shape, a row an arm), means over seeds after the last epoch."""
    found: dict[str, dict[str, list[LayerWeights]]] = {}
    for record in records:
        for layer in record.last.layers:
            found.setdefault(layer.name, {}).setdefault(record.arm, []).append(layer)
    tables = []
    for name, by_arm in found.items():
        rows = []
        for arm in by_arm:
            own = by_arm[arm]
            means = [
                float(np.mean([getattr(layer, quantity) for layer in own]))
                for quantity in ("exact_zeros", "near_zeros", "dead_rows", "l1_norm", "l2_norm")
            ]
            cells = tuple(Cell(percent(value)) for value in means[:3]) + tuple(
                Cell(write_amount(value)) for value in means[3:]
            )
            rows.append(Row(arms.title(arm), arms.style(arm).swatch(), cells))
        shape = next(iter(by_arm.values()))[0].shape
        weights = count_of(int(np.prod(shape)), "weight")
        tables.append((name, f"{' × '.join(map(str, shape))}: {weights}", tuple(rows)))
    return tuple(tables)


def tabulate_compaction(rows: Sequence[CompactionRow], arms: Arms) -> Table:
    """Return what compaction saved, a row a network."""

    def change(before: float, after: float, write=count_of) -> Cell:
        kept = f"{percent(after / before, 0)} left" if before else ""
        return Cell(f"{write(before)}{_ARROW}{write(after)}", kept)

    def number(value: float) -> str:
        return f"{round(value):,}".replace(",", "\N{NO-BREAK SPACE}")

    columns: list[tuple[str, Sequence[Cell | None]]] = [
        (
            "filters and neurons",
            [
                change(
                    sum(layer.units_before for layer in row.layers),
                    sum(layer.units_after for layer in row.layers),
                    number,
                )
                for row in rows
            ],
        ),
        (
            "parameters",
            [change(row.before.parameters, row.after.parameters, number) for row in rows],
        ),
        (
            "multiplications an image",
            [change(row.before.multiplications, row.after.multiplications, number) for row in rows],
        ),
        (
            "file",
            [change(row.before.file_bytes, row.after.file_bytes, write_bytes) for row in rows],
        ),
    ]
    batches = sorted({latency.batch_size for row in rows for latency in row.latencies})
    for batch in batches:
        cells: list[Cell | None] = []
        for row in rows:
            own = [latency for latency in row.latencies if latency.batch_size == batch]
            cells.append(
                Cell(
                    f"{write_seconds(own[0].before_seconds)}{_ARROW}"
                    f"{write_seconds(own[0].after_seconds)}",
                    f"{own[0].ratio:.2g} times as fast",
                )
                if own
                else None
            )
        columns.append((f"time for {count_of(batch, 'image')}", cells))
    columns.append(
        (
            "largest change of a logit",
            [
                Cell(write_amount(row.largest_difference), f"of {write_amount(row.largest_logit)}")
                for row in rows
            ],
        )
    )
    return _table(columns, [row.name for row in rows], arms)
