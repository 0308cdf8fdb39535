"""Low-rank structures: a grid of values as shifted or hyperbolic products and an additive part."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from .exchange import Samples
from .fewest_neurons import Structure
from .products import Unit, exponential_unit, hyperbolic_units, linear_unit

Floats = NDArray[np.float64]
MOST_TERMS = 10
"""Second-layer neurons of one kind at most; where more are needed the scheme does not pay."""


def shifted_products(samples: Samples) -> Structure | None:
    """Return one exponential neuron a term, every factor shifted above zero, and a linear one.

    The terms are the best rank-one parts of what is not additive, one after the other; shifting
    leaves lower products behind, which are taken in turn, and a sum of functions of single
    variables at the end.
    """
    units, additive = split_shifted(samples.grid_values, samples.tolerance)
    if not units or len(units) >= MOST_TERMS:
        return None
    return with_linear_part(samples, "shifted products", units, additive.ravel())


def split_shifted(rest: Floats, tolerance: float) -> tuple[list[Unit], Floats]:
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
                    product = product * broadcast_along(shifted, axis, rest.shape) * top
                    factors[place] = factor
                names = [np.ones(2)] * dimension
                for axis, factor in zip(chosen, factors, strict=True):
                    names[axis] = factor
                role = f"shifted product {len(units) + 1}: {factor_names(names)}"
                units.append(exponential_unit(product.ravel(), role=role))
                rest = rest - product
    return units, rest - interaction(rest)


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
            left = left - outer(terms[-1])
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
        role = f"product of {factor_names(factors)}"
        if not signed:
            units.append(exponential_unit(outer(factors).ravel(), role=role))
            continue
        if len(signed) > 2:
            return None
        shape = grid.shape
        spread = [
            broadcast_along(np.abs(f) if k not in signed else f, k, shape)
            for k, f in enumerate(factors)
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
    return with_linear_part(samples, "hyperbolic products", units, additive.ravel(), constant)


def with_linear_part(
    samples: Samples, name: str, units: list[Unit], additive: Floats, constant: float = 0.0
) -> Structure:
    """Return the structure of units and, where it counts, a linear neuron for an additive part."""
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
        additive = additive + broadcast_along(values.mean(axis=others) - total, axis, values.shape)
    return values - additive


def pure_interaction(values: Floats, chosen: tuple[int, ...]) -> Floats:
    """Return the analysis-of-variance part of a grid that belongs to exactly the chosen axes."""
    others = tuple(k for k in range(values.ndim) if k not in chosen)
    part = values.mean(axis=others) if others else values
    for axis in range(part.ndim):
        part = part - part.mean(axis=axis, keepdims=True)
    return part


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


def outer(factors: list[Floats]) -> Floats:
    """Return the outer product of vectors, one axis each."""
    product = factors[0]
    for factor in factors[1:]:
        product = np.multiply.outer(product, factor)
    return product


def broadcast_along(values: Floats, axis: int, shape: tuple[int, ...]) -> Floats:
    """Return a vector as a grid that varies along one axis only."""
    view = [1] * len(shape)
    view[axis] = len(values)
    return np.broadcast_to(values.reshape(view), shape)


def factor_names(factors: list[Floats]) -> str:
    """Name the factors that vary, such as ``u(x) v(y)``."""
    names = []
    for letter, variable, factor in zip("uvwr", "xyzt", factors, strict=False):
        if np.ptp(factor) > 1e-6 * np.abs(factor).max():
            names.append(f"{letter}({variable})")
    return " ".join(names)
