from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import UsageError
from pellucid.approximation.network import SigmoidNetwork, dense
from pellucid.approximation.reference_shapes import (
    BumpDesign,
    TowerDesign,
    bump,
    read_bump,
    read_tower,
    ridge_bump,
    steepness_for_peak,
    tower,
    vanishing_side,
)
from tests.reference.shapes import bump_value, l1_distance_by_sums, tower_value

locations = st.floats(-50, 50).map(lambda x: round(x, 6))
widths = st.floats(0.05, 20).map(lambda x: round(x, 6))
heights = st.one_of(st.floats(-20, -0.01), st.floats(0.01, 20))
steepnesses = st.floats(300, 5000)


def at(network: SigmoidNetwork, *point: float) -> float:
    return float(network(np.array([point]))[0])


def test_bump_of_the_text_book_has_the_listed_weights():
    network = bump(0.4, 0.6, 1.0, 500.0)
    (layer,) = network.hidden
    assert dense(layer.weight).tolist() == [[500.0], [-500.0]]
    assert layer.bias.tolist() == [-200.0, 300.0]
    assert network.output_weight.tolist() == [1.0, 1.0]
    assert network.output_bias == -1.0
    assert network.hidden_neurons == 2


def test_ridge_bump_of_the_text_book_has_the_listed_weights():
    network = ridge_bump(0.3, 0.7, 1.0, 500.0)
    (layer,) = network.hidden
    assert dense(layer.weight).tolist() == [[500.0, 0.0], [-500.0, 0.0]]
    assert layer.bias.tolist() == [-150.0, 350.0]
    assert network.output_weight.tolist() == [1.0, 1.0]
    assert network.output_bias == -1.0


def test_tower_of_the_text_book_has_the_listed_weights():
    network = tower((0.45, 0.45), (0.55, 0.55), 1.0, 500.0)
    steps, gate = network.hidden
    assert dense(steps.weight).tolist() == [[500, 0], [-500, 0], [0, 500], [0, -500]]
    assert steps.bias.tolist() == [-225.0, 275.0, -225.0, 275.0]
    assert dense(gate.weight).tolist() == [[200.0] * 4]
    assert gate.bias.tolist() == [-700.0]
    assert (network.output_weight.tolist(), network.output_bias) == ([1.0], 0.0)
    assert network.neurons_per_layer == (4, 1)


def test_tower_of_the_text_book_center_edge_and_corner():
    network = tower(0.45, 0.55)
    assert at(network, 0.5, 0.5) == pytest.approx(1.0, abs=1e-12)
    assert at(network, 0.45, 0.5) == pytest.approx(0.5, abs=1e-8)
    assert at(network, 0.5, 0.55) == pytest.approx(0.5, abs=1e-8)
    assert at(network, 0.45, 0.45) == pytest.approx(3.72e-44, rel=1e-2)
    assert at(network, 0.1, 0.5) < 1e-43


def test_bump_roles_say_where_the_steps_are():
    assert bump(0.4, 0.6).describe(0, 1) == "step down: down at x = 0.6, steepness 500"
    assert tower(0.45, 0.55).describe(0, 2) == "step up in y: up at y = 0.45, steepness 500"
    assert tower(0.45, 0.55).describe(1, 0).startswith("AND of 4 steps")


