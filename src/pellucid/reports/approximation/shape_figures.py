"""Pictures of the text-book shapes and their tilings, each an SVG file of its own."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.network import variable_names
from pellucid.approximation.shape_designs import BumpDesign, TowerDesign
from pellucid.approximation.tiling import Tiling, TilingAudit
from pellucid.runs.atomic_files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_P = ParamSpec("_P")

_INK, _IDEAL, _CURVE, _STEP, _BAD = "#222222", "#999999", "#0b5fa5", "#c07000", "#b3261e"
_SETTINGS: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pellucid",
    "font.family": ["sans-serif"],
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,
}
_POINTS, _PIXELS = 801, 241
# Steps seen around a vertex under the microscope.
_LENS = 12.0


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Draw alike everywhere, whatever the user's matplotlibrc says."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]  # keys are a Literal type there
        yield


def _with_settings(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    @functools.wraps(draw)
    def drawn(*given: _P.args, **options: _P.kwargs) -> Figure:
        with _settings():
            return draw(*given, **options)

    return drawn


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to an SVG or PNG file, by the path's ending: all of it, or nothing."""
    buffer = io.BytesIO()
    kind = path.suffix.lstrip(".").lower()
    with _settings():
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, facecolor="white", metadata=metadata, dpi=150)
    write_atomically(path, buffer.getvalue())


