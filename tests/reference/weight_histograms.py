"""Weights counted one by one."""

from __future__ import annotations


def measure_by_loops(rows, near_zero=1e-3):
    """Return (exact zeros, near zeros, dead rows, l1, l2) of nested lists, one list a filter."""
    weights = [weight for row in rows for weight in row]
    zeros = sum(1 for weight in weights if weight == 0)
    near = sum(1 for weight in weights if abs(weight) < near_zero)
    dead = sum(1 for row in rows if all(weight == 0 for weight in row))
    l1 = sum(abs(weight) for weight in weights)
    l2 = sum(weight**2 for weight in weights) ** 0.5
    return zeros / len(weights), near / len(weights), dead / len(rows), l1, l2


def count_by_loops(weights, edges):
    """Return the counts of the bins, strays in the outer ones, zeros left out."""
    counts = [0] * (len(edges) - 1)
    for weight in weights:
        if weight == 0:
            continue
        bin_ = 0
        while bin_ < len(counts) - 1 and weight >= edges[bin_ + 1]:
            bin_ += 1
        counts[bin_] += 1
    return counts
