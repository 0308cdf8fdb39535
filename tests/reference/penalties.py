"""Penalties one network and one weight at a time: the obvious twin of ``StackedPenalty``.

Parameters are nested lists of floats as numpy arrays without a stacking axis.
"""

from __future__ import annotations

import math

import numpy as np


def is_penalized(penalty, kind):
    if kind == "bias":
        return penalty.include_biases
    if kind == "norm":
        return penalty.include_norms
    return True


def ramp_factor(penalty, fraction):
    if penalty.ramp == 0 or fraction >= penalty.ramp:
        return 1.0
    return fraction / penalty.ramp


def rows_of(array):
    """The indices of all weights of each row, as a list of lists."""
    groups = {}
    for index in np.ndindex(array.shape):
        groups.setdefault(index[0], []).append(index)
    return list(groups.values())


def length(array, indices):
    return math.sqrt(sum(array[index] ** 2 for index in indices))


def penalty_gradient(penalty, array, kind, fraction):
    gradient = np.zeros_like(array)
    if not is_penalized(penalty, kind):
        return gradient
    factor = ramp_factor(penalty, fraction)
    for index in np.ndindex(array.shape):
        gradient[index] += factor * penalty.l2 * array[index]
        if penalty.method == "subgradient" and array[index] != 0:
            gradient[index] += factor * penalty.l1 * math.copysign(1, array[index])
    if penalty.method == "subgradient":
        for indices in rows_of(array):
            row_length = length(array, indices)
            for index in indices:
                if row_length > 0:
                    slope = factor * penalty.group * math.sqrt(len(indices))
                    gradient[index] += slope * array[index] / row_length
    return gradient


def proximal_step(penalty, array, kind, *, step, fraction, denominators=None):
    """The map of L1, then groups, then the limit; ``step`` is learning_rate / (1 - momentum)."""
    array = array.copy()
    if not is_penalized(penalty, kind):
        return array
    step = step * ramp_factor(penalty, fraction)
    if penalty.method == "proximal":
        for index in np.ndindex(array.shape):
            threshold = step * penalty.l1
            if denominators is not None:
                threshold /= denominators[index]
            if array[index] > threshold:
                array[index] -= threshold
            elif array[index] < -threshold:
                array[index] += threshold
            else:
                array[index] = 0
        for indices in rows_of(array):
            threshold = step * penalty.group * math.sqrt(len(indices))
            row_length = length(array, indices)
            for index in indices:
                if row_length <= threshold:
                    array[index] = 0
                else:
                    array[index] *= 1 - threshold / row_length
    if penalty.max_norm is not None:
        for indices in rows_of(array):
            row_length = length(array, indices)
            if row_length > penalty.max_norm:
                for index in indices:
                    array[index] *= penalty.max_norm / row_length
    return array


def penalty_value(penalty, array, kind):
    if not is_penalized(penalty, kind):
        return 0.0
    total = 0.0
    for index in np.ndindex(array.shape):
        total += penalty.l1 * abs(array[index]) + penalty.l2 / 2 * array[index] ** 2
    for indices in rows_of(array):
        total += penalty.group * math.sqrt(len(indices)) * length(array, indices)
    return total
