from __future__ import annotations

import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.enclosures.bounds import lipschitz_bounds, value_range
from pellucid.approximation.expressions import parse

FRANKE = (
    "0.75*exp(-((9*x-2)**2+(9*y-2)**2)/4) + 0.75*exp(-((9*x+1)**2)/49-(9*y+1)/10)"
    " + 0.5*exp(-((9*x-7)**2+(9*y-3)**2)/4) - 0.2*exp(-((9*x-4)**2+(9*y-7)**2))"
)
SMOOTH = [
    "sin(2*pi*x)",
    "sin(6*x)*cos(4*y) + x*y",
    "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)",
    "exp(-200*((x-0.5)**2 + (y-0.5)**2))",
    "sin(20*x)*y",
    "1/(1+25*(2*x-1)**2)",
    FRANKE,
    "x*y*z",
    "sin(3*x)*cos(2*y)*exp(z)",
    "tanh(50*(x-0.5))",
    "hypot(x, y)",
    "abs(x - y)",
    "min(x, y)**2",
]


def brute_force(text: str) -> tuple[Box, np.ndarray, np.ndarray]:
    """Return the box, values on a fine grid, and the largest difference quotients."""
    expression = parse(text)
    dimension = expression.dimension
    box = Box((0.0,) * dimension, (1.0,) * dimension)
    count = {1: 20_001, 2: 401, 3: 61}[dimension]
    values = expression(box.grid(count)).reshape((count,) * dimension)
    slopes = [np.abs(np.diff(values, axis=axis)).max() * (count - 1) for axis in range(dimension)]
    return box, values, np.array(slopes)


@pytest.mark.parametrize("text", SMOOTH)
def test_value_range_holds_all_samples_and_little_more(text):
    box, values, _ = brute_force(text)
    low, high = value_range(parse(text), box)
    assert low <= values.min()
    assert values.max() <= high
    assert high - low <= 1.04 * np.ptp(values) + 1e-12


@pytest.mark.parametrize("text", SMOOTH)
def test_lipschitz_bounds_hold_all_quotients_and_little_more(text):
    box, _, slopes = brute_force(text)
    bounds = np.array(lipschitz_bounds(parse(text), box))
    assert np.all(slopes <= bounds * (1 + 1e-12))
    assert np.all(bounds <= 1.1 * slopes + 1e-9)


@pytest.mark.parametrize(
    ("text", "bounded"),
    [
        ("sqrt(x) + sqrt(y)", [False, False]),
        ("sqrt(x) + y", [False, True]),
        ("where(x < 0.5, 0, y)", [False, True]),
        ("sign(x - y)", [False, False]),
        ("where(x**2 + y**2 < 0.5, 1, 0)", [False, False]),
    ],
)
def test_lipschitz_bounds_unbounded_slope_is_infinite(text, bounded):
    bounds = lipschitz_bounds(parse(text), Box((0.0, 0.0), (1.0, 1.0)))
    assert np.isfinite(bounds).tolist() == bounded


def test_lipschitz_bounds_unused_coordinate_is_zero():
    assert lipschitz_bounds(parse("x", 3), Box((0.0,) * 3, (1.0,) * 3))[1:] == (0.0, 0.0)


def test_lipschitz_bounds_depend_on_the_box():
    bounds = lipschitz_bounds(parse("sqrt(x)"), Box((0.25,), (4.0,)))
    assert bounds[0] == pytest.approx(1.0, rel=0.03)


def test_value_range_of_a_constant_is_the_constant():
    assert value_range(parse("3", 2), Box((0.0, 0.0), (1.0, 1.0))) == (3.0, 3.0)


def test_value_range_of_a_jump_holds_both_sides():
    assert value_range(parse("where(x < 0.5, -1, 2)"), Box((0.0,), (1.0,))) == (-1.0, 2.0)


def test_value_range_of_what_is_undefined_is_infinite():
    low, high = value_range(parse("1/x"), Box((-1.0,), (1.0,)))
    assert (low, high) == (-np.inf, np.inf)
