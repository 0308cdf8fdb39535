"""A function known by its values on a regular grid, and by how steep it can be.

Between the nodes the multilinear interpolation stands for it. With weights w_v >= 0 that sum to 1
and ``sum_v w_v |x_i - v_i| = 2 l (1 - l) h_i <= h_i / 2`` (l the position in the cell, h_i the
spacing) a function with slopes of at most t_i differs from it by at most ``sum_i t_i h_i / 2``.
Source: own derivation; the bound is attained by a tent between two equal values.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from pellucid._checks import DataError, UsageError, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.enclosures.intervals import Intervals
from pellucid.approximation.enclosures.jets import Arithmetic, Jet, arithmetic_named, working

#: Values a table may have (128 MB of float64).
MAXIMAL_VALUES = 1 << 24
#: Positions are trusted to this many cells; what a cell boundary is off by is added to the value.
_POSITION_ERROR = 1e-9
_CHUNK = 65_536


def check_lipschitz(value: Any, dimension: int) -> tuple[float, ...]:
    """Return one slope for each coordinate; a single number stands for all.

    Raises:
        UsageError: If they are negative, not finite, or of another number.
    """
    slopes = np.ravel(np.asarray(value, dtype=object)).tolist()
    if len(slopes) == 1:
        slopes *= dimension
    if len(slopes) != dimension:
        raise UsageError(
            f"lipschitz must be one number, or one for each of {dimension} coordinates, "
            f"got {len(slopes)}."
        )
    remedy = "It bounds how much the function changes per unit of a coordinate."
    return tuple(check_number("lipschitz", slope, low=0.0, remedy=remedy) for slope in slopes)


@dataclass(frozen=True, eq=False)
class TableTarget:
    """Values on a regular grid that includes the boundary of a box.

    Attributes:
        values: Shape (k_1, ..., k_d), float64, every k_i at least 2; axis i is coordinate i.
        box: Where the grid lies.
        lipschitz: For each coordinate the largest slope of the function that was tabulated, or
            ``None`` if that is not known.

    Raises:
        UsageError: If the values are not finite, too few, or steeper than ``lipschitz``.

    Example:
        >>> table = TableTarget(np.array([0.0, 1.0, 0.0]), Box((0.0,), (1.0,)), (2.0,))
        >>> table([[0.25]]), round(table.slack, 9)
        (array([0.5]), 0.5)
    """

    values: np.ndarray
    box: Box
    lipschitz: tuple[float, ...] | None = None
    kind: ClassVar[str] = "table"

    def __str__(self) -> str:
        return f"the table of {' × '.join(str(count) for count in self.values.shape)} values"

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.float64)
        if values.ndim != self.box.dimension:
            raise UsageError(
                f"table must have one axis for each of the {self.box.dimension} coordinates of the "
                f"box, got shape {values.shape}."
            )
        if min(values.shape) < 2 or values.size > MAXIMAL_VALUES:
            raise UsageError(
                f"table must have 2 or more values along each axis and at most {MAXIMAL_VALUES} "
                f"altogether, got shape {values.shape}."
            )
        if not np.isfinite(values).all():
            place = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
            raise UsageError(
                f"table must hold finite numbers, got {values[place]} at index {list(place)}. "
                "Fill the gaps before approximating."
            )
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        if self.lipschitz is not None:
            slopes = check_lipschitz(self.lipschitz, self.dimension)
            object.__setattr__(self, "lipschitz", slopes)
            self._check_steepness()

    def _check_steepness(self) -> None:
        assert self.lipschitz is not None
        for axis, bound in enumerate(self.lipschitz):
            slopes = np.abs(np.diff(self.values, axis=axis)) / self.spacing[axis]
            if slopes.max() > bound * (1 + 1e-9):
                place = np.unravel_index(slopes.argmax(), slopes.shape)
                raise UsageError(
                    f"lipschitz must be at least {slopes.max():.6g} along coordinate {axis + 1}, "
                    f"the slope after index {[int(index) for index in place]} of the table, "
                    f"got {bound:.6g}."
                )

    @property
    def dimension(self) -> int:
        """How many coordinates a point has."""
        return self.box.dimension

    @cached_property
    def spacing(self) -> np.ndarray:
        """Distance of neighboring nodes along each axis, shape (d,)."""
        return self.box.sides / (np.array(self.values.shape) - 1)

    @property
    def slack(self) -> float:
        """How much the tabulated function may differ from the interpolation; rounded up."""
        if self.lipschitz is None:
            return math.inf
        total = math.fsum(t * h / 2 for t, h in zip(self.lipschitz, self.spacing, strict=True))
        return total * (1 + 1e-12)

    def __call__(self, points: Any) -> np.ndarray:
        """Return the multilinear interpolation at points (n, d), shape (n,).

        Raises:
            UsageError: If ``points`` has another shape.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise UsageError(f"points must have shape (n, {self.dimension}), got {points.shape}.")
        values = np.empty(len(points))
        for start in range(0, len(points), _CHUNK):
            cells, position = self._cells(points[start : start + _CHUNK])
            values[start : start + _CHUNK] = sum(
                weight * corner for weight, corner in self._corners(cells, position)
            )
        return values

    def _cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest node of the cell of each point, and the position in it in [0, 1]."""
        scaled = (points - np.array(self.box.lower)) / self.spacing
        cells = np.clip(np.floor(scaled), 0, np.array(self.values.shape) - 2).astype(np.intp)
        return cells, np.clip(scaled - cells, 0.0, 1.0)

    def _corners(self, cells: np.ndarray, position: Any) -> Any:
        """Yield weight and value of each corner of the cells."""
        for corner in itertools.product((0, 1), repeat=self.dimension):
            weight: Any = 1.0
            for axis, side in enumerate(corner):
                share = position[:, axis] if isinstance(position, np.ndarray) else position[axis]
                weight = (share if side else 1.0 - share) * weight
            yield weight, self.values[tuple((cells + corner).T)]

    # Enclosures of the interpolation.

    def enclose(
        self, lower: Any, upper: Any, *, order: int = 0, arithmetic: Arithmetic = "intervals"
    ) -> Jet:
        """Enclose the interpolation on boxes; see ``enclosures.enclose``.

        The value is the range of the nodes around, intersected with the mean value form; the
        Hessian is unbounded (there are kinks). What the function differs by is ``slack``.
        """
        lower, upper = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        with working("intervals"):
            first, last = self._node_range(lower, upper)
            low, high = self._extremes(self._pyramids[0], first, last)
            value = Intervals(low, high)
            slopes = [
                Intervals(*self._extremes(pyramid, first, last - axis_step))
                for pyramid, axis_step in zip(
                    self._pyramids[1:], np.eye(self.dimension, dtype=np.intp), strict=True
                )
            ]
            center = np.clip(0.5 * lower + 0.5 * upper, lower, upper)
            mean = self._at(center, slopes)
            for axis, slope in enumerate(slopes):
                offset = Intervals(lower[:, axis], upper[:, axis]) - center[:, axis]
                mean = mean + slope * offset
            value = value.intersect(mean)
        kind: Any = arithmetic_named(arithmetic)
        count, dimension = lower.shape
        with working(arithmetic):
            return Jet(
                kind.from_bounds(value.lower, value.upper),
                kind.stack([kind.from_bounds(s.lower, s.upper) for s in slopes], axis=1)
                if order >= 1
                else None,
                kind.everything((count, dimension, dimension)) if order >= 2 else None,
            )

    def _node_range(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and last node of the cells that meet each box."""
        start, most = np.array(self.box.lower), np.array(self.values.shape) - 1
        first = np.floor((lower - start) / self.spacing - _POSITION_ERROR)
        last = np.ceil((upper - start) / self.spacing + _POSITION_ERROR)
        first = np.clip(first, 0, most - 1).astype(np.intp)
        return first, np.clip(last, first + 1, most).astype(np.intp)

    def _at(self, points: np.ndarray, slopes: list[Intervals]) -> Intervals:
        """Return the interpolation at points inside boxes with these slopes."""
        cells, _ = self._cells(points)
        position = []
        for axis, start in enumerate(self.box.lower):
            scaled = Intervals.exact(points[:, axis]) - start
            side = Intervals.exact([self.box.upper[axis]]) - start
            scaled = scaled / side * float(self.values.shape[axis] - 1) - cells[:, axis]
            position.append(Intervals(np.clip(scaled.lower, 0, 1), np.clip(scaled.upper, 0, 1)))
        total = Intervals.zeros((len(points),))
        for weight, corner in self._corners(cells, position):
            total = total + weight * corner
        # Near a face of the cell the point may truly lie in the next one, by a rounding error.
        for slope, h in zip(slopes, self.spacing, strict=True):
            error = 2 * _POSITION_ERROR * 1e-3 * h * slope.magnitude
            total = total + Intervals(-error, error)
        return total

    @cached_property
    def _pyramids(self) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """Least and largest of blocks of 1, 2, 4, ... nodes: of the values, of each slope."""
        arrays = [(self.values, self.values)]
        for axis, h in enumerate(self.spacing):
            after = np.moveaxis(np.moveaxis(self.values, axis, 0)[1:], 0, axis)
            before = np.moveaxis(np.moveaxis(self.values, axis, 0)[:-1], 0, axis)
            slope = (Intervals.exact(after) - before) / (Intervals.exact(h) * (1 + 1e-15 * _SIGN))
            arrays.append((slope.lower, slope.upper))
        return [list(_pyramid(low, high)) for low, high in arrays]

    def _extremes(
        self, pyramid: list[tuple[np.ndarray, np.ndarray]], first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return least and largest entry with indices in [first, last], or of a bit more."""
        span = (last - first).max(axis=1) + 1
        # At most 4 blocks along each axis; single nodes for up to 4 of them.
        levels = np.where(span <= 4, 0, np.ceil(np.log2(np.maximum(span, 1) / 3)))
        levels = np.minimum(levels.astype(np.intp), len(pyramid) - 1)
        low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
        for level in np.unique(levels):
            rows = np.flatnonzero(levels == level)
            least, most = pyramid[level]
            begin, end = first[rows] >> level, last[rows] >> level
            for step in itertools.product(range(4), repeat=self.dimension):
                index = tuple(np.minimum(begin + step, end).T)
                low[rows] = np.minimum(low[rows], least[index])
                high[rows] = np.maximum(high[rows], most[index])
        return low, high

    # JSON.

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape, values, box and slopes."""
        text = repr((self.values.shape, self.box.to_json(), self.lipschitz))
        return hashlib.sha256(text.encode() + self.values.astype("<f8").tobytes()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads; the values are base64 of little-endian float64."""
        return {
            "kind": self.kind,
            "box": self.box.to_json(),
            "shape": list(self.values.shape),
            "values": base64.b64encode(self.values.astype("<f8").tobytes()).decode(),
            "lipschitz": None if self.lipschitz is None else list(self.lipschitz),
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the table that ``to_json`` wrote.

        Raises:
            DataError: If the data are damaged or were changed.
        """
        try:
            shape: Sequence[int] = [int(count) for count in data["shape"]]
            if math.prod(shape) > MAXIMAL_VALUES:
                raise ValueError("too many values")
            raw = base64.b64decode(data["values"], validate=True)
            values = np.frombuffer(raw, dtype="<f8").astype(np.float64).reshape(shape)
            lipschitz = data["lipschitz"]
            slopes = None if lipschitz is None else tuple(float(slope) for slope in lipschitz)
            table = cls(values, Box.from_json(data["box"]), slopes)
        except (KeyError, TypeError, ValueError, IndexError, binascii.Error) as error:
            raise DataError(f"table in the file is damaged: {error}") from error
        if table.digest != data.get("digest"):
            raise DataError("table in the file does not match its digest: it was changed.")
        return table


_SIGN = Intervals(np.array(-1.0), np.array(1.0))


def _pyramid(low: np.ndarray, high: np.ndarray) -> Any:
    """Yield blocks of twice the side each time, until one block holds all."""
    yield low, high
    while max(low.shape) > 1:
        for axis in range(low.ndim):
            starts = np.arange(0, low.shape[axis], 2)
            low = np.minimum.reduceat(low, starts, axis=axis)
            high = np.maximum.reduceat(high, starts, axis=axis)
        yield low, high