@pytest.mark.parametrize("w", [5.0, 40.0, 500.0])
def test_bump_equals_the_typed_formula(w):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network = bump(0.4, 0.6, -2.5, w)
    points = np.linspace(-1, 2, 61)
    plain = [bump_value(x, 0.4, 0.6, -2.5, w) for x in points]
    np.testing.assert_allclose(network(points[:, None]), plain, rtol=0, atol=1e-13)
    design = BumpDesign(0.4, 0.6, -2.5, w)
    np.testing.assert_allclose([design.value(x) for x in points], plain, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_tower_equals_the_typed_formula(dimension):
    rise = (-0.3, 0.1, 0.0, 2.0)[:dimension]
    fall = (0.2, 0.5, 0.4, 2.3)[:dimension]
    network = tower(rise, fall, 3.0, 60.0, gate=30.0)
    points = np.random.default_rng(0).uniform(-0.5, 2.5, (50, dimension))
    points[:2] = [rise, np.add(rise, fall) / 2]
    plain = [tower_value(point, rise, fall, 3.0, 60.0, 30.0) for point in points]
    np.testing.assert_allclose(network(points), plain, rtol=0, atol=1e-12)


@given(locations, widths, heights, steepnesses)
def test_bump_design_round_trip(rise, width, height, steepness):
    design = BumpDesign(rise, rise + width, height, steepness)
    back = read_bump(design.to_network())
    assert back.rise == pytest.approx(design.rise, rel=1e-14, abs=1e-300)
    assert back.fall == pytest.approx(design.fall, rel=1e-14, abs=1e-300)
    assert (back.height, back.steepness) == (design.height, design.steepness)


@given(
    st.tuples(locations, widths),
    heights,
    st.tuples(steepnesses, steepnesses),
    st.sampled_from([(1.0, 0.0), (0.0, -1.0), (1.0, -0.5), (0.25, 1.0, 0.0)]),
)
def test_ridge_bump_design_round_trip(ends, height, steepness, direction):
    design = BumpDesign(ends[0], sum(ends), height, steepness, direction)
    back = read_bump(design.to_network())
    assert back.rise == pytest.approx(design.rise, rel=1e-14, abs=1e-300)
    assert back.fall == pytest.approx(design.fall, rel=1e-14, abs=1e-300)
    assert back.steepness == pytest.approx(design.steepness)
    assert back.direction == pytest.approx(design.direction)


@given(
    st.integers(1, 4).flatmap(
        lambda d: st.lists(st.tuples(locations, widths), min_size=d, max_size=d)
    ),
    heights,
    steepnesses,
)
def test_tower_design_round_trip(ends, height, steepness):
    design = TowerDesign(
        tuple(low for low, _ in ends), tuple(low + side for low, side in ends), height, steepness
    )
    back = read_tower(design.to_network())
    np.testing.assert_allclose(back.rise, design.rise, rtol=1e-14)
    np.testing.assert_allclose(back.fall, design.fall, rtol=1e-14)
    assert (back.height, back.steepness, back.gate) == (height, steepness, 200.0)


@settings(max_examples=40)
@given(locations, st.floats(0.01, 3), heights, st.floats(1, 400))
def test_bump_peak_and_edges_equal_the_formulas(rise, width, height, w):
    design = BumpDesign(rise, rise + width, height, w)
    network = design.to_network()
    places = np.linspace(design.rise - width, design.fall + width, 3001)[:, None]
    highest = float((network(places) / height).max())
    tolerance = 1e-9 * abs(height)
    assert design.peak == pytest.approx(height * math.tanh(w * design.width / 4))
    assert height * highest == pytest.approx(design.peak, abs=tolerance)
    half = height * math.tanh(w * design.width / 2) / 2
    assert design.edge_values == pytest.approx((half, half))
    assert at(network, design.rise) == pytest.approx(half, abs=tolerance)


def test_bump_unequal_steepness_peak_is_the_highest_value():
    design = BumpDesign(0.4, 0.6, 2.0, (10.0, 40.0))
    values = design.to_network()(np.linspace(0, 1, 100_001)[:, None])
    assert design.peak == pytest.approx(values.max(), abs=1e-6)
    assert 0.4 < design.peak_location < 0.6
    assert values.min() == pytest.approx(0, abs=2.0 * math.exp(-10 * 0.2))
    assert "crosses 0" in " ".join(design.remarks)


@pytest.mark.parametrize(("width", "w"), [(0.2, 500.0), (0.2, 20.0), (0.05, 10.0)])
def test_bump_l1_distance_equals_the_sum_over_small_pieces(width, w):
    design = BumpDesign(0.4, 0.4 + width, -1.5, w)
    measured = l1_distance_by_sums(0.4, 0.4 + width, 1.5, w)
    assert design.l1_distance == pytest.approx(measured, rel=1e-5)


def test_bump_l1_distance_wide_is_four_ln_two_over_steepness():
    assert BumpDesign(0.4, 0.6).l1_distance == pytest.approx(4 * math.log(2) / 500, rel=1e-12)
    pair = BumpDesign(0.4, 0.6, 1.0, (500.0, 250.0)).l1_distance
    assert pair == pytest.approx(2 * math.log(2) * (1 / 500 + 1 / 250))


def test_bump_steeper_with_its_biases_moves_its_edges():
    assert BumpDesign(0.4, 0.6).edges_if_biases_stay(1000.0) == pytest.approx((0.2, 0.3))


def test_steepness_for_peak_gives_that_peak():
    w = steepness_for_peak(0.2, 0.9)
    assert BumpDesign(0.4, 0.6, 1.0, w).peak == pytest.approx(0.9)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_tower_at_the_vanishing_side_is_half_as_high(dimension):
    side = vanishing_side(500.0, dimension)
    assert side == pytest.approx(2 * math.log(4 * dimension - 1) / 500)
    design = TowerDesign((0.5,) * dimension, (0.5 + side,) * dimension)
    assert design.peak == pytest.approx(0.5, abs=1e-6)
    center = (0.5 + side / 2,) * dimension
    assert at(design.to_network(), *center) == pytest.approx(0.5, abs=1e-6)


def test_tower_facts_equal_its_values():
    design = TowerDesign((0.2, 0.3), (0.26, 0.35), 2.0, 90.0, 40.0)
    network = design.to_network()
    assert design.peak == pytest.approx(at(network, 0.23, 0.325), abs=1e-12)
    assert design.edge_value == pytest.approx(at(network, 0.2, 0.325), abs=1e-12)
    assert design.corner_value == pytest.approx(at(network, 0.26, 0.3), abs=1e-12)


def test_tower_so_narrow_that_it_vanishes_warns():
    with pytest.warns(UserWarning, match=r"vanishes.*2 ln 7 / 500 = 0\.007784.*0\.005"):
        tower((0.5, 0.5), (0.505, 0.505))


def test_tower_remark_names_a_steepness_that_helps():
    remark = TowerDesign((0.5, 0.5), (0.505, 0.505)).remarks[0]
    needed = float(remark.split("A steepness of ")[1].split(" ")[0])
    assert TowerDesign((0.5, 0.5), (0.505, 0.505), 1.0, needed).remarks == ()


def test_tower_soft_gate_is_remarked():
    assert "gate is soft" in TowerDesign((0.2,), (0.8,), gate=4.0).remarks[0]


def test_bump_narrower_than_its_steps_warns():
    with pytest.warns(UserWarning, match=r"vanishes.*24\.5 % of the height.*5293"):
        bump(0.4, 0.402)


def test_shapes_that_are_wide_enough_have_no_remarks():
    assert BumpDesign(0.4, 0.6).remarks == ()
    assert TowerDesign((0.45, 0.45), (0.55, 0.55)).remarks == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.6, 0.4), r"rise must be below fall, got rise=0.6 and fall=0.4"),
        ((0.4, 0.4), r"rise must be below fall"),
        ((math.nan, 0.4), r"rise must be a number .* got nan"),
        ((0.4, math.inf), r"fall must be a number .* got inf"),
        ((0.4, 0.6, math.nan), r"height must be a number"),
        ((0.4, 0.6, 0.0), r"height must not be 0"),
        ((0.4, 0.6, 1.0, 0.0), r"steepness must be a number in \(0"),
        ((0.4, 0.6, 1.0, -500.0), r"steepness must be a number in \(0, inf\), got -500.0"),
        ((0.4, 0.6, 1.0, math.nan), r"steepness must be a number"),
        ((0.4, 0.6, 1.0, (1.0, 2.0, 3.0)), r"steepness must be one number or two"),
        ((1e200, 2e200, 1.0, 1e200), r"steepness must leave the bias finite"),
    ],
)
def test_bump_bad_argument_raises(arguments, message):
    with pytest.raises(UsageError, match=message):
        bump(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0.6, 0.1), (0.4, 0.2)), r"rise must be below fall in x"),
        (((0.1, 0.6), (0.2, 0.4)), r"rise must be below fall in y"),
        (((0.1,), (0.2, 0.3)), r"rise and fall must be equally many numbers"),
        ((0.1, 0.2, 1.0, math.nan), r"steepness must be a number"),
        (((0.1,) * 5, (0.2,) * 5), r"1 to 4, got 5 and 5"),
    ],
)
def test_tower_bad_argument_raises(arguments, message):
    with pytest.raises(UsageError, match=message):
        tower(*arguments)


