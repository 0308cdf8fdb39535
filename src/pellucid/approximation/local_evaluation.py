"""Evaluating a network of cells by looking at the few steps near each point.

Far from its edge a step is on or off to the last bit, and so is every AND neuron with it. What is
left of ``sum_v jump_v C_v(x)`` is a sum over the steps in a window around x: mixed differences of
the cell values there, times AND neurons of the window's steps, plus the value of the cell below.
With steep steps the window is one edge on each axis, and for two variables the network is

    V00 + (V10 - V00) u + (V01 - V00) v + (V11 - V10 - V01 + V00) C(u, v),

bilinear interpolation of cell values at a warped position, but for the AND neuron ``C(u, v) =
uv / (1 + e^-offset (1 - u)(1 - v))`` in the place of uv. Where no edge is inside the window, which
with steep steps is nearly everywhere, the value of the cell is all there is. The window is
computed, never assumed, so the form is right for steps of any steepness; only its cost grows with
their width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from pellucid._checks import UsageError, check_choice
from pellucid.approximation.cell_lookup import CellLookup
from pellucid.approximation.certificate.cell_recognition import CellNetwork, recognize
from pellucid.approximation.network import SigmoidNetwork

Array = NDArray[Any]
Precision = Literal["float64", "float32"]
#: Steps within this of on or off are on or off: half a unit of 1 in float64 (an AND neuron with
#: gain 40 is never quite off, 8.5e-18 of its height).
_NEGLIGIBLE = 2.0**-55
_MOST_CELLS = 2**24
_WINDOW_ENTRIES = 2**18


def localize(network: SigmoidNetwork, *, precision: Precision = "float64") -> LocalEvaluation:
    """Return the local form of a network of cells (a staircase, a grid, kd cells).

    Args:
        network: With one layer of steps in one variable, or steps and ANDs of them.
        precision: ``"float64"`` agrees with the dense evaluation to its rounding. ``"float32"``
            keeps the cell values in half the space; for two variables, evenly spaced and steep
            steps it is also about four times as fast.

    Raises:
        UsageError: The network has another form, or its complete grid has too many cells.
    """
    check_choice("precision", precision, ("float64", "float32"))
    cells = recognize(network)
    if cells is None:
        raise UsageError(
            f"network must consist of steps and ANDs of steps, got scheme {network.scheme!r}. "
            "Evaluate it densely: network(points)."
        )
    if math.prod(cells.shape) > _MOST_CELLS:
        raise UsageError(
            f"network must have at most {_MOST_CELLS} cells on its complete grid, got shape "
            f"{cells.shape}. Evaluate it densely: network(points)."
        )
    values = np.ascontiguousarray(cells.values(), dtype=precision)
    return LocalEvaluation(cells, values, precision)


@dataclass(frozen=True, eq=False)
class LocalEvaluation:
    """A network of cells ready to be evaluated at many points; call it with points.

    Attributes:
        cells: Edges, steepness and the AND neuron.
        values: Value of each cell of the complete grid, in the precision chosen.
        precision: Of the values and of the result.

    Example:
        >>> from pellucid.approximation.constructions.staircase import build_staircase
        >>> stairs = build_staircase(np.array([0.5]), np.array([1.0, 3.0]), 100.0)
        >>> localize(stairs)([[0.5], [0.9]])
        array([2., 3.])
    """

    cells: CellNetwork
    values: Array
    precision: Precision

    @property
    def nbytes(self) -> int:
        """Bytes of the evaluation form: cell values, edges and what finds cells among them."""
        finding = 0 if self.fast else self._lookup.nbytes
        return self.values.nbytes + sum(edges.nbytes for edges in self.cells.edges) + finding

    @cached_property
    def window(self) -> tuple[int, ...]:
        """How many edges of each axis can be neither on nor off at one point, at most."""
        return tuple(
            _most_within(edges, self._reach / w)
            for edges, w in zip(self.cells.edges, self.cells.steepness, strict=True)
        )

    @property
    def fast(self) -> bool:
        """Whether the form for evenly spaced, steep steps in two variables applies."""
        return self._even is not None

    def __call__(self, points: ArrayLike) -> Array:
        """Evaluate the network.

        Args:
            points: Shape (n, d). In single precision, C-contiguous float32 is taken as it is.

        Returns:
            Shape (n,), in the precision chosen.

        Raises:
            UsageError: ``points`` has another shape.
        """
        points = np.asarray(points)
        if points.ndim != 2 or points.shape[1] != self.cells.dimension:
            raise UsageError(
                f"points must have shape (n, {self.cells.dimension}), got {points.shape}."
            )
        if self._even is not None:
            return self._even(np.ascontiguousarray(points, dtype=np.float32))
        points = np.asarray(points, dtype=np.float64)
        out = np.empty(len(points), dtype=self.values.dtype)
        left = self._lookup.evaluate(self.values, points, out)
        chunk = max(64, _WINDOW_ENTRIES // math.prod(count + 1 for count in self.window))
        for start in range(0, len(left), chunk):
            part = left[start : start + chunk]
            out[part] = self._windowed(points[part])
        return out

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return self.cells.law.reach(_NEGLIGIBLE)

    @cached_property
    def _lookup(self) -> CellLookup:
        return CellLookup.of(self.cells, self._ends)

    @property
    def _reach(self) -> float:
        return self._ends[1] - self._ends[0]

    @cached_property
    def _even(self) -> Any:
        """The fast form, where it applies."""
        if self.precision != "float32" or self.cells.dimension != 2:
            return None
        from pellucid.approximation.even_grid import EvenGrid

        return EvenGrid.of(self.cells, self.values)

    def _windowed(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the window of each point; see the module's text."""
        cells, law = self.cells, self.cells.law
        d, n = cells.dimension, len(points)
        positions, offs = [], []
        for axis, edges in enumerate(cells.edges):
            count, w = self.window[axis], cells.steepness[axis]
            first = np.searchsorted(edges, points[:, axis] - self._ends[1] / w, side="right")
            # Cell numbers along the window, and t = K (1 - p) of the edge below each; the edge
            # below the first is on. Beyond the last edge there is none, which is one never on.
            places = first[:, None] + np.arange(count + 1)
            off = np.zeros((n, count + 1))
            if count:
                number = np.minimum(places[:, :-1], len(edges) - 1)
                # As the dense evaluation has it, rounding included.
                argument = -(w * points[:, axis, None] + cells.biases[axis][number])
                exists = places[:, :-1] < len(edges)
                step = argument if law.gain is None else law.gain * expit(argument)
                off[:, 1:] = np.where(exists, step, np.inf)
            positions.append(np.minimum(places, len(edges)))
            offs.append(off)
        shape = [count + 1 for count in self.window]
        index, total = [], np.zeros((n, *[1] * d))
        for axis in range(d):
            spread = [n, *[1] * d]
            spread[axis + 1] = shape[axis]
            index.append(positions[axis].reshape(spread))
            total = total + offs[axis].reshape(spread)
        differences = self.values[tuple(index)].astype(np.float64)
        for axis in range(1, d + 1):
            differences = np.diff(differences, axis=axis, prepend=0.0)
        if law.gain is None:
            weights = expit(-total)
            weights[:, 0] = 1.0
        else:
            weights = expit(-(total + law.offset)) / float(expit(-law.offset))
        result = (differences * weights).reshape(n, -1).sum(axis=1)
        # The search above takes what is not a number for a great one.
        stepped = [axis for axis, edges in enumerate(cells.edges) if len(edges)]
        result[np.isnan(points[:, stepped]).any(axis=1)] = np.nan
        return result


def _most_within(edges: NDArray[np.float64], width: float) -> int:
    """Return the most edges that fit into an interval of a width."""
    if not len(edges):
        return 0
    # An edge at either end of the interval counts.
    last = np.searchsorted(edges, edges + width * (1 + 1e-12), side="right")
    return int(np.max(last - np.arange(len(edges))))
