from fractions import Fraction

import flint
import numpy as np
import pytest

from pellucid.approximation.certificate.functions import (
    FUNCTIONS,
    power_function,
    sigmoid_derivative_factor,
)

INTERVALS = {"log": (0.3, 2.5), "asin": (-0.9, 0.7), "acos": (-0.9, 0.7)}


def taylor_coefficients(function, center, order):
    """Return derivatives at a point by arb's power series."""
    flint.ctx.cap = order + 2
    z = flint.arb_series([center, 1])
    one = flint.arb_series([1])
    series = {
        "sigmoid": lambda: one / (one + (-z).exp()),
        "tanh": lambda: (z.exp() - (-z).exp()) / (z.exp() + (-z).exp()),
        "sinh": lambda: (z.exp() - (-z).exp()) / 2,
        "cosh": lambda: (z.exp() + (-z).exp()) / 2,
    }
    made = series[function]() if function in series else getattr(z, function)()
    return [abs(float(made[n] * flint.fmpz(n).fac_ui(n))) for n in range(1, order + 1)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivative_of_function_bounds_true_derivatives(name):
    low, high = INTERVALS.get(name, (-2.0, 3.0))
    for center in np.linspace(low, high, 13):
        for order, true in enumerate(taylor_coefficients(name, float(center), 11), start=1):
            bound = FUNCTIONS[name].derivative(order, np.array(low), np.array(high))
            at_point = FUNCTIONS[name].derivative(order, np.array(center), np.array(center))
            assert true <= bound * (1 + 1e-9)
            assert true <= at_point * (1 + 1e-9)


@pytest.mark.parametrize("exponent", [Fraction(1, 2), Fraction(-1), Fraction(5, 2), Fraction(-3)])
@pytest.mark.parametrize("side", [1, -1])
def test_derivative_of_power_bounds_differences(exponent, side):
    if side < 0 and exponent.denominator != 1:
        pytest.skip("no real power")
    function = power_function(exponent)
    z = side * np.linspace(0.4, 1.6, 4001)
    value = np.abs(z) ** float(exponent) * (side ** int(exponent) if side < 0 else 1)
    slope = np.abs(np.gradient(value, z)).max()
    low, high = np.array(z.min()), np.array(z.max())
    bound = function.derivative(1, low, high)
    assert slope <= bound * 1.001
    assert bound <= 1.2 * slope


@pytest.mark.parametrize("order", [1, 2, 3, 4, 7, 11])
def test_sigmoid_derivative_factor_is_attained(order):
    z = np.linspace(-12, 12, 200_001)
    s = 1 / (1 + np.exp(-z))
    factor = np.polynomial.Polynomial([1.0])
    x = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(order - 1):
        factor = (1 - 2 * x) * factor + x * (1 - x) * factor.deriv()
    seen = np.abs(factor(s)).max()
    assert seen <= sigmoid_derivative_factor(order) <= 1.001 * max(seen, 1.0)
