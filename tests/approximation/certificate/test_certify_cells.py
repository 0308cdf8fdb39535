"""Networks of cells are checked cell by cell, in the same certificate."""

import dataclasses

import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.certificate import certify, verify, worst_point
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork

LINE = Box((0.0,), (1.0,))


def staircase(function, cells, sharpness):
    """Return a staircase with the values of the cells' middles."""
    edges = np.arange(1, cells) / cells
    values = function((np.arange(cells) + 0.5) / cells)
    weight = np.full((cells - 1, 1), sharpness * cells)
    layer = SigmoidLayer(weight, -weight[:, 0] * edges)
    return SigmoidNetwork((layer,), np.diff(values), float(values[0]), scheme="staircase")


@pytest.fixture(scope="module")
def stairs():
    return staircase(lambda x: np.sin(6 * x), 400, 40.0)


def test_certify_of_staircase_is_by_cells_and_holds(stairs):
    expression = parse("sin(6*x)")
    certificate = certify(stairs, expression, LINE, tolerance=0.01)
    _, error = worst_point(stairs, expression, LINE, points=50_000)
    assert certificate.method == "cells"
    assert certificate.status == "proved"
    assert error <= certificate.bound <= 0.01
    assert verify(stairs, certificate).verified


def test_verify_of_staircase_with_false_claim_is_rejected(stairs):
    certificate = certify(stairs, parse("sin(6*x)"), LINE, tolerance=0.01)
    lower = dataclasses.replace(certificate, bound=certificate.bound * 0.9)
    assert not verify(stairs, lower).verified
    outer = np.array(stairs.output_weight)
    outer[100] += 0.01
    other = SigmoidNetwork(stairs.hidden, outer, stairs.output_bias, scheme="staircase")
    claim = dataclasses.replace(certificate, network_digest=other.digest)
    assert not verify(other, claim).verified


def test_certify_of_staircase_across_a_jump_is_heuristic_and_verified():
    stairs = staircase(lambda x: np.where(x < 0.5, 0.0, 1.0), 600, 60.0)
    expression = parse("where(x < 0.5, 0, 1)")
    certificate = certify(stairs, expression, LINE, tolerance=0.01)
    assert certificate.status == "heuristic"
    assert 0 < certificate.excluded_measure < 0.02
    points = np.random.default_rng(0).random((100_000, 1))
    worse = np.abs(expression(points) - stairs(points)) > certificate.bound
    assert worse.mean() <= certificate.excluded_measure
    assert verify(stairs, certificate).verified
    smaller = dataclasses.replace(certificate, excluded_measure=1e-9)
    assert not verify(stairs, smaller).verified


@pytest.mark.parametrize("bias", [-23.9, -45.0, -3.0, 65.9])
def test_certify_of_and_neuron_of_one_step_holds_for_any_offset(bias):
    # Found by a random search: where the AND neuron starts far above zero.
    layers = (
        SigmoidLayer(np.array([[58.5], [58.5]]), np.array([35.2, -20.0])),
        SigmoidLayer(np.array([[48.8, 0.0], [0.0, 48.8]]), np.array([bias, bias])),
    )
    network = SigmoidNetwork(layers, np.array([-0.045, 0.3]), 0.8, scheme="random")
    expression, box = parse("abs(x-0.3)"), Box((-1.5,), (1.748,))
    certificate = certify(network, expression, box)
    _, error = worst_point(network, expression, box, points=20_000)
    assert error <= certificate.bound
