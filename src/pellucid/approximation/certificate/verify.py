"""Checking a certificate: everything is proved again from the weights and what it claims.

Nothing but the claim is taken from the certificate: the formula or table, the box, the bound, the
status, for samples the seed, and whether balls were claimed (asked only if time ends before they
confirm what intervals have proved). The boxes of the proof, its rounding and its figures are
computed anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pellucid._checks import DataError, PellucidError, UsageError
from pellucid.approximation.certificate import samples as pac
from pellucid.approximation.certificate.branch_and_bound import bound_error
from pellucid.approximation.certificate.certificate import Certificate, read_content, seal
from pellucid.approximation.certificate.certify import (
    MARGIN,
    Effort,
    Target,
    cells_finding,
    prove_in_balls,
    table_finding,
    too_large,
    usable_target,
)
from pellucid.approximation.certificate.problem import Problem, make_problem
from pellucid.approximation.certificate.rounding import rounding_bound
from pellucid.approximation.certificate.worst_point import worst_point
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidNetwork
from pellucid.approximation.tables import TableTarget
from pellucid.approximation.targets import (
    BlackBoxTarget,
    CallableTarget,
    ExpressionTarget,
    target_from_json,
)
from pellucid.approximation.targets import target as make_target

_LARGEST_SAMPLE = 50_000_000
_LARGEST_DELTA = 1e-3


@dataclass(frozen=True)
class Verification:
    """What a check found.

    Args:
        verified: The claim was confirmed.
        bound: The bound that the certificate claims; None where it could not be read.
        status: The status that it claims.
        reason: Why not, or how it was confirmed.
        seconds: How long it took.
    """

    verified: bool
    bound: float | None
    status: str | None
    reason: str
    seconds: float = 0.0


class _Rejected(Exception):
    """A claim that does not hold or cannot be confirmed; the message says why."""


def verify(
    network: SigmoidNetwork | str | Path,
    certificate: Certificate | str | Path,
    *,
    function: Callable[[Any], Any] | None = None,
    max_seconds: float = 300.0,
    quiet: bool = True,
) -> Verification:
    """Check a certificate against a network.

    Args:
        network: The network or its file.
        certificate: The certificate or its file.
        function: The black box, without which samples cannot be drawn again.
        max_seconds: Give up, unverified, after about this time.
        quiet: Show no progress.

    Returns:
        ``verified`` is False, with a reason, where the certificate was changed after it was
        written, belongs to another network, claims more than can be proved, or the weights are not
        finite.

    Raises:
        DataError: A file that is missing, cannot be read, or is of another format.
    """
    begin = time.monotonic()
    claimed: tuple[float | None, str | None] = (None, None)
    try:
        if not isinstance(certificate, Certificate):
            content = read_content(certificate)
            loaded = Certificate.from_json(content)
            claimed = loaded.bound, loaded.status
            if content.get("seal") != seal(content):
                raise _Rejected(
                    "the certificate was changed after it was written: its content does not fit "
                    "the seal over it, so nothing in it was looked at further"
                )
            certificate = loaded
        claimed = certificate.bound, certificate.status
        if not isinstance(network, SigmoidNetwork):
            network = _load(network)
        reason = _check(network, certificate, function, max_seconds, quiet)
        verified = True
    except _Rejected as rejected:
        verified, reason = False, str(rejected)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, PellucidError):
            raise
        # Numbers no builder writes: what breaks the checker confirms nothing.
        verified, reason = False, f"the files hold values that make no sense ({error})"
    except (MemoryError, RecursionError):
        verified, reason = False, "the files are too large or too deeply nested to be checked"
    return Verification(verified, *claimed, reason, time.monotonic() - begin)


def _load(path: str | Path) -> SigmoidNetwork:
    try:
        return SigmoidNetwork.load(path)
    except DataError as error:
        if isinstance(error.__cause__, UsageError):
            # The file is a network, but its numbers make none: nothing can hold for it.
            raise _Rejected(f"the network cannot be used: {error.__cause__}") from error
        raise


def _check(
    network: SigmoidNetwork,
    certificate: Certificate,
    function: Callable[..., Any] | None,
    max_seconds: float,
    quiet: bool,
) -> str:
    """Return how the claim was confirmed, or raise _Rejected."""
    if network.digest != certificate.network_digest:
        raise _Rejected("the network is not the one the certificate was written for")
    if not math.isfinite(certificate.bound):
        raise _Rejected("the certificate claims no bound")
    target = _target(network, certificate, function)
    if isinstance(target, BlackBoxTarget) and not isinstance(target, CallableTarget):
        return _check_samples(network, certificate, target)
    box, status, method = certificate.box, certificate.status, certificate.method
    formula = isinstance(target, ExpressionTarget)
    strongest = "proved" if formula else "conditional"
    if status not in (strongest, "heuristic"):
        raise _Rejected(f"the status {status!r} cannot be had for this kind of target")
    effort = Effort(
        certificate.tolerance, 0, time.monotonic() + max_seconds, 10_000_000, "balls", quiet
    )
    if method == "cells":
        return _check_cells(network, target, certificate, effort)
    if too_large(network):
        raise _Rejected("the network is too large to be checked other than cell by cell")
    rounding, _ = rounding_bound(network, box)
    if not certificate.bound > rounding:
        raise _Rejected(
            f"the bound {certificate.bound:.6g} is not above the rounding of float64 evaluation, "
            f"which may be {rounding:.3g}"
        )
    if isinstance(target, TableTarget):
        return _check_table(network, target, certificate, rounding, effort)
    if not formula:
        raise _Rejected("a function itself can be checked cell by cell only")
    # The margin covers the way back from the sum to the part that has to be proved.
    wanted = certificate.bound * (1 - MARGIN / 4) - rounding
    problem = make_problem(network, target.expression, box)
    if status == "heuristic":
        return _check_outside_jumps(problem, certificate, wanted, effort)
    return _check_everywhere(problem, certificate, wanted, effort)


def _target(
    network: SigmoidNetwork, certificate: Certificate, function: Callable[..., Any] | None
) -> Target:
    """Return the target that the certificate names, usable on the box of the certificate."""
    content, box = certificate.target, certificate.box
    kind = content.get("kind")
    try:
        if kind == "expression":
            return usable_target(network, parse(content["text"], content["dimension"]), box)
        if kind not in ("callable", "black_box"):
            return usable_target(network, target_from_json(content), box)
        slopes = content.get("lipschitz") if kind == "callable" else None
        if function is None:
            if kind == "black_box":
                _check_sample_figures(certificate)
            raise _Rejected(
                "the network is the right one and the figures agree, but what they say of the "
                "function can be confirmed only with the function: pass it to verify"
            )
        return usable_target(network, make_target(function, box, slopes), box)  # type: ignore[arg-type]
    except (PellucidError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _Rejected(f"the target of the certificate cannot be used: {error}") from error


def _check_cells(
    network: SigmoidNetwork, target: Target, certificate: Certificate, effort: Effort
) -> str:
    exclude = certificate.status == "heuristic"
    found = cells_finding(network, target, certificate.box, effort, exclude=exclude)
    if found is None:
        raise _Rejected("the network is none of cells, so it cannot be checked cell by cell")
    slack = 1 + 1e-12
    # Also where it is not a number, as from weights that overflow.
    if not found.bound <= certificate.bound * slack:
        raise _Rejected(
            f"the bound {certificate.bound:.6g} cannot be proved, "
            f"cell by cell only {found.bound:.6g}"
        )
    if not found.excluded <= certificate.excluded_measure * slack:
        raise _Rejected(
            f"the bound holds outside a set of measure {found.excluded:.6g}, "
            f"not {certificate.excluded_measure:.6g}"
        )
    return f"proved again on {found.details['cells']} cells"


def _check_table(
    network: SigmoidNetwork,
    table: TableTarget,
    certificate: Certificate,
    rounding: float,
    effort: Effort,
) -> str:
    found = table_finding(network, table, certificate.box, rounding, effort)
    if not found.bound <= certificate.bound * (1 + 1e-12):
        raise _Rejected(
            f"the bound {certificate.bound:.6g} cannot be shown from the table, "
            f"only {found.bound:.6g}"
        )
    if found.status == "heuristic" != certificate.status:
        raise _Rejected("a table without Lipschitz constants says nothing between its nodes")
    if not found.excluded <= certificate.excluded_measure * (1 + 1e-12):
        raise _Rejected("a table without Lipschitz constants says nothing between its nodes")
    return "shown again from the table" + (
        ", if its Lipschitz constants hold" if found.status == "conditional" else ", at its nodes"
    )


def _check_everywhere(
    problem: Problem, certificate: Certificate, wanted: float, effort: Effort
) -> str:
    proof = bound_error(
        problem.enclosure,
        problem.box,
        target=wanted,
        strict=True,
        size=problem.size,
        max_boxes=effort.max_boxes,
        max_seconds=effort.seconds_left,
        quiet=effort.quiet,
    )
    if not proof.complete:
        raise _Rejected(_why_not(problem, certificate, proof.seen, wanted))
    again = prove_in_balls(problem, proof, wanted, effort.seconds_left, quiet=effort.quiet)
    if again is None:
        if effort.seconds_left > 0:
            raise _Rejected("the bound holds in float64 with outward rounding, but not in arb")
        if certificate.details.get("arithmetic") != "intervals":
            raise _Rejected("the bound could not be confirmed in arb within the time allowed")
        return (
            f"proved again on {len(proof.lower)} boxes in float64 with outward rounding; "
            "there was no time for arb"
        )
    return f"proved again on {len(proof.lower)} boxes, each in arb"


def _why_not(problem: Problem, certificate: Certificate, seen: float, wanted: float) -> str:
    point, error = worst_point(problem.network, problem.expression, problem.box, points=100_000)
    if error > wanted:
        if problem.reduced is not None:
            place = f"where the linear form is {point[0]:.10g}"
        else:
            place = f"at ({', '.join(f'{part:.10g}' for part in point)})"
        return f"the error is {error:.6g} {place}, above the bound {certificate.bound:.6g}"
    return f"the bound {certificate.bound:.6g} cannot be proved (error seen: {max(seen, 0):.6g})"


def _check_outside_jumps(
    problem: Problem, certificate: Certificate, wanted: float, effort: Effort
) -> str:
    if not problem.may_jump:
        raise _Rejected("the status 'heuristic' cannot be had for a continuous formula")
    proof = bound_error(
        problem.enclosure,
        problem.box,
        target=wanted,
        size=problem.size,
        may_jump=True,
        max_boxes=effort.max_boxes,
        max_seconds=effort.seconds_left,
        quiet=effort.quiet,
    )
    if not (proof.complete and proof.bound <= wanted * (1 + MARGIN)):
        raise _Rejected(f"the bound {certificate.bound:.6g} cannot be proved outside the jumps")
    if not proof.excluded_measure <= certificate.excluded_measure:
        raise _Rejected(
            f"the bound holds outside a set of measure {proof.excluded_measure:.6g}, "
            f"not {certificate.excluded_measure:.6g}"
        )
    return f"proved again outside a set of measure {proof.excluded_measure:.6g}"


def _check_sample_figures(certificate: Certificate) -> tuple[int, int]:
    """Return number and seed of the samples, if they say what the certificate claims."""
    if certificate.status != "pac" or certificate.method != "samples":
        raise _Rejected(
            f"the status {certificate.status!r} cannot be had for a black box: "
            "samples say nothing of every point"
        )
    count, seed, delta = (certificate.details.get(name) for name in ("samples", "seed", "delta"))
    if not (
        type(count) is int
        and type(seed) is int
        and isinstance(delta, float)
        and 1 <= count <= _LARGEST_SAMPLE
        and seed >= 0
        and 0 < delta <= _LARGEST_DELTA
    ):
        raise _Rejected("the certificate does not say how its samples were drawn")
    measure = pac.measure_of_worse(count, delta) * certificate.box.volume
    if certificate.excluded_measure < measure * (1 - 1e-12):
        raise _Rejected(
            f"{count} samples leave room for a set of measure {measure:.6g}, "
            f"not {certificate.excluded_measure:.6g}"
        )
    return count, seed


def _check_samples(network: SigmoidNetwork, certificate: Certificate, target: Target) -> str:
    count, seed = _check_sample_figures(certificate)
    seen = pac.sampled_bound(network, target, certificate.box, samples=count, seed=seed)
    if seen > certificate.bound * (1 + 1e-12):
        raise _Rejected(f"the samples show an error of {seen:.6g}")
    _check_fresh_samples(network, certificate, target, count)
    return (
        f"{count} samples drawn again from seed {seed}, and as many fresh ones; a larger error has "
        f"at most the measure {certificate.excluded_measure:.3g}, with probability "
        f"{1 - certificate.details['delta']:.6g}"
    )


def _check_fresh_samples(
    network: SigmoidNetwork, certificate: Certificate, target: Target, count: int
) -> None:
    """Reject where far more fresh points than claimed err by more: a seed may have been chosen."""
    generator = np.random.default_rng()
    size = min(count + 10_000, _LARGEST_SAMPLE)
    points = certificate.box.sample(size, generator)
    errors = np.abs(np.asarray(target(points)) - network(points))
    worse = int(np.sum(~(errors <= certificate.bound * (1 + 1e-12))))
    expected = size * certificate.excluded_measure / certificate.box.volume
    if worse > 3 * expected + 30:
        raise _Rejected(
            f"of {size} fresh points {worse} err by more than {certificate.bound:.6g}, "
            f"not about {expected:.3g} at most"
        )