@_with_settings
def draw_bump(design: BumpDesign) -> Figure:
    """Draw a bump, its two steps and the sharp bump it stands for, along its direction."""
    figure, (axes,) = _new(6.4, 3.6, 1)
    room = max(design.width * 0.6, 8 / min(design.steepness_pair))
    along = np.linspace(design.rise - room, design.fall + room, _POINTS)
    direction = np.array(design.direction)
    points = along[:, None] * direction / (direction @ direction)
    network = design.to_network()
    steps = network.hidden[0](points) * design.height
    ends = [along[0], design.rise, design.rise, design.fall, design.fall, along[-1]]
    sharp = [0, 0, design.height, design.height, 0, 0]
    axes.plot(ends, sharp, color=_IDEAL, ls="--", label="sharp")
    axes.plot(along, steps[:, 0], color=_STEP, lw=1, label="step up")
    axes.plot(along, steps[:, 1], color=_STEP, lw=1, ls=":", label="step down")
    axes.plot(along, network(points), color=_CURVE, lw=2, label="bump")
    axes.plot([design.rise, design.fall], design.edge_values, "o", color=_CURVE, ms=5)
    names = [
        name if part == 1 else f"{part:g} {name}"
        for part, name in zip(design.direction, variable_names(design.dimension), strict=True)
        if part
    ]
    axes.set_xlabel(" + ".join(names).replace("+ -", "\N{MINUS SIGN} "))
    edges = " and ".join(dict.fromkeys(f"{value:.3g}" for value in design.edge_values))
    axes.set_title(f"{edges} on the edges, peak {design.peak:.4g}", loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@_with_settings
def draw_tower(design: TowerDesign) -> Figure:
    """Draw a tower from above and across its center; one variable only across."""
    network = design.to_network()
    lower = np.array(design.rise)
    sides = np.array(design.widths)
    room = np.maximum(0.5 * sides, 8 / design.steepness)
    center = lower + sides / 2
    if design.dimension == 1:
        figure, (section,) = _new(5.0, 3.4, 1)
    else:
        figure, (above, section) = _new(9.0, 3.6, 2)
        upper = lower + sides
        axes = [np.linspace(lower[i] - room[i], upper[i] + room[i], _PIXELS) for i in (0, 1)]
        values = network(_plane(axes, center)).reshape(_PIXELS, _PIXELS)
        _show(above, axes, values, figure)
        above.set_title("from above", loc="left")
    along = np.linspace(lower[0] - room[0], lower[0] + sides[0] + room[0], _POINTS)
    for places, style, label in (
        (center, "-", "through the center"),
        (np.concatenate([center[:1], lower[1:]]), "--", "along an edge"),
    ):
        points = np.tile(places, (_POINTS, 1))
        points[:, 0] = along
        section.plot(along, network(points), style, color=_CURVE, label=label)
        if design.dimension == 1:
            break
    section.set_xlabel("x")
    section.set_title(f"center {design.peak:.3g}, edge {design.edge_value:.3g}", loc="left")
    if design.dimension > 1:
        section.legend(loc="upper right", fontsize=8)
    return figure


@_with_settings
def draw_tiling(tiling: Tiling, found: TilingAudit) -> Figure:
    """Draw the error of a tiling over the box, and a vertex with its hole from nearby.

    In one dimension the function, the tiling and its error; from three, the plane through a vertex.
    """
    if tiling.dimension == 1:
        return _draw_bumps(tiling)
    figure, (whole, lens) = _new(9.6, 4.0, 2)
    vertex = np.array(found.inner_vertex or found.vertex)
    ends = tiling.box.to_json()
    axes = [np.linspace(low, high, _PIXELS) for low, high in ends[:2]]
    # The lines of the tiling are thinner than a pixel: take the vertices along.
    axes = [
        np.union1d(axis, _lines_in(tiling, i)) if tiling.cells[i] <= _PIXELS else axis
        for i, axis in enumerate(axes)
    ]
    _show(whole, axes, _error(tiling, axes, vertex), figure)
    whole.set_title(f"|error|: at most {found.center_error:.2g} at centers", loc="left")
    whole.plot(*vertex[:2], "o", mfc="none", mec="white", ms=9)
    near = np.minimum(_LENS / tiling.steepness, 0.75 * tiling.sides[:2])
    places = [
        np.linspace(
            max(vertex[i] - near[i], ends[i][0]), min(vertex[i] + near[i], ends[i][1]), _PIXELS
        )
        for i in (0, 1)
    ]
    _show(lens, places, _error(tiling, places, vertex), figure)
    hole = found.vertex_error if found.inner_vertex_error is None else found.inner_vertex_error
    lens.set_title(f"the circle from nearby: {hole:.3g}", loc="left")
    lens.locator_params(nbins=4)
    return figure


def _draw_bumps(tiling: Tiling) -> Figure:
    figure, (values_axes, error_axes) = _new(9.6, 3.6, 2)
    ((low, high),) = tiling.box.to_json()
    along = np.union1d(np.linspace(low, high, 4 * _POINTS), _lines_in(tiling, 0))
    target = np.asarray(tiling.target(along[:, None]), dtype=np.float64)
    values = tiling(along[:, None])
    values_axes.plot(along, target, color=_IDEAL, lw=2, label="function")
    values_axes.plot(along, values, color=_CURVE, lw=1, label="bumps")
    values_axes.legend(loc="best")
    error_axes.plot(along, np.abs(values - target), color=_BAD, lw=1)
    if tiling.tolerance is not None:
        error_axes.axhline(tiling.tolerance, color=_INK, ls=":", lw=1)
    error_axes.set_title("|error|", loc="left")
    for axes in (values_axes, error_axes):
        axes.set_xlabel("x")
    return figure


def _new(width_in: float, height_in: float, panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, [figure.add_subplot(1, panels, i + 1) for i in range(panels)]


def _lines_in(tiling: Tiling, axis: int) -> Floats:
    low, high = tiling.box.lower[axis], tiling.box.upper[axis]
    lines = np.concatenate([tiling.grid_lines(shift, axis) for shift in range(tiling.shifts)])
    return lines[(lines >= low) & (lines <= high)]


def _plane(axes: list[Floats], through: Floats) -> Floats:
    """Return the grid of the first two variables; the others stay where they are."""
    mesh = np.meshgrid(*axes, indexing="ij")
    points = np.tile(through, (mesh[0].size, 1))
    points[:, 0], points[:, 1] = mesh[0].ravel(), mesh[1].ravel()
    return points


def _error(tiling: Tiling, axes: list[Floats], through: Floats) -> Floats:
    points = _plane(axes, through)
    target = np.asarray(tiling.target(points), dtype=np.float64)
    return np.abs(tiling(points) - target).reshape(len(axes[0]), len(axes[1]))


def _show(panel: Axes, axes: list[Floats], values: Floats, figure: Figure) -> None:
    image = panel.pcolormesh(
        axes[0], axes[1], values.T, cmap="viridis", shading="nearest", rasterized=True
    )
    panel.set_xlabel("x")
    panel.set_ylabel("y")
    figure.colorbar(image, ax=panel)
