"""Slow and obvious twins of the fits behind networks with few neurons."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from pellucid.approximation.constructions.minimax import Draft


def minimax_by_linear_program(basis: np.ndarray, values: np.ndarray) -> float:
    """Return the least largest error of ``basis @ c - values`` over all c."""
    points, size = basis.shape
    upper = np.hstack([basis, -np.ones((points, 1))])
    lower = np.hstack([-basis, -np.ones((points, 1))])
    cost = np.zeros(size + 1)
    cost[-1] = 1
    solution = linprog(
        cost,
        A_ub=np.vstack([upper, lower]),
        b_ub=np.concatenate([values, -values]),
        bounds=[(None, None)] * size + [(0, None)],
    )
    return float(solution.fun)


def evaluate_draft(draft: Draft, point: np.ndarray) -> float:
    """Evaluate one point, one neuron at a time."""

    def s(z: float) -> float:
        return 1 / (1 + float(np.exp(-z)))

    first = []
    for along, knot, steepness in zip(draft.along, draft.knots, draft.steepness, strict=True):
        place = sum(
            float(a) * float(b) for a, b in zip(draft.directions[along], point, strict=True)
        )
        first.append(s(float(steepness) * (place - float(knot))))
    if draft.weight is None:
        return draft.constant + sum(float(v) * h for v, h in zip(draft.output, first, strict=True))
    second = [
        s(float(bias) + sum(float(w) * h for w, h in zip(row, first, strict=True)))
        for row, bias in zip(draft.weight, draft.bias, strict=True)
    ]
    return draft.constant + sum(float(v) * h for v, h in zip(draft.output, second, strict=True))


def numerical_columns(
    draft: Draft, points: np.ndarray, take: Callable[[np.ndarray], Draft], count: int
) -> np.ndarray:
    """Return central differences of the output in each number that a step may change."""
    columns = []
    for k in range(count):
        step = np.zeros(count)
        step[k] = 1e-6
        columns.append((take(step)(points) - take(-step)(points)) / 2e-6)
    return np.stack(columns, axis=1)


def additive_part_by_least_squares(values: np.ndarray) -> np.ndarray:
    """Return the closest sum of functions of single variables on a grid, by dummy variables."""
    rows = np.array(list(np.ndindex(values.shape)))
    columns = [np.ones(len(rows))]
    for axis, size in enumerate(values.shape):
        columns += [(rows[:, axis] == k).astype(float) for k in range(size)]
    system = np.stack(columns, axis=1)
    weights = np.linalg.lstsq(system, values.ravel(), rcond=None)[0]
    return (system @ weights).reshape(values.shape)


def sigmoid_derivatives_at(value: Fraction | float, order: int) -> float:
    """Return the derivative of s of an order where s has a value, by ``s' = s - s^2`` on terms."""
    polynomial = {1: 1}
    for _ in range(order):
        following: dict[int, int] = {}
        for power, factor in polynomial.items():
            # d s^p / dz = p s^p - p s^(p+1).
            following[power] = following.get(power, 0) + factor * power
            following[power + 1] = following.get(power + 1, 0) - factor * power
        polynomial = following
    return float(sum(factor * value**power for power, factor in polynomial.items()))
