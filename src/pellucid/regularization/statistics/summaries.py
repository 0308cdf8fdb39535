"""From the runs of a study to numbers: each arm by itself over its seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pellucid.regularization.record import Measured, RunRecord
from pellucid.regularization.statistics.comparison import (
    MOMENTS,
    Comparison,
    at_moment,
    compare,
    correct_answers,
    group_runs,
    study_power,
)
from pellucid.regularization.statistics.overfitting import is_overfitting, read_validation_curve
from pellucid.regularization.statistics.paired_differences import (
    sampling_interval,
    t_interval,
    t_test,
)
from pellucid.regularization.statistics.power import Power, power

__all__ = [
    "MOMENTS",
    "ArmSummary",
    "Comparison",
    "Interval",
    "Power",
    "Spread",
    "compare",
    "power",
    "study_power",
    "summarize",
]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; the ends are None where no spread could be estimated."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Spread:
    """The median over runs with the least and the greatest value."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class ArmSummary:
    """One arm at one moment, over its seeds.

    Every interval is Student's over seeds unless it says otherwise; those of accuracies are cut to
    [0, 1], those of differences of accuracies to [-1, 1]. Collapsed and diverged runs are counted
    with the figures they have (a diverged run with its last good state): an arm that breaks at some
    seeds is that bad.

    Attributes:
        arm: Its name.
        moment: ``"last"`` or ``"best"``.
        n_seeds: Runs counted.
        collapsed: Seeds whose training collapsed.
        diverged: Seeds whose loss was not finite.
        train_accuracy: In [0, 1].
        validation_accuracy: None without validation images.
        test_accuracy: In [0, 1].
        test_sampling: The mean test accuracy with its interval over test images, networks fixed.
        test_images: Number of test images.
        train_loss: Cross-entropy.
        validation_loss: None without validation images.
        test_loss: Cross-entropy.
        gap: Training accuracy minus validation accuracy (test accuracy where there is none).
        optimism: Validation minus test accuracy. At the best checkpoint it is too high by having
            been selected; None without validation images.
        early_stopping: Test accuracy at the best checkpoint minus that after the last epoch, paired
            by seed; the same at both moments; None without validation images.
        p_early_stopping: Of the paired t test of it, not guarded for the other arms.
        exact_zeros: Mean share of weights that are 0, in [0, 1].
        l1_norm: Mean sum of absolute weights, over all layers.
        penalty: Mean value of the penalty.
        epoch_of_least_validation_loss: Of the moving average of the loss, from 0; the same at both
            moments; None without validation images.
        rise_after_it: Validation loss over the last epochs minus the least moving average.
        wobble: Usual change of the validation loss from one epoch to the next, not averaged.
        epochs: Epochs in the longest history.
        overfits: Whether the rise is more than noise: the lower end of its interval is above 1.5
            times the wobble (with one seed, the rise itself is above 2.75 times), the training loss
            went on falling, and the gap after the last epoch is above 0. None without validation
            images.
    """

    arm: str
    moment: str
    n_seeds: int
    collapsed: tuple[int, ...]
    diverged: tuple[int, ...]
    train_accuracy: Interval
    validation_accuracy: Interval | None
    test_accuracy: Interval
    test_sampling: Interval
    test_images: int
    train_loss: Interval
    validation_loss: Interval | None
    test_loss: Interval
    gap: Interval
    optimism: Interval | None
    early_stopping: Interval | None
    p_early_stopping: float | None
    exact_zeros: float
    l1_norm: float
    penalty: float
    epoch_of_least_validation_loss: Spread | None
    rise_after_it: Interval | None
    wobble: float | None
    overfits: bool | None
    epochs: int


def summarize(records: Sequence[RunRecord]) -> tuple[ArmSummary, ...]:
    """Summarize each arm over its seeds: all arms after the last epoch, then all at their best.

    Raises:
        DataError: there are no records, a seed appears twice in an arm, or the test sets differ.
    """
    arms = group_runs(records)
    return tuple(
        _summarize_arm(arm, moment, list(runs.values()))
        for moment in MOMENTS
        for arm, runs in arms.items()
    )


