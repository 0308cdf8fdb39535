"""Construction E: sums of products of functions of single variables, in two hidden layers."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ..box import Box
from . import Construction, NotApplicable
from .exchange import Function, Samples, sample
from .fewest_neurons import Found, Structure, search
from .products import Unit, exponential_unit, hyperbolic_units, linear_unit
from .ridge import better
from .sigmoid_basis import dictionary, uniform_knots
from .spectral import DEFAULT_NEURONS, DEFAULT_SECONDS, constant_network, finish

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
    structures = separable_structures(samples)
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


def separable_structures(samples: Samples) -> list[Structure]:
    """Return the structures to try, those with the fewest second-layer neurons first."""
    structures = []
    for frame in frames(samples.box.dimension):
        single = log_additive(samples, frame)
        if single is not None:
            structures.append(single)
    for build in (shifted_products, hyperbolic_products):
        structure = build(samples)
        if structure is not None:
            structures.append(structure)
    structures.sort(key=lambda one: len(one.units))
    return structures


def frames(dimension: int) -> list[tuple[str, Floats]]:
    """Return coordinate systems in which a product is looked for: the axes and, in the plane, the
    diagonals (``xy`` is additive along ``x + y`` and ``x - y``).
    """
    found = [("x, y, z, t"[: 3 * dimension - 2], np.eye(dimension))]
    if dimension == 2:
        found.append(("the diagonals", np.array([[0.5, 0.5], [0.5, -0.5]])))
    return found


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
        weights = np.linalg.lstsq(system, unit.wanted * unit.importance, rcond=1e-7)[0]
        with np.errstate(over="ignore"):
            got = unit.output * np.exp(np.minimum(stacked @ weights, 5.0)) + offset
        error = float(np.abs(got - values).max())
        if best is None or error < 0.8 * best[0]:
            best = (error, unit, offset)
    if best is None or best[0] > max(40 * samples.tolerance, 0.02) or best[0] > 0.3:
        return None
    return Structure(f"one product over {name}", directions, (best[1],), best[2])


def shifted_products(samples: Samples) -> Structure | None:
    """Return one exponential neuron a term, every factor shifted above zero, and a linear one.

    The terms are the best rank-one parts of what is not additive, one after the other; shifting
    leaves lower products behind, which are taken in turn, and a sum of functions of single
    variables at the end.
    """
    grid = samples.grid_values
    rest = grid.copy()
    units: list[Unit] = []
    left = interaction(rest)
    while np.abs(left).max() > 0.7 * samples.tolerance and len(units) < MOST_TERMS:
        factors = best_rank_one(left)
        product = np.ones(1)
        sign = 1.0
        for factor in factors:
            top = float(np.abs(factor).max())
            factor = factor / top
            sign *= top
            if factor.min() < 0:
                factor = factor + 1.4 * -float(factor.min()) + 0.1
            product = np.multiply.outer(product, factor)
        product = sign * product[0]
        role = f"product {len(units) + 1}: {_factor_names(factors)}"
        units.append(exponential_unit(product.ravel(), role=role))
        rest = rest - product
        left = interaction(rest)
    if not units or len(units) >= MOST_TERMS:
        return None
    return _with_linear_part(samples, "shifted products", units, (rest - left).ravel())


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
