"""What is wrong with a tiling by towers: the holes where towers meet, measured and predicted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, spence

from pellucid._checks import UsageError
from pellucid._progress import Progress
from pellucid.approximation.box import Box
from pellucid.approximation.shape_designs import vanishing_side
from pellucid.approximation.tower_sum import Tiling, least_steepness

Floats = NDArray[np.float64]

# Where |tanh(X/2)| + |tanh(Y/2)| < 1 no tower is open; its area is 4 (π²/6 - Li2(-3)) = 14.337,
# with X, Y in units of 1 / steepness. SciPy's `spence(z)` is Li2(1 - z).
HOLE_AREA = 4 * (math.pi**2 / 6 - float(spence(4.0)))
_OPEN = 0.99
_MOST_POINTS = 1_000_000
_HOLE_REACH = 20.0
_HOLE_POINTS = {1: 4000, 2: 500, 3: 80, 4: 24}


@dataclass(frozen=True)
class TilingAudit:
    """What an approximation by towers really does.

    All errors are largest differences between tiling and target at the points named, so they are
    lower bounds of the sup error, and nothing here is a certificate.

    Args:
        box: Of the tiling.
        cells: Towers along each axis.
        towers: Of all shifted tilings.
        hidden_neurons: Of the network.
        shifts: Tilings that are averaged.
        steepness: Of the steps.
        gate: K, of the second layer.
        tolerance: For which the towers were made, if for any.
        relative_sides: c = steepness times side, for each axis.
        vertex_error: At the corners of towers, the box's boundary included.
        vertex: Where it is largest.
        inner_vertex_error: At corners inside the box; None if there are none.
        inner_vertex: Where that is largest.
        edge_error: In the middle of faces between two towers (of edges, in two dimensions); None if
            there is but one tower.
        boundary_error: In the middle of the outer faces, which half a tower covers.
        center_error: At the centers of towers.
        points_examined: How many points these five are the largest of.
        lower_bound: Largest ``|target|`` at a vertex, less what is open there, divided by
            ``shifts``. With one tiling, from two dimensions, the sup error is at least this,
            however many towers there are; with several, it is about this.
        open_at_corner: At most what all towers add up to at an inner vertex, for the target 1.
        open_at_edge: What the two towers beside the middle of an edge (face) add up to there.
        constant_error: Largest error of the same towers at vertices if the target were 1, whose
            partial derivatives are 0.
        hole_share: Share of the box where the towers add up to less than one half, in one tiling.
        hole_share_predicted: ``14.337 / (c_x c_y)``, in two dimensions while towers are wide.
        vanishing_side: Side below which a cubic tower of this steepness is less than half as high.
        vanishes: Whether these towers are that narrow.
        least_steepness: Which these sides need in order not to vanish.
    """

    box: Box
    cells: tuple[int, ...]
    towers: int
    hidden_neurons: int
    shifts: int
    steepness: float
    gate: float
    tolerance: float | None
    relative_sides: tuple[float, ...]
    vertex_error: float
    vertex: tuple[float, ...]
    inner_vertex_error: float | None
    inner_vertex: tuple[float, ...] | None
    edge_error: float | None
    boundary_error: float
    center_error: float
    points_examined: int
    lower_bound: float
    open_at_corner: float
    open_at_edge: float
    constant_error: float
    hole_share: float
    hole_share_predicted: float | None
    vanishing_side: float
    vanishes: bool
    least_steepness: float

    @property
    def worst_error(self) -> float:
        """The largest of the errors."""
        found = (
            self.vertex_error,
            self.edge_error or 0.0,
            self.boundary_error,
            self.center_error,
        )
        return max(found)

    @property
    def meets_tolerance(self) -> bool | None:
        """Whether no error that was seen is above the tolerance; None without one."""
        return None if self.tolerance is None else self.worst_error <= self.tolerance

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the findings in words, the worst first."""
        found = []
        dimension = self.box.dimension
        if self.vanishes:
            found.append(
                f"towers vanish: at steepness {self.steepness:g}, one with sides below "
                f"{self.vanishing_side:.4g} is not half as high as it should be, and these have "
                f"{min(self.relative_sides) / self.steepness:.4g}. They need a steepness above "
                f"{self.least_steepness:.4g}."
            )
        if dimension > 1:
            where = "corner" if dimension == 2 else "edge and corner"
            if self.open_at_corner > 0.5:
                found.append(
                    f"gates of {self.gate:g} are so soft that towers far away count: at a corner "
                    f"all of them may add up to {self.open_at_corner:.3g}."
                )
            elif self.shifts == 1:
                found.append(
                    f"holes: at every {where} of the tiling the towers add up to about "
                    f"{self.open_at_corner:.2g} instead of 1, so the sup error is at least "
                    f"{self.lower_bound:.4g}, however many towers there are."
                )
            else:
                found.append(
                    f"holes: at every {where} of one tiling its share of the sum, 1/{self.shifts}, "
                    f"is missing, so the sup error is about {self.lower_bound:.4g} or more, "
                    "however many towers there are."
                )
            found.append(
                f"the holes of {'a' if self.shifts == 1 else 'each'} tiling are "
                f"{100 * self.hole_share:.3g} % of the box; more steepness makes them smaller, "
                "never less deep."
            )
            if self.open_at_edge < _OPEN:
                found.append(
                    f"gaps: along every edge the two towers beside it add up to only "
                    f"{self.open_at_edge:.2g}. It is 0.99 where steepness times side is "
                    f"2 ln(100 (d - 1) K) = {2 * math.log(100 * (dimension - 1) * self.gate):.3g}."
                )
        found.append(
            "the outer boundary is half covered: each outer face runs along the middle of a step."
        )
        if dimension > 1:
            left = self.lower_bound * self.shifts
            text = f"averaging M shifted tilings leaves |f| / M, here {left:.4g} / M"
            if self.tolerance is not None and left > self.tolerance:
                needed = math.ceil(left / self.tolerance * (1 - 1e-12))
                text += f": {needed} tilings or more for {self.tolerance:g}"
            found.append(text + ".")
        return tuple(found)


