"""Intervals and tests of paired differences: from arrays to numbers, no study in sight.

Two sources of chance are kept apart: which seed a network was started from, and which images
happened to be in the test set. Where there is nothing to estimate from (one value, values without
any spread) the answer is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 9999
# Accuracies are ratios of small integers: what differs by less than this is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class CombinedEstimate:
    """A mean over seeds and test images that were both drawn by chance.

    Attributes:
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Two-sided, of the mean being 0.
        degrees_of_freedom: After Satterthwaite; not an integer.
    """

    low: float
    high: float
    p: float
    degrees_of_freedom: float


def _p_value(result: Any) -> float:
    return float(result.pvalue)


def has_spread(values: ArrayLike) -> bool:
    """Tell whether there are two values or more that are not all equal, rounding aside."""
    array = np.asarray(values, dtype=np.float64)
    return array.size >= 2 and float(np.ptp(array)) > _ROUNDING


def standard_deviation(values: ArrayLike) -> float | None:
    """Return the sample standard deviation (n - 1); None without spread."""
    return float(np.std(np.asarray(values), ddof=1)) if has_spread(values) else None


def t_interval(values: ArrayLike, *, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return Student's interval ``mean -+ t * sd / sqrt(n)`` of the mean; None without spread."""
    if not has_spread(values):
        return None
    interval = stats.ttest_1samp(np.asarray(values), 0.0).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def cut(
    interval: tuple[float, float] | None, low: float, high: float
) -> tuple[float, float] | None:
    """Return the interval within [low, high], where the truth must lie; None stays None."""
    if interval is None:
        return None
    return max(low, interval[0]), min(high, interval[1])


def t_test(differences: ArrayLike) -> float | None:
    """Return the two-sided p of the paired t test; None without spread.

    The paired test of two samples is the one-sample test of their differences.
    """
    if not has_spread(differences):
        return None
    return _p_value(stats.ttest_1samp(np.asarray(differences), 0.0))


def bootstrap_interval(
    values: ArrayLike, *, method: str = "percentile", seed: int = 0
) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean; None below three values or without spread.

    With few values it is too short (see the measured coverage): it is shown beside Student's
    interval as a check of its assumption, not used to decide.

    Args:
        values: Shape (n,).
        method: ``"percentile"`` or ``"BCa"``, as scipy names them.
        seed: Of the resampling, so that the same values give the same interval.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 3 or not has_spread(array):
        return None
    interval = stats.bootstrap(
        (array,),
        np.mean,
        n_resamples=BOOTSTRAP_RESAMPLES,
        vectorized=True,
        method=method,
        confidence_level=CONFIDENCE,
        # Later scipy also calls it rng; 1.12 knows this name only.
        random_state=np.random.default_rng(seed),  # pyright: ignore[reportCallIssue]
    ).confidence_interval
    return float(interval.low), float(interval.high)


def wilcoxon_test(differences: ArrayLike) -> float | None:
    """Return the exact two-sided p of Wilcoxon's signed-rank test; None if all are 0.

    Zeros are left out, as Wilcoxon did. Among n differences p cannot fall below ``2 / 2**n``:
    .0625 for five.

    Deviation: scipy's exact distribution supposes that no two differences are equally large, which
    accuracies on few images often are; with ties the distribution over all signs of the mid-ranks
    is summed here instead.
    """
    # Rounded, or ties would be broken by the last bit.
    array = np.round(np.asarray(differences, dtype=np.float64), 12)
    array = array[array != 0]
    if array.size == 0:
        return None
    sizes = np.abs(array)
    if np.unique(sizes).size == array.size:
        return _p_value(stats.wilcoxon(array, method="exact"))
    doubled = np.rint(2 * stats.rankdata(sizes)).astype(np.int64)  # mid-ranks end on a half
    total = int(doubled.sum())
    # chances[s]: of the doubled ranks with a positive sign adding up to s, signs being fair coins.
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[:-rank]
        chances = (chances + moved) / 2
    positive = int(doubled[array > 0].sum())
    tail = min(positive, total - positive)
    return min(1.0, 2 * float(chances[: tail + 1].sum()))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the p values adjusted for their number, step by step from the smallest.

    The chance of any false alarm among all of them then stays below the level that they are
    compared with. A None stays None and counts in the family, so nothing is gained by a test that
    could not be made.

    Source: Holm 1979.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for step, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p))
        adjusted[index] = highest
    return tuple(adjusted)


