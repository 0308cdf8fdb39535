"""What the page says in words: what holds, how sure it is, and why this network was chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pellucid.approximation.certificate.certificate import round_up
from pellucid.approximation.network import SigmoidNetwork
from pellucid.reports.approximation.contents import (
    ShownApproximation,
    ShownCertificate,
    text_of,
)
from pellucid.reports.study.wording import count_of, write_seconds

_SPACE = "\N{NO-BREAK SPACE}"

SCHEMES = {
    "constant": "one constant",
    "staircase": "staircase of steep steps (construction A)",
    "grid": "grid of cells with shared gates (construction B)",
    "soft_grid": "grid of cells with soft gates (construction C)",
    "spectral": "sigmoids at fixed places, weights by least squares (construction D)",
    "separable": "sum of products of one-variable functions (construction E)",
    "ridge": "function along one direction (construction F)",
    "kd": "cells that follow the function (construction G)",
}

STATUSES = {
    "proved": "Proved: the bound holds at every point of the box, between samples too. It follows "
    "from the exported weights by arithmetic that encloses every rounding error.",
    "conditional": "Proved on one condition: that the function changes no faster than the "
    "Lipschitz constant that came with it. If that constant is too small, nothing is promised.",
    "pac": "From samples only: on all but a small share of the box the error is most likely below "
    "the bound, but a narrow peak between the samples can exceed it anywhere.",
    "heuristic": "Not proved at every point: the bound leaves out a part of the box, or is the "
    "largest error that a search found. Elsewhere the error may be larger.",
}


@dataclass(frozen=True)
class CandidateRow:
    """One line of the table of candidates."""

    scheme: str
    neurons: str
    parameters: str
    bound: str
    status: str
    seconds: str
    remark: str
    is_chosen: bool


def name_scheme(scheme: str) -> str:
    """Return a scheme in words; one that is not known by its own name."""
    return SCHEMES.get(scheme, scheme)


def explain_status(approximation: ShownApproximation) -> str:
    """Return what the status promises, in a sentence or two."""
    certificate = approximation.certificate
    if certificate.status == "heuristic" and certificate.excluded_measure > 0:
        return (
            "Proved except near jumps: the bound holds at every point of the box but for a part of "
            f"measure {write_bound(certificate.excluded_measure)} around the places where the "
            "function jumps."
        )
    return STATUSES.get(certificate.status, STATUSES["heuristic"])


def write_bound(value: float | None, digits: int = 3) -> str:
    """Return an upper bound with so many digits, rounded up so that what is read holds."""
    if value is None or math.isnan(value):
        return "none"
    if math.isinf(value):
        return "unbounded"
    if value == 0:
        return "0"
    return write_value(round_up(value, digits), digits)


def write_value(value: float, digits: int = 4) -> str:
    """Return a number as people write it, with a true minus; e-notation far from 1."""
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    elif abs(value) < 1e-3 and value != 0:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}")


def write_count(value: float) -> str:
    """Return a count with spaces between thousands; e-notation for what nobody counts."""
    if value >= 1e9:
        return write_value(value, 3)
    return f"{max(0, math.ceil(value - 1e-9)):,}".replace(",", _SPACE)


def write_layers(network: SigmoidNetwork) -> str:
    """Return the sizes of the hidden layers in words."""
    layers = network.neurons_per_layer
    if not layers:
        return "no hidden layer"
    if len(layers) == 1:
        return "one hidden layer"
    sizes = " + ".join(write_count(size) for size in layers)
    return f"{len(layers)} hidden layers of {sizes}"


def write_verdict(approximation: ShownApproximation) -> str:
    """Return the sentence a reader takes away: how near the network is, where, and how sure."""
    certificate = approximation.certificate
    bound = write_bound(certificate.bound)
    place = (
        "Everywhere on the box" if certificate.excluded_measure == 0 else "Except near its jumps"
    )
    size = count_of(approximation.network.hidden_neurons, "neuron")
    if not math.isfinite(certificate.bound):
        return f"No bound on the error of this network of {size} was reached."
    sentences = {
        "proved": f"{place}, this network of {size} differs from the function by at most {bound}.",
        "conditional": f"{place}, this network of {size} differs from the function by at most "
        f"{bound}, if the Lipschitz constant given is right.",
        "pac": f"On random samples of the box, this network of {size} differs from the function "
        f"by at most {bound}.",
    }
    if certificate.excluded_measure > 0 and certificate.status == "heuristic":
        return sentences["proved"]
    return sentences.get(
        certificate.status,
        f"The largest difference found between this network of {size} and the function is {bound}.",
    )


def list_cautions(approximation: ShownApproximation) -> list[str]:
    """Return what a reader must know before relying on the network."""
    certificate = approximation.certificate
    cautions = []
    if not certificate.bound <= approximation.tolerance:
        cautions.append(
            f"The tolerance asked for, {write_value(approximation.tolerance)}, was not reached: "
            + (
                f"the bound is {write_bound(certificate.bound)}."
                if math.isfinite(certificate.bound)
                else "no bound was."
            )
        )
    if certificate.excluded_measure > 0:
        cautions.append(
            "The function jumps. The bound leaves out a part of the box of measure "
            f"{write_bound(certificate.excluded_measure)}, next to the jumps: no network of "
            "sigmoids can be near a jump."
        )
    if certificate.status == "pac" or (
        certificate.status == "heuristic" and certificate.excluded_measure == 0
    ):
        cautions.append(
            "This network has no proof that holds at every point. Give a formula or a Lipschitz "
            "constant to get one."
        )
    return cautions


def list_facts(approximation: ShownApproximation) -> list[tuple[str, str]]:
    """Return what was built and certified, as pairs of name and value."""
    network, certificate = approximation.network, approximation.certificate
    facts = [
        ("function", text_of(approximation.target)),
        ("box", str(approximation.box).replace("-", "\N{MINUS SIGN}")),
        ("tolerance asked for", write_value(approximation.tolerance)),
        ("certified bound", write_bound(certificate.bound)),
        ("status", certificate.status),
        ("method of proof", certificate.method),
        ("rounding, part of the bound", write_bound(certificate.rounding)),
        ("left out of the bound (measure)", write_bound(certificate.excluded_measure)),
        ("hidden neurons", f"{write_count(network.hidden_neurons)}, {write_layers(network)}"),
        ("weights and biases that are not zero", write_count(network.parameters)),
        ("construction", name_scheme(approximation.scheme)),
        ("time for everything", write_seconds(approximation.seconds)),
        ("digest of the weights (SHA-256)", network.digest[:16] + "…"),
    ]
    if certificate.excluded_measure == 0:
        facts = [fact for fact in facts if not fact[0].startswith("left out")]
    return facts


def tabulate_candidates(approximation: ShownApproximation) -> list[CandidateRow]:
    """Return one row per scheme that was tried, in the order tried."""
    rows = []
    marked = False
    for candidate in approximation.candidates:
        chosen = not marked and candidate.scheme == approximation.scheme
        chosen = chosen and candidate.hidden_neurons == approximation.network.hidden_neurons
        marked = marked or chosen
        rows.append(
            CandidateRow(
                name_scheme(candidate.scheme),
                _count_or_none(candidate.hidden_neurons),
                _count_or_none(candidate.parameters),
                write_bound(candidate.bound),
                candidate.status or "none",
                write_seconds(candidate.seconds),
                candidate.remark,
                chosen,
            )
        )
    return rows


def say_reach(certificate: ShownCertificate) -> str:
    """Return how far the bound reaches, as the beginning of a sentence about the error."""
    if certificate.status == "conditional":
        return "if the given slopes hold, the certificate says that everywhere on the box"
    if certificate.status == "pac":
        return "nothing is proved, but at almost all points"
    if certificate.status == "heuristic":
        left_out = write_bound(certificate.excluded_measure)
        return (
            f"except next to jumps, on a part of the box of measure {left_out} that is left out "
            "(there the error may be anything, and the figures below do show it),"
        )
    return "the certificate says that everywhere on the box"


def explain_choice(approximation: ShownApproximation) -> str:
    """Return why this network was taken, from the candidates' own figures."""
    tried: list[Any] = [c for c in approximation.candidates if c.hidden_neurons is not None]
    own = approximation.network.hidden_neurons
    if len(approximation.candidates) <= 1:
        return "It is the only construction that was tried."
    met = [c for c in tried if c.bound is not None and c.bound <= approximation.tolerance]
    if approximation.certificate.status == "heuristic":
        return "No construction meets the tolerance next to a jump; this one leaves out little."
    if not approximation.certificate.bound <= approximation.tolerance:
        if met:
            return "It does not meet the tolerance, which others do: it was chosen by name."
        return "No construction met the tolerance; this one came nearest to it."
    if len(met) > 1 and own <= min(c.hidden_neurons for c in met):
        return (
            f"Of the {len(met)} constructions that met the tolerance it has the fewest neurons: "
            f"{write_count(own)}."
        )
    if len(met) == 1 and len(tried) > 1:
        return "Of the networks below it is the smallest that meets the tolerance."
    if len(met) == 1:
        return (
            "It has the fewest neurons: each of the others does not fit the function, or was "
            "stopped when it took as many."
        )
    return "It was chosen by name, not for having the fewest neurons."


def _count_or_none(value: int | None) -> str:
    return "none" if value is None else write_count(value)
