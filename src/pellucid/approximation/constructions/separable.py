"""Construction E: sums of products of functions of single variables, in two hidden layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..box import Box
from . import Construction, NotApplicable
from .exchange import Function, Samples, sample, unscale
from .fewest_neurons import MET, PROFILE, Found, Structure, search
from .low_rank import (
    MOST_TERMS,
    best_rank_one,
    hyperbolic_products,
    interaction,
    outer,
    shifted_products,
    split_shifted,
    with_linear_part,
)
from .products import Unit, exponential_unit, hyperbolic_units
from .ridge import better
from .sigmoid_basis import dictionary, fit_damped, uniform_knots
from .spectral import (
    DEFAULT_NEURONS,
    DEFAULT_SECONDS,
    DEFAULT_WORK,
    constant_network,
    finish,
    out_of_budget,
)
from .summands import Summand, summands
from .superposition import superposition
from .work_budget import WorkBudget

Floats = NDArray[np.float64]


def separable(
    target: Function,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = DEFAULT_NEURONS,
    max_work: float = DEFAULT_WORK,
    max_seconds: float = DEFAULT_SECONDS,
    free: bool = True,
) -> Construction:
    """Approximate ``sum_r u_r(x) v_r(y) ...`` by sigmoids of sums of functions of single variables.

    All factors of one variable share the first-layer sigmoids of that variable. A product of
    positive factors is one exponential neuron over the sum of their logarithms; a factor with both
    signs is shifted, ``u v = (u + a)(v + b) - a v - b u - a b``, and what is left over of all terms
    passes through one almost linear neuron; or it is split into two hyperbolic halves. Which of
    these structures is taken is a matter of count. Knots follow the rule of
    :mod:`.sigmoid_basis`; the second layer and the output are then corrected for the network as a
    whole, so that errors of parts compensate instead of adding up.

    Args:
        target: (n, d) points to (n,) values.
        box: Two or more variables.
        tolerance: Sup error that is asked for.
        max_neurons: Most hidden neurons.
        max_work: Work for the search, in units of about one second on one thread; counted, not
            timed, so that the same input gives the same network.
        max_seconds: Hard stop by the clock; where it strikes, the result depends on the machine,
            ``details["stopped_by_clock"]`` is True and the remark says so.
        free: Whether knots may leave their rule where that saves sigmoids. False: they stay where
            the rule puts them, with the three fitted numbers for each direction.

    Returns:
        The smallest network found within the tolerance; the best found where none is, with the
        remark saying so.

    Raises:
        NotApplicable: One variable, or no structure with few terms comes close.
    """
    if box.dimension == 1:
        raise NotApplicable("the separable scheme needs two or more variables")
    budget = WorkBudget(max_work, max_seconds=max_seconds)
    samples = sample(target, box, tolerance=tolerance)
    flat = constant_network(samples, "separable")
    if flat is not None:
        return flat
    best: Found | None = None
    structures = separable_structures(samples, budget, summands(target))
    for number, structure in enumerate(structures):
        limit = max_neurons + 1
        if best is not None and best.error <= MET * samples.tolerance:
            limit = min(limit, best.draft.neurons)
        if len(structure.units) + 2 >= limit:
            continue
        # Later structures have more second-layer neurons and rarely win: half of what is left each.
        share = budget.share(0.6 if number + 1 < len(structures) else 1.0)
        found = search(structure, samples, fewer_than=limit, budget=share, free=free)
        if found is not None and (best is None or better(found, best, samples.tolerance)):
            best = found
    if best is None and budget.exhausted:
        raise NotApplicable(out_of_budget(budget))
    if best is None:
        raise NotApplicable("no sum of few products comes close to the target")
    return finish(best, samples, "separable", budget)


def separable_structures(
    samples: Samples, budget: WorkBudget, terms: list[Summand] | None = None
) -> list[Structure]:
    """Return the structures to try, those with the fewest second-layer neurons first.

    Args:
        samples: The target.
        budget: Work to charge where a structure needs a search of its own.
        terms: The summands of its formula in the user's units, where there is one.
    """
    found: list[Structure | None] = []
    for frame in frames(samples.box.dimension):
        found.append(log_additive(samples, frame))
        found.append(superposition(samples, frame, budget))
    if terms is not None:
        found.append(formula_products(samples, terms))
    found += [shifted_products(samples), hyperbolic_products(samples)]
    structures: list[Structure] = []
    for one in sorted((one for one in found if one is not None), key=lambda one: len(one.units)):
        # The formula and the values often lead to the same: no work for it twice.
        if not any(_same(one, other) for other in structures):
            structures.append(one)
    return [
        one if one.profiles else replace(one, profiles=line_profiles(samples, one.directions))
        for one in structures
    ]


def frames(dimension: int) -> list[tuple[str, Floats]]:
    """Return coordinate systems in which a product is looked for.

    The axes and, in the plane, the diagonals: ``xy`` is additive along ``x + y`` and ``x - y``.
    """
    found = [("x, y, z, t"[: 3 * dimension - 2], np.eye(dimension))]
    if dimension == 2:
        found.append(("x + y, x - y", np.array([[0.5, 0.5], [0.5, -0.5]])))
    return found


def line_profiles(samples: Samples, directions: Floats) -> tuple[Floats, ...]:
    """Sample the target along each axis where it varies most; empty for other directions."""
    grid = samples.grid_values
    if not np.array_equal(directions, np.eye(grid.ndim)):
        return ()
    profiles = []
    for axis in range(grid.ndim):
        lines = np.moveaxis(np.abs(np.diff(grid, axis=axis)).sum(axis), 0, 0)
        place = np.unravel_index(int(np.argmax(lines)), lines.shape)
        points = np.empty((len(PROFILE), grid.ndim))
        others = [k for k in range(grid.ndim) if k != axis]
        for k, index in zip(others, place, strict=True):
            points[:, k] = samples.axes[k][index]
        points[:, axis] = PROFILE
        profiles.append(samples(points))
    return tuple(profiles)


def log_additive(samples: Samples, frame: tuple[str, Floats]) -> Structure | None:
    """Return one exponential neuron for ``c ± exp(A(x) + B(y) + ...)`` where the target is that.

    The offset c is tried at the target's own zero and a little outside both ends of its range; the
    exponent is fitted by weighted least squares with plenty of sigmoids.
    """
    name, directions = frame
    size = samples.grid_values.size
    points, values = samples.points[:size], samples.values[:size]
    basis = [np.ones((size, 1))]
    for row in directions:
        # Twenty sigmoids a direction stand for "any function" here.
        basis.append(dictionary(points @ row, *uniform_knots(20, sharpness=1.5, overhang=0.1)))
    stacked = np.hstack(basis)
    low, high = float(values.min()), float(values.max())
    offsets = [-samples.center / samples.scale]
    offsets += [low - gap for gap in (0.0, 0.03, 0.3, 1.5)]
    offsets += [high + gap for gap in (0.0, 0.03, 0.3, 1.5)]
    best: tuple[float, Unit, float] | None = None
    for offset in offsets:
        shifted = values - offset
        if shifted.min() < -1e-9 and shifted.max() > 1e-9:
            continue
        unit = exponential_unit(shifted, role=f"product of functions of {name}")
        system = stacked * unit.importance[:, None]
        weights = fit_damped(system, unit.wanted * unit.importance)
        with np.errstate(over="ignore"):
            got = unit.output * np.exp(np.minimum(stacked @ weights, 5.0)) + offset
        error = float(np.abs(got - values).max())
        if best is None or error < 0.8 * best[0]:
            best = (error, unit, offset)
    if best is None or best[0] > min(10 * samples.tolerance, 0.1):
        return None
    return Structure(f"one product over {name}", directions, (best[1],), best[2])


def formula_products(samples: Samples, terms: list[Summand]) -> Structure | None:
    """Return neurons for the summands of a formula, each by itself.

    A product whose factors each vary along one direction needs one exponential neuron where all
    factors have one sign, two where one of them has both. What is a sum of functions of single
    directions joins the linear part; other terms are shifted as in :func:`shifted_products`.
    """
    grid = samples.grid_values
    dimension = grid.ndim
    where = samples.points[: grid.size]
    units: list[Unit] = []
    additive = np.zeros(grid.size)
    mixed = np.zeros(grid.shape)
    directions: list[Floats] = []
    for number, term in enumerate(terms, start=1):
        values = term(unscale(where, samples.box)) / samples.scale
        if not np.isfinite(values).all():
            return None
        if np.abs(interaction(values.reshape(grid.shape))).max() < 0.05 * samples.tolerance:
            additive = additive + values
            directions += [np.eye(dimension)[k] for k in _varying(values.reshape(grid.shape))]
            continue
        along = [direction_of(samples, factor) for factor in term.factors]
        known = [one for one in along if one is not None]
        if len(known) < len(along):
            product = outer(best_rank_one(values.reshape(grid.shape))).ravel()
            if values.min() * values.max() >= 0 and (
                np.abs(product - values).max() < 0.1 * samples.tolerance
            ):
                units.append(exponential_unit(values, role=f"summand {number} of the formula"))
                directions += [np.eye(dimension)[k] for k in _varying(values.reshape(grid.shape))]
                continue
            mixed = mixed + values.reshape(grid.shape)
            continue
        merged = _merge(known)
        if len(merged) == 1:
            additive = additive + values
            directions += merged
            continue
        # Factors along one direction count as one.
        parts = [np.ones(grid.size) for _ in merged]
        for factor, direction in zip(term.factors, known, strict=True):
            place = next(k for k, one in enumerate(merged) if _parallel(one, direction))
            parts[place] = parts[place] * factor(unscale(where, samples.box))
        signed = [k for k, part in enumerate(parts) if part.min() < 0 < part.max()]
        role = f"summand {number} of the formula"
        if len(signed) > 1:
            mixed = mixed + values.reshape(grid.shape)
            continue
        directions += merged
        if signed:
            positive = np.prod([np.abs(p) for k, p in enumerate(parts) if k != signed[0]], axis=0)
            rest = values / np.where(positive > 0, positive, 1.0)
            units += hyperbolic_units(rest, positive, role=role)
        else:
            units.append(exponential_unit(values, role=role))
    more, left = split_shifted(mixed, samples.tolerance)
    units += more
    if not units or len(units) >= MOST_TERMS:
        return None
    if np.abs(mixed).max() > 0:
        directions += [np.eye(dimension)[k] for k in _varying(mixed)]
    constant = -samples.center / samples.scale
    structure = with_linear_part(
        samples, "products of the formula", units, additive + left.ravel(), constant
    )
    merged = sorted(_merge(directions), key=lambda one: (np.count_nonzero(one), *(-one)))
    return replace(structure, directions=np.array(merged))


def direction_of(samples: Samples, factor: Function) -> Floats | None:
    """Return the direction along which a function varies, or ``None`` where there are several."""
    generator = np.random.default_rng(0)
    points = generator.uniform(-0.95, 0.95, (60, samples.box.dimension))
    slopes = []
    for row in np.eye(samples.box.dimension) * 1e-5:
        upper, lower = unscale(points + row, samples.box), unscale(points - row, samples.box)
        slopes.append(factor(upper) - factor(lower))
    slopes = np.stack(slopes, axis=1)
    sizes = np.linalg.norm(slopes, axis=1)
    if not np.isfinite(sizes).all() or sizes.max() == 0:
        return None
    strong = sizes > 1e-3 * sizes.max()
    normal = slopes[strong] / sizes[strong, None]
    direction = np.linalg.svd(normal, full_matrices=False)[2][0]
    if np.mean(np.abs(normal @ direction) > 1 - 1e-6) < 0.95:
        return None
    direction = np.where(np.abs(direction) < 1e-4, 0.0, direction)
    direction = direction / np.abs(direction).sum()
    return direction * np.sign(direction[np.argmax(np.abs(direction))])


def _same(one: Structure, other: Structure) -> bool:
    """Say whether two structures start the search from the same network."""
    if len(one.units) != len(other.units) or one.directions.shape != other.directions.shape:
        return False
    pairs = zip(one.units, other.units, strict=True)
    return np.allclose(one.directions, other.directions, atol=1e-9) and all(
        np.allclose(a.wanted, b.wanted, atol=1e-6) and np.isclose(a.output, b.output, rtol=1e-6)
        for a, b in pairs
    )


def _parallel(one: Floats, other: Floats) -> bool:
    return bool(min(np.abs(one - other).max(), np.abs(one + other).max()) < 1e-3)


def _merge(directions: list[Floats]) -> list[Floats]:
    merged: list[Floats] = []
    for direction in directions:
        if not any(_parallel(direction, one) for one in merged):
            merged.append(direction)
    return merged


def _varying(grid: Floats) -> list[int]:
    return [k for k in range(grid.ndim) if np.ptp(grid, axis=k).max() > 0]
