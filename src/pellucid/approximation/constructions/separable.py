"""Construction E: sums of products of functions of single variables, in two hidden layers."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..box import Box
from . import Construction, NotApplicable
from .exchange import Function, Samples, sample, unscale
from .fewest_neurons import PROFILE, Found, Structure, search
from .products import Unit, exponential_unit, hyperbolic_units, linear_unit
from .ridge import better, gradients
from .sigmoid_basis import dictionary, fit_damped, uniform_knots
from .spectral import DEFAULT_NEURONS, DEFAULT_SECONDS, constant_network, finish
from .summands import Summand, summands

Floats = NDArray[np.float64]
MOST_TERMS = 10


def separable(
    target: Function,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = DEFAULT_NEURONS,
    max_seconds: float = DEFAULT_SECONDS,
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
        max_seconds: Time for the search.

    Returns:
        The smallest network found within the tolerance; the best found where none is, with the
        remark saying so.

    Raises:
        NotApplicable: One variable, or no structure with few terms comes close.
    """
    if box.dimension == 1:
        raise NotApplicable("the separable scheme needs two or more variables")
    deadline = time.monotonic() + max_seconds
    samples = sample(target, box, tolerance=tolerance)
    flat = constant_network(samples, "separable")
    if flat is not None:
        return flat
    best: Found | None = None
    structures = separable_structures(samples, summands(target))
    for number, structure in enumerate(structures):
        limit = max_neurons + 1
        if best is not None and best.error <= samples.tolerance:
            limit = min(limit, best.draft.neurons)
        if len(structure.units) + 2 >= limit:
            continue
        now = time.monotonic()
        # Later structures have more second-layer neurons and rarely win: half of what is left each.
        share = now + (deadline - now) * (0.6 if number + 1 < len(structures) else 1.0)
        found = search(structure, samples, fewer_than=limit, deadline=share)
        if found is not None and (best is None or better(found, best, samples.tolerance)):
            best = found
    if best is None:
        raise NotApplicable("no sum of few products comes close to the target")
    return finish(best, samples, "separable")


def separable_structures(samples: Samples, terms: list[Summand] | None = None) -> list[Structure]:
    """Return the structures to try, those with the fewest second-layer neurons first.

    Args:
        samples: The target.
        terms: The summands of its formula in the user's units, where there is one.
    """
    found: list[Structure | None] = []
    for frame in frames(samples.box.dimension):
        found.append(log_additive(samples, frame))
        found.append(superposition(samples, frame))
    if terms is not None:
        found.append(formula_products(samples, terms))
    found += [shifted_products(samples), hyperbolic_products(samples)]
    structures = [one for one in found if one is not None]
    structures.sort(key=lambda one: len(one.units))
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


