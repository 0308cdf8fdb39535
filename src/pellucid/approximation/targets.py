"""What is to be approximated: a formula, a table, a Python function, or a black box.

``target`` makes the right one of what the user has, and finds mistakes before any long work: a
formula that is undefined somewhere, a function that raises, returns another shape or nan, or is not
deterministic.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from pellucid._checks import DataError, PellucidError, UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.enclosures.bounds import lipschitz_bounds, value_range
from pellucid.approximation.enclosures.domains import check_defined
from pellucid.approximation.enclosures.jets import Arithmetic, Jet, enclose
from pellucid.approximation.expressions import parse
from pellucid.approximation.formula_tree import Expression, shorten
from pellucid.approximation.tables import MAXIMAL_VALUES, TableTarget, check_lipschitz

#: Points a function is tried on; unlike any dimension, so that shapes cannot be mistaken.
_PROBES = 7
_KINDS = ("expression", "table", "callable", "black_box")


@dataclass(frozen=True, eq=False)
class ExpressionTarget:
    """A formula on a box, where it is defined.

    Attributes:
        expression: The formula.
        box: Where it is approximated.
    """

    expression: Expression
    box: Box
    kind: ClassVar[str] = "expression"
    #: Nothing lies between the formula and what is enclosed.
    slack: ClassVar[float] = 0.0

    def __str__(self) -> str:
        return shorten(self.expression.text)

    @property
    def dimension(self) -> int:
        """How many coordinates a point has."""
        return self.expression.dimension

    @property
    def lipschitz(self) -> tuple[float, ...]:
        """Proved bounds of the slopes on the box, within some per cent; ``inf`` if unbounded."""
        return self._slopes

    @cached_property
    def _slopes(self) -> tuple[float, ...]:
        return lipschitz_bounds(self.expression, self.box)

    @cached_property
    def range(self) -> tuple[float, float]:
        """Proved bounds of the values on the box."""
        return value_range(self.expression, self.box)

    @property
    def continuous(self) -> bool | None:
        """True if no step of the formula can jump, None if that is not known."""
        return self.expression.continuous

    def __call__(self, points: Any) -> np.ndarray:
        """Return the values at points (n, d), shape (n,)."""
        return self.expression(points)

    def enclose(
        self, lower: Any, upper: Any, *, order: int = 0, arithmetic: Arithmetic = "intervals"
    ) -> Jet:
        """Enclose value and derivatives on boxes; see ``enclosures.enclose``."""
        return enclose(self.expression, lower, upper, order=order, arithmetic=arithmetic)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return what ``target_from_json`` reads."""
        return {
            "kind": self.kind,
            "text": self.expression.text,
            "dimension": self.dimension,
            "box": self.box.to_json(),
        }


