"""What a number of seeds can find: the chance of seeing a difference, and what it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from pellucid._checks import check_integer, check_number

SIGNIFICANCE = 0.05
WANTED_CHANCE = 0.8
SEEDS_LIMIT = 1000
DIFFERENCES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
# Where the normal distribution is summed, and its mass there.
_Z = np.linspace(-9.0, 9.0, 4001)
_Z_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


@dataclass(frozen=True)
class Power:
    """What a paired t test at 5 % finds with so many seeds.

    Attributes:
        n_seeds: Pairs of runs.
        sd: Standard deviation over seeds of the paired difference in accuracy; None if there was
            nothing to estimate it from.
        chances: Pairs (true difference in accuracy, chance in [0, 1] that p < .05).
        detectable: True difference found with a chance of 80 %, in accuracy.
        comparisons: How many comparisons Holm's procedure guards at once.
        detectable_strict: As `detectable`, under the level of Holm's first and strictest step.
        wilcoxon_least_p: Below this the exact Wilcoxon test cannot fall, whatever the figures.
    """

    n_seeds: int
    sd: float | None
    chances: tuple[tuple[float, float], ...]
    detectable: float | None
    comparisons: int
    detectable_strict: float | None
    wilcoxon_least_p: float


def chance_to_find(
    difference: float, *, sd: float, n_seeds: int, significance: float = SIGNIFICANCE
) -> float:
    """Return the power of the paired t test: the chance that it finds a true difference.

    ``T = (Z + shift) / sqrt(V / m)`` follows the noncentral t distribution, Z being normal, V
    chi-squared with ``m = n - 1`` degrees of freedom, and ``shift = difference / sd * sqrt(n)``;
    this is the chance of ``|T|`` beyond the critical value c.

    Deviation: scipy's noncentral t gives NaN at ordinary values (five seeds at the level .05 / 3),
    so the chance ``V < m * ((z + shift) / c)**2`` is summed over z instead.

    Args:
        difference: True mean of the paired differences.
        sd: Their standard deviation, > 0.
        n_seeds: Number of pairs, >= 2.
        significance: Level of the two-sided test, in (0, 1).
    """
    check_integer("n_seeds", n_seeds, low=2)
    check_number("sd", sd, low=0, open_low=True)
    degrees = n_seeds - 1
    critical = float(stats.t.isf(significance / 2, degrees))
    shift = abs(difference) / sd * math.sqrt(n_seeds)
    small_enough = special.chdtr(degrees, degrees * ((_Z + shift) / critical) ** 2)
    return min(1.0, float(_Z_WEIGHTS @ small_enough))


def detectable_difference(
    *,
    sd: float,
    n_seeds: int,
    chance: float = WANTED_CHANCE,
    significance: float = SIGNIFICANCE,
) -> float:
    """Return the true difference that is found with the given chance."""
    check_number("chance", chance, low=significance, high=1, open_low=True, open_high=True)

    def lacking(effect: float) -> float:
        found = chance_to_find(effect, sd=1.0, n_seeds=n_seeds, significance=significance)
        return found - chance

    high = 1.0
    while lacking(high) < 0:
        high *= 2
    root, _ = optimize.brentq(lacking, 0.0, high, xtol=1e-10, full_output=True)
    return float(root) * sd


def seeds_needed(
    difference: float,
    *,
    sd: float,
    chance: float = WANTED_CHANCE,
    significance: float = SIGNIFICANCE,
) -> int | None:
    """Return the least number of seeds that finds a true difference with the given chance.

    None where more than `SEEDS_LIMIT` seeds would be needed, as for a difference of 0.
    """

    def enough(n_seeds: int) -> bool:
        found = chance_to_find(difference, sd=sd, n_seeds=n_seeds, significance=significance)
        return found >= chance

    if not enough(SEEDS_LIMIT):
        return None
    low, high = 1, SEEDS_LIMIT  # more seeds never find less, so halving finds the least number
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def wilcoxon_least_p(n_seeds: int) -> float:
    """Return the least p of the exact Wilcoxon test: all n differences on one side."""
    return min(1.0, 2.0 ** (1 - n_seeds))


def power(
    sd: float | None,
    n_seeds: int,
    *,
    comparisons: int = 1,
    differences: Sequence[float] = DIFFERENCES,
) -> Power:
    """Tell what paired t tests find with `n_seeds` seeds.

    Args:
        sd: Standard deviation over seeds of the paired difference, or None if unknown.
        n_seeds: Pairs of runs, >= 0; below two nothing can be found.
        comparisons: How many comparisons Holm's procedure guards at once, >= 1.
        differences: True differences in accuracy to give chances for.
    """
    check_integer("n_seeds", n_seeds, low=0)
    check_integer("comparisons", comparisons, low=1)
    least = wilcoxon_least_p(n_seeds)
    if sd is None or n_seeds < 2:
        return Power(n_seeds, sd, (), None, comparisons, None, least)
    chances = tuple((x, chance_to_find(x, sd=sd, n_seeds=n_seeds)) for x in differences)
    strict = detectable_difference(sd=sd, n_seeds=n_seeds, significance=SIGNIFICANCE / comparisons)
    detectable = detectable_difference(sd=sd, n_seeds=n_seeds)
    return Power(n_seeds, sd, chances, detectable, comparisons, strict, least)
