import numpy as np
import pytest
from scipy.special import expit

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.rounding import rounding_bound
from tests.approximation.certificate import networks

SQUARE = Box((0.0, 0.0), (1.0, 1.0))
NETWORKS = [
    networks.separable([(lambda x: np.sin(20 * x), lambda y: y)], (14, 3), (18.0, 1.0)),
    networks.exponential(),
    networks.random_features(lambda p: p[:, 0] * p[:, 1], (0, 0), (1, 1), 20, hidden=2),
]


def evaluate(network, points, kind):
    values = points.astype(kind)
    for layer in network.hidden:
        argument = values @ layer.weight.astype(kind).T + layer.bias.astype(kind)
        # expit is for float64 and below; its formula is exact enough in longdouble.
        values = expit(argument) if kind is not np.longdouble else 1 / (1 + np.exp(-argument))
    return values @ network.output_weight.astype(kind) + kind(network.output_bias)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.scheme)
def test_rounding_bound_covers_evaluation_in_float64_and_float32(network):
    points = SQUARE.sample(20_000, np.random.default_rng(0))
    exact = evaluate(network, points, np.longdouble)
    seen64 = float(np.abs(network(points) - exact).max())
    seen32 = float(np.abs(evaluate(network, points, np.float32) - exact).max())
    bound64, bound32 = rounding_bound(network, SQUARE)
    assert seen64 <= bound64 <= 1e4 * seen64
    assert seen32 <= bound32 <= 1e4 * seen32


def test_rounding_bound_of_sparse_and_dense_weights_agree():
    import scipy.sparse

    from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork

    network = NETWORKS[0]
    layers = tuple(
        SigmoidLayer(scipy.sparse.csr_array(layer.weight), layer.bias) for layer in network.hidden
    )
    sparse = SigmoidNetwork(layers, network.output_weight, network.output_bias, scheme="sparse")
    assert rounding_bound(sparse, SQUARE) == pytest.approx(rounding_bound(network, SQUARE))