@dataclass(frozen=True, eq=False)
class BlackBoxTarget:
    """A Python function of which nothing but values is known: no proof about it is possible.

    Attributes:
        function: As the user wrote it.
        box: Where it is approximated.
    """

    function: Callable[..., Any]
    box: Box
    kind: ClassVar[str] = "black_box"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_values", _adapted(self.function, self.box))

    def __str__(self) -> str:
        return f"the function {self.name}"

    @property
    def dimension(self) -> int:
        """How many coordinates a point has."""
        return self.box.dimension

    @property
    def lipschitz(self) -> tuple[float, ...] | None:
        """Not known."""
        return None

    @property
    def name(self) -> str:
        """What the function is called."""
        return str(getattr(self.function, "__qualname__", type(self.function).__name__))

    def __call__(self, points: Any) -> np.ndarray:
        """Return the values at points (n, d), shape (n,).

        Raises:
            UsageError: If ``points`` has another shape, or the function fails or is not finite.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise UsageError(f"points must have shape (n, {self.dimension}), got {points.shape}.")
        values = self._values(points)  # type: ignore[attr-defined]
        _check_finite(values, points)
        return values

    def to_json(self) -> dict[str, Any]:
        """Return a description; the function itself cannot be written."""
        slopes = None if self.lipschitz is None else list(self.lipschitz)
        return {
            "kind": self.kind,
            "name": self.name,
            "box": self.box.to_json(),
            "lipschitz": slopes,
        }


@dataclass(frozen=True, eq=False)
class CallableTarget(BlackBoxTarget):
    """A Python function with slopes that the user vouches for.

    Attributes:
        function: As the user wrote it.
        box: Where it is approximated.
        slopes: For each coordinate a bound of the slope.
    """

    slopes: tuple[float, ...] = ()
    kind: ClassVar[str] = "callable"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "slopes", check_lipschitz(self.slopes, self.dimension))

    @property
    def lipschitz(self) -> tuple[float, ...]:
        """For each coordinate the slope that the user gave."""
        return self.slopes

    def tabulate(self, slack: float, *, maximal_values: int = MAXIMAL_VALUES) -> TableTarget:
        """Return a table that the function differs from by at most ``slack`` between its nodes.

        Args:
            slack: How much, above 0; each coordinate gets an equal share.
            maximal_values: Values it may take.

        Raises:
            UsageError: If it takes more, or the function is steeper between nodes than was said.
        """
        active = [axis for axis, slope in enumerate(self.slopes) if slope > 0]
        counts = [2] * self.dimension
        total = 1.0
        for axis in active:
            cells = self.slopes[axis] * self.box.sides[axis] * len(active) / (2 * slack)
            counts[axis] = int(min(np.ceil(cells * (1 + 1e-9)), 1e12)) + 1
            counts[axis] = max(counts[axis], 2)
        total = float(np.prod([float(count) for count in counts]))
        if total > maximal_values:
            raise UsageError(
                f"tolerance needs {total:.3g} values of {self.name}, more than {maximal_values}. "
                "Use a larger tolerance, a smaller lipschitz, or a formula instead of a function."
            )
        values = self(self.box.grid(counts)).reshape(counts)
        return TableTarget(values, self.box, self.slopes)


Target = ExpressionTarget | TableTarget | BlackBoxTarget


def target(f: Any, box: Box, lipschitz: Any = None) -> Target:
    """Make a target of a formula, a Python function or a table.

    Args:
        f: Text such as ``"sin(6*x)*cos(4*y)"`` (or an ``Expression``, or a sympy expression in
            x, y, z, t); a function of an array (n, d), of d arrays, or of single numbers; or an
            array with the values on a regular grid that includes the boundary of the box.
        box: Where it is to be approximated.
        lipschitz: For a function or a table: how much it changes at most per unit of each
            coordinate, one number or one per coordinate. Without it no proof is possible.

    Raises:
        UsageError: If the formula cannot be read or is undefined somewhere on the box; if the
            function raises, returns another shape or no finite numbers, or is not deterministic;
            if the table is steeper than ``lipschitz``.

    Example:
        >>> target("x**2", Box((0.0,), (1.0,))).kind
        'expression'
    """
    if type(f).__module__.partition(".")[0] == "sympy":
        f = str(f)
    if isinstance(f, str):
        f = parse(f, box.dimension)
    if isinstance(f, Expression):
        if lipschitz is not None:
            raise UsageError(
                "lipschitz must be left out for a formula: its slopes are computed and proved."
            )
        if f.dimension != box.dimension:
            raise UsageError(
                f"box must have {f.dimension} dimension(s), as the formula "
                f"{shorten(f.text)!r} has, got {box.dimension}."
            )
        check_defined(f, box)
        return ExpressionTarget(f, box)
    if isinstance(f, np.ndarray | list | tuple):
        try:
            values = np.asarray(f, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"table must be an array of numbers: {error}.") from error
        return TableTarget(values, box, lipschitz)
    if isinstance(f, ExpressionTarget | TableTarget | BlackBoxTarget):
        if f.box == box:
            return f
        if isinstance(f, ExpressionTarget):
            return target(f.expression, box)
        raise UsageError(f"box must be that of the target, {f.box}, got {box}.")
    if not callable(f):
        raise UsageError(
            f"f must be a formula, a function or an array of values, got {type(f).__name__}. "
            "Use, for example, 'sin(6*x)*cos(4*y)'."
        )
    return BlackBoxTarget(f, box) if lipschitz is None else CallableTarget(f, box, lipschitz)


def target_from_json(data: Mapping[str, Any]) -> ExpressionTarget | TableTarget:
    """Return the target that ``to_json`` wrote; a formula is checked anew.

    Raises:
        DataError: If the data are damaged, or describe a Python function.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if kind == "table":
        return TableTarget.from_json(data)
    if kind in ("callable", "black_box"):
        raise DataError(
            f"target is the Python function {data.get('name')!r}, which a file cannot hold. "
            "Only formulas and tables can be read back."
        )
    if kind != "expression":
        raise DataError(f"target must have a kind of {', '.join(_KINDS)}, got {kind!r}.")
    try:
        expression = parse(data["text"], data["dimension"])
        made = target(expression, Box.from_json(data["box"]))
    except (PellucidError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"target in the file is damaged: {error}") from error
    assert isinstance(made, ExpressionTarget)
    return made


