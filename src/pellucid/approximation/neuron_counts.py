"""How many neurons a tolerance costs: text-book, better schemes, and what no scheme can beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid._checks import UsageError, check_integer, check_number
from pellucid.approximation.box import MAXIMUM_DIMENSION
from pellucid.approximation.tiling import cells_for
from pellucid.approximation.tower_sum import neurons_per_tower

# Lattices {x in Z^d: a · x divisible by m} in which any two points are at least 2 r apart in the
# sum of absolute coordinates: dimension to (r, m, a). Found by search; 18/19 is Minkowski's optimum
# for octahedra. Crosspolytopes of radius r around its points do not overlap.
PACKINGS: dict[int, tuple[int, int, tuple[int, ...]]] = {
    1: (1, 2, (1,)),
    2: (1, 2, (1, 1)),
    3: (3, 38, (1, 7, 11)),
    4: (3, 70, (1, 7, 25, 29)),
}


@dataclass(frozen=True)
class SchemeCount:
    """What one scheme needs.

    Args:
        scheme: In words.
        cells: Pieces on each of which the approximation is constant.
        hidden_neurons: Of all hidden layers.
        formula: Cells or neurons as a formula of t, eps and d; without the rounding up.
        reason: Why that many are enough, in a sentence.
    """

    scheme: str
    cells: int
    hidden_neurons: int
    formula: str
    reason: str


@dataclass(frozen=True)
class ShapeMinimum:
    """The fewest hidden neurons for a shape.

    Args:
        shape: In words.
        hidden_neurons: How many.
        reason: Why fewer cannot do it.
    """

    shape: str
    hidden_neurons: int
    reason: str


MINIMA = (
    ShapeMinimum(
        "bump, one hidden layer",
        2,
        "one sigmoid is monotone, and so is any h s(w x + b) + c: it cannot rise and fall. Every "
        "monotone function differs from a bump of height h by h/2 or more somewhere.",
    ),
    ShapeMinimum(
        "tower on a rectangle, two hidden layers",
        5,
        "a steep neuron of the first layer jumps along one straight line, and a rectangle has four "
        "sides on four lines. A sum of four such jumps keeps each jump along its whole line, also "
        "beyond the corners, so a fifth neuron has to combine them.",
    ),
    ShapeMinimum(
        "tower of any shape, two hidden layers",
        4,
        "three lines bound a triangle. With two first-layer neurons p and q, the place where "
        "s(a p + b q + c) is high is a half-plane of (p, q) within the open square (0, 1)², which "
        "always reaches the square's rim, so it is unbounded in x.",
    ),
)


@dataclass(frozen=True)
class NeuronCount:
    """What a tolerance costs.

    Args:
        lipschitz: Bounds t_i of the partial derivatives.
        tolerance: eps.
        sides: Of the box.
        schemes: The reference first, then upper bounds; each is enough away from transitions.
        least_parameters: No way of choosing parameters continuously gets every such function within
            the tolerance with fewer.
        least_parameters_formula: The same as a formula.
        least_neurons_one_layer: Hidden neurons of a network with one hidden layer and at least that
            many weights and biases.
        least_neurons_two_layers: The same for two hidden layers.
        minima: The fewest neurons for single shapes.
    """

    lipschitz: tuple[float, ...]
    tolerance: float
    sides: tuple[float, ...]
    schemes: tuple[SchemeCount, ...]
    least_parameters: int
    least_parameters_formula: str
    least_neurons_one_layer: int
    least_neurons_two_layers: int
    minima: tuple[ShapeMinimum, ...] = MINIMA

    @property
    def dimension(self) -> int:
        """Number of variables."""
        return len(self.lipschitz)

    @property
    def reference(self) -> SchemeCount:
        """What the text-book's construction needs."""
        return self.schemes[0]

    @property
    def fewest(self) -> SchemeCount:
        """The scheme with the fewest neurons."""
        return min(self.schemes, key=lambda scheme: scheme.hidden_neurons)


