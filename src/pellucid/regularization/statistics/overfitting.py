"""Whether and when training longer made a network worse, read from its curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.regularization.record import RunRecord

# The least of many noisy averages lies below the last one, by .6 to 1.2 wobbles on flat noise. A
# rise counts from these multiples of the wobble on: of several runs for the lower end of their
# interval, of one run for the rise itself, which nothing else guards. On flat noise the first is
# passed in at most about 1 of 100 studies, the second in fewer than 1 of 20 runs.
WOBBLE_FACTOR = 1.5
WOBBLE_FACTOR_OF_ONE_RUN = 2.75


@dataclass(frozen=True)
class ValidationCurve:
    """The course of one run's validation loss, as a moving average over a few epochs.

    Attributes:
        least_epoch: Middle epoch of the least moving average, from 0; the first of equals.
        rise: Mean of the last epochs (as many as are averaged) minus the least average, >= 0.
        wobble: Median change, up or down, from one epoch to the next; not smoothed.
        learned_on: Whether the training loss, averaged alike, is lower at the end than there.
    """

    least_epoch: int
    rise: float
    wobble: float
    learned_on: bool


def read_validation_curve(run: RunRecord) -> ValidationCurve | None:
    """Measure a run's validation loss; None without validation images.

    Averages are over a twelfth of the epochs, at least three. The epoch in which a run diverged
    has no finite loss; the epochs before it count.
    """
    rows = [row for row in run.history if _is_finite(row.get("validation_loss"))]
    if not rows:
        return None
    losses = np.array([row["validation_loss"] for row in rows], dtype=np.float64)
    window = min(max(3, len(losses) // 12), len(losses))
    smooth = _average(losses, window)
    least = int(smooth.argmin())
    train = [row.get("train_loss") for row in rows]
    learned_on = False
    if all(_is_finite(value) for value in train):
        course = _average(np.array(train, dtype=np.float64), window)
        learned_on = bool(course[-1] < course[least])
    return ValidationCurve(
        least_epoch=int(rows[least + window // 2]["epoch"]),
        rise=float(smooth[-1] - smooth[least]),
        wobble=float(np.median(np.abs(np.diff(losses)))) if len(losses) > 1 else 0.0,
        learned_on=learned_on,
    )


def least_rise(wobble: float, *, runs: int) -> float:
    """Return the rise above which `runs` runs of that usual wobble have surely risen."""
    return (WOBBLE_FACTOR_OF_ONE_RUN if runs == 1 else WOBBLE_FACTOR) * wobble


def is_overfitting(curves: Sequence[ValidationCurve], surely_risen: float, *, gap: float) -> bool:
    """Tell whether runs over-fit: the rise is more than noise while training loss went on falling.

    Args:
        curves: Of an arm's runs.
        surely_risen: Lower end of the interval of their rise; the rise itself of a single run.
        gap: Their mean accuracy on the training images minus that on the validation images.
    """
    wobble = float(np.median([curve.wobble for curve in curves]))
    learned_on = sum(curve.learned_on for curve in curves)
    threshold = max(least_rise(wobble, runs=len(curves)), 0.0)
    return surely_risen > threshold and 2 * learned_on > len(curves) and gap > 0


def _average(values: np.ndarray, window: int) -> np.ndarray:
    """Return the moving average over the window, where it fits."""
    return np.convolve(values, np.ones(window) / window, mode="valid")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