def audit(tiling: Tiling, *, quiet: bool = True) -> TilingAudit:
    """Measure a tiling where it is weakest: at corners, on faces, on the boundary, at centers.

    At most a million points of each kind are looked at, evenly taken; see ``points_examined``.

    Args:
        tiling: From `tile`.
        quiet: Show no progress.

    Raises:
        UsageError: The target is not finite at a corner, an edge or a center.

    Example:
        >>> from pellucid.approximation.tiling import tile
        >>> one = tile(lambda p: np.ones(len(p)), Box((0, 0), (1, 1)), 0.01, lipschitz=0)
        >>> found = audit(one)
        >>> found.towers, found.vertex_error, found.center_error < 1e-9
        (1, 1.0, True)
    """
    vertices = _Largest()
    inner, edges, boundary, centers = _Largest(), _Largest(), _Largest(), _Largest()
    looks: list[tuple[_Largest, list[Floats]]] = []
    for shift in range(tiling.shifts):
        lines = [_inside(tiling, shift, axis) for axis in range(tiling.dimension)]
        middles = [_middles(tiling, shift, axis) for axis in range(tiling.dimension)]
        within = [
            line[(line > low) & (line < high)]
            for line, low, high in zip(lines, tiling.box.lower, tiling.box.upper, strict=True)
        ]
        looks += [(vertices, lines), (inner, within), (centers, middles)]
        for axis, ends in enumerate(tiling.box.to_json()):
            looks.append((edges, [*middles[:axis], within[axis], *middles[axis + 1 :]]))
            looks.append((boundary, [*middles[:axis], np.array(ends), *middles[axis + 1 :]]))
    with Progress(len(looks), "look", "auditing", quiet=quiet, leave=False) as progress:
        for kind, axes in looks:
            kind.look(tiling, axes)
            progress.update()
    dimension, relative = tiling.dimension, tiling.relative_sides
    ones = replace(
        tiling,
        target=lambda points: np.ones(len(points)),
        heights=tuple(np.full_like(part, 1 / tiling.shifts) for part in tiling.heights),
    )
    constant = _Largest()
    constant.look(ones, [_inside(tiling, 0, axis) for axis in range(dimension)])
    corner = edge = 1.0
    if dimension > 1:
        places = np.zeros((2, dimension))
        places[1, 1:] = np.array(relative[1:]) / 2
        corner, edge = (float(value) for value in coverage(places, relative, tiling.gate))
        # What gates let through that should be shut: next to nothing, unless they are soft.
        corner += (tiling.towers / tiling.shifts) * float(expit(-tiling.gate * 0.5))
    most = max(float(np.abs(part).max()) for part in tiling.heights) * tiling.shifts
    return TilingAudit(
        box=tiling.box,
        cells=tiling.cells,
        towers=tiling.towers,
        hidden_neurons=tiling.hidden_neurons,
        shifts=tiling.shifts,
        steepness=tiling.steepness,
        gate=tiling.gate,
        tolerance=tiling.tolerance,
        relative_sides=relative,
        vertex_error=vertices.error,
        vertex=vertices.point,
        inner_vertex_error=inner.error if inner.count else None,
        inner_vertex=inner.point if inner.count else None,
        edge_error=edges.error if edges.count else None,
        boundary_error=boundary.error,
        center_error=centers.error,
        points_examined=sum(part.count for part in (vertices, inner, edges, boundary, centers)),
        lower_bound=0.0
        if dimension == 1
        else max(vertices.highest - corner * most, 0.0) / tiling.shifts,
        open_at_corner=corner,
        open_at_edge=edge,
        constant_error=constant.error,
        hole_share=_hole_share(relative, tiling.gate),
        hole_share_predicted=HOLE_AREA / math.prod(relative) if dimension == 2 else None,
        vanishing_side=vanishing_side(tiling.steepness, dimension),
        vanishes=tiling.vanishes,
        least_steepness=least_steepness(tiling.sides, dimension),
    )