def neuron_count(
    lipschitz: float | Sequence[float],
    tolerance: float,
    dimension: int = 2,
    *,
    sides: float | Sequence[float] = 1.0,
    total_variation: float | None = None,
) -> NeuronCount:
    """Count the neurons that piecewise constant constructions need for a tolerance.

    A cell with sides side_i and the value at its center is right within ``½ Σ side_i t_i``, hence
    ``(d t / (2 eps))^d`` cubes; a cell ``Σ t_i |x_i - center_i| <= eps`` is right within eps, hence
    ``t² / (2 eps²)`` diamonds in two dimensions. Particular functions need far fewer: these numbers
    are for all functions with these derivatives.

    The lower bound: pack cells ``Σ t_i |x_i - p_i| < eps`` around M points p of the box. Peaks of
    height eps on them, each up or down by any amount up to eps, are functions of the class; if
    fewer than M parameters depend continuously on the function, two opposite ones share theirs
    (Borsuk and Ulam), and one of them is missed by eps. Parameters that jump escape it: see Shen,
    Yang and Zhang (2021).

    Source: R. DeVore, R. Howard, C. Micchelli, Optimal nonlinear approximation (1989): continuous
    widths are at least Bernstein widths. Deviation: constants, by explicit packings.

    Args:
        lipschitz: t, bound of every partial derivative, or one for each.
        tolerance: eps.
        dimension: Number of variables, 1 to 4.
        sides: Of the box, one for all or one for each.
        total_variation: Of a function of one variable, if known; at most t times the side.

    Raises:
        UsageError: An argument is out of range.

    Example:
        >>> count = neuron_count(6.283185307179586, 0.01, 1)
        >>> [(scheme.cells, scheme.hidden_neurons) for scheme in count.schemes[:2]]
        [(315, 630), (315, 314)]
    """
    dimension = check_integer("dimension", dimension, low=1, high=MAXIMUM_DIMENSION)
    tolerance = check_number("tolerance", tolerance, low=0, open_low=True)
    bounds = _for_each("lipschitz", lipschitz, dimension, open_low=False)
    lengths = _for_each("sides", sides, dimension, open_low=True)
    cells = cells_for(tolerance, bounds, lengths)
    schemes = [*_grid_schemes(cells)]
    if dimension == 1:
        schemes.append(_free_knots(bounds[0] * lengths[0], total_variation, tolerance))
    elif total_variation is not None:
        raise UsageError(
            f"total_variation must be left out in {dimension} dimensions, got {total_variation!r}."
        )
    if dimension == 2:
        schemes.append(_diamonds(tolerance, bounds, lengths))
    radius, modulus, _ = PACKINGS[dimension]
    # Per parameter the box has room for one cell of the lattice, scaled by eps / (r t_i).
    room = math.prod(
        radius * bound * length / tolerance for bound, length in zip(bounds, lengths, strict=True)
    )
    least = max(1, math.ceil(room / modulus * (1 - 1e-12)))
    return NeuronCount(
        lipschitz=bounds,
        tolerance=tolerance,
        sides=lengths,
        schemes=tuple(schemes),
        least_parameters=least,
        least_parameters_formula=_LOWER_FORMULAS[dimension],
        least_neurons_one_layer=max(0, math.ceil((least - 1) / (dimension + 2))),
        least_neurons_two_layers=_fewest_two_layers(least, dimension),
    )


_LOWER_FORMULAS = {
    1: "t / (2 eps)",
    2: "t² / (2 eps²)",
    3: "27/38 (t / eps)³",
    4: "81/70 (t / eps)⁴",
}