def test_tower_gate_not_positive_raises():
    with pytest.raises(UsageError, match=r"gate must be a number in \(0, inf\), got 0"):
        tower(0.1, 0.2, gate=0)


def test_ridge_bump_without_direction_raises():
    with pytest.raises(UsageError, match="direction must be 1 to 4 numbers, not all 0"):
        ridge_bump(0.1, 0.2, direction=(0, 0))


@pytest.mark.parametrize("read", [read_bump, read_tower])
def test_reading_another_network_raises(read):
    other = tower(0.1, 0.3) if read is read_bump else bump(0.1, 0.3)
    with pytest.raises(UsageError, match="network must be a"):
        read(other)


def test_read_bump_unequal_output_weights_raises():
    whole = bump(0.1, 0.3)
    changed = SigmoidNetwork(whole.hidden, np.array([1.0, 1.1]), -1.0, "bump")
    with pytest.raises(UsageError, match="both output weights"):
        read_bump(changed)


def test_tower_on_a_triangle_needs_only_four_neurons():
    """Four neurons carry a tower on a triangle; the reason for five is the rectangle."""
    from pellucid.approximation.network import SigmoidLayer

    steps = SigmoidLayer(
        np.array([[500.0, 0], [0, 500.0], [-500.0, -500.0]]), np.array([-100.0, -100.0, 350.0])
    )
    gate = SigmoidLayer(np.full((1, 3), 200.0), np.array([-500.0]))
    network = SigmoidNetwork((steps, gate), np.array([1.0]), 0.0, "triangle")
    assert at(network, 0.23, 0.23) == pytest.approx(1.0, abs=1e-9)
    far = np.array([[5.0, 0.2], [0.2, 5], [-5, 0.2], [0.2, -5], [5, 5], [-5, -5], [-5, 5], [5, -5]])
    assert network(far).max() < 1e-20
