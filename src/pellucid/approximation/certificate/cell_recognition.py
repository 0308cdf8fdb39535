"""Reading cells out of a network's weights: which steps, which ANDs of them, which values.

This is the checker's view and takes nothing but weights: it does not know how they were written.
What it accepts is a network of which the output is exactly (in real arithmetic)

    net(x) = E F(x - Z),   F(y) = base + sum_v jump_v [y >= v],

a mean of a piecewise constant F over a random shift Z, with the law of Z known. So it insists on
one steepness for all steps of an axis, one gain and one offset for all AND neurons, and an offset
for which the AND neuron is a distribution function; otherwise cell weights may be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit

from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork

Array = NDArray[np.float64]
#: Least offset for which the AND of so many steps is a distribution function: the logistic sigmoid
#: has derivatives of order up to d - 1 of one sign below minus that. Rounded up. One step is one
#: for any offset; the check relies on an AND that grows faster and faster up to its end.
_LEAST_OFFSET = {1: 0.0, 2: 0.0, 3: 1.3169579, 4: 2.2924317}
#: Sums of weights that cancel in real numbers leave at most so much of the sum of magnitudes.
_ROUNDING = 2.0**-49
#: Largest part of an AND neuron that may be on with all its steps off.
_MOST_NEVER = 1e-4


@dataclass(frozen=True)
class ShiftLaw:
    """The law of one component of wZ: ``P(wZ <= z) = u(z)``.

    Args:
        gain: K of the AND neurons; ``None`` without such a layer (then u is the sigmoid itself).
        offset: How far below zero an AND neuron stays with all its steps on.
    """

    gain: float | None
    offset: float = 0.0

    @cached_property
    def centre(self) -> float:
        """Where a step's argument is when u is one half; any value would be sound."""
        if self.gain is None:
            return 0.0
        half = math.log1p(2 * math.exp(self.offset)) - self.offset
        return math.log(self.gain / half - 1) if half < self.gain else 0.0

    def below(self, z: float) -> float:
        """Bound ``P(wZ <= z)`` from above."""
        if self.gain is None:
            return float(expit(z)) * (1 + 1e-12)
        t = self.gain * float(expit(-(z + self.centre)))
        return math.exp(np.logaddexp(0.0, self.offset) - np.logaddexp(0.0, t + self.offset)) * (
            1 + 1e-10
        )

    def above(self, z: float) -> float:
        """Bound ``P(wZ > z)`` from above.

        It is ``1 - g(t) = (e^t - 1) / (e^t + e^-m)``. Where g is convex, for m >= 0, at most
        ``-g'(0) t`` too; for a negative offset m it is not.
        """
        if self.gain is None:
            return float(expit(-z)) * (1 + 1e-12)
        t = self.gain * float(expit(-(z + self.centre)))
        if t > 700 or self.offset < -700:
            return 1.0
        return min(1.0, math.expm1(t) / (math.exp(t) + math.exp(-self.offset)) * (1 + 1e-10))

    def reach(self, probability: float) -> tuple[float, float]:
        """Return ``(z_low, z_high)`` that wZ leaves on either side with about this probability.

        What is left on either side is for :meth:`below` and :meth:`above` to say.
        """
        if self.gain is None:
            reach = math.log(1 / probability)
            return -reach, reach
        grown = np.logaddexp(0.0, self.offset) - math.log(probability)
        t_low = min(grown - self.offset, 0.9 * self.gain)
        # 1 - g(t) = probability, solved for t.
        lost = probability * math.exp(min(-self.offset, 700.0))
        t_high = min(math.log1p(lost) - math.log1p(-probability), t_low)
        return (
            math.log(self.gain / t_low - 1) - self.centre,
            math.log(self.gain / t_high - 1) - self.centre,
        )

    @cached_property
    def mean(self) -> float:
        """Bound E|wZ| from above, mass at minus infinity apart, by upper sums of monotone tails."""
        step = 2.0**-9
        z = step * np.arange(0, round(80 / step))
        if self.gain is None:
            total = 2 * math.fsum(expit(-z))
        else:
            t_below = self.gain * expit(z - self.centre)
            top = np.logaddexp(0.0, self.offset)
            below = np.exp(top - np.logaddexp(0.0, t_below + self.offset)) - self._never()
            t_above = self.gain * expit(-(z + self.centre))
            above = np.expm1(t_above) / (np.exp(t_above) + math.exp(-self.offset))
            total = math.fsum(np.maximum(below, 0.0)) + math.fsum(above)
        return step * total * (1 + 1e-9) + 4 * self.above(80.0)

    def _never(self) -> float:
        """Bound from below the mass at minus infinity: AND neurons are never quite off."""
        if self.gain is None:
            return 0.0
        top = np.logaddexp(0.0, self.offset) - np.logaddexp(0.0, self.gain + self.offset)
        return math.exp(top) * (1 - 1e-9)


