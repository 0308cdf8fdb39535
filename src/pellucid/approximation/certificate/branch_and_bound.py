"""A bound of the largest absolute error on a box: halve boxes until the bound is close.

A box is enclosed by a Taylor model of the error, a polynomial whose largest value is found on a
Chebyshev grid, plus a remainder. What a box needs decides what is done with it: a finer grid where
the polynomial's bound is loose, parts in the directions that the remainder comes from otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pellucid._progress import Progress
from pellucid.approximation.box import Box
from pellucid.approximation.certificate.polynomial_range import polynomial_range
from pellucid.approximation.certificate.taylor_models import (
    BALL_BITS,
    WIDEN,
    Arithmetic,
    Array,
    Floats,
    Model,
    monomials,
)
from pellucid.approximation.enclosures import working_precision

# Total degrees of the polynomials by dimension, measured: degree 2 takes fifty times more boxes.
DEGREES = {1: 10, 2: 7, 3: 5, 4: 4}
_START = {1: 4, 2: 4, 3: 2, 4: 2}
_GRID = {1: 40, 2: 18, 3: 10, 4: 7}
_FINEST_GRID = {1: 512, 2: 96, 3: 32, 4: 14}
_CHUNK_ENTRIES = 2_000_000
# A box near a jump is set aside when its sides are this fraction of the whole.
_SMALLEST_PART = {1: 2.0**-30, 2: 2.0**-9, 3: 2.0**-5, 4: 2.0**-3}

#: Encloses the error on the boxes of an arithmetic.
Enclosure = Callable[[Arithmetic], Model]


@dataclass(frozen=True)
class Proof:
    """What branch and bound found.

    Args:
        bound: The absolute error is at most this outside the excluded boxes.
        seen: The largest absolute error is at least this.
        lower: Lower ends of the boxes it was proved on, shape (n, dimension).
        upper: Upper ends.
        evaluated: How many boxes were enclosed.
        complete: Every box came below what was asked for.
        excluded_measure: Volume of the boxes set aside.
    """

    bound: float
    seen: float
    lower: Floats
    upper: Floats
    evaluated: int
    complete: bool
    excluded_measure: float = 0.0


@dataclass
class _Boxes:
    lower: Floats
    upper: Floats
    bound: Floats
    remainder: Floats  # (n, dimension + 1)
    peak: Floats  # largest absolute value of the polynomial on the grid
    hollow: Floats  # smallest absolute value on the grid, less the remainder

    def __getitem__(self, where: Array) -> _Boxes:
        parts = (self.lower, self.upper, self.bound, self.remainder, self.peak, self.hollow)
        return _Boxes(*(part[where] for part in parts))

    def __len__(self) -> int:
        return len(self.bound)

    @property
    def seen(self) -> Floats:
        """The error is certainly this large somewhere in the box."""
        return self.peak * (1 - 1e-12) - self.remainder.sum(axis=1) * WIDEN


def bound_error(
    enclosure: Enclosure,
    box: Box,
    *,
    target: float,
    strict: bool = False,
    tightness: float = 1.03,
    size: int = 1,
    balls: bool = False,
    start: tuple[Floats, Floats] | None = None,
    may_jump: bool = False,
    max_boxes: int = 200_000,
    max_seconds: float = 60.0,
    quiet: bool = True,
) -> Proof:
    """Bound the absolute error on a box.

    Args:
        enclosure: Gives the Taylor models of the error.
        box: Where.
        target: What is to be proved. A target below the error that is seen is given up for
            ``tightness`` times that error.
        strict: Stop as soon as the target is known to be out of reach, instead.
        tightness: How close to the largest error seen a bound must come where the target is
            below it.
        size: Neurons of the widest layer, for the memory.
        balls: Compute in arb.
        start: Boxes that cover ``box``, shape (n, dimension) each; None means equal parts.
        may_jump: Keep to the target, and set aside small boxes where it cannot be shown.
        max_boxes: Enclose at most about this many.
        max_seconds: Stop after this time, with the best bound so far.
        quiet: Show no progress.

    Returns:
        The bound, and the boxes that prove it.
    """
    begin = time.monotonic()
    dimension, degree = box.dimension, DEGREES[box.dimension]
    per_box = monomials(dimension, degree).count * max(1, size)
    chunk = max(1, min(1024, _CHUNK_ENTRIES // per_box)) if not balls else 16
    waiting = start if start is not None else equal_parts(box, _START[dimension])
    inherited = np.full(len(waiting[0]), np.inf)
    settled: list[_Boxes] = []  # proved, or not to be improved by halving
    seen, evaluated, excluded, goal, stuck = 0.0, 0, 0.0, target, False
    stopped = False
    with (
        working_precision(BALL_BITS),
        Progress(len(waiting[0]), "box", "proving", quiet=quiet, leave=False) as progress,
    ):
        while len(waiting[0]) and not stopped:
            parts: list[_Boxes] = []
            first = 0
            while first < len(waiting[0]) and not stopped:
                ends = waiting[0][first : first + chunk], waiting[1][first : first + chunk]
                boxes = _evaluate(enclosure, *ends, degree=degree, balls=balls, goal=goal)
                boxes.bound = np.fmin(boxes.bound, inherited[first : first + chunk])
                first += chunk
                parts.append(boxes)
                evaluated += len(boxes)
                progress.update(len(boxes))
                seen = max(seen, float(boxes.seen.max()))
                if not strict and not may_jump:
                    goal = max(goal, tightness * seen)
                late = evaluated > max_boxes or time.monotonic() - begin > max_seconds
                stopped = late or (seen > goal and not may_jump)
            unseen = waiting[0][first:], waiting[1][first:], inherited[first:]
            boxes = _joined(parts)
            proved = boxes.bound <= goal
            settled.append(boxes[proved])
            boxes = boxes[~proved]
            if stopped:
                boxes = _joined([boxes, _unknown(*unseen)])
            if may_jump:
                small = (boxes.upper - boxes.lower) <= box.sides * _SMALLEST_PART[dimension]
                # Nothing has to be proved of what is set aside: the error is large all over it.
                aside = small.all(axis=1) | (boxes.hollow > goal) | stopped
                volume = np.prod((boxes.upper - boxes.lower)[aside], axis=1)
                excluded += float(volume.sum()) * WIDEN
                boxes = boxes[~aside]
            if stopped:
                stuck = len(boxes) > 0
                settled.append(boxes)
                break
            lost = _hopeless(boxes, box)
            if lost.any():
                stuck = True
                if not strict:
                    goal = max(goal, float(boxes.bound[lost].max()))
                settled.append(boxes[lost])
                boxes = boxes[~lost]
            waiting, inherited = _split(boxes, goal, degree)
            progress.move_to(evaluated)
    return _proof(settled, seen, evaluated, excluded, not stuck)


def equal_parts(box: Box, count: int) -> tuple[Floats, Floats]:
    """Return the lower and upper ends (n, dimension) of ``count`` parts in each direction."""
    lines = [
        np.append(low + (high - low) * (np.arange(count) / count), high)
        for low, high in zip(box.lower, box.upper, strict=True)
    ]
    low = np.meshgrid(*(line[:-1] for line in lines), indexing="ij")
    high = np.meshgrid(*(line[1:] for line in lines), indexing="ij")
    return (
        np.stack([part.ravel() for part in low], axis=1),
        np.stack([part.ravel() for part in high], axis=1),
    )


def _evaluate(
    enclosure: Enclosure, lower: Floats, upper: Floats, *, degree: int, balls: bool, goal: float
) -> _Boxes:
    arithmetic = Arithmetic(lower, upper, degree=degree, balls=balls)
    model = enclosure(arithmetic)
    coefficients, remainder = arithmetic.to_floats(model)
    dimension = arithmetic.dimension
    total = remainder.sum(axis=0) * WIDEN
    least, most, low, high = polynomial_range(
        coefficients, dimension=dimension, degree=degree, nodes=_GRID[dimension]
    )
    bound, peak = np.maximum(-least, most), np.maximum(-low, high)
    hollow = np.where(np.isfinite(total), np.maximum(low, -high) - total, 0.0)
    # A finer grid where it is the polynomial's bound that is too large, and a finer one can help.
    factor = (goal - total - np.abs(low + high) / 2) / np.maximum((high - low) / 2, 1e-300)
    loose = (bound + total > goal) & (factor > 1.0001) & np.isfinite(total)
    if loose.any():
        angle = np.arccos(np.minimum(factor[loose], 2.0) ** (-1 / dimension))
        wanted = np.ceil(degree * math.pi / (2 * angle) * 1.01)
        finest = _FINEST_GRID[dimension]
        places = np.flatnonzero(loose)
        for nodes in sorted({min(finest, 2 * _GRID[dimension]), finest}):
            chosen = places[wanted <= nodes]
            places, wanted = places[wanted > nodes], wanted[wanted > nodes]
            if len(chosen):
                least, most, low, high = polynomial_range(
                    coefficients[:, chosen], dimension=dimension, degree=degree, nodes=nodes
                )
                bound[chosen] = np.minimum(bound[chosen], np.maximum(-least, most))
                peak[chosen] = np.maximum(peak[chosen], np.maximum(-low, high))
    bound = (bound + total) * (1 + 4e-16)
    natural = np.maximum(-model.lower, model.upper)
    bound = np.fmin(np.where(np.isnan(bound), np.inf, bound), natural)
    # Nothing is known where an enclosure is unbounded, so nothing is seen there either.
    peak = np.where(np.isfinite(total), peak, 0.0)
    return _Boxes(lower, upper, bound, remainder.T, peak, hollow)


def _split(boxes: _Boxes, goal: float, degree: int) -> tuple[tuple[Floats, Floats], Floats]:
    """Cut each box into equal parts, in the directions that its remainder comes from."""
    n, dimension = boxes.lower.shape
    if not n:
        return (boxes.lower, boxes.upper), boxes.bound
    allowed = 0.5 * np.maximum(goal - boxes.peak, 0.05 * goal)
    causes = boxes.remainder[:, :dimension]
    causes = np.where(np.isfinite(causes), causes, 1e300)
    with np.errstate(over="ignore"):
        cuts = np.ceil((causes * dimension / allowed[:, None]) ** (1 / (degree + 1)))
    cuts = np.clip(cuts, 1, 4 if dimension < 3 else 2).astype(np.int64)
    # A polynomial that no grid bounds well enough: halve the direction it changes most in.
    still = cuts.max(axis=1) == 1
    cuts[np.flatnonzero(still), np.argmax(causes[still], axis=1)] = 2
    # Far beyond what a polynomial can follow, only the worst directions are worth a cut.
    worst = causes >= 0.1 * causes.max(axis=1, keepdims=True)
    rough = causes.sum(axis=1) > 30 * allowed
    cuts = np.where(rough[:, None] & ~worst, 1, cuts)
    lower, upper, bound = boxes.lower, boxes.upper, boxes.bound
    for axis in range(dimension):
        counts = cuts[:, axis]
        row = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        parts = counts[row]
        low, high = lower[row], upper[row]
        start, stop = low[:, axis].copy(), high[:, axis].copy()
        step = stop - start
        begin = start + step * (number / parts)
        end = start + step * ((number + 1) / parts)
        low[:, axis] = np.where(number == 0, start, begin)
        high[:, axis] = np.where(number == parts - 1, stop, end)
        lower, upper, bound, cuts = low, high, bound[row], cuts[row]
    return (lower, upper), bound


def _hopeless(boxes: _Boxes, box: Box) -> Array:
    """Say which boxes halving cannot help: too small, or rounding is what is left."""
    total = boxes.remainder.sum(axis=1)
    rounding = boxes.remainder[:, -1]
    loose = boxes.bound - boxes.peak - total
    lost = np.isfinite(total) & (rounding > 0.7 * total) & (rounding > loose)
    tiny = (boxes.upper - boxes.lower) <= 1e-13 * box.sides
    return lost | tiny.any(axis=1)


def _unknown(lower: Floats, upper: Floats, bound: Floats) -> _Boxes:
    n, dimension = lower.shape
    nothing = np.zeros(n)
    return _Boxes(lower, upper, bound, np.zeros((n, dimension + 1)), nothing, nothing)


def _joined(parts: list[_Boxes]) -> _Boxes:
    names = ("lower", "upper", "bound", "remainder", "peak", "hollow")
    return _Boxes(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _proof(
    parts: list[_Boxes], seen: float, evaluated: int, excluded: float, complete: bool
) -> Proof:
    boxes = _joined(parts)
    bound = float(boxes.bound.max(initial=0.0))
    return Proof(bound, max(seen, 0.0), boxes.lower, boxes.upper, evaluated, complete, excluded)
