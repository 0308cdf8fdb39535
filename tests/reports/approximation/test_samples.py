from __future__ import annotations

import base64

import numpy as np

from pellucid.reports.approximation.build_up import is_small, sum_frames
from pellucid.reports.approximation.contents import names_of, text_of
from pellucid.reports.approximation.samples import sample, sample_plane
from tests.reports.approximation import synthetic_approximation as synthetic


def take(approximation):
    names = names_of(approximation.target, approximation.box.dimension)
    return sample(approximation.network, approximation.target, approximation.box, names)


def test_sample_holds_the_error_of_the_network_on_the_grid():
    approximation = synthetic.approximate_waves()
    samples = take(approximation)
    points = approximation.box.grid(samples.shape)
    expected = approximation.network(points) - approximation.target(points)
    assert np.array_equal(samples.error, expected)


def test_sample_finds_a_worst_point_at_least_as_bad_as_the_grid():
    approximation = synthetic.approximate_square()
    samples = take(approximation)
    point = samples.worst_point[None]
    error = float((approximation.network(point) - approximation.target(point))[0])
    assert error == samples.worst_error
    assert abs(error) >= np.abs(samples.error).max()
    assert approximation.box.contains(point).all()


def test_sample_of_a_huge_network_is_coarser():
    huge = take(synthetic.approximate_huge())
    assert huge.shape[0] < take(synthetic.approximate_square()).shape[0]


def test_sample_plane_goes_through_the_worst_point():
    approximation = synthetic.approximate_waves()
    samples = take(approximation)
    plane = sample_plane(approximation.target, samples)
    assert plane.values.shape == (257, 257)
    corner = np.array([[0.0, 0.0, samples.worst_point[2]]])
    assert plane.values[0, 0] == approximation.target(corner)[0]
    assert plane.title.startswith("f at z = ")


def test_sample_plane_has_rows_from_the_lowest():
    approximation = synthetic.approximate_square()
    target = synthetic.Target("y", lambda p: p[:, 1], 2)
    data = sample_plane(target, take(approximation)).to_json()
    values = np.frombuffer(base64.b64decode(data["values"]), "<f4").reshape(
        data["rows"], data["columns"]
    )
    assert np.allclose(values, np.linspace(0, 1, data["rows"])[:, None])


def test_sum_frames_end_with_the_network_itself():
    approximation = synthetic.approximate_huge()
    assert not is_small(approximation.network)
    frames = sum_frames(approximation.network, take(approximation))
    assert frames is not None
    assert [frame["count"] for frame in frames["sums"]][:3] == [0, 1, 2]
    last = frames["sums"][-1]
    assert last["count"] == len(approximation.network.output_weight)
    values = np.frombuffer(base64.b64decode(last["values"]), "<u2")
    shown = frames["low"] + (frames["high"] - frames["low"]) * values / 65535
    side = frames["columns"]
    expected = approximation.network(approximation.box.grid(side)).reshape(side, side).T.ravel()
    assert np.abs(shown - expected).max() <= (frames["high"] - frames["low"]) / 65535


def test_names_of_follows_the_formula():
    assert names_of(synthetic.Target("x1 + x2", np.sum, 2), 2) == ("x1", "x2")
    assert names_of(synthetic.Target("sin(t)", np.sum, 1), 1) == ("t",)
    assert names_of(synthetic.Target("exp(x)", np.sum, 1), 1) == ("x",)


def test_text_of_a_function_without_formula_is_words():
    assert text_of(synthetic.Target("", np.sum, 1, kind="table")) == "the tabulated function"
