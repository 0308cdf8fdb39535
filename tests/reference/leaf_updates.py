"""The leaf update as its sources write it: one image, one leaf, one class at a time.

Source: Kontschieder et al. 2015, equation 11; Nauta et al. 2021, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def leaf_distributions(counts: np.ndarray, floor: float) -> np.ndarray:
    """Return the softmax of each row, mixed with ``floor`` of the uniform distribution."""
    result = np.zeros_like(counts, dtype=np.float64)
    for leaf, row in enumerate(counts):
        top = max(float(c) for c in row)
        powers = [math.exp(float(c) - top) for c in row]
        for k, power in enumerate(powers):
            result[leaf, k] = (1 - floor) * power / sum(powers) + floor / len(powers)
    return result


def responsibilities(
    path_probabilities: np.ndarray, leaves: np.ndarray, labels: Sequence[int]
) -> np.ndarray:
    """Return ``sum_x path_l(x) leaf_l(y) / yhat(y)`` for each leaf, at each image's class y."""
    total = np.zeros_like(leaves, dtype=np.float64)
    for paths, label in zip(path_probabilities, labels, strict=True):
        answer = sum(float(p) * float(leaf[label]) for p, leaf in zip(paths, leaves, strict=True))
        for leaf in range(len(leaves)):
            total[leaf, label] += float(paths[leaf]) * float(leaves[leaf, label]) / answer
    return total


def run_epoch(
    counts: np.ndarray,
    batches: Sequence[tuple[np.ndarray, Sequence[int]]],
    floor: float,
) -> np.ndarray:
    """Return the counts after one epoch of batches of (path probabilities, labels)."""
    start = counts.astype(np.float64).copy()
    now = start.copy()
    for paths, labels in batches:
        update = responsibilities(paths, leaf_distributions(now, floor), labels)
        for leaf in range(len(now)):
            for k in range(now.shape[1]):
                kept = now[leaf, k] - start[leaf, k] / len(batches)
                now[leaf, k] = max(kept, 0.0) + update[leaf, k]
    return now