def _interval(values: Iterable[float]) -> Interval:
    """Return mean and Student's interval of the values."""
    array = np.array(list(values), dtype=np.float64)
    if not np.isfinite(array).all():  # the loss of a broken run: there is no honest mean
        return Interval(math.inf, None, None)
    low, high = t_interval(array) or (None, None)
    return Interval(float(array.mean()), low, high)


def _interval_of_shares(values: Iterable[float]) -> Interval:
    return _cut(_interval(values), 0.0)


def _interval_of_differences(values: Iterable[float]) -> Interval:
    return _cut(_interval(values), -1.0)


def _cut(interval: Interval, least: float) -> Interval:
    """Return the interval within [least, 1], where a share or a difference of shares must lie."""
    if interval.low is None or interval.high is None:
        return interval
    return replace(interval, low=max(least, interval.low), high=min(1.0, interval.high))


def _interval_or_none(
    measured: Sequence[Measured], value: Callable[[Measured], float | None], *, shares: bool
) -> Interval | None:
    values = [value(m) for m in measured]
    present = [v for v in values if v is not None]
    if len(present) < len(values):
        return None
    return _interval_of_shares(present) if shares else _interval(present)


def _optimism(measured: Measured) -> float | None:
    if measured.validation_accuracy is None:
        return None
    return measured.validation_accuracy - measured.test_accuracy


def _summarize_arm(arm: str, moment: str, runs: Sequence[RunRecord]) -> ArmSummary:
    measured = [at_moment(run, moment) for run in runs]
    per_image = correct_answers(measured).mean(0)
    low, high = sampling_interval(per_image) or (None, None)
    epoch, rise, wobble, overfits = _overfitting(runs)
    optimism = [_optimism(m) for m in measured]
    changes = [run.best.test_accuracy - run.last.test_accuracy for run in runs]
    has_validation = all(run.best.validation_accuracy is not None for run in runs)
    return ArmSummary(
        arm=arm,
        moment=moment,
        n_seeds=len(runs),
        collapsed=tuple(run.seed for run in runs if run.status == "collapsed"),
        diverged=tuple(run.seed for run in runs if run.status == "diverged"),
        train_accuracy=_interval_of_shares(m.train_accuracy for m in measured),
        validation_accuracy=_interval_or_none(
            measured, lambda m: m.validation_accuracy, shares=True
        ),
        test_accuracy=_interval_of_shares(m.test_accuracy for m in measured),
        test_sampling=_cut(Interval(float(per_image.mean()), low, high), 0.0),
        test_images=len(per_image),
        train_loss=_interval(m.train_loss for m in measured),
        validation_loss=_interval_or_none(measured, lambda m: m.validation_loss, shares=False),
        test_loss=_interval(m.test_loss for m in measured),
        gap=_interval_of_differences(m.gap for m in measured),
        optimism=_interval_of_differences(o for o in optimism if o is not None)
        if has_validation
        else None,
        early_stopping=_interval_of_differences(changes) if has_validation else None,
        p_early_stopping=t_test(changes) if has_validation else None,
        exact_zeros=float(np.mean([m.exact_zeros for m in measured])),
        l1_norm=float(np.mean([sum(layer.l1_norm for layer in m.layers) for m in measured])),
        penalty=float(np.mean([m.penalty for m in measured])),
        epoch_of_least_validation_loss=epoch,
        rise_after_it=rise,
        wobble=wobble,
        overfits=overfits,
        epochs=max(len(run.history) for run in runs),
    )


def _overfitting(
    runs: Sequence[RunRecord],
) -> tuple[Spread | None, Interval | None, float | None, bool | None]:
    """Return epoch of the least validation loss, rise after it, wobble, and the judgment."""
    curves = [curve for run in runs if (curve := read_validation_curve(run)) is not None]
    gap = float(np.mean([run.last.gap for run in runs]))
    if not curves:
        return None, None, None, None
    epochs = [curve.least_epoch for curve in curves]
    epoch = Spread(float(np.median(epochs)), float(min(epochs)), float(max(epochs)))
    rise = _interval(curve.rise for curve in curves)
    surely = rise.mean if rise.low is None else rise.low
    wobble = float(np.median([curve.wobble for curve in curves]))
    return epoch, rise, wobble, is_overfitting(curves, surely, gap=gap)
