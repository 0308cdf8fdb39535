"""The box on which a function is approximated: a product of closed intervals."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pellucid._checks import UsageError

MAXIMUM_DIMENSION = 4


@dataclass(frozen=True)
class Box:
    """A product of intervals [lower_i, upper_i] with 1 to 4 factors.

    Args:
        lower: Lower ends, finite.
        upper: Upper ends, finite, each above its lower end.

    Raises:
        UsageError: The ends differ in number, are not finite, are in the wrong order, or are more
            than four pairs.

    Example:
        >>> box = Box((0.0, -1.0), (1.0, 1.0))
        >>> box.dimension, box.volume
        (2, 2.0)
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        lower, upper = tuple(self.lower), tuple(self.upper)
        if len(lower) != len(upper):
            raise UsageError(
                "box must have as many upper as lower ends, "
                f"got {len(lower)} lower and {len(upper)} upper."
            )
        if not 1 <= len(lower) <= MAXIMUM_DIMENSION:
            raise UsageError(
                f"box must have 1 to {MAXIMUM_DIMENSION} dimensions, got {len(lower)}. "
                "The number of cells, and of boxes to check, grows like a power of the dimension; "
                "fix some of the variables, or write the function as a sum of parts."
            )
        for axis, (low, high) in enumerate(zip(lower, upper, strict=True), start=1):
            if not all(isinstance(end, numbers.Real) for end in (low, high)):
                raise UsageError(f"box must have numbers as ends, got [{low!r}, {high!r}].")
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UsageError(
                    f"box must have finite ends with lower < upper in dimension {axis}, "
                    f"got [{low:g}, {high:g}]. Give the ends as LOWER UPPER pairs, "
                    "for example 0 1 0 1 for the unit square."
                )
            if not math.isfinite(high - low) or low + (high - low) / 4 == low:
                raise UsageError(
                    f"box must have sides that float64 can divide in dimension {axis}, "
                    f"got [{low!r}, {high!r}]. Shift or scale the variable."
                )
        object.__setattr__(self, "lower", tuple(float(end) for end in lower))
        object.__setattr__(self, "upper", tuple(float(end) for end in upper))

    @classmethod
    def from_ends(cls, ends: Sequence[float]) -> Box:
        """Return the box of ``(lower_1, upper_1, lower_2, upper_2, ...)``.

        Raises:
            UsageError: An odd number of ends, or what :class:`Box` refuses.
        """
        if len(ends) == 0 or len(ends) % 2:
            raise UsageError(
                f"box must have pairs of ends, LOWER UPPER for each variable, got {len(ends)} "
                "numbers. Use for example --box 0 1 0 1 for two variables."
            )
        return cls(tuple(ends[0::2]), tuple(ends[1::2]))

    @classmethod
    def from_json(cls, ends: Sequence[Sequence[float]]) -> Box:
        """Return the box that :meth:`to_json` wrote."""
        return cls(tuple(pair[0] for pair in ends), tuple(pair[1] for pair in ends))

    def to_json(self) -> list[list[float]]:
        """Return ``[[lower_1, upper_1], ...]``."""
        return [[low, high] for low, high in zip(self.lower, self.upper, strict=True)]

    def __str__(self) -> str:
        return " × ".join(
            f"[{low:.10g}, {high:.10g}]" for low, high in zip(self.lower, self.upper, strict=True)
        )

    @property
    def dimension(self) -> int:
        """Number of variables."""
        return len(self.lower)

    @cached_property
    def sides(self) -> NDArray[np.float64]:
        """Side lengths, shape (dimension,)."""
        return np.subtract(self.upper, self.lower)

    @property
    def volume(self) -> float:
        """Product of the sides."""
        return float(np.prod(self.sides))

    @property
    def vertices(self) -> NDArray[np.float64]:
        """All corners, shape (2**dimension, dimension)."""
        pairs = zip(self.lower, self.upper, strict=True)
        return np.array(list(itertools.product(*pairs)), dtype=np.float64)

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which of the points (n, dimension) lie in the closed box, shape (n,)."""
        points = np.asarray(points, dtype=np.float64)
        return np.all((points >= self.lower) & (points <= self.upper), axis=-1)

    def sample(self, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return ``count`` uniformly distributed points, shape (count, dimension)."""
        inside = generator.random((count, self.dimension)) * self.sides + self.lower
        return np.clip(inside, self.lower, self.upper)

    def grid(self, count: int | Sequence[int]) -> NDArray[np.float64]:
        """Return a regular grid with the boundary, first axis slowest, shape (n, dimension).

        Args:
            count: Points in each dimension, or one number for all; 1 takes the middle.
        """
        counts = (count,) * self.dimension if isinstance(count, int) else tuple(count)
        axes = [
            np.array([(low + high) / 2]) if points == 1 else np.linspace(low, high, points)
            for low, high, points in zip(self.lower, self.upper, counts, strict=True)
        ]
        mesh = np.meshgrid(*axes, indexing="ij")
        return np.stack([part.ravel() for part in mesh], axis=1)