# Python functions.


def _adapted(function: Callable[..., Any], box: Box) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function as one of points (n, d), in whichever way it wants to be called."""
    probes = np.concatenate([box.sample(_PROBES - 1, np.random.default_rng(0)), box.vertices[:1]])
    by_point = _pointwise(function, box.dimension)
    expected = by_point(probes)
    _check_finite(expected, probes)
    for way in (_by_columns, _by_rows):
        try:
            with np.errstate(all="ignore"):
                values = np.asarray(way(function, probes))
        except Exception:
            continue
        numeric = values.dtype.kind in "fiub" and values.shape == (len(probes),)
        if numeric and np.allclose(values, expected, rtol=1e-9, atol=1e-12):
            return lambda points, way=way: _vectorised(function, way, points)
    again = by_point(probes)
    if not np.array_equal(again, expected):
        raise UsageError(
            "function must be deterministic, but gave two values at one point. "
            "Seed or remove its randomness."
        )
    return by_point


def _by_columns(function: Callable[..., Any], points: np.ndarray) -> Any:
    return function(*np.ascontiguousarray(points.T))


def _by_rows(function: Callable[..., Any], points: np.ndarray) -> Any:
    return function(points)


def _vectorised(
    function: Callable[..., Any], way: Callable[..., Any], points: np.ndarray
) -> np.ndarray:
    if not len(points):
        return np.zeros(0)
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(way(function, points), dtype=np.float64)
    except Exception as error:
        raise UsageError(f"function raised {type(error).__name__}: {error}.") from error
    if values.shape != (len(points),):
        raise UsageError(
            f"function must return one number per point, shape ({len(points)},), "
            f"got {values.shape}."
        )
    return values


def _takes_coordinates(function: Callable[..., Any], dimension: int) -> bool:
    """Whether the function has one parameter for each coordinate."""
    try:
        inspect.signature(function).bind(*range(dimension))
    except TypeError:
        return False
    except ValueError:  # a built-in without a signature
        return True
    return True


def _pointwise(function: Callable[..., Any], dimension: int) -> Callable[..., np.ndarray]:
    """Return a loop over the points, for functions of numbers or of one point."""
    coordinates = _takes_coordinates(function, dimension)

    def attempt(point: np.ndarray) -> float:
        arguments = [float(value) for value in point]
        calls: list[Callable[[], Any]] = [lambda: function(point), lambda: function(point[None])]
        if coordinates:
            calls.insert(0, lambda: function(*arguments))
        first_error: Exception | None = None
        shape = None
        for call in calls:
            try:
                with np.errstate(all="ignore"):
                    value = np.asarray(call())
                if value.size == 1 and value.dtype.kind in "fiub":
                    return float(value.reshape(()))
                shape = value.shape if value.dtype.kind in "fiub" else value.dtype
            except Exception as error:
                first_error = first_error or error
        place = ", ".join(f"{value:.6g}" for value in arguments)
        if shape is not None:
            raise UsageError(f"function must return one number at ({place}), got {shape}.")
        raise UsageError(
            f"function raised {type(first_error).__name__} at ({place}): {first_error}. It must "
            f"take an array of points (n, {dimension}), or {dimension} number(s)."
        ) from first_error

    def loop(points: np.ndarray) -> np.ndarray:
        return np.array([attempt(point) for point in points], dtype=np.float64)

    return loop


def _check_finite(values: np.ndarray, points: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        place = ", ".join(f"{value:.6g}" for value in points[bad[0]])
        raise UsageError(
            f"function must return finite numbers, got {values[bad[0]]} at ({place}). "
            "Choose a box without this point."
        )
