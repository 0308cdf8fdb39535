"""No network whose error exceeds its certificate is ever verified."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.approximation.box import Box
from pellucid.approximation.certificate import certify, verify, worst_point
from pellucid.approximation.certificate.cell_check import check_cells, recognize
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork
from pellucid.approximation.targets import target as make_target
from tests.approximation.certificate import networks

SQUARE = Box((0.0, 0.0), (1.0, 1.0))


@cache
def certified(name):
    if name == "separable":
        text = "sin(6*x)*cos(4*y)"
        network = networks.separable(
            [(lambda x: np.sin(6 * x), lambda y: np.cos(4 * y))], (7, 6), (8.0, 6.0)
        )
    else:
        text, network = "abs(x-y)", networks.ridge((1.0, -1.0), np.abs, -1, 1)
    return parse(text), network, certify(network, parse(text), SQUARE)


@st.composite
def mutations(draw):
    """One entry of one array, changed by a factor or a sum of any size."""
    return (
        draw(st.sampled_from(["separable", "ridge"])),
        draw(st.integers(0, 10**6)),
        draw(st.sampled_from([1.0, -1.0, 0.0])),
        draw(st.floats(-12.0, 2.0)),
        draw(st.booleans()),
    )


def mutated(network, place, factor, exponent, scale):
    arrays = [a for layer in network.hidden for a in (np.array(layer.weight), np.array(layer.bias))]
    arrays += [np.array(network.output_weight), np.array([network.output_bias])]
    chosen = arrays[place % len(arrays)].reshape(-1)
    entry = (place // len(arrays)) % len(chosen)
    step = 10.0**exponent
    if scale:
        chosen[entry] *= factor + step
    else:
        chosen[entry] += (factor or 1.0) * step
    hidden = tuple(
        SigmoidLayer(weight, bias)
        for weight, bias in zip(arrays[:-2:2], arrays[1:-2:2], strict=True)
    )
    return SigmoidNetwork(hidden, arrays[-2], float(arrays[-1][0]), scheme="mutated")


@settings(max_examples=60, deadline=None)
@given(mutations())
def test_verify_of_mutated_weights_is_never_true_above_the_bound(mutation):
    name, *how = mutation
    expression, network, certificate = certified(name)
    other = mutated(network, *how)
    claim = dataclasses.replace(certificate, network_digest=other.digest)
    result = verify(other, claim, max_seconds=20.0)
    _, error = worst_point(other, expression, SQUARE, points=4_000, starts=16)
    if error > certificate.bound:
        assert not result.verified
    if result.verified:
        assert error <= certificate.bound


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 2),
    st.floats(0.5, 300.0),
    st.sampled_from(
        ["sin(4*x)", "abs(x-0.3)", "sqrt(x)", "exp(-5*x**2)", "max(x, 0.2)", "1/(1+25*x**2)"]
    ),
)
def test_certify_of_random_network_bounds_what_a_search_finds(seed, dimension, hidden, steep, text):
    generator = np.random.default_rng(seed)
    lower = generator.uniform(0, 1, dimension)
    upper = lower + generator.uniform(0.01, 3, dimension)
    box = Box(tuple(lower), tuple(upper))
    neurons, layers, inputs = int(generator.integers(1, 7)), [], dimension
    for _ in range(hidden):
        weight = generator.normal(size=(neurons, inputs)) * steep
        layers.append(SigmoidLayer(weight, generator.normal(size=neurons) * steep))
        inputs = neurons
    outer = generator.normal(size=neurons) * 10.0 ** generator.uniform(-2, 3)
    network = SigmoidNetwork(tuple(layers), outer, float(generator.normal()), scheme="random")
    expression = parse(text, dimension)
    certificate = certify(network, expression, box, arithmetic="intervals", max_boxes=3_000)
    _, error = worst_point(network, expression, box, points=4_000, starts=16, seed=seed)
    assert error <= certificate.bound


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 2),
    st.booleans(),
    st.floats(0.3, 400.0),
    st.floats(5.0, 80.0),
    st.floats(0.0, 4.0),
)
def test_check_cells_of_random_cells_bounds_what_a_search_finds(
    seed, dimension, deep, steepness, gain, offset
):
    generator = np.random.default_rng(seed)
    box = Box((-0.5,) * dimension, (1.0,) * dimension)
    counts = generator.integers(1, 5, dimension)
    first = np.zeros((counts.sum(), dimension))
    first[np.arange(counts.sum()), np.repeat(np.arange(dimension), counts)] = steepness
    steps = SigmoidLayer(first, -steepness * generator.uniform(-0.7, 1.2, counts.sum()))
    layers = [steps]
    if deep or dimension > 1:
        rows = generator.integers(1, 6)
        ands = np.zeros((rows, counts.sum()))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        for row in ands:
            used = generator.permutation(dimension)[: generator.integers(1, dimension + 1)]
            row[starts[used] + generator.integers(0, counts[used])] = gain
        layers.append(SigmoidLayer(ands, -np.count_nonzero(ands, axis=1) * gain - offset))
    outer = generator.normal(size=layers[-1].neurons)
    network = SigmoidNetwork(tuple(layers), outer, float(generator.normal()), scheme="cells")
    cells = recognize(network)
    if cells is None:
        return
    target = make_target("sin(3*x)" if seed % 2 else "abs(x-0.3)", box)
    tolerance = None if seed % 3 else 10.0 ** generator.uniform(-3, 1)
    found = check_cells(cells, target, box, tolerance=tolerance, arithmetic="intervals")
    _, error = worst_point(network, target, box, points=4_000, starts=16, seed=seed)
    assert error <= found.bound