@dataclass(frozen=True, eq=False)
class CellNetwork:
    """A network that is a mean of a piecewise constant function over a random shift.

    Attributes:
        edges: Places of the steps of each axis, increasing, (k_i - 1,).
        biases: Biases of the same steps.
        steepness: w of each axis, (d,); 1 where it has no step.
        law: Of the components of wZ.
        vertices: Of each jump, the number of its step on each axis, counted from 1; 0 where the
            jump does not depend on the axis. (n, d).
        jumps: Height of each, (n,).
        base: Value before all jumps.
    """

    edges: tuple[Array, ...]
    biases: tuple[Array, ...]
    steepness: Array
    law: ShiftLaw
    vertices: NDArray[np.int64]
    jumps: Array
    base: float

    @property
    def dimension(self) -> int:
        """Number of variables."""
        return len(self.edges)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of each axis if all edges went through."""
        return tuple(len(part) + 1 for part in self.edges)

    @property
    def variation(self) -> float:
        """Sum of the magnitudes of the jumps."""
        return float(np.sum(np.abs(self.jumps)))

    @cached_property
    def value_error(self) -> float:
        """How far sums of jumps may be from the real numbers they stand for."""
        return _ROUNDING * self.variation + len(self.jumps) * 2.0**-53 * self.variation

    def values(self) -> Array:
        """Return F on all cells of the complete grid, shape ``shape``."""
        table = np.zeros(self.shape)
        np.add.at(table, tuple(self.vertices.T), self.jumps)
        table.flat[0] += self.base
        for axis in range(self.dimension):
            np.cumsum(table, axis=axis, out=table)
        return table

    def rounding(self, largest: Array) -> float:
        """Bound the rounding of a float64 evaluation, whatever the order of its sums.

        Args:
            largest: Greatest magnitude of each coordinate, (d,).
        """
        unit = 2.0**-53
        gain = self.law.gain or 0.0
        # Sums of n terms in any order, and the sigmoids, which scipy has right to a few units.
        terms = len(self.jumps) + 8
        arguments = (self.dimension + 3) * (2 * gain * self.dimension + abs(self.law.offset)) * unit
        total = (terms * unit + 16 * unit + 2 * arguments) * self.variation + abs(self.base) * unit
        for axis, places in enumerate(self.edges):
            if not len(places):
                continue
            # The argument of a step is off by rounding in proportion to w x; only steps near x
            # are neither on nor off, and u' is below 1/2.
            scale = self.steepness[axis] * max(largest[axis], float(np.max(np.abs(places))))
            argument = 4 * unit * (scale + abs(self.law.centre))
            z_low, z_high = self.law.reach(1e-15)
            width = (z_high - z_low) / self.steepness[axis]
            near = np.searchsorted(places, places + width, side="right") - np.arange(len(places))
            of_step = np.bincount(
                self.vertices[:, axis], weights=np.abs(self.jumps), minlength=len(places) + 1
            )
            total += int(near.max()) * 0.5 * argument * float(np.max(of_step[1:]))
        return float(total * 1.01)


def recognize(network: SigmoidNetwork) -> CellNetwork | None:
    """Read cells out of a network with one layer of steps, or with steps and ANDs of them.

    Args:
        network: Any.

    Returns:
        The cells; ``None`` where the weights have another form, which says nothing against them.
    """
    d = network.input_dimension
    if len(network.hidden) > 2 or (len(network.hidden) == 1 and d > 1):
        return None
    if not network.hidden:
        none = tuple(np.empty(0) for _ in range(d))
        empty = np.empty((0, d), dtype=np.int64)
        return CellNetwork(
            none, none, np.ones(d), ShiftLaw(None), empty, np.empty(0), network.output_bias
        )
    steps = _read_steps(network.hidden[0], d)
    if steps is None:
        return None
    axes, weights, steepness = steps
    if len(network.hidden) == 1:
        law, height = ShiftLaw(None), 1.0
        used = np.arange(network.hidden[0].neurons)[:, None]
        counts = np.ones(len(used), dtype=np.int64)
    else:
        read = _read_ands(network.hidden[1], axes, d)
        if read is None:
            return None
        law, used, counts = read
        height = float(expit(-law.offset))
    places = (law.centre - network.hidden[0].bias) / weights
    rank = np.zeros(len(places), dtype=np.int64)
    edges, biases = [], []
    for axis in range(d):
        mine = np.flatnonzero(axes == axis)
        order = mine[np.argsort(places[mine], kind="stable")]
        rank[order] = np.arange(1, len(order) + 1)
        edges.append(places[order])
        biases.append(network.hidden[0].bias[order])
        if np.any(np.diff(places[order]) <= 0):
            return None
    vertices = np.zeros((len(used), d), dtype=np.int64)
    rows = np.repeat(np.arange(len(used)), counts)
    columns = used[used >= 0]
    vertices[rows, axes[columns]] = rank[columns]
    jumps = network.output_weight * height
    return CellNetwork(
        tuple(edges), tuple(biases), steepness, law, vertices, jumps, network.output_bias
    )


def _csr(layer: SigmoidLayer) -> csr_array:
    weight = csr_array(layer.weight)
    if np.any(weight.data == 0):
        weight = weight.copy()
        weight.eliminate_zeros()
    weight.sort_indices()
    return weight


def _read_steps(
    layer: SigmoidLayer, dimension: int
) -> tuple[NDArray[np.int64], Array, Array] | None:
    """Return axis and weight of each step and the steepness of each axis."""
    weight = _csr(layer)
    if np.any(np.diff(weight.indptr) != 1):
        return None
    axes = weight.indices.astype(np.int64)
    steepness = np.ones(dimension)
    for axis in range(dimension):
        mine = weight.data[axes == axis]
        if len(mine):
            steepness[axis] = mine[0]
            if mine[0] <= 0 or np.any(mine != mine[0]):
                return None
    return axes, np.asarray(weight.data, dtype=np.float64), steepness


#: An AND neuron with one step off is still on by about e^-gain: below this, steps outside the box
#: would have to be counted.
_LEAST_GAIN = 36.0


def _read_ands(
    layer: SigmoidLayer, axes: NDArray[np.int64], dimension: int
) -> tuple[ShiftLaw, NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the law, the steps of each AND (n, d; -1 for none) and how many it has."""
    weight = _csr(layer)
    counts = np.diff(weight.indptr).astype(np.int64)
    if not layer.neurons or np.any(counts == 0) or np.any(counts > dimension):
        return None
    gain = float(weight.data[0])
    if gain <= 0 or np.any(weight.data != gain):
        return None
    heights = gain * counts + layer.bias
    offset = -float(heights[0])
    # Exact, not nearly: the law of the shift is one for all ANDs.
    if np.any(heights != heights[0]) or offset < _LEAST_OFFSET[int(counts.max())]:
        return None
    if not _LEAST_GAIN < gain < 600.0 or not offset < 600.0:
        return None
    used = np.full((layer.neurons, dimension), -1, dtype=np.int64)
    rows = np.repeat(np.arange(layer.neurons), counts)
    column_axis = axes[weight.indices]
    if np.any(used[rows, column_axis] >= 0):
        return None
    used[rows, column_axis] = weight.indices
    if np.any((used >= 0).sum(axis=1) != counts):
        return None
    law = ShiftLaw(gain, offset)
    # The bounds are about steps that are on or off, not about neurons that are always half on.
    if law.below(-600.0) > _MOST_NEVER:
        return None
    return law, used, counts
