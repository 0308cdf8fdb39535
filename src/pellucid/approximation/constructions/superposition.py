"""Functions of a sum, ``g(A(x) + B(y) + ...)``: how they are recognized and written down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..box import Box
from .exchange import Samples, sample
from .fewest_neurons import PROFILE, Structure, search
from .products import Unit
from .ridge import gradients
from .work_budget import WorkBudget

Floats = NDArray[np.float64]


def superposition(
    samples: Samples, frame: tuple[str, Floats], budget: WorkBudget
) -> Structure | None:
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
        budget=budget.share(0.06),
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
