"""Statistics as their definitions say, by counting every case."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return mean -+ t(.975, n - 1) * s / sqrt(n)."""
    n = len(values)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    reach = float(stats.t.ppf(0.975, n - 1)) * math.sqrt(variance / n)
    return mean - reach, mean + reach


def t_test(values: Sequence[float]) -> float:
    """Return the chance of a t at least as far from 0."""
    n = len(values)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    return 2 * float(stats.t.sf(abs(mean) / math.sqrt(variance / n), n - 1))


def wilcoxon(differences: Sequence[float]) -> float:
    """Return twice the share of all sign patterns whose rank sum is as extreme, to 1 at most."""
    values = [value for value in differences if value != 0]
    sizes = [abs(value) for value in values]
    ranks = [
        sum(other < size for other in sizes) + (sum(other == size for other in sizes) + 1) / 2
        for size in sizes
    ]
    seen = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    low = min(seen, sum(ranks) - seen)
    sums = [
        sum(rank for rank, positive in zip(ranks, signs, strict=True) if positive)
        for signs in itertools.product((False, True), repeat=len(values))
    ]
    return min(1.0, 2 * sum(total <= low for total in sums) / len(sums))


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of the means of all n**n resamples."""
    means = [sum(sample) / len(values) for sample in itertools.product(values, repeat=len(values))]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return for each p the least level at which Holm's procedure rejects it."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    for place, index in enumerate(order):
        needed = [
            (len(p_values) - earlier) * p_values[order[earlier]] for earlier in range(place + 1)
        ]
        adjusted[index] = min(1.0, max(needed))
    return adjusted


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided binomial p of a half by summing binomial coefficients."""
    n = only_a + only_b
    if n == 0:
        return 1.0
    less = min(only_a, only_b)
    tail = sum(math.comb(n, k) for k in range(less + 1)) / 2**n
    return min(1.0, 2 * tail)


def two_way_variance(table: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return the variances of the mean by seeds, by images and by what is left, in plain loops."""
    seeds, images = len(table), len(table[0])
    by_seed = [sum(row) / images for row in table]
    by_image = [sum(row[i] for row in table) / seeds for i in range(images)]
    mean = sum(by_seed) / seeds
    a = sum((x - mean) ** 2 for x in by_seed) / (seeds - 1) / seeds
    b = sum((x - mean) ** 2 for x in by_image) / (images - 1) / images
    rest = 0.0
    for s in range(seeds):
        for i in range(images):
            rest += (table[s][i] - by_seed[s] - by_image[i] + mean) ** 2
    c = rest / ((seeds - 1) * (images - 1)) / (seeds * images)
    return a, b, c


def power(difference: float, sd: float, n: int, *, rounds: int, seed: int) -> float:
    """Return the share of drawn studies whose paired t test has p < .05."""
    draws = np.random.default_rng(seed).normal(difference, sd, (rounds, n))
    t = draws.mean(1) / (draws.std(1, ddof=1) / math.sqrt(n))
    return float(np.mean(np.abs(t) > stats.t.ppf(0.975, n - 1)))


def pareto_front(accuracy: Sequence[float], sparsity: Sequence[float]) -> set[int]:
    """Return the points for which no other is at least as good in both and better in one."""
    points = list(zip(accuracy, sparsity, strict=True))
    return {
        i
        for i, (a, z) in enumerate(points)
        if not any(b >= a and y >= z and (b > a or y > z) for b, y in points)
    }


def knee(accuracy: Sequence[Sequence[float]], sparsity: Sequence[float]) -> int:
    """Return the sparsest point within one standard error of the best mean."""
    means = [sum(row) / len(row) for row in accuracy]
    best = max(range(len(means)), key=lambda i: means[i])
    n = len(accuracy[best])
    variance = sum((x - means[best]) ** 2 for x in accuracy[best]) / (n - 1)
    limit = means[best] - math.sqrt(variance / n)
    return max((i for i, m in enumerate(means) if m >= limit), key=lambda i: sparsity[i])
