"""Points that stand for a box while a network is fitted, and their exchange in Remez's manner.

A fit on few points is checked on many; where the error sticks out, points are added and the fit is
repeated. Nothing here proves anything: the certificate does, later and from the weights alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pellucid._checks import UsageError

from ..box import Box
from . import NotApplicable
from .minimax import Draft, correct
from .work_budget import WorkBudget

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]
FIT_POINTS = {1: (301,), 2: (29, 29), 3: (9, 9, 9), 4: (7, 7, 7, 7)}
CHECK_POINTS = {1: (4001,), 2: (121, 121), 3: (25, 25, 25), 4: (11, 11, 11, 11)}


@dataclass(eq=False)
class Samples:
    """A target scaled to the box [-1, 1]^d and to values in [-1, 1], on points to fit and check.

    Attributes:
        box: The box in the user's units.
        function: The target in the user's units, (n, d) to (n,).
        center: Middle of the range of values seen.
        scale: Half of that range; 1 where the target is constant.
        tolerance: The user's tolerance over ``scale``.
        axes: Chebyshev points of the fitting grid, one array per variable.
        points: Fitting points in the scaled box, shape (m, d), the grid first (first axis slowest).
        values: Scaled values there, shape (m,).
    """

    box: Box
    function: Function
    center: float
    scale: float
    tolerance: float
    axes: tuple[Floats, ...]
    points: Floats
    values: Floats
    check_points: Floats = field(repr=False)
    check_values: Floats = field(repr=False)

    def __call__(self, points: Floats) -> Floats:
        """Return the scaled target at points (n, d) of the scaled box."""
        return (self.function(unscale(points, self.box)) - self.center) / self.scale

    @property
    def grid_values(self) -> Floats:
        """Values on the fitting grid, shape (m_1, ..., m_d)."""
        shape = tuple(len(axis) for axis in self.axes)
        return self.values[: math.prod(shape)].reshape(shape)

    def error(self, draft: Draft, budget: WorkBudget | None = None) -> float:
        """Return the largest scaled error seen on the check and the fitting points."""
        if budget is not None:
            seen = len(self.check_points) + len(self.points)
            budget.charge_evaluation(points=seen, neurons=draft.neurons)
        checked = float(np.abs(draft(self.check_points) - self.check_values).max())
        return max(checked, float(np.abs(draft(self.points) - self.values).max()))


def sample(function: Function, box: Box, *, tolerance: float) -> Samples:
    """Sample a target on a fitting grid that resolves it, and on a finer one to check.

    Args:
        function: (n, d) points of the box to (n,) values.
        box: The box.
        tolerance: Sup error that is asked for, above 0.

    Raises:
        UsageError: ``tolerance`` is not above 0.
        NotApplicable: A value is not finite.
    """
    if not tolerance > 0:
        raise UsageError(f"tolerance must be above 0, got {tolerance!r}.")
    dimension = box.dimension
    counts = list(FIT_POINTS[dimension])
    check = list(CHECK_POINTS[dimension])
    middle = np.zeros((1, dimension))
    for axis in range(dimension):
        # Turning points along a few lines tell how many points an oscillation needs.
        line = np.linspace(-1, 1, 2001)
        turns = 0
        for place in (0.0, -0.62, 0.77, 1.0):
            points = np.full((len(line), dimension), place) + middle
            points[:, axis] = line
            line_values = np.asarray(function(unscale(points, box)), dtype=np.float64)
            _refuse_jump(function, box, points, line_values, tolerance)
            steps = np.diff(line_values)
            steps = steps[np.abs(steps) > 1e-9 * max(float(np.abs(steps).max()), 1e-300)]
            turns = max(turns, int(np.count_nonzero(steps[1:] * steps[:-1] < 0)))
            if dimension == 1:
                break
        most = {1: 2401, 2: 65, 3: 15, 4: 9}[dimension]
        counts[axis] = min(most, max(counts[axis], 5 * turns + 5))
        check[axis] = min(8 * most, max(check[axis], 20 * turns))
    axes = tuple(-np.cos(np.pi * np.arange(count) / (count - 1)) for count in counts)
    points = _product(axes)
    # Chebyshev points crowd at the faces; regular ones do not thin out in the middle.
    dense = [-np.cos(np.pi * np.arange(count) / (count - 1)) for count in check]
    regular = [np.linspace(-1, 1, max(3, int(0.7 * count))) for count in check]
    check_points = np.vstack([_product(dense), _product(regular)])
    values = np.asarray(function(unscale(points, box)), dtype=np.float64)
    check_values = np.asarray(function(unscale(check_points, box)), dtype=np.float64)
    if not (np.isfinite(values).all() and np.isfinite(check_values).all()):
        raise NotApplicable("the target is not finite everywhere on the box")
    low = min(float(values.min()), float(check_values.min()))
    high = max(float(values.max()), float(check_values.max()))
    center = low / 2 + high / 2
    scale = high / 2 - low / 2
    if not scale > 4e-16 * abs(center):
        scale = 1.0
    return Samples(
        box,
        function,
        center,
        scale,
        tolerance / scale,
        axes,
        points,
        (values - center) / scale,
        check_points,
        (check_values - center) / scale,
    )


def _refuse_jump(
    function: Function, box: Box, points: Floats, values: Floats, tolerance: float
) -> None:
    """Halve the interval with the largest step until the step is gone or a jump is found."""
    if not np.isfinite(values).all():
        raise NotApplicable("the target is not finite everywhere on the box")
    first = int(np.argmax(np.abs(np.diff(values))))
    low, high = points[first], points[first + 1]
    left, right = values[first], values[first + 1]
    for _ in range(42):
        if abs(right - left) <= tolerance:
            return
        half = (low + high) / 2
        middle = float(np.asarray(function(unscale(half[None], box)))[0])
        if abs(middle - left) >= abs(right - middle):
            high, right = half, middle
        else:
            low, left = half, middle
    place = ", ".join(f"{value:.6g}" for value in unscale(low[None], box)[0])
    raise NotApplicable(
        f"the target jumps by about {abs(right - left):.3g} at ({place}); smooth sigmoids "
        f"cannot follow a jump above the tolerance"
    )


def unscale(points: Floats, box: Box) -> Floats:
    """Map points (n, d) of [-1, 1]^d to the box, the faces exactly onto its faces."""
    lower, upper = np.asarray(box.lower), np.asarray(box.upper)
    inside = lower / 2 + upper / 2 + points * (upper / 2 - lower / 2)
    inside = np.where(points <= -1, lower, np.where(points >= 1, upper, inside))
    return np.clip(inside, lower, upper)


def exchange(
    draft: Draft,
    samples: Samples,
    *,
    knots: str,
    goal: float,
    rounds: int = 4,
    added: int = 48,
    budget: WorkBudget | None = None,
) -> tuple[Draft, float]:
    """Alternate between correcting a draft and adding the points where it is worst.

    Args:
        draft: Fitted to ``samples.points``.
        samples: Gains points: later fits start from the richer set.
        knots: As in :func:`~.minimax.correct`.
        goal: Scaled error to reach on all points.
        rounds: Corrections at most.
        added: Points added a round: the worst, no two of them close together.
        budget: Work to charge; stops when it is exhausted. ``None``: no limit.

    Returns:
        The best draft met and its largest scaled error on all points.

    Source: Remez 1934; the multiple exchange of Cheney, "Introduction to approximation theory".
    """
    best, best_error = draft, samples.error(draft, budget)
    for _ in range(rounds):
        if best_error <= goal:
            break
        residual = np.abs(draft(samples.check_points) - samples.check_values)
        spacing = 0.7 / max(len(axis) for axis in samples.axes)
        chosen: list[int] = []
        for index in np.argsort(-residual)[: 40 * added]:
            if residual[index] < 0.7 * goal or len(chosen) >= added:
                break
            gaps = np.abs(samples.check_points[chosen] - samples.check_points[index]).max(axis=1)
            if not chosen or gaps.min() > spacing:
                chosen.append(int(index))
        if not chosen:
            break
        samples.points = np.vstack([samples.points, samples.check_points[chosen]])
        samples.values = np.concatenate([samples.values, samples.check_values[chosen]])
        draft, fitted = correct(
            draft,
            samples.points,
            samples.values,
            knots=knots,
            goal=0.9 * goal,
            settle=5,
            iterations=60,
            budget=budget,
        )
        error = samples.error(draft, budget)
        if error < best_error:
            best, best_error = draft, error
        if fitted > goal:
            # Not for want of points: this is as low as the draft goes.
            break
    return best, best_error


def _product(axes: tuple[Floats, ...] | list[Floats]) -> Floats:
    return (
        np.array(list(itertools.product(*axes)))
        if len(axes) == 1
        else np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)
    )
