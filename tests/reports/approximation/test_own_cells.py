from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np

from pellucid.approximation.box import Box
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import build_grid
from pellucid.approximation.constructions.staircase import build_staircase
from pellucid.reports.approximation.own_cells import draw_own_cells
from pellucid.reports.approximation.report import render_report
from pellucid.reports.approximation.samples import Samples, sample
from tests.reports.approximation import synthetic_approximation as synthetic
from tests.reports.test_page import Page


def floats(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).astype(np.float64)


def samples_on(network, box: Box) -> Samples:
    names = ("x", "y", "z")[: box.dimension]
    target = synthetic.Target("", lambda p: p.sum(axis=1), box.dimension)
    return sample(network, target, box, names)


def test_draw_own_cells_of_a_grid_are_its_values():
    values = np.random.default_rng(0).normal(size=(3, 5))
    edges = (np.array([1 / 3, 2 / 3]), np.array([0.2, 0.4, 0.6, 0.8]))
    network = build_grid(edges, values, [4000.0, 4000.0], gate=AndGate.of(2))
    box = Box((0.0, 0.0), (1.0, 1.0))
    cells = draw_own_cells(network, samples_on(network, box))
    assert cells is not None
    picture = floats(cells["values"], "<f4").reshape(256, 256)
    assert np.allclose(picture[25::51, 42::85].T, values, atol=1e-6)
    assert cells["edges"] == [2, 4]


def test_draw_own_cells_agree_with_the_network_away_from_edges():
    values = np.random.default_rng(1).normal(size=(4, 3, 2))
    edges = (np.array([0.25, 0.5, 0.75]), np.array([0.3, 0.7]), np.array([0.5]))
    network = build_grid(edges, values, [1e5] * 3, gate=AndGate.of(3))
    samples = samples_on(network, Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    samples = replace(samples, worst_point=np.array([0.1, 0.1, 0.8]))
    cells = draw_own_cells(network, samples)
    assert cells is not None
    picture = floats(cells["values"], "<f4").reshape(256, 256)
    centers = (np.arange(256) + 0.5) / 256
    x, y = np.meshgrid(centers, centers)
    points = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, 0.8)])
    assert np.abs(network(points) - picture.ravel()).max() < 1e-6


def test_draw_own_cells_of_a_staircase_are_its_steps():
    edges, values = np.array([0.2, 0.7]), np.array([1.0, -2.0, 5.0])
    network = build_staircase(edges, values, 1e4)
    cells = draw_own_cells(network, samples_on(network, Box((0.0,), (1.0,))))
    assert cells is not None
    assert np.allclose(floats(cells["ends"], "<f8"), [0, 0.2, 0.7, 1])
    assert np.allclose(floats(cells["values"], "<f8"), values)


def test_draw_own_cells_of_a_soft_network_are_none():
    approximation = synthetic.approximate_line()
    assert (
        draw_own_cells(
            approximation.network, samples_on(approximation.network, Box((0.0,), (1.0,)))
        )
        is None
    )


def test_page_of_a_staircase_shows_its_cells():
    network = build_staircase(np.array([0.3, 0.6]), np.array([0.1, 0.4, 0.8]), 500.0)
    page = render_report(replace(synthetic.approximate_line(), network=network, scheme="staircase"))
    assert "view-own-cells" in Page(page).ids
