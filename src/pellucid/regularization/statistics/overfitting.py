"""Whether and when training longer made a network worse, read from its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.regularization.record import RunRecord

# A rise of the validation loss is only noise unless it is this many times the usual step from one
# epoch to the next: the least of 60 equal, noisy epochs lies about 2.5 such steps below the last.
WOBBLE_FACTOR = 3.0


@dataclass(frozen=True)
class ValidationCurve:
    """The course of one run's validation loss.

    Attributes:
        least_epoch: Epoch of the least validation loss, from 0; the first of equals.
        rise: Loss at the last epoch minus the least, >= 0.
        wobble: Median change, up or down, from one epoch to the next.
        learned_on: Whether the training loss at the last epoch is below that at `least_epoch`.
    """

    least_epoch: int
    rise: float
    wobble: float
    learned_on: bool


def read_validation_curve(run: RunRecord) -> ValidationCurve | None:
    """Measure a run's validation loss; None without validation images.

    The epoch in which a run diverged has no finite loss; the epochs before it count.
    """
    rows = [row for row in run.history if _is_finite(row.get("validation_loss"))]
    if not rows:
        return None
    losses = np.array([row["validation_loss"] for row in rows], dtype=np.float64)
    least = int(losses.argmin())
    return ValidationCurve(
        least_epoch=int(rows[least]["epoch"]),
        rise=float(losses[-1] - losses[least]),
        wobble=float(np.median(np.abs(np.diff(losses)))) if len(losses) > 1 else 0.0,
        learned_on=_falls(rows[least], rows[-1]),
    )


def is_overfitting(curves: Sequence[ValidationCurve], surely_risen: float) -> bool:
    """Tell whether runs over-fit: the rise is more than noise while training loss went on falling.

    Args:
        curves: Of an arm's runs.
        surely_risen: Lower end of the interval of their rise; the rise itself of a single run.
    """
    noise = WOBBLE_FACTOR * float(np.median([curve.wobble for curve in curves]))
    learned_on = sum(curve.learned_on for curve in curves)
    return surely_risen > max(noise, 0.0) and 2 * learned_on > len(curves)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _falls(row: Mapping[str, object], later: Mapping[str, object]) -> bool:
    before, after = row.get("train_loss"), later.get("train_loss")
    if isinstance(before, int | float) and isinstance(after, int | float):
        return after < before
    return False