def coverage(offsets: Floats, relative_sides: Sequence[float], gate: float) -> Floats:
    """Return what the towers around an inner vertex add up to, each of height 1, shape (n,).

    Args:
        offsets: Places relative to the vertex in units of 1 / steepness, shape (n, d), d >= 2.
        relative_sides: c along each axis.
        gate: K.
    """
    dimension = offsets.shape[1]
    total = np.full((len(offsets), *(1 for _ in relative_sides)), 0.5 - dimension)
    for axis, side in enumerate(relative_sides):
        reach = max(1, math.ceil(3 / side))
        low = side * np.arange(-reach, reach)
        along = offsets[:, axis, None]
        shape = [len(offsets), *(1 for _ in relative_sides)]
        shape[axis + 1] = 2 * reach
        total = total + (expit(along - low) - expit(along - low - side)).reshape(shape)
    return expit(gate * total).reshape(len(offsets), -1).sum(axis=1)


def _hole_share(relative_sides: Sequence[float], gate: float) -> float:
    """Return the share of a tower's volume in which all towers together are below one half.

    One orthant of the cell around a vertex, by the midpoint rule; the hole reaches a few steps
    along the edges of the tiling in two dimensions, along whole edges in three and four.
    """
    dimension = len(relative_sides)
    if dimension == 1:
        return 0.0
    count = _HOLE_POINTS[dimension]
    axes, weights = [], []
    for side in relative_sides:
        half = side / 2
        near = min(half, _HOLE_REACH)
        places = near * (np.arange(count) + 0.5) / count
        weight = np.full(count, near / count)
        if half > near:  # the rest of the edge, where nothing changes any more
            places, weight = np.append(places, (near + half) / 2), np.append(weight, half - near)
        axes.append(places)
        weights.append(weight / half)
    share = 0.0
    for first, first_weight in zip(axes[0], weights[0], strict=True):
        rest = np.meshgrid(*axes[1:], indexing="ij")
        offsets = np.stack([np.full(rest[0].size, first), *(part.ravel() for part in rest)], axis=1)
        weight = np.array([math.prod(pair) for pair in itertools.product(*weights[1:])])
        is_hole = coverage(offsets, relative_sides, gate) < 0.5
        share += first_weight * float(weight[is_hole].sum())
    return share


class _Largest:
    """The largest error of one kind of points, where it is, and the largest ``|target|`` there."""

    def __init__(self) -> None:
        self.error, self.highest, self.count = 0.0, 0.0, 0
        self.point: tuple[float, ...] = ()

    def look(self, tiling: Tiling, axes: Sequence[Floats]) -> None:
        """Look at the grid with these axes, or at a part of it."""
        points = _thinned_grid(axes)
        if not len(points):
            return
        values = np.asarray(tiling.target(points), dtype=np.float64)
        if not np.isfinite(values).all():
            where = points[np.flatnonzero(~np.isfinite(values))[0]].tolist()
            raise UsageError(f"target must be finite on the closed box, and it is not at {where}.")
        errors = np.abs(tiling(points) - values)
        worst = int(np.argmax(errors))
        if not self.count or errors[worst] > self.error:
            self.error = float(errors[worst])
            self.point = tuple(float(part) for part in points[worst])
        self.highest = max(self.highest, float(np.abs(values).max()))
        self.count += len(points)


def _inside(tiling: Tiling, shift: int, axis: int) -> Floats:
    """Return the grid lines in the closed box; those on its boundary exactly there."""
    low, high = tiling.box.lower[axis], tiling.box.upper[axis]
    lines = tiling.grid_lines(shift, axis)
    near = 1e-9 * tiling.sides[axis]
    lines = np.where(np.abs(lines - low) <= near, low, lines)
    lines = np.where(np.abs(lines - high) <= near, high, lines)
    return lines[(lines >= low) & (lines <= high)]


def _middles(tiling: Tiling, shift: int, axis: int) -> Floats:
    lines = tiling.grid_lines(shift, axis)
    middles = (lines[:-1] + lines[1:]) / 2
    return middles[(middles >= tiling.box.lower[axis]) & (middles <= tiling.box.upper[axis])]


def _thinned_grid(axes: Sequence[Floats]) -> Floats:
    """Return the product of the axes as points (n, d), with every s-th entry if there are many."""
    total = math.prod(len(axis) for axis in axes)
    if total > _MOST_POINTS:
        step = math.ceil((total / _MOST_POINTS) ** (1 / len(axes)))
        axes = [np.union1d(axis[::step], axis[-1:]) for axis in axes]
    mesh = np.meshgrid(*axes, indexing="ij")
    return np.stack([part.ravel() for part in mesh], axis=1)
