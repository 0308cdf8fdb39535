"""Stratified holding out, class by class in plain loops."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
from sklearn.model_selection import train_test_split


def hold_out_by_loops(labels, fraction, seed):
    """Return (kept, held) positions by the rule of ``hold_out``, without groups."""
    members = defaultdict(list)
    for position, label in enumerate(labels):
        members[int(label)].append(position)
    small, ordinary = [], []
    for _, positions in sorted(members.items()):
        count = len(positions)
        target = small if fraction * count < 1 or (1 - fraction) * count < 1 else ordinary
        target.extend(positions)
    held = []
    if fraction > 0 and ordinary:
        ordinary = sorted(ordinary)
        classes = [int(labels[position]) for position in ordinary]
        held += list(
            train_test_split(ordinary, test_size=fraction, random_state=seed, stratify=classes)[1]
        )
    if fraction > 0 and small:
        quota = {}
        for label in {int(labels[position]) for position in small}:
            count = len(members[label])
            quota[label] = min(max(round(fraction * count), 1), count - 1)
        for position in np.random.default_rng(seed).permutation(sorted(small)):
            label = int(labels[position])
            if quota[label] > 0:
                quota[label] -= 1
                held.append(int(position))
    return sorted(set(range(len(labels))) - set(held)), sorted(held)


def random_labels(seed, count, classes):
    """Return labels with very unequal class sizes."""
    source = random.Random(seed)
    return [min(int(source.expovariate(1.0) * classes / 4), classes - 1) for _ in range(count)]
