"""A sum of towers side by side: what the text-book's proof builds, as a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.network import NeuronGroup, SigmoidLayer, SigmoidNetwork
from pellucid.approximation.shape_designs import vanishing_side

Floats = NDArray[np.float64]
Target = Callable[[Floats], Floats]

_MAXIMUM_NETWORK = 500_000
_CHUNK_ENTRIES = 2**21
_SPARSE_FROM = 16
# exp(-60) of each of five million towers is below the rounding of their sum.
_NEGLIGIBLE_EXPONENT = 60.0


@dataclass(frozen=True, eq=False)
class Tiling:
    """Towers (bumps, in one dimension) side by side, each as high as the target at its center.

    Call it to evaluate: it computes only the towers near a point, which changes nothing that
    float64 can hold. :attr:`network` writes all weights down.

    Args:
        target: What is approximated: points (n, d) to values (n,).
        box: Which the towers cover.
        cells: Towers along each axis.
        steepness: w of every step.
        gate: K, the steepness of the second layer; not used in one dimension.
        shifts: Tilings that are averaged, each shifted by 1/shifts of a tower along the diagonal.
        tolerance: What the towers were made for, if anything.
        lipschitz: Bounds of the partial derivatives that were used, if any.
        heights: Of the towers, one array of shape cells (cells + 1 if shifted) for each shift.
    """

    target: Target
    box: Box
    cells: tuple[int, ...]
    steepness: float
    gate: float
    shifts: int
    tolerance: float | None
    lipschitz: tuple[float, ...] | None
    heights: tuple[Floats, ...]

    @property
    def dimension(self) -> int:
        """Number of variables."""
        return self.box.dimension

    @cached_property
    def sides(self) -> Floats:
        """Sides of a tower, shape (d,)."""
        return self.box.sides / self.cells

    @property
    def relative_sides(self) -> tuple[float, ...]:
        """Steepness times side, c, for each axis: how many steps wide a tower is."""
        return tuple(float(self.steepness * side) for side in self.sides)

    @property
    def towers(self) -> int:
        """Number of towers, of all shifted tilings together."""
        return sum(part.size for part in self.heights)

    @property
    def hidden_neurons(self) -> int:
        """``(2d + 1)`` for each tower, 2 for each bump."""
        return self.towers * neurons_per_tower(self.dimension)

    @property
    def vanishes(self) -> bool:
        """Whether the towers are too narrow for their steepness to reach half their height."""
        if self.dimension == 1:
            return math.tanh(self.relative_sides[0] / 4) < 0.5
        on = sum(math.tanh(side / 4) for side in self.relative_sides)
        return on < self.dimension - 0.5

    def origin(self, shift: int) -> Floats:
        """Return where the first tower of one of the shifted tilings begins, shape (d,)."""
        before = (self.shifts - shift) / self.shifts if shift else 0.0
        return np.array(self.box.lower) - before * self.sides

    def grid_lines(self, shift: int, axis: int) -> Floats:
        """Return the edges of the towers of one tiling along one axis, ascending."""
        count = self.heights[shift].shape[axis]
        return self.origin(shift)[axis] + self.sides[axis] * np.arange(count + 1)

    def __call__(self, points: ArrayLike) -> Floats:
        """Evaluate at points (n, d), tower by tower near each point; returns shape (n,).

        Raises:
            UsageError: ``points`` has another shape.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise UsageError(f"points must have shape (n, {self.dimension}), got {points.shape}.")
        values = np.zeros(len(points))
        for shift, heights in enumerate(self.heights):
            windows = [
                np.arange(-reach, reach + 1) if reach < count else np.arange(-count, count + 1)
                for reach, count in zip(self._reach, heights.shape, strict=True)
            ]
            chunk = max(1, _CHUNK_ENTRIES // math.prod(len(window) for window in windows))
            for start in range(0, len(points), chunk):
                part = slice(start, start + chunk)
                values[part] += self._add_near(points[part], shift, windows)
        return values

    @property
    def _reach(self) -> tuple[int, ...]:
        """How many towers away a tower still counts, for each axis."""
        if self.dimension == 1:
            exponent = _NEGLIGIBLE_EXPONENT
        else:
            # A tower r sides away lets its gate see at most e^(-c r) - ½ of what opens it.
            room = 0.5 - _NEGLIGIBLE_EXPONENT / self.gate
            exponent = -math.log(room) if room > 0 else math.inf
        return tuple(max(1, math.ceil(min(exponent / side, 1e9))) for side in self.relative_sides)

    def _add_near(self, points: Floats, shift: int, windows: Sequence[NDArray[np.int_]]) -> Floats:
        heights, origin = self.heights[shift], self.origin(shift)
        on, places = [], []
        for axis, window in enumerate(windows):
            side, count = self.sides[axis], heights.shape[axis]
            here = np.floor((points[:, axis] - origin[axis]) / side)
            tower = np.clip(here, 0, count - 1).astype(np.int64)[:, None] + window
            is_there = (tower >= 0) & (tower < count)
            low = origin[axis] + tower * side
            along = points[:, axis, None]
            pair = expit(self.steepness * (along - low))
            pair -= expit(self.steepness * (along - (low + side)))
            # No tower, no step: minus infinity keeps its gate shut.
            on.append(np.where(is_there, pair, -np.inf if self.dimension > 1 else 0.0))
            places.append(np.clip(tower, 0, count - 1))
        if self.dimension == 1:
            return np.sum(on[0] * heights[places[0]], axis=1)
        total = np.zeros(())
        index = []
        for axis, (pair, place) in enumerate(zip(on, places, strict=True)):
            shape = [len(points), *(1 for _ in windows)]
            shape[axis + 1] = pair.shape[1]
            total = total + pair.reshape(shape)
            index.append(place.reshape(shape))
        gates = expit(self.gate * (total - (self.dimension - 0.5)))
        return np.sum((gates * heights[tuple(index)]).reshape(len(points), -1), axis=1)

    @cached_property
    def network(self) -> SigmoidNetwork:
        """All weights: two neurons a bump in one layer, or 2d + 1 a tower in two.

        Raises:
            UsageError: There are more than half a million towers.
        """
        if self.towers > _MAXIMUM_NETWORK:
            raise UsageError(
                f"a tiling must have at most {_MAXIMUM_NETWORK} towers to be written as a network, "
                f"got {self.towers}. Use a larger tolerance."
            )
        lows = []
        for shift, heights in enumerate(self.heights):
            axes = [self.grid_lines(shift, axis)[:-1] for axis in range(self.dimension)]
            mesh = np.meshgrid(*axes, indexing="ij")
            assert mesh[0].shape == heights.shape
            lows.append(np.stack([part.ravel() for part in mesh], axis=1))
        low = np.concatenate(lows)
        height = np.concatenate([heights.ravel() for heights in self.heights])
        return _write_weights(low, low + self.sides, height, self.steepness, self.gate)


def neurons_per_tower(dimension: int) -> int:
    """Return 2 for a bump, 2d + 1 for a tower."""
    return 2 if dimension == 1 else 2 * dimension + 1


def least_steepness(sides: ArrayLike, dimension: int) -> float:
    """Return the steepness below which towers with these sides vanish."""
    return vanishing_side(1.0, dimension) / float(np.min(sides))


def _write_weights(
    low: Floats, high: Floats, height: Floats, steepness: float, gate: float
) -> SigmoidNetwork:
    """Return the network of towers on boxes ``low`` to ``high``, shapes (towers, d)."""
    towers, dimension = low.shape
    per_tower = 2 * dimension
    weight = np.zeros((towers, per_tower, dimension))
    bias = np.zeros((towers, per_tower))
    for axis in range(dimension):
        weight[:, 2 * axis, axis] = steepness
        weight[:, 2 * axis + 1, axis] = -steepness
        bias[:, 2 * axis] = -low[:, axis] * steepness
        bias[:, 2 * axis + 1] = high[:, axis] * steepness
    rows = towers * per_tower
    role = f"steps of {towers} towers, {per_tower} each: up and down in each variable"
    if dimension == 1:
        role = f"steps of {towers} bumps, 2 each: up and down"
    steps = SigmoidLayer(
        weight.reshape(rows, dimension), bias.ravel() + 0.0, (NeuronGroup(role, 0, rows),)
    )
    if dimension == 1:
        output = np.repeat(height, 2)
        return SigmoidNetwork((steps,), output, -math.fsum(height), scheme="reference tiling")
    columns = np.arange(rows, dtype=np.int64)
    starts = np.arange(towers + 1, dtype=np.int64) * per_tower
    gates = scipy.sparse.csr_array((np.full(rows, gate), columns, starts), shape=(towers, rows))
    both = SigmoidLayer(
        gates if towers >= _SPARSE_FROM else gates.toarray(),
        np.full(towers, -gate * (per_tower - 0.5)),
        (NeuronGroup(f"AND of the {per_tower} steps of each tower", 0, towers),),
    )
    return SigmoidNetwork((steps, both), height, 0.0, scheme="reference tiling")
