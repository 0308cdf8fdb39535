import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.certificate import worst_point
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork
from tests.approximation.certificate import networks

NOTHING = SigmoidNetwork((), np.zeros(0), 0.0, scheme="zero", input_dimension=2)


@pytest.mark.parametrize(
    ("text", "place", "error"),
    [
        ("exp(-3000*((x-0.31)**2+(y-0.77)**2))", (0.31, 0.77), 1.0),
        ("x + y", (1.0, 1.0), 2.0),
        ("1 - 5*abs(x-0.25) - 2*abs(y-0.125)", (1.0, 1.0), 4.5),
        ("x*(1-x)*4*(1-y)", (0.5, 0.0), 1.0),
    ],
)
def test_worst_point_finds_peak_vertex_and_edge(text, place, error):
    box = Box((0.0, 0.0), (1.0, 1.0))
    point, found = worst_point(NOTHING, parse(text), box, points=20_000)
    np.testing.assert_allclose(point, place, atol=1e-5)
    assert found == pytest.approx(error, rel=1e-9)


def test_worst_point_finds_a_narrow_step_of_the_network():
    spike = SigmoidNetwork(
        (SigmoidLayer(np.full((2, 1), 1e6), np.array([-2.5e5, -2.5e5 - 4.0])),),
        np.array([1.0, -1.0]),
        0.0,
        scheme="spike",
    )
    _, found = worst_point(spike, lambda p: np.zeros(len(p)), Box((0.0,), (1.0,)), points=100_000)
    assert found == pytest.approx(np.tanh(1.0), abs=1e-6)


def test_worst_point_with_one_seed_is_reproducible():
    network = networks.spectral(np.sin, 0, 1, 4, 3.0)
    box = Box((0.0,), (1.0,))
    first = worst_point(network, parse("sin(x)"), box, points=5_000, seed=3)
    second = worst_point(network, parse("sin(x)"), box, points=5_000, seed=3)
    assert first[0] == second[0]
    assert first[1] == second[1]


def test_worst_point_stays_in_the_box():
    box = Box((-2.0, 1.0), (-1.0, 5.0))
    point, _ = worst_point(NOTHING, parse("x*y"), box, points=3_000)
    assert box.contains(point[None]).all()
