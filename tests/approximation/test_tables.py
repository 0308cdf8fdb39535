from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from pellucid import DataError, UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.tables import TableTarget
from tests.reference.table_interpolation import interpolate

BOX = Box((-1.0, 0.3), (2.0, 0.7))


def random_table(seed: int = 0, shape: tuple[int, ...] = (7, 12)) -> TableTarget:
    values = np.random.default_rng(seed).normal(size=shape)
    return TableTarget(values, BOX, (20.0, 200.0))


def test_table_interpolates_like_exact_fractions():
    table = random_table()
    points = BOX.sample(200, np.random.default_rng(1))
    exact = [float(interpolate(table.values, BOX, point)) for point in points]
    np.testing.assert_allclose(table(points), exact, rtol=1e-12, atol=1e-12)


def test_table_has_its_values_at_the_nodes():
    table = random_table()
    np.testing.assert_allclose(table(BOX.grid((7, 12))), table.values.ravel(), atol=1e-13)


def test_table_slack_bounds_any_function_as_steep():
    table = TableTarget(np.zeros(6), Box((0.0,), (1.0,)), (3.0,))
    # The steepest function between the nodes: tents of slope 3.
    x = np.linspace(0, 1, 1001)
    tent = 3.0 * np.abs(x - np.round(x * 5) / 5)
    assert tent.max() == pytest.approx(table.slack, rel=1e-2)
    assert np.all(tent <= table.slack)


@pytest.mark.parametrize("arithmetic", ["intervals", "balls"])
@pytest.mark.parametrize("width", [1.0, 0.1, 0.01, 1e-5, 0.0])
def test_table_enclose_holds_the_exact_interpolation(arithmetic, width):
    table = random_table()
    generator = np.random.default_rng(2)
    nodes = BOX.grid((7, 12))[generator.integers(0, 84, 20)]
    lower = np.concatenate([BOX.sample(20, generator), nodes])
    upper = np.minimum(lower + width * generator.random(lower.shape), BOX.upper)
    jet = table.enclose(lower, upper, order=1, arithmetic=arithmetic)
    for share in (0.0, 0.4, 1.0):
        points = np.clip(lower + share * (upper - lower), lower, upper)
        for row, point in enumerate(points):
            exact = interpolate(table.values, BOX, point)
            assert Fraction(float(jet.value.lower[row])) <= exact
            assert exact <= Fraction(float(jet.value.upper[row]))


def test_table_enclose_gradient_holds_difference_quotients():
    table = random_table()
    generator = np.random.default_rng(3)
    lower = BOX.sample(300, generator)
    upper = np.minimum(lower + 0.3 * generator.random(lower.shape), BOX.upper)
    jet = table.enclose(lower, upper, order=1)
    for axis in range(2):
        start = lower + (upper - lower) * generator.random(lower.shape)
        end = start.copy()
        end[:, axis] = upper[:, axis]
        length = end[:, axis] - start[:, axis]
        keep = length > 1e-6
        quotient = (table(end) - table(start))[keep] / length[keep]
        assert np.all(jet.gradient.lower[keep, axis] <= quotient + 1e-6)
        assert np.all(quotient <= jet.gradient.upper[keep, axis] + 1e-6)


def test_table_enclose_small_boxes_is_tight():
    table = random_table()
    lower = BOX.sample(300, np.random.default_rng(4))
    jet = table.enclose(lower, np.minimum(lower + 1e-6, BOX.upper), order=1)
    assert jet.value.width.max() < 1e-3


def test_table_enclose_whole_box_is_the_range_of_the_values():
    table = random_table()
    jet = table.enclose([BOX.lower], [BOX.upper])
    assert (jet.value.lower[0], jet.value.upper[0]) == (table.values.min(), table.values.max())


def test_table_enclose_order_two_has_unbounded_curvature():
    jet = random_table().enclose([BOX.lower], [BOX.upper], order=2)
    assert jet.hessian.shape == (1, 2, 2)
    assert not jet.hessian.is_bounded.any()


def test_table_json_round_trip_is_exact():
    table = random_table()
    again = TableTarget.from_json(json.loads(json.dumps(table.to_json())))
    np.testing.assert_array_equal(again.values, table.values)
    assert (again.box, again.lipschitz, again.digest) == (BOX, table.lipschitz, table.digest)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lipschitz", [21.0, 200.0]),
        ("lipschitz", "many"),
        ("box", [[-1.0, 2.0], [0.3, 0.71]]),
        ("box", [[0.0, 1.0]]),
        ("shape", [12, 7]),
        ("shape", [10**9, 10**9]),
        ("shape", None),
        ("values", "AAAA"),
        ("values", "not base 64!"),
        ("digest", "0" * 64),
    ],
)
def test_table_changed_json_is_refused(key, value):
    data = random_table().to_json() | {key: value}
    with pytest.raises(DataError, match="table in the file"):
        TableTarget.from_json(data)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, np.nan], r"table must hold finite numbers, got nan at index \[1\]"),
        ([0.0], "table must have 2 or more values along each axis"),
        ([[0.0, 1.0], [1.0, 2.0]], "table must have one axis for each of the 1 coordinates"),
    ],
)
def test_table_unusable_values_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        TableTarget(np.array(values), Box((0.0,), (1.0,)), (5.0,))


def test_table_steeper_than_lipschitz_is_refused():
    with pytest.raises(UsageError, match="lipschitz must be at least 4 along coordinate 1"):
        TableTarget(np.array([0.0, 0.0, 2.0]), Box((0.0,), (1.0,)), (3.0,))


def test_table_values_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        random_table().values[0, 0] = 1.0


def test_table_wrong_points_are_refused():
    with pytest.raises(UsageError, match=r"points must have shape \(n, 2\)"):
        random_table()(np.zeros((3, 1)))
