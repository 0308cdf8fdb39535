"""Construction D: a function of one variable by overlapping sigmoids, few and certified later."""

from __future__ import annotations

import math
import time

import numpy as np

from ..box import Box
from ..network import SigmoidNetwork
from . import Construction, NotApplicable, OverBudget
from .exchange import Function, Samples, sample
from .fewest_neurons import PROFILE, Found, Structure, search

DEFAULT_NEURONS = 400
DEFAULT_SECONDS = 6.0


def spectral(
    target: Function,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = DEFAULT_NEURONS,
    max_seconds: float = DEFAULT_SECONDS,
) -> Construction:
    """Approximate a function of one variable with one hidden layer of few sigmoids.

    The first layer follows a rule (equal distances, or shares of the curvature), with three
    numbers fitted (shift, spread, steepness); where that does not reach the tolerance with n
    sigmoids, their knots move freely, by variable projection. The outer weights minimize the
    largest error on Chebyshev points, to which the worst points in between are added.

    Args:
        target: (n, 1) points to (n,) values.
        box: One interval.
        tolerance: Sup error that is asked for.
        max_neurons: Most hidden neurons.
        max_seconds: Time for the search.

    Returns:
        The smallest network found within the tolerance; the best found where none is, with the
        remark saying so.

    Raises:
        NotApplicable: More than one variable, or values that are not finite.
    """
    if box.dimension != 1:
        raise NotApplicable("the spectral scheme needs one variable")
    deadline = time.monotonic() + max_seconds
    samples = sample(target, box, tolerance=tolerance)
    flat = constant_network(samples, "spectral")
    if flat is not None:
        return flat
    structure = Structure("sigmoids in x", np.eye(1), profiles=(samples(PROFILE[:, None]),))
    found = search(structure, samples, fewer_than=max_neurons + 1, deadline=deadline)
    if found is None:
        raise OverBudget(f"max_neurons={max_neurons} leaves no room for a single sigmoid")
    return finish(found, samples, "spectral")


def constant_network(samples: Samples, scheme: str) -> Construction | None:
    """Return the network without hidden neurons where the range fits into the tolerance."""
    if samples.tolerance < 1 and np.any(samples.check_values != 0):
        return None
    network = SigmoidNetwork(
        (), np.zeros(0), samples.center, scheme=scheme, input_dimension=samples.box.dimension
    )
    half = float(np.abs(samples.check_values).max()) * samples.scale
    return Construction(
        network,
        None,
        "the middle of the range is close enough everywhere; no hidden neuron is needed",
        {"measured_error": half, "structure": "constant"},
    )


def finish(found: Found, samples: Samples, scheme: str) -> Construction:
    """Return a found draft as a construction, in the user's units."""
    network = found.draft.to_network(
        samples.box, center=samples.center, scale=samples.scale, scheme=scheme
    )
    measured = found.error * samples.scale
    wanted = samples.tolerance * samples.scale
    rule = (
        "first-layer knots by rule with three fitted numbers per direction"
        if found.knots == "tied"
        else "first-layer knots started by rule and moved freely"
    )
    reached = "" if measured <= wanted else f"; the tolerance {wanted:g} was not reached"
    layers = " + ".join(str(count) for count in network.neurons_per_layer)
    size = float(np.abs(network.output_weight).max()) if len(network.output_weight) else 0.0
    return Construction(
        network,
        None,
        f"{found.structure.name}: {layers} neurons, {rule}; "
        f"largest error seen {measured:.3g}{reached}",
        {
            "structure": found.structure.name,
            "knots": found.knots,
            "measured_error": measured,
            "largest_output_weight": size,
            "met": bool(measured <= wanted and math.isfinite(measured)),
        },
    )
