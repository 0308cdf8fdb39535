"""Construction F: sums of few functions of linear forms, in one hidden layer."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import NDArray

from ..box import Box
from . import Construction, NotApplicable
from .exchange import Function, Samples, sample
from .fewest_neurons import MET, PROFILE, Found, Structure, search_sum
from .sigmoid_basis import fit_damped
from .spectral import (
    DEFAULT_NEURONS,
    DEFAULT_SECONDS,
    DEFAULT_WORK,
    constant_network,
    finish,
    out_of_budget,
)
from .work_budget import WorkBudget

Floats = NDArray[np.float64]
SIMPLE_DIRECTIONS = (
    (1.0, 1.0),
    (1.0, -1.0),
    (1.0, 0.0),
    (0.0, 1.0),
    (1.0, 2.0),
    (1.0, -2.0),
    (2.0, 1.0),
    (2.0, -1.0),
)


def ridge(
    target: Function,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = DEFAULT_NEURONS,
    max_work: float = DEFAULT_WORK,
    max_seconds: float = DEFAULT_SECONDS,
    free: bool = True,
) -> Construction:
    """Approximate ``g_1(a_1·x) + ... + g_K(a_K·x)`` with one hidden layer.

    The directions a_k are found from values alone (see :func:`ridge_structures`); along each of
    them stands a dictionary as in :func:`~.spectral.spectral`, and one minimax problem fits them
    all.

    Args:
        target: (n, d) points to (n,) values.
        box: Two or more variables (one also works).
        tolerance: Sup error that is asked for.
        max_neurons: Most hidden neurons.
        max_work: Work for the search, in units of about one second on one thread; counted, not
            timed, so that the same input gives the same network.
        max_seconds: Hard stop by the clock; where it strikes, the result depends on the machine,
            ``details["stopped_by_clock"]`` is True and the remark says so.
        free: Whether knots may leave their rule where that saves sigmoids. False: they stay where
            the rule puts them, with the three fitted numbers for each direction.

    Returns:
        The smallest network found.

    Raises:
        NotApplicable: No directions were found that explain the target.
    """
    budget = WorkBudget(max_work, max_seconds=max_seconds)
    samples = sample(target, box, tolerance=tolerance)
    flat = constant_network(samples, "ridge")
    if flat is not None:
        return flat
    best: Found | None = None
    for structure, parts in ridge_structures(samples):
        limit = max_neurons + 1 if best is None else min(max_neurons + 1, best.draft.neurons)
        found = search_sum(structure, parts, samples, fewer_than=limit, budget=budget, free=free)
        if found is not None and (best is None or better(found, best, samples.tolerance)):
            best = found
    if best is None and budget.exhausted:
        raise NotApplicable(out_of_budget(budget))
    if best is None or best.error > 50 * samples.tolerance:
        raise NotApplicable("no few directions were found along which the target varies")
    return finish(best, samples, "ridge", budget)


def better(found: Found, best: Found, tolerance: float) -> bool:
    """Say whether a found network beats the best so far: within the tolerance, then smaller."""
    enough = MET * tolerance
    if (found.error <= enough) != (best.error <= enough):
        return found.error <= enough
    if found.error <= enough:
        return (found.draft.neurons, found.error) < (best.draft.neurons, best.error)
    return found.error < best.error


def ridge_structures(samples: Samples) -> list[tuple[Structure, list[Function]]]:
    """Return sets of directions along which the target may be a sum, and the summands.

    One direction: all gradients are parallel. The axes: the mixed differences vanish. Two or three
    directions in the plane: a homogeneous differential equation with constant coefficients holds,
    whose characteristic polynomial has the normals of the directions as roots (the operators
    ``a_k^perp · grad`` annihilate one summand each); its coefficients are the null vector of the
    matrix of second or third derivatives.
    """
    dimension = samples.box.dimension
    single = single_direction(samples)
    if single is not None:
        return [(Structure("one direction", single[None]), [_on_line(samples, np.sign(single))])]
    scale = float(np.abs(samples.values).max())
    if additive_defect(samples) < max(0.5 * samples.tolerance, 1e-9 * scale):
        used, parts = [], []
        for axis in np.eye(dimension):
            part = _on_line(samples, axis)
            if np.ptp(part(PROFILE[:, None])) > 0.02 * samples.tolerance:
                used.append(axis)
                parts.append(part)
        return [(Structure("a sum over the variables", np.array(used)), parts)]
    for count in (2, 3) if dimension == 2 else ():
        directions = plane_directions(samples, count)
        if directions is not None:
            return [(Structure(f"{count} directions", directions), _split(samples, directions))]
    return []


def _on_line(samples: Samples, direction: Floats) -> Function:
    """Return the target on the line through the middle of the box, (n, 1) to (n,)."""
    return lambda where: samples(where * direction)


def _series(series: Floats, where: Floats) -> Floats:
    return np.asarray(np.polynomial.chebyshev.chebval(where[:, 0], series), dtype=np.float64)


def _split(samples: Samples, directions: Floats, *, degree: int = 40) -> list[Function]:
    """Return the summands of a smooth sum over given directions, by a polynomial fit of all."""
    points = samples.check_points[:: 1 + len(samples.check_points) // 5000]
    values = samples.check_values[:: 1 + len(samples.check_values) // 5000]
    chebyshev = np.polynomial.chebyshev
    blocks = [chebyshev.chebvander(points @ row, degree)[:, 1:] for row in directions]
    weights = fit_damped(np.hstack([np.ones((len(points), 1)), *blocks]), values, damping=1e-13)
    parts: list[Function] = []
    for part in weights[1:].reshape(len(directions), degree):
        series = np.concatenate([[0.0], part])
        parts.append(functools.partial(_series, series))
    return parts


def gradients(samples: Samples, *, step: float = 1e-5) -> tuple[Floats, Floats]:
    """Return inner points and central differences there, both (n, d), in the scaled box."""
    generator = np.random.default_rng(0)
    dimension = samples.box.dimension
    points = generator.uniform(-0.98, 0.98, (300, dimension))
    columns = []
    for axis in range(dimension):
        shift = np.zeros(dimension)
        shift[axis] = step
        columns.append((samples(points + shift) - samples(points - shift)) / (2 * step))
    return points, np.stack(columns, axis=1)


def single_direction(samples: Samples) -> Floats | None:
    """Return a with target = g(a·x), the sum of ``|a_i|`` being 1, or ``None``."""
    _, slopes = gradients(samples)
    sizes = np.linalg.norm(slopes, axis=1)
    if not np.isfinite(sizes).all() or sizes.max() == 0:
        return None
    strong = slopes[sizes > 1e-3 * sizes.max()]
    normal = strong / np.linalg.norm(strong, axis=1, keepdims=True)
    direction = np.linalg.svd(normal, full_matrices=False)[2][0]
    aligned = np.abs(normal @ direction)
    # A difference across a kink may point elsewhere; few can, as the step is small.
    if np.mean(aligned > 1 - 1e-6) < 0.98:
        return None
    direction = np.where(np.abs(direction) < 1e-5, 0.0, direction)
    direction = direction / np.abs(direction).sum()
    direction *= np.sign(direction[np.argmax(np.abs(direction))])
    profile = samples(np.sign(direction) * PROFILE[:, None])
    keep = samples.points[:: 1 + len(samples.points) // 2000]
    guess = np.interp(keep @ direction, PROFILE, profile)
    gap = np.abs(guess - samples(keep))
    return direction if float(np.median(gap)) < 0.02 else None


def additive_defect(samples: Samples) -> float:
    """Return the largest ``|f(x) - sum_i f(x_i, 0) + (d - 1) f(0)|`` over the check points."""
    points = samples.check_points[:: 1 + len(samples.check_points) // 4000]
    dimension = points.shape[1]
    origin = float(samples(np.zeros((1, dimension)))[0])
    total = samples(points) + (dimension - 1) * origin
    for axis in range(dimension):
        on_axis = np.zeros_like(points)
        on_axis[:, axis] = points[:, axis]
        total = total - samples(on_axis)
    return float(np.abs(total).max())


def plane_directions(samples: Samples, count: int) -> Floats | None:
    """Return ``count`` directions (count, 2) whose ridge functions may add up to the target."""
    derivatives = chebyshev_derivatives(samples.grid_values, count)
    if derivatives is None:
        return None
    system = np.stack([one.ravel() for one in derivatives], axis=1)
    # Polynomials obey several such equations: the simplest directions that do are taken.
    for rows in itertools.combinations(SIMPLE_DIRECTIONS, count):
        product = np.ones(1)
        for p, q in rows:
            product = np.convolve(product, [q, -p])
        defect = np.abs(system @ (product / np.abs(product).max())).max()
        if defect < 1e-8 * np.abs(system).max():
            directions = np.array(rows)
            return directions / np.abs(directions).sum(axis=1, keepdims=True)
    singular, right = np.linalg.svd(system, full_matrices=False)[1:]
    if singular[-1] > 1e-4 * singular[0] or singular[-2] < 1e-6 * singular[0]:
        return None
    # sum_j c_j d^count f/dx^(count-j) dy^j = 0; a ridge along (p, q) needs sum_j c_j p^.. q^j = 0.
    coefficients = right[-1]
    tiny = 1e-6 * np.abs(coefficients).max()
    coefficients = np.where(np.abs(coefficients) < tiny, 0.0, coefficients)
    roots = []
    polynomial = coefficients[::-1]
    missing = int(np.argmax(np.abs(polynomial) > 0))
    roots += [(0.0, 1.0)] * missing
    for root in np.roots(polynomial):
        if abs(root.imag) > 1e-4 * max(1.0, abs(root)):
            return None
        roots.append((1.0, float(root.real)))
    directions = np.array(roots)
    if len(directions) != count:
        return None
    directions[np.abs(directions) < 1e-7] = 0.0
    directions /= np.abs(directions).sum(axis=1, keepdims=True)
    gaps = np.abs(directions[:, None] - directions[None]).sum(-1) + np.eye(count)
    return directions if gaps.min() > 1e-2 else None


def chebyshev_derivatives(values: Floats, order: int) -> list[Floats] | None:
    """Return all mixed derivatives of one order of the Chebyshev interpolant, x-most first.

    Args:
        values: On the Chebyshev grid, shape (m_1, m_2).
        order: Total order.

    Returns:
        ``order + 1`` arrays on a coarse inner grid; ``None`` where the coefficients do not decay
        (a kink, or too few points), as derivatives would mean nothing.
    """
    coefficients = values
    for axis, count in enumerate(values.shape):
        points = -np.cos(np.pi * np.arange(count) / (count - 1))
        inverse = np.linalg.inv(np.polynomial.chebyshev.chebvander(points, count - 1))
        coefficients = np.moveaxis(np.tensordot(inverse, coefficients, axes=(1, axis)), 0, axis)
    largest = np.abs(coefficients).max()
    tail = max(np.abs(coefficients[-3:]).max(), np.abs(coefficients[:, -3:]).max())
    if tail > 1e-6 * largest:
        return None
    inner = np.linspace(-0.9, 0.9, 13)
    results = []
    for second in range(order + 1):
        part = np.polynomial.chebyshev.chebder(coefficients, order - second, axis=0)
        part = np.polynomial.chebyshev.chebder(part, second, axis=1)
        results.append(np.polynomial.chebyshev.chebgrid2d(inner, inner, part))
    return results
