"""Proving how far a network is from its target, at most, anywhere on a box."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from pellucid._checks import UsageError, check_choice, check_integer, check_number
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import samples as pac
from pellucid.approximation.certificate.branch_and_bound import Proof, bound_error
from pellucid.approximation.certificate.cell_check import CellBound, check_cells, recognize
from pellucid.approximation.certificate.certificate import (
    Certificate,
    Method,
    Status,
    program_versions,
)
from pellucid.approximation.certificate.interpolation import Floats
from pellucid.approximation.certificate.problem import Problem, make_problem
from pellucid.approximation.certificate.rounding import SIGMOID_ULPS, rounding_bound
from pellucid.approximation.certificate.table_check import nodes_within, table_bound
from pellucid.approximation.certificate.worst_point import worst_point
from pellucid.approximation.enclosures.domains import check_defined
from pellucid.approximation.formula_tree import Expression
from pellucid.approximation.network import SigmoidNetwork
from pellucid.approximation.tables import TableTarget
from pellucid.approximation.targets import CallableTarget, ExpressionTarget, Target

# A bound is written this much above what was proved, so that it can be proved again.
MARGIN = 1e-6
_MOST_WEIGHTS = 20_000_000
_LEAST_BOUND = 1e-280
TIGHTNESS = 1.03
_PROBES = 6_000
# So many boxes may be spent on a bound that is closer than was asked for.
_CHEAP_BOXES = 1_500
# The part of the box that a bound may leave out around jumps.
_PART_ASIDE = 0.03
# Cells are checked as cells; boxes are tried too where the network is no larger than this.
_LARGEST_FOR_BOXES = 500
_MOST_TABLE_VALUES = 2**21

ArithmeticName = Literal["balls", "intervals"]


@dataclass(frozen=True)
class Finding:
    """What one way of proving found; the rounding of evaluation is part of the bound.

    ``rounding`` is that part where the way of proving has an analysis of its own.
    """

    bound: float
    status: Status
    method: Method
    excluded: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
    rounding: float | None = None

    def better(self, other: Finding | None) -> Finding:
        """Return the one that leaves nothing out, and has the smaller bound."""
        if other is None:
            return self
        return min(self, other, key=lambda finding: (finding.excluded > 0, finding.bound))


def certify(
    network: SigmoidNetwork,
    target: Target | Expression,
    box: Box,
    *,
    tolerance: float | None = None,
    seed: int = 0,
    max_seconds: float = 60.0,
    max_boxes: int = 300_000,
    arithmetic: ArithmeticName = "balls",
    samples: int = 100_000,
    delta: float = 1e-6,
    quiet: bool = True,
) -> Certificate:
    """Bound ``|target - network|`` on a box, evaluation of the network in float64 included.

    With a tolerance the proof is content with a bound below it, and comes closer to the true error
    only where that is cheap. Without one the bound is within a few percent of it.

    Args:
        network: The network.
        target: What it approximates. A function with Lipschitz constants is tabulated, and the
            certificate holds the table.
        box: Where.
        tolerance: What the bound is wanted to be at most.
        seed: For the points of a search that chooses what to prove first, and for samples.
        max_seconds: Stop about then, with the best bound so far.
        max_boxes: Enclose at most about this many boxes.
        arithmetic: ``"balls"`` proves every box again in arb; ``"intervals"`` stays with float64
            and rounding errors in the remainders, which is sound too, and five times faster.
        samples: How many points a black box is asked for.
        delta: Probability with which the statement about a black box may fail.
        quiet: Show no progress.

    Returns:
        A certificate, also where the tolerance is out of reach: then the best bound.

    Raises:
        UsageError: Arguments that do not fit, or a formula that is undefined somewhere.
    """
    begin = time.monotonic()
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance, low=0.0, open_low=True)
    seed = check_integer("seed", seed, low=0)
    check_number("max_seconds", max_seconds, low=0.0, open_low=True)
    check_choice("arithmetic", arithmetic, ("balls", "intervals"))
    check_integer("samples", samples, low=1)
    check_number("delta", delta, low=0.0, high=1.0, open_low=True, open_high=True)
    target = usable_target(network, target, box)
    effort = Effort(tolerance, seed, begin + max_seconds, max_boxes, arithmetic, quiet)
    rounding, rounding32 = rounding_bound(network, box)
    if isinstance(target, ExpressionTarget):
        finding = formula_finding(network, target, box, rounding, effort)
    elif isinstance(target, CallableTarget):
        finding, target = _callable_finding(network, target, box, rounding, effort)
    elif isinstance(target, TableTarget):
        finding = table_finding(network, target, box, rounding, effort)
    else:
        measure = pac.measure_of_worse(samples, delta)
        seen = pac.sampled_bound(network, target, box, samples=samples, seed=seed)
        details = {"samples": samples, "seed": seed, "delta": delta, "measure": measure}
        finding = Finding(seen, "pac", "samples", measure * box.volume, details)
        rounding = 0.0  # the samples are evaluated in float64 themselves
    return Certificate(
        target=dict(target.to_json()),
        box=box,
        network_digest=network.digest,
        tolerance=tolerance,
        bound=finding.bound,
        status=finding.status,
        method=finding.method,
        rounding=rounding if finding.rounding is None else finding.rounding,
        excluded_measure=min(finding.excluded, box.volume),
        details={
            "hidden_neurons": network.hidden_neurons,
            "rounding_float32": rounding32,
            "sigmoid_ulps": SIGMOID_ULPS,
            **finding.details,
        },
        versions=program_versions(),
        seconds=time.monotonic() - begin,
    )


@dataclass(frozen=True)
class Effort:
    """What is wanted of a proof, and what it may cost."""

    tolerance: float | None
    seed: int
    deadline: float
    max_boxes: int
    arithmetic: ArithmeticName
    quiet: bool

    @property
    def seconds_left(self) -> float:
        """Time left, never quite none."""
        return max(0.2, self.deadline - time.monotonic())


def usable_target(network: SigmoidNetwork, target: Target | Expression, box: Box) -> Target:
    """Return the target, after checking that it can be compared with the network on the box.

    Raises:
        UsageError: It cannot.
    """
    if not network.input_dimension == target.dimension == box.dimension:
        raise UsageError(
            f"network, target and box must have one dimension, got {network.input_dimension}, "
            f"{target.dimension} and {box.dimension}."
        )
    if isinstance(target, Expression):
        check_defined(target, box)
        return ExpressionTarget(target, box)
    given = target.box
    if not given.contains(np.array([box.lower, box.upper])).all():
        if not isinstance(target, ExpressionTarget):
            raise UsageError(f"box must lie in {given}, where the target is known, got {box}.")
        check_defined(target.expression, box)
        return ExpressionTarget(target.expression, box)
    return target


def with_rounding(bound: float, rounding: float) -> float:
    """Return what is written: a proved bound, the rounding of evaluation, and a margin."""
    return (bound + rounding) * (1 + MARGIN) + _LEAST_BOUND


# --- formulas ----------------------------------------------------------------------------


def formula_finding(
    network: SigmoidNetwork, target: ExpressionTarget, box: Box, rounding: float, effort: Effort
) -> Finding:
    """Bound the error against a formula: cell by cell where there are cells, else by boxes."""
    may_jump = target.expression.continuous is None
    by_cells = cells_finding(network, target, box, effort, exclude=may_jump)
    if by_cells is not None:
        met = effort.tolerance is not None and by_cells.bound <= effort.tolerance
        if (met and not by_cells.excluded) or network.hidden_neurons > _LARGEST_FOR_BOXES:
            return by_cells
    if too_large(network):
        nothing = Finding(math.inf, "proved", "branch and bound", 0.0, {})
        return nothing.better(by_cells)
    problem = make_problem(network, target.expression, box)
    proof = _prove(problem, rounding, effort)
    details: dict[str, Any] = {
        "boxes": len(proof.lower),
        "boxes_enclosed": proof.evaluated,
        "seen": proof.seen,
        "arithmetic": "intervals",
    }
    if problem.reduced is not None:
        details["linear_form"] = list(problem.reduced)
    bound, status = proof.bound, "proved"
    if proof.excluded_measure:
        status = "heuristic"
    elif effort.arithmetic == "balls" and math.isfinite(bound):
        again = prove_in_balls(problem, proof, bound, effort.seconds_left, quiet=effort.quiet)
        if again is not None:
            bound, details["arithmetic"] = again, "balls"
    return Finding(
        with_rounding(bound, rounding),
        status,
        "branch and bound",
        1.01 * proof.excluded_measure,
        details,
    ).better(by_cells)


def too_large(network: SigmoidNetwork) -> bool:
    """Say whether the weights, zeros counted, are too many for proofs box by box."""
    return sum(layer.neurons * layer.inputs for layer in network.hidden) > _MOST_WEIGHTS


def cells_finding(
    network: SigmoidNetwork, target: Target, box: Box, effort: Effort, *, exclude: bool = False
) -> Finding | None:
    """Return what the structured check finds, None where the network is none of cells."""
    cells = recognize(network)
    if cells is None:
        return None

    def check(*, leave_out: bool) -> CellBound:
        return check_cells(
            cells,
            target,
            box,
            tolerance=effort.tolerance,
            arithmetic=effort.arithmetic,
            exclude=leave_out,
        )

    found = check(leave_out=False)
    if exclude and effort.tolerance is not None and found.bound > effort.tolerance:
        found = check(leave_out=True)
    status: Status = "proved" if isinstance(target, ExpressionTarget) else "conditional"
    details = {"cells": found.cells, "cell_bound": found.method, "arithmetic": effort.arithmetic}
    return Finding(
        found.bound * (1 + MARGIN),
        "heuristic" if found.excluded_measure else status,
        "cells",
        found.excluded_measure * (1 + MARGIN),
        details,
        found.rounding,
    )


def _prove(problem: Problem, rounding: float, effort: Effort) -> Proof:
    """Choose what to prove: close to the true error where that is cheap, else the limit."""
    errors, likely = _likely_errors(problem, effort.seed)
    tight = max(TIGHTNESS * likely, 1e-2 * rounding, 1e-300)
    enclosure = problem.enclosure

    def prove(goal: float, boxes: int, *, may_jump: bool = False) -> Proof:
        return bound_error(
            enclosure,
            problem.box,
            target=goal,
            tightness=TIGHTNESS,
            size=problem.size,
            may_jump=may_jump,
            max_boxes=boxes,
            max_seconds=effort.seconds_left,
            quiet=effort.quiet,
        )

    if effort.tolerance is None:
        return prove(tight, effort.max_boxes)
    limit = effort.tolerance * (1 - 3 * MARGIN) - rounding
    if limit <= 0 or tight > limit:
        if not problem.may_jump:
            return prove(max(tight, limit), effort.max_boxes)
        # No bound everywhere is of use: the least one outside a small part of the box.
        goal = max(limit, TIGHTNESS * float(np.quantile(errors, 1 - _PART_ASIDE)))
        proof = prove(goal, effort.max_boxes, may_jump=True)
        # Boxes that were given up are in the bound, not in the measure.
        return replace(proof, bound=goal) if proof.excluded_measure and proof.complete else proof
    if effort.arithmetic == "balls":
        proof = prove(max(tight, 1e-3 * limit), _CHEAP_BOXES)
    else:
        proof = prove(min(limit, max(tight, 0.5 * limit)), effort.max_boxes)
    return proof if proof.bound <= limit else prove(limit, effort.max_boxes)


def prove_in_balls(
    problem: Problem, proof: Proof, target: float, max_seconds: float, *, quiet: bool = True
) -> float | None:
    """Prove every box again in arb; return the bound, or None where time or proof ends."""
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


def _likely_errors(problem: Problem, seed: int) -> tuple[Floats, float]:
    """Return errors at random points, and the largest that a quick search finds.

    They choose what is tried, and prove nothing.
    """
    network, function = problem.network, problem.expression
    points = problem.box.sample(_PROBES, np.random.default_rng(seed))
    errors = np.abs(function(points) - network(points))
    errors = errors[np.isfinite(errors)]
    _, error = worst_point(network, function, problem.box, points=_PROBES, seed=seed, starts=8)
    return (errors if len(errors) else np.zeros(1)), max(error, 0.0)


# --- tables ------------------------------------------------------------------------------


def table_finding(
    network: SigmoidNetwork, table: TableTarget, box: Box, rounding: float, effort: Effort
) -> Finding:
    """Bound the error against all functions that fit a table and its Lipschitz constants."""
    if table.lipschitz is None:
        seen = nodes_within(network, table, box)
        return Finding(seen, "heuristic", "table nodes", box.volume, {"at_nodes": seen})
    by_cells = cells_finding(network, table, box, effort)
    if by_cells is not None and network.hidden_neurons > _LARGEST_FOR_BOXES:
        return by_cells
    found = table_bound(network, table, box, max_seconds=effort.seconds_left)
    details = {
        "at_nodes": found.at_nodes,
        "slack": found.slack,
        "boxes": found.blocks,
        "arithmetic": "intervals",
    }
    bound = with_rounding(found.bound, rounding)
    return Finding(bound, "conditional", "table nodes", 0.0, details).better(by_cells)


def _callable_finding(
    network: SigmoidNetwork, target: CallableTarget, box: Box, rounding: float, effort: Effort
) -> tuple[Finding, Target]:
    """Tabulate a function finely enough, or check cells against the function itself."""
    _, likely = worst_point(network, target, box, points=_PROBES, seed=effort.seed, starts=4)
    slack = 0.1 * max(likely, 1e-300)
    if effort.tolerance is not None and effort.tolerance > likely:
        slack = 0.9 * (effort.tolerance - likely)
    by_cells = cells_finding(network, target, box, effort)
    if by_cells is not None and network.hidden_neurons > _LARGEST_FOR_BOXES:
        return by_cells, target
    table = None
    for _ in range(200):
        try:
            table = target.tabulate(slack, maximal_values=_MOST_TABLE_VALUES)
            break
        except UsageError:
            slack *= 1.5
    if table is None:  # steeper than was said, or no table is coarse enough
        table = target.tabulate(slack, maximal_values=_MOST_TABLE_VALUES)
    finding = table_finding(network, table, box, rounding, effort)
    if by_cells is not None and by_cells.bound < finding.bound:
        return by_cells, target
    return finding, table
