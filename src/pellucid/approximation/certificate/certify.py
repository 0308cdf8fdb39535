"""Proving how far a network is from its target, at most, anywhere on a box."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from pellucid._checks import check_choice, check_integer, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import samples as pac
from pellucid.approximation.certificate.branch_and_bound import Proof, bound_error
from pellucid.approximation.certificate.certificate import Certificate, program_versions
from pellucid.approximation.certificate.problem import (
    Problem,
    kind_of,
    make_problem,
    target_content,
)
from pellucid.approximation.certificate.rounding import SIGMOID_ULPS, rounding_bound
from pellucid.approximation.certificate.taylor_models import Floats
from pellucid.approximation.certificate.worst_point import worst_point
from pellucid.approximation.network import SigmoidNetwork

# A bound is written this much above what was proved, so that it can be proved again.
MARGIN = 1e-9
TIGHTNESS = 1.03
_PROBES = 6_000
# So many boxes may be spent on a bound that is closer than was asked for.
_CHEAP_BOXES = 1_500
# The part of the box that a bound may leave out around jumps.
_PART_ASIDE = 0.03


def certify(
    network: SigmoidNetwork,
    target: Any,
    box: Box,
    *,
    tolerance: float | None = None,
    seed: int = 0,
    max_seconds: float = 60.0,
    max_boxes: int = 300_000,
    arithmetic: Literal["balls", "intervals"] = "balls",
    samples: int = 100_000,
    delta: float = 1e-6,
    quiet: bool = True,
) -> Certificate:
    """Bound ``|target - network|`` on a box, evaluation in float64 included.

    With a tolerance the proof stops once the bound is below it, and comes closer to the true
    error only where that is nearly free. Without one the bound is within a few percent of it.

    Args:
        network: The network.
        target: An ``Expression`` or a target of ``pellucid.approximation.targets``.
        box: Where.
        tolerance: What the bound is wanted to be at most.
        seed: For the points of a search that chooses what to prove first, and for samples.
        max_seconds: Stop then, with the best bound so far.
        max_boxes: Enclose at most about this many boxes.
        arithmetic: ``"balls"`` proves every box again in arb; ``"intervals"`` stays with float64
            and rounding errors in the remainders, sound too, and ten times faster.
        samples: How many points a black box is asked for.
        delta: Probability with which the statement about a black box may fail.
        quiet: Show no progress.

    Returns:
        A certificate, also where the tolerance is out of reach: then the best bound.

    Raises:
        UsageError: Arguments that do not fit.
    """
    begin = time.monotonic()
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance, low=0.0, open_low=True)
    check_choice("arithmetic", arithmetic, ("balls", "intervals"))
    check_integer("samples", samples, low=1)
    check_number("delta", delta, low=0.0, high=1.0, open_low=True, open_high=True)
    problem = make_problem(network, target, box)
    rounding, rounding32 = rounding_bound(network, box)
    details: dict[str, Any] = {
        "hidden_neurons": network.hidden_neurons,
        "rounding_float32": rounding32,
        "sigmoid_ulps": SIGMOID_ULPS,
    }

    def finish(bound: float, status: Any, method: Any, excluded: float = 0.0) -> Certificate:
        return Certificate(
            target=target_content(target),
            box=box,
            network_digest=network.digest,
            tolerance=tolerance,
            bound=bound,
            status=status,
            method=method,
            rounding=rounding,
            excluded_measure=excluded,
            details=details,
            versions=program_versions(),
            seconds=time.monotonic() - begin,
        )

    if problem.enclosure is None:
        seen = pac.sampled_bound(network, target, box, samples=samples, seed=seed)
        measure = pac.measure_of_worse(samples, delta)
        details |= {"samples": samples, "seed": seed, "delta": delta, "measure": measure}
        return finish(seen, "pac", "samples", measure * box.volume)
    limit = math.inf if tolerance is None else tolerance * (1 - 3 * MARGIN) - rounding
    by_cells = cells_bound(network, target, box)
    if by_cells is not None and (by_cells <= limit or network.hidden_neurons > 500):
        details["arithmetic"] = "intervals"
        return finish(with_rounding(by_cells, rounding), problem.status, "cells")
    proof = _prove(
        problem,
        limit=None if tolerance is None else limit,
        floor=1e-2 * rounding,
        seed=seed,
        max_boxes=max_boxes,
        deadline=begin + max_seconds,
        thorough=arithmetic == "balls",
        quiet=quiet,
    )
    bound, excluded, status = proof.bound, proof.excluded_measure, problem.status
    details |= {"boxes": len(proof.lower), "boxes_enclosed": proof.evaluated, "seen": proof.seen}
    details["arithmetic"] = "intervals"
    if problem.reduced is not None:
        details["linear_form"] = list(problem.reduced)
    if excluded:
        excluded, status = min(1.01 * excluded, box.volume), "heuristic"
    elif arithmetic == "balls" and problem.status == "proved" and math.isfinite(bound):
        left = max(1.0, max_seconds - (time.monotonic() - begin))
        balls = prove_in_balls(problem, proof, bound, max_seconds=left, quiet=quiet)
        if balls is not None:
            bound, details["arithmetic"] = balls, "balls"
    if by_cells is not None and by_cells < bound and not excluded:
        return finish(with_rounding(by_cells, rounding), problem.status, "cells")
    return finish(with_rounding(bound, rounding), status, "branch and bound", excluded)


def _prove(
    problem: Problem,
    *,
    limit: float | None,
    floor: float,
    seed: int,
    max_boxes: int,
    deadline: float,
    thorough: bool,
    quiet: bool,
) -> Proof:
    """Choose what to prove: close to the true error where that is cheap, else the limit."""
    assert problem.enclosure is not None
    errors, likely = _likely_errors(problem, seed)
    tight = max(TIGHTNESS * likely, floor, 1e-300)

    def prove(goal: float, boxes: int, may_jump: bool = False) -> Proof:
        assert problem.enclosure is not None
        return bound_error(
            problem.enclosure,
            problem.box,
            target=goal,
            tightness=TIGHTNESS,
            size=problem.size,
            start=problem.start,
            may_jump=may_jump,
            max_boxes=boxes,
            max_seconds=max(0.1, deadline - time.monotonic()),
            quiet=quiet,
        )

    if limit is None:
        return prove(tight, max_boxes)
    if limit <= 0 or tight > limit:
        if not problem.may_jump:
            return prove(max(tight, limit), max_boxes)
        # No bound everywhere is of use: the least one outside a small part of the box.
        goal = max(limit, TIGHTNESS * float(np.quantile(errors, 1 - _PART_ASIDE)))
        proof = prove(goal, max_boxes, may_jump=True)
        return replace(proof, bound=goal) if proof.excluded_measure else proof
    if thorough:
        start = 0 if problem.start is None else len(problem.start[0])
        proof = prove(max(tight, 1e-3 * limit), _CHEAP_BOXES + start)
    else:
        proof = prove(min(limit, max(tight, 0.5 * limit)), max_boxes)
    return proof if proof.bound <= limit else prove(limit, max_boxes)


def with_rounding(bound: float, rounding: float) -> float:
    """Return what is written: a proved bound, the rounding of evaluation, and a margin."""
    return (bound + rounding) * (1 + MARGIN)


def prove_in_balls(
    problem: Problem, proof: Proof, target: float, *, max_seconds: float, quiet: bool = True
) -> float | None:
    """Prove every box again in arb; return the bound, or None where time or proof ends."""
    assert problem.enclosure is not None
    again = bound_error(
        problem.enclosure,
        problem.box,
        target=target * (1 + MARGIN / 4),
        strict=True,
        size=problem.size,
        balls=True,
        start=(proof.lower, proof.upper),
        max_boxes=4 * len(proof.lower) + 1_000,
        max_seconds=max_seconds,
        quiet=quiet,
    )
    return again.bound if again.complete else None


def cells_bound(network: SigmoidNetwork, target: Any, box: Box) -> float | None:
    """Return the bound of the structured check, None where it does not apply."""
    try:
        from pellucid.approximation.certificate import cell_check  # type: ignore[attr-defined]
    except ImportError:
        return None
    if kind_of(target) == "black_box":
        return None
    cells = cell_check.recognize(network)
    return None if cells is None else float(cell_check.bound(cells, target, box))


def _likely_errors(problem: Problem, seed: int) -> tuple[Floats, float]:
    """Return errors at random points, and the largest that a quick search finds.

    They choose what is tried, and prove nothing.
    """
    assert problem.function is not None
    points = problem.box.sample(_PROBES, np.random.default_rng(seed))
    errors = np.abs(problem.function(points) - problem.network(points))
    errors = errors[np.isfinite(errors)]
    _, error = worst_point(
        problem.network, problem.function, problem.box, points=_PROBES, seed=seed, starts=8
    )
    return (errors if len(errors) else np.zeros(1)), max(error, 0.0)
