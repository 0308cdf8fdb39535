"""Product gadgets and their errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from pellucid.approximation.constructions.products import (
    INFLECTION,
    LEVEL,
    exponential_unit,
    four_neuron_product,
    hyperbolic_units,
    linear_unit,
)
from tests.reference.few_neurons import sigmoid_derivatives_at

GRID = np.stack(np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)), -1).reshape(-1, 2)


def test_inflection_fourth_derivative_vanishes() -> None:
    assert pytest.approx(2.2924, abs=5e-5) == INFLECTION
    assert abs(sigmoid_derivatives_at(float(expit(INFLECTION)), 4)) < 1e-14


@pytest.mark.parametrize("step", [0.05, 0.2, 0.5])
def test_four_neuron_product_error_is_at_most_bound(step: float) -> None:
    weight, bias, output = four_neuron_product(step)
    got = expit(GRID @ weight.T + bias) @ output
    error = np.abs(got - GRID[:, 0] * GRID[:, 1]).max()
    assert error <= 0.267 * step**4 + 1e-12


def test_four_neuron_product_leading_error_term() -> None:
    u, v, step = 0.7, -0.9, 0.1
    weight, bias, output = four_neuron_product(step)
    error = float(expit(weight @ np.array([u, v]) + bias) @ output) - u * v
    value = float(expit(INFLECTION))
    ratio = sigmoid_derivatives_at(value, 6) / sigmoid_derivatives_at(value, 2)
    term = ratio * u * v * (3 * u**4 + 10 * u * u * v * v + 3 * v**4) / 360 * step**4
    assert error == pytest.approx(term, rel=0.05)


def test_exponential_unit_relative_error_is_share_of_level() -> None:
    product = np.exp(GRID[:, 0]) * (2 + GRID[:, 1])
    unit = exponential_unit(product, role="product")
    got = unit.output * expit(unit.wanted)
    assert np.abs(got / product - 1).max() <= np.exp(LEVEL)


def test_exponential_unit_negative_product_has_negative_output() -> None:
    unit = exponential_unit(-np.exp(GRID[:, 0]), role="product")
    assert unit.output < 0


def test_hyperbolic_units_give_signed_product() -> None:
    signed, positive = GRID[:, 0], 2 + GRID[:, 1]
    first, second = hyperbolic_units(signed, positive, role="product")
    exponential = first.output * np.exp(first.wanted) + second.output * np.exp(second.wanted)
    np.testing.assert_allclose(exponential, signed * positive, atol=1e-12)


@pytest.mark.parametrize("step", [0.1, 0.5])
def test_linear_unit_error_is_at_most_bound(step: float) -> None:
    values = 3 * GRID[:, 0] - 2 * GRID[:, 1]
    unit, constant = linear_unit(values, step=step, role="sum")
    got = unit.output * expit(unit.wanted) + constant
    assert np.abs(got - values).max() <= np.abs(values).max() * step**2 / 12
