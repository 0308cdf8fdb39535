"""Construction D: a function of one variable by overlapping sigmoids, few and certified later."""

from __future__ import annotations

import math

import numpy as np

from ..box import Box
from ..network import SigmoidNetwork
from . import Construction, NotApplicable, OverBudget
from .exchange import Function, Samples, sample
from .fewest_neurons import MET, PROFILE, Found, Structure, search
from .work_budget import WorkBudget

DEFAULT_NEURONS = 400
DEFAULT_SECONDS = 60.0
LINE_WORK = 2.0
"""Work for one variable: about two seconds, where the first tenth usually does."""
DEFAULT_WORK = 10.0
"""Work for two variables and more."""


def spectral(
    target: Function,
    box: Box,
    *,
    tolerance: float,
    max_neurons: int = DEFAULT_NEURONS,
    max_work: float = LINE_WORK,
    max_seconds: float = DEFAULT_SECONDS,
    free: bool = True,
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
        max_work: Work for the search, in units of about one second on one thread; counted, not
            timed, so that the same input gives the same network.
        max_seconds: Hard stop by the clock; where it strikes, the result depends on the machine,
            ``details["stopped_by_clock"]`` is True and the remark says so.
        free: Whether knots may leave their rule where that saves sigmoids. False: they stay where
            the rule puts them, with the three fitted numbers.

    Returns:
        The smallest network found within the tolerance; the best found where none is, with the
        remark saying so.

    Raises:
        NotApplicable: More than one variable, or values that are not finite.
    """
    if box.dimension != 1:
        raise NotApplicable("the spectral scheme needs one variable")
    budget = WorkBudget(max_work, max_seconds=max_seconds)
    samples = sample(target, box, tolerance=tolerance)
    flat = constant_network(samples, "spectral")
    if flat is not None:
        return flat
    structure = Structure("sigmoids in x", np.eye(1), profiles=(samples(PROFILE[:, None]),))
    found = search(structure, samples, fewer_than=max_neurons + 1, budget=budget, free=free)
    if found is None and budget.exhausted:
        raise NotApplicable(out_of_budget(budget))
    if found is None:
        raise OverBudget(f"max_neurons={max_neurons} leaves no room for a single sigmoid")
    return finish(found, samples, "spectral", budget)


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


def out_of_budget(budget: WorkBudget) -> str:
    """Say what ended a search that found nothing."""
    if budget.stopped_by_clock:
        return "the clock stopped the search before it found anything; use a larger max_seconds"
    return f"max_work={budget.units:g} was spent before anything was found"


def finish(found: Found, samples: Samples, scheme: str, budget: WorkBudget) -> Construction:
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
    met = math.isfinite(measured) and measured <= MET * wanted
    reached = ""
    if not met:
        reached = f"; the tolerance {wanted:g} was not reached"
        if measured <= wanted:
            reached = f"; too close to the tolerance {wanted:g} to be certified safely"
    if budget.stopped_by_clock:
        reached += "; stopped by the clock, so the result depends on the machine"
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
            "met": bool(met),
            "work": budget.spent,
            "stopped_by_clock": budget.stopped_by_clock,
        },
    )
