"""One measured figure with all that a reader needs to judge it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

_RESAMPLES = 2000
_LEVEL = 95.0
_FEWEST_VALUES = 5


@dataclass(frozen=True)
class Measure:
    """One figure of an evaluation.

    Attributes:
        name: Stable key, such as ``"single_deletion"``.
        label: What people call it.
        value: The figure; None where it does not apply or could not be measured, for a reason that
            ``note`` gives.
        low: Lower end of the 95 % interval, or None.
        high: Upper end of the 95 % interval, or None.
        chance: What a random explanation, or guessing, would get; None where there is none.
        better: ``"higher"``, ``"lower"``, or ``""`` where neither is better.
        unit: ``"share"``, ``"correlation"``, ``"count"`` or ``"relative change"``.
        total: How many images, prototypes or parts it was measured on; 0 where ``value`` is None.
        note: One line: what it is and where it comes from.
    """

    name: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    chance: float | None
    better: str
    unit: str
    total: int
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings."""
        return asdict(self)


@dataclass(frozen=True)
class Definition:
    """What a measure is, before anything is measured; the fields are those of `Measure`."""

    name: str
    label: str
    better: str
    unit: str
    note: str

    def unknown(self, why: str) -> Measure:
        """Return the measure without a value, and with the reason as its note."""
        return self.of(None, None, None, total=0, note=why)

    def of(
        self,
        value: float | None,
        low: float | None,
        high: float | None,
        *,
        total: int,
        chance: float | None = None,
        note: str | None = None,
    ) -> Measure:
        """Return the measure with this value."""
        return Measure(
            name=self.name,
            label=self.label,
            value=value,
            low=low,
            high=high,
            chance=chance,
            better=self.better,
            unit=self.unit,
            total=total,
            note=self.note if note is None else note,
        )

    def of_share(self, holds: NDArray[np.bool_], *, chance: float | None = None) -> Measure:
        """Return the share of independent cases that hold, with Wilson's interval."""
        if not len(holds):
            return self.unknown("there was nothing to measure it on")
        count, total = int(holds.sum()), len(holds)
        return self.of(count / total, *interval_of_share(count, total), total=total, chance=chance)

    def of_mean(
        self,
        values: NDArray[np.float64],
        *,
        weights: NDArray[np.float64] | None = None,
        chance: float | None = None,
        seed: int = 0,
    ) -> Measure:
        """Return the (weighted) mean over images, with a bootstrap interval over them.

        Fewer than five values get no interval: what resampling so few gives is too narrow.
        """
        if not len(values):
            return self.unknown("there was nothing to measure it on")
        low, high = None, None
        if len(values) >= _FEWEST_VALUES:
            low, high = interval_of_mean(values, weights=weights, seed=seed)
        value = float(np.average(values, weights=weights))
        return self.of(value, low, high, total=len(values), chance=chance)


def interval_of_share(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of ``count`` among ``total`` >= 1 independent cases."""
    interval = binomtest(count, total).proportion_ci(_LEVEL / 100, method="wilson")
    return float(interval.low), float(interval.high)


def interval_of_mean(
    values: NDArray[np.float64], *, weights: NDArray[np.float64] | None = None, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a (weighted) mean.

    Whole entries are drawn with replacement, so where one entry is an image with all that belongs
    to it, what the image's parts have in common is allowed for.

    Source: Efron 1979, the percentile method.

    Args:
        values: One number an image (or prototype), finite, shape (n,) with n >= 1.
        weights: How much each counts, > 0, such as the number of parts that ``values`` averages.
        seed: Of the resampling.
    """
    count = len(values)
    weights = np.ones(count) if weights is None else weights
    draws = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), size=_RESAMPLES
    )
    means = (draws @ (values * weights)) / (draws @ weights)
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
