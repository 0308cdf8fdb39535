from __future__ import annotations

import numpy as np
import pytest

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import build_grid, rounded_values
from pellucid.approximation.constructions.kd_cells import kd_cells
from pellucid.approximation.constructions.staircase import build_staircase
from pellucid.approximation.local_evaluation import localize
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork
from pellucid.approximation.targets import target
from tests.reference.dense_cells import windowed_sum


def interior(count: int) -> np.ndarray:
    return np.linspace(0, 1, count + 1)[1:-1]


def random_network(shape, sharpness, *, uneven=False, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.random(shape)
    edges = [np.sort(generator.random(k - 1)) if uneven else interior(k) for k in shape]
    steepness = [c * k for c, k in zip(sharpness, shape, strict=True)]
    if len(shape) == 1:
        return build_staircase(edges[0], values, steepness[0])
    return build_grid(edges, values, steepness, gate=AndGate.of(len(shape)))


def delicate_points(network, count=400, seed=1):
    """Points in and around the box, half of them within a few steps' widths of edges."""
    generator = np.random.default_rng(seed)
    d = network.input_dimension
    points = generator.uniform(-0.2, 1.2, (count, d))
    cells = localize(network).cells
    for axis, edges in enumerate(cells.edges):
        if len(edges):
            near = generator.choice(edges, count // 2)
            points[: count // 2, axis] = near + generator.normal(0, 4, count // 2) / float(
                cells.steepness[axis]
            )
    return points


@pytest.mark.parametrize(
    ("shape", "sharpness"),
    [
        ((40,), (2.0,)),
        ((40,), (4096.0,)),
        ((12, 10), (2.0, 5.0)),
        ((12, 10), (30.0, 100.0)),
        ((12, 10), (16384.0, 16384.0)),
        ((12, 1), (50.0, 1.0)),
        ((4, 5, 3), (3.0, 10.0, 100.0)),
        ((3, 2, 3, 2), (5.0, 50.0, 200.0, 10.0)),
    ],
)
@pytest.mark.parametrize("uneven", [False, True])
def test_localize_in_float64_equals_the_dense_network(shape, sharpness, uneven):
    network = random_network(shape, sharpness, uneven=uneven)
    points = delicate_points(network)
    # Relative to the sum of magnitudes that the dense evaluation adds up.
    scale = max(1.0, localize(network).cells.variation / 10)
    assert np.max(np.abs(localize(network)(points) - network(points))) <= 1e-13 * scale


def test_localize_of_kd_cells_equals_the_dense_network():
    box = Box((0.0, 0.0), (1.0, 1.0))
    network = kd_cells(target("sin(5*x)*y", box), box, tolerance=0.1).network
    points = delicate_points(network)
    np.testing.assert_allclose(localize(network)(points), network(points), atol=1e-13)


@pytest.fixture(scope="module")
def million_cells():
    middle = (np.arange(1000) + 0.5) / 1000
    values = 1 + 0.5 * np.sin(2 * np.pi * middle)[:, None] * np.cos(2 * np.pi * middle)
    edges = [interior(1000)] * 2
    return values, build_grid(edges, values, [16384e3] * 2, gate=AndGate.of(2))


def test_localize_of_a_million_cells_equals_the_slow_windowed_sum(million_cells):
    values, network = million_cells
    values = rounded_values(values)
    local = localize(network)
    gate, cells = AndGate.of(2), local.cells
    for point in delicate_points(network, 20):
        point = np.clip(point, 0, 1)
        near = [
            (edges[max(0, i - 4) : i + 4], max(0, i - 4))
            for edges, i in (
                (e, int(np.searchsorted(e, x))) for e, x in zip(cells.edges, point, strict=True)
            )
        ]
        part = values[near[0][1] :, near[1][1] :]
        expected = windowed_sum(
            [edges for edges, _ in near],
            cells.steepness,
            part,
            gate.gain,
            gate.offset,
            gate.centre,
            point,
            60.0,
        )
        # The twin rounds places where the network rounds biases: w x is known to 2e-9.
        assert local(point[None])[0] == pytest.approx(expected, abs=3e-11)


def test_localize_of_a_million_cells_in_float32_is_close_and_small(million_cells):
    _, network = million_cells
    fast = localize(network, precision="float32")
    assert fast.fast
    assert fast.nbytes <= 8_000_000
    points = np.random.default_rng(0).random((20_000, 2)).astype(np.float32)
    points[:2000] = np.round(points[:2000] * 1000) / 1000
    expected = localize(network)(points.astype(np.float64))
    assert np.max(np.abs(fast(points) - expected)) < 1e-6


@pytest.mark.parametrize("shape", [(30, 20), (30, 1), (1, 2)])
@pytest.mark.parametrize("sharpness", [60.0, 500.0, 16384.0])
def test_localize_in_float32_equals_float64_on_rough_values(shape, sharpness):
    network = random_network(shape, (sharpness, sharpness))
    points = delicate_points(network, 4000).astype(np.float32)
    exact = localize(network)(points.astype(np.float64))
    found = localize(network, precision="float32")
    assert found.fast
    assert np.max(np.abs(found(points) - exact)) < 5e-6


def test_localize_in_float32_of_other_networks_is_the_windowed_form():
    network = random_network((9, 8), (3.0, 3.0))
    found = localize(network, precision="float32")
    assert not found.fast
    points = delicate_points(network)
    assert found(points).dtype == np.float32
    np.testing.assert_allclose(found(points), network(points), atol=1e-5)


def test_localize_of_no_points_gives_no_values():
    network = random_network((5, 5), (500.0, 500.0))
    for precision in ("float64", "float32"):
        assert localize(network, precision=precision)(np.empty((0, 2))).shape == (0,)


def test_localize_of_another_network_is_refused():
    layer = SigmoidLayer(np.array([[3.0, -2.0]]), np.array([0.0]))
    network = SigmoidNetwork((layer,), np.array([1.0]), 0.0, "ridge")
    with pytest.raises(UsageError, match=r"steps and ANDs of steps.*network\(points\)"):
        localize(network)


def test_local_evaluation_of_points_with_another_dimension_is_refused():
    with pytest.raises(UsageError, match=r"points must have shape \(n, 2\)"):
        localize(random_network((5, 5), (50.0, 50.0)))(np.zeros((3, 3)))