def _grid_schemes(cells: tuple[int, ...]) -> tuple[SchemeCount, SchemeCount]:
    dimension, count = len(cells), math.prod(cells)
    each = neurons_per_tower(dimension)
    names = {1: ("bumps", "t / (2 eps)"), 2: ("towers on squares", "(t / eps)²")}
    name, formula = names.get(
        dimension, ("towers on cubes", f"({dimension} t / (2 eps))^{dimension}")
    )
    reference = SchemeCount(
        f"reference: {name}",
        count,
        each * count,
        f"{each} N, N = {formula}",
        "the value at the center of a cell is right within half the sum of its sides times t.",
    )
    steps = sum(count - 1 for count in cells)
    if dimension == 1:
        shared = SchemeCount(
            "staircase: neighbors share a step",
            count,
            steps,
            "N - 1",
            "where one piece ends the next begins: one neuron for each inner edge, weighted by the "
            "jump, instead of one step down and one step up.",
        )
    else:
        shared = SchemeCount(
            "grid: neighbors share their steps",
            count,
            steps + count - 1,
            "2 (k - 1) + k² - 1" if dimension == 2 else f"{dimension} (k - 1) + k^{dimension} - 1",
            "one step for each inner grid line, one AND for each cell but the first; weighted by "
            "mixed differences they add up to 1 everywhere, so there are no holes.",
        )
    return reference, shared


def _free_knots(most: float, given: float | None, tolerance: float) -> SchemeCount:
    variation = most if given is None else check_number("total_variation", given, low=0)
    if variation > most * (1 + 1e-12):
        raise UsageError(
            f"total_variation must be at most lipschitz times the side, {most:g}, "
            f"got {variation:g}."
        )
    count = max(1, math.ceil(variation / (2 * tolerance) * (1 - 1e-12)))
    return SchemeCount(
        "staircase with free knots",
        count,
        count - 1,
        "N = TV / (2 eps), N - 1 neurons",
        "a piece may go on until the function has climbed 2 eps in all; pieces where it climbs "
        "little are long." + (" TV is taken as t times the side." if given is None else ""),
    )


def _diamonds(tolerance: float, bounds: Sequence[float], lengths: Sequence[float]) -> SchemeCount:
    # In units of the half-diagonal eps / t_i of a diamond.
    units = [
        max(bound * length / tolerance * (1 - 1e-12), 0.0)
        for bound, length in zip(bounds, lengths, strict=True)
    ]
    count = min(count_diamonds(*units), count_diamonds(*units[::-1]))
    return SchemeCount(
        "towers on diamonds",
        count,
        neurons_per_tower(2) * count,
        "5 N, N = t² / (2 eps²) and those on the rim",
        "with |df/dx| and |df/dy| at most t, f changes by at most t (|x| + |y|): a diamond with "
        "half-diagonal eps / t has twice the area of a square that is as good.",
    )


def count_diamonds(width: float, height: float) -> int:
    """Return how many unit diamonds ``|x| + |y| <= 1`` cover a rectangle in rows.

    Rows at y = 0, 1, 2, ...; centers at even x in even rows and odd x in odd rows.

    Example:
        >>> count_diamonds(2.0, 2.0)
        5
    """
    rows = math.ceil(height) + 1
    even, odd = math.ceil((width + 1) / 2), math.ceil(width / 2)
    if height <= 0:  # a row of its own is enough
        return max(1, math.ceil(width / 2))
    if width <= 0:
        return max(1, math.ceil(height / 2))
    return (rows + 1) // 2 * even + rows // 2 * odd


def _fewest_two_layers(parameters: int, dimension: int) -> int:
    """Return the least n1 + n2 with ``n1 (d + 1) + n2 (n1 + 1) + n2 + 1 >= parameters``."""

    def most(total: int) -> int:
        # A concave parabola in n1; its top is where n1 = (total + d - 1) / 2.
        top = (total + dimension - 1) // 2
        options = {min(max(first, 1), total - 1) for first in (top, top + 1)}
        return max(n * (dimension + 1) + (total - n) * (n + 2) + 1 for n in options)

    if parameters <= 1:
        return 0
    low, high = 2, 2
    while most(high) < parameters:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if most(middle) >= parameters else (middle + 1, high)
    return low


def _for_each(
    name: str, given: float | Sequence[float], dimension: int, *, open_low: bool
) -> tuple[float, ...]:
    values = tuple(given) if isinstance(given, Sequence | np.ndarray) else (given,) * dimension
    if len(values) != dimension:
        raise UsageError(
            f"{name} must be one number, or one for each of {dimension} variables, got {given!r}."
        )
    return tuple(check_number(name, value, low=0, open_low=open_low) for value in values)
