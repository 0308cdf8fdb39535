"""Taylor models of a sigmoid network of any depth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from pellucid.approximation.certificate.functions import SIGMOID
from pellucid.approximation.certificate.taylor_models import (
    WIDEN,
    Arithmetic,
    Array,
    Floats,
    Model,
    lagrange,
)
from pellucid.approximation.network import SigmoidNetwork, dense


def network_model(network: SigmoidNetwork, arithmetic: Arithmetic) -> Model:
    """Enclose a network, in real arithmetic, on the boxes of an arithmetic.

    The first layer is composed with affine functions, whose powers are multinomials: nothing is
    truncated, and a neuron of one variable is computed once for each interval of that variable.
    """
    if not network.hidden:
        return arithmetic.constant(network.output_bias)
    *_, (_, model) = hidden_models(network, arithmetic)
    result = arithmetic.combine(network.output_weight[None], np.array([network.output_bias]), model)
    return Model(
        result.coefficients[:, 0], result.remainder[:, 0], result.lower[0], result.upper[0]
    )


def hidden_models(network: SigmoidNetwork, arithmetic: Arithmetic) -> Iterator[tuple[Model, Model]]:
    """Enclose the layers one after the other: what the sigmoids get, and what they give.

    Of what the first layer gets, only the range is meaningful.
    """
    model = None
    for layer in network.hidden:
        weight = dense(layer.weight)
        if model is None:
            model, low, high = _first_layer(weight, layer.bias, arithmetic)
            yield Model(model.coefficients, model.remainder, low, high), model
            continue
        argument = arithmetic.combine(weight, layer.bias, model)
        ends = SIGMOID.range(argument.lower, argument.upper)
        model = arithmetic.compose(SIGMOID, argument, *ends)
        yield argument, model


def _first_layer(weight: Floats, bias: Floats, on: Arithmetic) -> tuple[Model, Floats, Floats]:
    """Return the neurons and the range of their arguments."""
    neurons = len(bias)
    shape = (neurons, on.count)
    coefficients = on.zeros(shape)
    remainder = np.zeros((on.dimension + 1, *shape))
    lower, upper = np.zeros(shape), np.zeros(shape)
    low, high = np.zeros(shape), np.zeros(shape)
    used = weight != 0
    for support in itertools.product((False, True), repeat=on.dimension):
        axes = np.flatnonzero(support)
        rows = np.flatnonzero((used == np.array(support)).all(axis=1))
        if not len(rows):
            continue
        # Boxes that agree in these variables are one.
        place = np.concatenate([on.middle[axes], on.radius[axes]])
        if len(axes):
            distinct, back = np.unique(place, axis=1, return_inverse=True)
            back = back.ravel()
        else:
            distinct, back = place[:, :1], np.zeros(on.count, dtype=np.int64)
        part = _neurons(weight[np.ix_(rows, axes)], bias[rows], distinct, axes, on)
        for monomial, values in part[0].items():
            coefficients[monomial, rows] = values[:, back]
        remainder[:, rows] = part[1][..., back]
        low[rows], high[rows] = part[2][:, back], part[3][:, back]
        lower[rows], upper[rows] = part[4][:, back], part[5][:, back]
    return Model(coefficients, remainder, lower, upper), low, high


def _neurons(
    weight: Floats, bias: Floats, place: Floats, axes: Array, on: Arithmetic
) -> tuple[dict[int, Array], Floats, Floats, Floats, Floats, Floats]:
    """Compute neurons that depend on ``axes``, on distinct boxes (middles, then radii).

    Returns:
        Coefficients by monomial, remainders, ranges of the arguments and of the neurons.
    """
    m, degree = on.monomials, on.degree
    half = len(place) // 2
    middle, reach = place[:half], place[half:]
    count = place.shape[1]
    spread = np.abs(weight)
    radius = (spread @ reach) * WIDEN + 1e-290
    near = weight @ middle + bias[:, None]
    error = 2 * (half + 2) * 2.0**-53 * (spread @ np.abs(middle) + np.abs(bias)[:, None])
    low, high = near - radius - error, near + radius + error
    lower, upper = SIGMOID.range(low, high)
    center: Array = near
    if on.balls:
        center = on.exact(bias)[:, None] + np.zeros((1, count))
        for axis in range(half):
            center = center + on.exact(weight[:, axis : axis + 1]) * on.exact(middle[axis])
    b, rounding = on.interpolate(SIGMOID, center, radius, degree)
    if not on.balls:
        rounding = rounding + SIGMOID.derivative(1, low, high) * error
    cut = SIGMOID.derivative(degree + 1, low, high) * lagrange(radius, degree)
    scale = on.exact(radius)
    # w_i r_i / radius: the step of the argument in units of the interpolation interval.
    step = [on.exact(weight[:, i : i + 1]) * on.exact(reach[i]) / scale for i in range(half)]
    powers = [[None, *itertools.accumulate([g] * degree, lambda p, g: p * g)] for g in step]
    result: dict[int, Array] = {}
    size = np.zeros(b.shape[1:])
    for place_, exponents in enumerate(m.exponents):
        inner = exponents[axes]
        total = int(exponents.sum())
        if inner.sum() != total:
            continue
        multinomial = math.factorial(total) // math.prod(math.factorial(int(e)) for e in inner)
        value = b[total]
        for i, exponent in enumerate(inner):
            if exponent:
                value = value * powers[i][exponent]
        result[place_] = value * multinomial if multinomial > 1 else value
        if not on.balls:
            size = size + np.abs(result[place_])
    rounding = (rounding + (4 * degree + 8) * on.unit * size) * WIDEN
    # Where a neuron turns within a fraction of the box, the middle of its range serves better.
    rough = (upper - lower) / 2 * WIDEN + 1e-300
    flat = rough < cut + rounding
    if flat.any():
        for place_ in result:
            result[place_] = result[place_].copy()
            result[place_][flat] = on.exact(0.0)
        result[0][flat] = on.exact((lower + (upper - lower) / 2)[flat])
    share = np.zeros((on.dimension + 1, *radius.shape))
    for i, axis in enumerate(axes):
        share[axis] = spread[:, i : i + 1] * reach[i] / radius
    if not half:
        share[-1] = 1.0
    remainder = share * np.where(flat, rough, cut) * WIDEN
    remainder[-1] += np.where(flat, 1e-16, rounding)
    return result, remainder, low, high, lower, upper
