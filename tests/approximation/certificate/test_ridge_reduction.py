import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.ridge_reduction import ridge_reduction
from pellucid.approximation.expressions import parse
from tests.approximation.certificate import networks

BOX = Box((0.0, -1.0), (1.0, 2.0))


@pytest.mark.parametrize(
    "text",
    ["abs(x-y)", "sin(3*(x-y)) + (y-x)**2/7", "exp(x - y + 1)", "abs(2*x - 2*y) - 0.5*(x-y)", "3"],
)
def test_ridge_reduction_agrees_with_the_original(text):
    network = networks.ridge((1.0, -1.0), np.abs, -2, 2)
    expression = parse(text, 2)
    reduced = ridge_reduction(expression, network, BOX)
    points = BOX.sample(500, np.random.default_rng(0))
    u = (points[:, :1] * reduced.direction[0]) + points[:, 1:] * reduced.direction[1]
    assert (u >= reduced.box.lower[0]).all()
    assert (u <= reduced.box.upper[0]).all()
    np.testing.assert_allclose(reduced.expression(u), expression(points), atol=1e-12)
    np.testing.assert_allclose(reduced.network(u), network(points), atol=1e-10)


@pytest.mark.parametrize("text", ["x*y", "x + 2*y", "abs(x-y) + x", "sin(x) - sin(y)"])
def test_ridge_reduction_of_two_variables_is_none(text):
    network = networks.ridge((1.0, -1.0), np.abs, -2, 2)
    assert ridge_reduction(parse(text), network, BOX) is None


def test_ridge_reduction_of_network_with_two_directions_is_none():
    network = networks.random_features(lambda p: p[:, 0] - p[:, 1], (0, -1), (1, 2), 6)
    assert ridge_reduction(parse("x-y"), network, BOX) is None


def test_ridge_reduction_of_almost_parallel_weights_is_none():
    network = networks.ridge((1.0, -1.0), np.abs, -2, 2)
    weight = np.array(network.hidden[0].weight)
    weight[3, 0] *= 1 + 2.0**-52
    from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork

    other = SigmoidNetwork(
        (SigmoidLayer(weight, network.hidden[0].bias),),
        network.output_weight,
        network.output_bias,
        scheme="ridge",
    )
    assert ridge_reduction(parse("abs(x-y)"), other, BOX) is None