def effect_size(differences: ArrayLike) -> float | None:
    """Return ``d_z = mean / sd`` of the paired differences; None without spread."""
    spread = standard_deviation(differences)
    return None if spread is None else float(np.mean(np.asarray(differences))) / spread


def small_sample_factor(n: int) -> float | None:
    """Return what ``d_z`` of n >= 3 pairs must be multiplied with to be right on average.

    ``J = Gamma(m/2) / (sqrt(m/2) * Gamma((m-1)/2))`` with ``m = n - 1``: .80 for five pairs, so
    that d_z of five seeds is a quarter too large. Source: Hedges 1981.
    """
    m = n - 1
    if m < 2:
        return None
    log_ratio = special.gammaln(m / 2) - special.gammaln((m - 1) / 2)
    return float(math.exp(log_ratio) / math.sqrt(m / 2))


def mcnemar_test(a_correct: NDArray[np.bool_], b_correct: NDArray[np.bool_]) -> float:
    """Return the exact two-sided p that two networks are right equally often.

    Only the images count on which just one of them is right: a binomial test of a half. Without
    such images p is 1. Source: McNemar 1947.

    Args:
        a_correct: Which test images the first got right, bool (n_test,).
        b_correct: The same for the second.
    """
    only_a = int(np.sum(a_correct & ~b_correct))
    only_b = int(np.sum(b_correct & ~a_correct))
    if only_a + only_b == 0:
        return 1.0
    return _p_value(stats.binomtest(only_a, only_a + only_b, 0.5))


def merge_p_values(p_values: Sequence[float]) -> float:
    """Return one p for many that depend on each other in an unknown way.

    About twice their median: the ``ceil(n/2)``-th smallest times ``n / ceil(n/2)``. Tests of
    several seeds on the same images must not be added up as if the images were new each time.

    Source: Rüger 1978; Vovk & Wang 2020.
    """
    rank = math.ceil(len(p_values) / 2)
    return min(1.0, sorted(p_values)[rank - 1] * len(p_values) / rank)


def sampling_interval(per_image: ArrayLike) -> tuple[float, float] | None:
    """Return the interval of a mean over test images, had other images been drawn.

    The networks are held fixed: each image's value is averaged over them first.

    Args:
        per_image: Correctness, or difference in correctness, of each image, shape (n_test,).
    """
    return t_interval(per_image)


def combine_seeds_and_images(values: ArrayLike) -> CombinedEstimate | None:
    """Return interval and p of a mean when both the seeds and the test images vary.

    With ``A`` the variance of the mean estimated from its seeds' means and ``B`` that from its
    images' means, both hold the noise of single answers ``C`` (what is left after seed and image
    are taken out); so the variance is ``A + B - C``, and at least the larger of A and B.

    Source: the random two-way layout, Scheffé 1959, chapter 7; degrees of freedom after
    Satterthwaite 1946. Deviation: the lower limit, and that the degrees of freedom do not fall
    below the number of seeds less one, below which the subtraction can push them.

    Args:
        values: Shape (seeds, images).

    Returns:
        None below two seeds or images, or without spread between seeds or images.
    """
    table = np.asarray(values, dtype=np.float64)
    seeds, images = table.shape
    by_seed, by_image = table.mean(1), table.mean(0)
    if not (has_spread(by_seed) and has_spread(by_image)):
        return None
    mean = float(table.mean())
    rest = table - by_seed[:, None] - by_image[None, :] + mean
    from_seeds = float(by_seed.var(ddof=1)) / seeds
    from_images = float(by_image.var(ddof=1)) / images
    cells = (seeds - 1) * (images - 1)
    from_rest = float(np.square(rest).sum()) / cells / (seeds * images)
    variance = max(from_seeds + from_images - from_rest, from_seeds, from_images)
    spread = from_seeds**2 / (seeds - 1) + from_images**2 / (images - 1) + from_rest**2 / cells
    degrees = max(variance**2 / spread, float(seeds - 1))
    error = math.sqrt(variance)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, degrees))
    return CombinedEstimate(mean - reach, mean + reach, min(1.0, p), degrees)
