"""Checking a certificate: everything is proved again from the weights and what it claims.

Nothing but the claim is taken from the certificate: the formula or table, the box, the bound, the
status, and for samples the seed. The boxes of the proof, its rounding and its figures are computed
anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid._checks import DataError, PellucidError, UsageError
from pellucid.approximation.certificate import samples as pac
from pellucid.approximation.certificate.branch_and_bound import bound_error
from pellucid.approximation.certificate.certificate import (
    Certificate,
    read_content,
    seal,
)
from pellucid.approximation.certificate.certify import (
    MARGIN,
    cells_bound,
    prove_in_balls,
    with_rounding,
)
from pellucid.approximation.certificate.problem import Problem, make_problem
from pellucid.approximation.certificate.rounding import rounding_bound
from pellucid.approximation.certificate.worst_point import worst_point
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidNetwork

_LARGEST_SAMPLE = 50_000_000


@dataclass(frozen=True)
class Verification:
    """What a check found.

    Args:
        verified: The claim was confirmed.
        bound: The bound that the certificate claims.
        status: The status that it claims.
        reason: Why not, or how it was confirmed.
        seconds: How long it took.
    """

    verified: bool
    bound: float
    status: str
    reason: str
    seconds: float


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
    claimed = (math.inf, "unknown")
    try:
        if not isinstance(certificate, Certificate):
            content = read_content(certificate)
            loaded = Certificate.from_json(content)
            claimed = loaded.bound, loaded.status
            if content.get("seal") != seal(content):
                raise _Rejected(
                    "the certificate was changed after it was written: its seal does not fit"
                )
            certificate = loaded
        claimed = certificate.bound, certificate.status
        if not isinstance(network, SigmoidNetwork):
            network = _load(network)
        reason = _check(network, certificate, function, max_seconds, quiet)
        verified = True
    except _Rejected as rejected:
        verified, reason = False, str(rejected)
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
    function: Callable[[Any], Any] | None,
    max_seconds: float,
    quiet: bool,
) -> str:
    """Return how the claim was confirmed, or raise _Rejected."""
    if network.digest != certificate.network_digest:
        raise _Rejected("the network is not the one the certificate was written for")
    if not math.isfinite(certificate.bound):
        raise _Rejected("the certificate claims no bound")
    target = _target(certificate, function)
    try:
        problem = make_problem(network, target, certificate.box)
    except PellucidError as error:
        raise _Rejected(str(error)) from error
    if problem.enclosure is None:
        return _check_samples(network, certificate, function)
    status = certificate.status
    if status != problem.status and not (status == "heuristic" and problem.may_jump):
        raise _Rejected(f"the status {status!r} cannot be had for this kind of target")
    rounding, _ = rounding_bound(network, certificate.box)
    # Nothing but the bound itself counts; the margin covers the way back from sum to part.
    wanted = certificate.bound * (1 - MARGIN / 4) - rounding
    if wanted <= 0:
        raise _Rejected(
            f"the bound {certificate.bound:.6g} is below the rounding of float64 evaluation, "
            f"which may be {rounding:.3g}"
        )
    if certificate.method == "cells":
        bound = cells_bound(network, target, certificate.box)
        if bound is not None and with_rounding(bound, rounding) <= certificate.bound * (1 + 1e-12):
            return "proved again cell by cell"
    if status == "heuristic":
        return _check_outside_jumps(problem, certificate, wanted, max_seconds, quiet)
    return _check_everywhere(problem, certificate, wanted, max_seconds, quiet)


def _target(certificate: Certificate, function: Callable[[Any], Any] | None) -> Any:
    content = certificate.target
    try:
        if content.get("kind") == "expression":
            return parse(content["text"], content.get("dimension"))
        from pellucid.approximation.targets import target_from_json  # type: ignore

        return target_from_json(content)
    except (PellucidError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _Rejected(f"the target of the certificate cannot be read: {error}") from error


def _check_everywhere(
    problem: Problem, certificate: Certificate, wanted: float, max_seconds: float, quiet: bool
) -> str:
    assert problem.enclosure is not None
    begin = time.monotonic()
    proof = bound_error(
        problem.enclosure,
        problem.box,
        target=wanted,
        strict=True,
        size=problem.size,
        start=problem.start,
        max_boxes=10_000_000,
        max_seconds=max_seconds,
        quiet=quiet,
    )
    if not proof.complete:
        raise _Rejected(_why_not(problem, certificate, proof.seen, wanted))
    if problem.status != "proved":
        return f"proved again on {len(proof.lower)} boxes in float64 with outward rounding"
    left = max_seconds - (time.monotonic() - begin)
    if prove_in_balls(problem, proof, wanted, max_seconds=left, quiet=quiet) is None:
        if certificate.details.get("arithmetic") == "intervals":
            return (
                f"proved again on {len(proof.lower)} boxes in float64 with outward rounding; "
                "there was no time for arb"
            )
        raise _Rejected("the bound could not be confirmed in arb within the time allowed")
    return f"proved again on {len(proof.lower)} boxes, each in arb"


def _why_not(problem: Problem, certificate: Certificate, seen: float, wanted: float) -> str:
    assert problem.function is not None
    point, error = worst_point(problem.network, problem.function, problem.box, points=100_000)
    if error > wanted and problem.status == "proved":
        if problem.reduced is not None:
            place = f"where the linear form is {point[0]:.10g}"
        else:
            place = f"at ({', '.join(f'{part:.10g}' for part in point)})"
        return f"the error is {error:.6g} {place}, above the bound {certificate.bound:.6g}"
    return f"the bound {certificate.bound:.6g} cannot be proved (error seen: {max(seen, 0):.6g})"


def _check_outside_jumps(
    problem: Problem, certificate: Certificate, wanted: float, max_seconds: float, quiet: bool
) -> str:
    assert problem.enclosure is not None
    proof = bound_error(
        problem.enclosure,
        problem.box,
        target=wanted,
        size=problem.size,
        may_jump=True,
        max_boxes=10_000_000,
        max_seconds=max_seconds,
        quiet=quiet,
    )
    if not proof.complete or proof.bound > wanted * (1 + MARGIN):
        raise _Rejected(f"the bound {certificate.bound:.6g} cannot be proved outside the jumps")
    if proof.excluded_measure > certificate.excluded_measure:
        raise _Rejected(
            f"the bound holds outside a set of measure {proof.excluded_measure:.6g}, "
            f"not {certificate.excluded_measure:.6g}"
        )
    return f"proved again outside a set of measure {proof.excluded_measure:.6g}"


def _check_samples(
    network: SigmoidNetwork, certificate: Certificate, function: Callable[[Any], Any] | None
) -> str:
    if certificate.status != "pac" or certificate.method != "samples":
        raise _Rejected(
            f"the status {certificate.status!r} cannot be had for a black box: "
            "samples say nothing of every point"
        )
    details = certificate.details
    count, seed, delta = (details.get(name) for name in ("samples", "seed", "delta"))
    whole = isinstance(count, int) and isinstance(seed, int) and isinstance(delta, float)
    if not whole or not 1 <= count <= _LARGEST_SAMPLE or seed < 0 or not 0 < delta < 1:
        raise _Rejected("the certificate does not say how its samples were drawn")
    measure = pac.measure_of_worse(count, delta) * certificate.box.volume
    if certificate.excluded_measure < measure * (1 - 1e-12):
        raise _Rejected(
            f"{count} samples leave room for a set of measure {measure:.6g}, "
            f"not {certificate.excluded_measure:.6g}"
        )
    if function is None:
        raise _Rejected(
            "the network is the right one and the figures agree, but the samples can be drawn "
            "again only with the function: pass it to verify"
        )
    seen = pac.sampled_bound(network, function, certificate.box, samples=count, seed=seed)
    if seen > certificate.bound * (1 + 1e-12):
        raise _Rejected(f"the samples show an error of {seen:.6g}")
    return f"{count} samples drawn again from seed {seed}; all but a small part, with probability"