def superposition(samples: Samples, frame: tuple[str, Floats]) -> Structure | None:
    """Return a dictionary over ``z = A(x) + B(y) + ...`` where the target is a function g of z.

    With ``a = A'`` and ``b = B'`` it holds that ``f_x b(y) - f_y a(x) = 0``, a homogeneous linear
    system for polynomials a and b, solved by its smallest singular vector; g may be anything.
    """
    name, directions = frame
    points, slopes = gradients(samples)
    slopes = slopes @ np.linalg.pinv(directions)
    along = points @ directions.T
    sizes = np.linalg.norm(slopes, axis=1, keepdims=True)
    fine = np.isfinite(sizes[:, 0]) & (sizes[:, 0] > 1e-3 * np.nanmedian(sizes))
    if fine.sum() < 100:
        return None
    slopes = slopes[fine] / sizes[fine]
    degree, kinds = 7, len(directions)
    powers = [np.polynomial.chebyshev.chebvander(along[fine, k], degree) for k in range(kinds)]
    rows = []
    for k in range(1, kinds):
        blocks = [np.zeros_like(powers[0])] * kinds
        blocks[0] = -slopes[:, k : k + 1] * powers[0]
        blocks[k] = slopes[:, :1] * powers[k]
        rows.append(np.hstack(blocks))
    singular, right = np.linalg.svd(np.vstack(rows), full_matrices=False)[1:]
    if singular[-1] > 2e-3 * singular[0] or singular[-1] > 0.1 * singular[-2]:
        return None
    parts = right[-1].reshape(kinds, -1)
    summands = [np.polynomial.chebyshev.chebint(part) for part in parts]

    def inner(where: Floats) -> Floats:
        coordinates = where @ directions.T
        total = np.zeros(len(where))
        for k, summand in enumerate(summands):
            total += np.polynomial.chebyshev.chebval(coordinates[:, k], summand)
        return total

    checked = inner(samples.check_points)
    low, high = float(checked.min()), float(checked.max())
    order = np.argsort(checked)
    height = 2 * (checked[order] - low) / (high - low) - 1
    # Values with the same z agree where the target is a function of z alone.
    count = max(1, len(order) // 1500)
    cut = len(order) // count * count
    shape = (-1, count)
    nodes = height[:cut].reshape(shape).mean(1)
    means = samples.check_values[order][:cut].reshape(shape).mean(1)
    spread = np.abs(np.interp(height, nodes, means) - samples.check_values[order])
    if np.median(spread) > 0.02:
        return None
    outer = sample(
        lambda where: np.interp(where[:, 0], nodes, means),
        Box((-1.0,), (1.0,)),
        tolerance=max(samples.tolerance, 1e-4),
    )
    # The correction of the whole network does better than the outer fit alone.
    found = search(
        Structure("outer function", np.eye(1), profiles=(outer(PROFILE[:, None]),)),
        outer,
        fewer_than=30,
        deadline=time.monotonic() + 0.5,
    )
    if found is None or found.error > 0.2:
        return None
    size = samples.grid_values.size
    z = 2 * (inner(samples.points[:size]) - low) / (high - low) - 1
    units = []
    for knot, steepness, weight in zip(
        found.draft.knots, found.draft.steepness, found.draft.output, strict=True
    ):
        wanted = steepness * (z - knot)
        importance = np.exp(-np.abs(wanted) / 2) + 0.03
        role = f"outer function of A + B over {name}"
        units.append(Unit(wanted, importance, float(weight) * outer.scale, role))
    constant = outer.center + outer.scale * found.draft.constant
    return Structure(f"a function of a sum over {name}", directions, tuple(units), constant)


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
            product = _outer(best_rank_one(values.reshape(grid.shape))).ravel()
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
    more, left = _shifted(mixed, samples.tolerance)
    units += more
    if not units or len(units) >= MOST_TERMS:
        return None
    if np.abs(mixed).max() > 0:
        directions += [np.eye(dimension)[k] for k in _varying(mixed)]
    constant = -samples.center / samples.scale
    structure = _with_linear_part(
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


def shifted_products(samples: Samples) -> Structure | None:
    """Return one exponential neuron a term, every factor shifted above zero, and a linear one.

    The terms are the best rank-one parts of what is not additive, one after the other; shifting
    leaves lower products behind, which are taken in turn, and a sum of functions of single
    variables at the end.
    """
    units, additive = _shifted(samples.grid_values, samples.tolerance)
    if not units or len(units) >= MOST_TERMS:
        return None
    return _with_linear_part(samples, "shifted products", units, additive.ravel())


def _shifted(rest: Floats, tolerance: float) -> tuple[list[Unit], Floats]:
    """Split a grid into shifted products, those of most variables first, and an additive part."""
    units: list[Unit] = []
    dimension = rest.ndim
    for many in range(dimension, 1, -1):
        for chosen in itertools.combinations(range(dimension), many):
            while len(units) < MOST_TERMS:
                left = pure_interaction(rest, chosen)
                if np.abs(left).max() <= 0.6 * tolerance:
                    break
                factors = best_rank_one(left)
                product = np.ones(rest.shape)
                for place, (axis, factor) in enumerate(zip(chosen, factors, strict=True)):
                    top = float(np.abs(factor).max())
                    shifted = factor / top
                    if shifted.min() < 0:
                        shifted = shifted + 1.4 * -float(shifted.min()) + 0.1
                    product = product * _along(shifted, axis, rest.shape) * top
                    factors[place] = factor
                names = [np.ones(2)] * dimension
                for axis, factor in zip(chosen, factors, strict=True):
                    names[axis] = factor
                role = f"shifted product {len(units) + 1}: {_factor_names(names)}"
                units.append(exponential_unit(product.ravel(), role=role))
                rest = rest - product
    return units, rest - interaction(rest)


def pure_interaction(values: Floats, chosen: tuple[int, ...]) -> Floats:
    """Return the analysis-of-variance part of a grid that belongs to exactly the chosen axes."""
    others = tuple(k for k in range(values.ndim) if k not in chosen)
    part = values.mean(axis=others) if others else values
    for axis in range(part.ndim):
        part = part - part.mean(axis=axis, keepdims=True)
    return part


def hyperbolic_products(samples: Samples) -> Structure | None:
    """Return exponential neurons in pairs for factors with both signs: ``2 v sinh A``."""
    grid = samples.grid_values
    natural = grid + samples.center / samples.scale
    units: list[Unit] = []
    additive = np.zeros_like(grid)
    # Taken as it is, or without its additive part: whichever has fewer terms.
    ranks = []
    for start in (natural, interaction(grid)):
        left, terms = start.copy(), []
        while np.abs(left).max() > 0.7 * samples.tolerance and len(terms) < 3:
            terms.append(best_rank_one(left))
            left = left - _outer(terms[-1])
        ranks.append((len(terms) if np.abs(left).max() < 0.7 * samples.tolerance else 9, terms))
    count, terms = min(ranks, key=lambda one: one[0])
    if count > 2:
        return None
    centered = terms is ranks[1][1] and ranks[1][0] < ranks[0][0]
    if centered:
        additive = grid - interaction(grid)
    constant = 0.0 if centered else -samples.center / samples.scale
    for factors in terms:
        signed = [
            k
            for k, factor in enumerate(factors)
            if factor.min() < -0.01 * factor.max() and factor.max() > -0.01 * factor.min()
        ]
        role = f"product of {_factor_names(factors)}"
        if not signed:
            units.append(exponential_unit(_outer(factors).ravel(), role=role))
            continue
        if len(signed) > 2:
            return None
        shape = grid.shape
        spread = [
            _along(np.abs(f) if k not in signed else f, k, shape) for k, f in enumerate(factors)
        ]
        sign = np.prod([1.0 if k in signed or f.max() > 0 else -1.0 for k, f in enumerate(factors)])
        first = signed[0]
        positive = np.ones(shape)
        for k in range(len(factors)):
            if k != first:
                extra = 0.0
                if k in signed:
                    if len(factors) > 2:
                        return None
                    extra = 1.4 * float(np.abs(factors[k]).max())
                    additive = additive - sign * extra * spread[first]
                positive = positive * (spread[k] + extra)
        units += hyperbolic_units(sign * spread[first].ravel(), positive.ravel(), role=role)
    return _with_linear_part(samples, "hyperbolic products", units, additive.ravel(), constant)


def _with_linear_part(
    samples: Samples, name: str, units: list[Unit], additive: Floats, constant: float = 0.0
) -> Structure:
    middle = float(additive.max() + additive.min()) / 2
    if np.abs(additive - middle).max() > 0.2 * samples.tolerance:
        unit, offset = linear_unit(additive - middle, role="sum of functions of single variables")
        units = [*units, unit]
        constant += offset
    return Structure(name, np.eye(samples.box.dimension), tuple(units), constant + middle)


def interaction(values: Floats) -> Floats:
    """Subtract from a grid the best sum of functions of single variables (its additive part)."""
    total = float(values.mean())
    additive = np.full(values.shape, total)
    for axis in range(values.ndim):
        others = tuple(k for k in range(values.ndim) if k != axis)
        additive = additive + _along(values.mean(axis=others) - total, axis, values.shape)
    return values - additive


def best_rank_one(values: Floats, *, iterations: int = 40) -> list[Floats]:
    """Return vectors whose outer product is closest to a grid, one per axis.

    Two axes: the leading singular pair (Eckart and Young 1936). More: the higher-order power
    iteration (De Lathauwer, De Moor, Vandewalle 2000) from the best of a few slices.
    """
    if values.ndim == 2:
        left, singular, right = np.linalg.svd(values, full_matrices=False)
        root = np.sqrt(singular[0])
        return [left[:, 0] * root, right[0] * root]
    factors = []
    for axis in range(values.ndim):
        unfolded = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        factors.append(np.linalg.svd(unfolded, full_matrices=False)[0][:, 0])
    size = 0.0
    for _ in range(iterations):
        for axis in range(values.ndim):
            part = values
            for other in reversed(range(values.ndim)):
                if other != axis:
                    part = np.tensordot(part, factors[other], axes=(other, 0))
            size = float(np.linalg.norm(part))
            if size == 0:
                return [np.zeros(n) for n in values.shape]
            factors[axis] = part / size
    factors[0] = factors[0] * size
    return factors


def _outer(factors: list[Floats]) -> Floats:
    product = factors[0]
    for factor in factors[1:]:
        product = np.multiply.outer(product, factor)
    return product


def _along(values: Floats, axis: int, shape: tuple[int, ...]) -> Floats:
    view = [1] * len(shape)
    view[axis] = len(values)
    return np.broadcast_to(values.reshape(view), shape)


def _factor_names(factors: list[Floats]) -> str:
    names = []
    for letter, variable, factor in zip("uvwr", "xyzt", factors, strict=False):
        if np.ptp(factor) > 1e-6 * np.abs(factor).max():
            names.append(f"{letter}({variable})")
    return " ".join(names)
