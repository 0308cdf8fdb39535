"""Claims that were once believed, or that once broke or hung the checker."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import Certificate, certify, verify
from pellucid.approximation.enclosures.domains import check_defined
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork

UNIT = Box((0.0,), (1.0,))


def make(layers: list[tuple[Any, Any]], weight: list[float], bias: float, dimension: int = 0):
    hidden = tuple(SigmoidLayer(np.array(w, float), np.array(b, float)) for w, b in layers)
    return SigmoidNetwork(hidden, np.array(weight, float), bias, "x", dimension)


def claim(network, text: str, box: Box, bound: float, method: str = "cells", **details: Any):
    target = {"kind": "expression", "text": text, "dimension": box.dimension, "box": box.to_json()}
    return Certificate(
        target=target,
        box=box,
        network_digest=network.digest,
        tolerance=None,
        bound=bound,
        status="proved",
        method=method,
        rounding=0.0,
        details=details,
    )


@pytest.mark.parametrize(
    "network",
    [
        make([([[1e-320]], [-1.0])], [0.0], 0.0),
        make([([[1.0], [1.0]], [5000.0, 6000.0])], [1.7e308] * 2, 0.0),
    ],
    ids=["steepness underflows", "sum overflows"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_verify_bound_that_is_not_a_number_is_rejected(network):
    assert not verify(network, claim(network, "100*x", UNIT, 1e-6)).verified


@pytest.mark.parametrize("gain", [2.0, 10.0, 25.0])
def test_certify_gates_that_are_never_quite_off_are_covered(gain):
    network = make([([[1.0]], [-1000.0]), ([[gain]], [-gain])], [2.0 * math.exp(gain) / 9], 0.0)
    truth = abs(network(np.array([[0.0], [1.0]]))).max()
    certificate = certify(network, parse("0*x", 1), UNIT, tolerance=1e-3)
    assert certificate.bound >= truth


@pytest.mark.parametrize(
    ("text", "ends", "truth"),
    [
        ("1e85*((1e-170*x)**2)**0.25", (0.0, 1.0), 1.0),
        ("exp(-800*x)*exp(400*x)*exp(400*x)", (0.95, 1.0), 1.0),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_certify_underflow_is_covered(text, ends, truth):
    network = make([], [], 0.0, 1)
    box = Box((ends[0],), (ends[1],))
    assert certify(network, parse(text, 1), box, tolerance=1e-3).bound >= truth
    details = {"arithmetic": "intervals"}
    stated = claim(network, text, box, 1e-3, "branch and bound", **details)
    assert not verify(network, stated).verified


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("asin(x-1000)", Box((1000.0,), (1001.0,))),
        ("asin(x-y)", Box((7000.0, 7000.0), (7001.0, 7001.0))),
    ],
)
def test_check_defined_ends_where_nothing_can_be_halved(text, box):
    try:
        check_defined(parse(text, box.dimension), box)
    except UsageError as error:
        assert "asin" in str(error)  # noqa: PT017 - either answer is right, but it must come


@pytest.mark.parametrize(
    "change",
    [
        {"bound": 10**400},
        {"seconds": 10**400},
        {"box": [[0, 10**400]]},
        {"details": {"a": [[[[1]]]] * 3}},
    ],
)
def test_verify_numbers_beyond_float64_are_rejected_without_a_traceback(tmp_path, change):
    network = make([([[5.0]], [-2.0])], [1.0], 0.0)
    path = claim(network, "x", UNIT, 1.0, "branch and bound").save(tmp_path / "c.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert not verify(network, path).verified


def test_verify_samples_of_a_chosen_seed_are_rejected():
    network = make([], [], 0.0, 1)
    target = {"kind": "black_box", "name": "f", "box": UNIT.to_json(), "lipschitz": None}
    forged = Certificate(
        target=target,
        box=UNIT,
        network_digest=network.digest,
        tolerance=None,
        bound=0.013,
        status="pac",
        method="samples",
        rounding=0.0,
        excluded_measure=1.1e-6,
        details={"samples": 1, "seed": 1769, "delta": 0.999999},
    )
    assert not verify(network, forged, function=lambda p: np.sin(p[:, 0])).verified


@pytest.mark.parametrize("text", ["pi", "x - x", "(y + y) + x", "x"])
def test_certify_its_own_certificate_is_verified(text):
    box = Box((0.0, 0.0), (1.0, 1.0))
    weight = [[1e-3, 2e-3]]
    network = make([(weight, [0.0])], [1000.0], -500.0) if "y" in text else make([], [], 0.5, 2)
    certificate = certify(network, parse(text, 2), box)
    assert verify(network, certificate).verified
