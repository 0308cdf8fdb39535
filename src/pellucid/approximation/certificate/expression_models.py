"""Taylor models of what the user typed."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.certificate.functions import FUNCTIONS, Univariate, power_function
from pellucid.approximation.certificate.taylor_models import (
    WIDEN,
    Arithmetic,
    Floats,
    Model,
)
from pellucid.approximation.formula_tree import Expression, Node

_LARGEST_PRODUCT = 8


def expression_model(expression: Expression, arithmetic: Arithmetic) -> Model:
    """Enclose an expression on the boxes of an arithmetic.

    Args:
        expression: The formula.
        arithmetic: Boxes, degree and kind of numbers.

    Returns:
        The model. It holds where the formula is defined, across kinks and jumps.
    """
    walk = _Walk(arithmetic)
    models: dict[int, Model] = {}
    truths: dict[int, Truth] = {}
    for node in expression.steps:
        if node.operation in _TRUTHS:
            truths[id(node)] = walk.truth(node, models, truths)
        else:
            models[id(node)] = walk.value(node, models, truths)
    return models[id(expression.root)]


_TRUTHS = {"less", "less_equal", "equal", "not_equal", "and", "or", "not", "true"}
# Certainly true, certainly false, and which direction an undecided box should be halved in.
Truth = tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]


class _Walk:
    """One evaluation: nodes in order, arguments first."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.on = arithmetic

    def value(self, node: Node, models: dict[int, Model], truths: dict[int, Truth]) -> Model:
        on, operation = self.on, node.operation
        if operation == "constant":
            return on.constant(_constant(node))
        if operation == "variable":
            assert isinstance(node.value, int)
            return on.variable(node.value)
        if operation == "where":
            truth = truths[id(node.arguments[0])]
            return self.choose(truth, *(models[id(a)] for a in node.arguments[1:]))
        a = [models[id(argument)] for argument in node.arguments]
        if operation == "add":
            return on.add(a[0], a[1])
        if operation == "subtract":
            return on.add(a[0], a[1], subtract=True)
        if operation == "multiply":
            return on.multiply(a[0], a[1])
        if operation == "negate":
            return on.negative(a[0])
        if operation == "divide":
            return on.multiply(a[0], self.apply(power_function(Fraction(-1)), a[1]))
        if operation == "power":
            assert isinstance(node.value, Fraction)
            return self.power(a[0], node.value)
        if operation == "sqrt":
            return self.root(a[0], Fraction(1, 2))
        if operation == "general_power":
            exponent = on.multiply(a[1], self.apply(FUNCTIONS["log"], a[0]))
            return self.apply(FUNCTIONS["exp"], exponent)
        if operation == "tan":
            cosine = self.apply(FUNCTIONS["cos"], a[0])
            inverse = self.apply(power_function(Fraction(-1)), cosine)
            return on.multiply(self.apply(FUNCTIONS["sin"], a[0]), inverse)
        if operation == "abs":
            return self.absolute(a[0])
        if operation == "sign":
            return self.sign(a[0])
        if operation in ("min", "max"):
            result = a[0]
            for other in a[1:]:
                result = self.extreme(result, other, largest=operation == "max")
            return result
        if operation == "norm":
            total = on.square(a[0])
            for other in a[1:]:
                squared = on.square(other)
                low = total.lower + squared.lower
                total = on.add(total, squared)
                total = Model(
                    total.coefficients,
                    total.remainder,
                    np.fmax(total.lower, low * (1 - 1e-13)),
                    total.upper,
                )
            return self.root(total, Fraction(1, 2))
        return self.apply(FUNCTIONS[operation], a[0])

    def apply(self, function: Univariate, a: Model) -> Model:
        """Return a univariate function of a model."""
        return self.on.compose(
            function, a, *function.range(a.lower, a.upper), inside=function.inside
        )

    def power(self, a: Model, exponent: Fraction) -> Model:
        if exponent.denominator != 1:
            return self.root(a, exponent)
        if exponent == 0:
            return self.on.constant(1.0)
        if exponent == 2:
            return self.on.square(a)
        if not 0 < exponent <= _LARGEST_PRODUCT:
            if exponent < 0:
                return self.apply(power_function(exponent), a)
            half = self.power(a, Fraction(exponent // 2))
            square = self.on.square(half)
            return square if exponent % 2 == 0 else self.on.multiply(square, a)
        product = a
        for _ in range(int(exponent) - 1):
            product = self.on.multiply(product, a)
        low, high = power_function(exponent).range(a.lower, a.upper)
        low, high = np.fmax(product.lower, low), np.fmin(product.upper, high)
        return Model(product.coefficients, product.remainder, low, high)

    def root(self, a: Model, exponent: Fraction) -> Model:
        """A power that is no integer: near 0 a chord encloses it, where no polynomial would.

        Its argument is not negative where it is defined, whatever the enclosure of it says.
        """
        function, p = power_function(exponent), float(exponent)
        model = self.apply(function, a)
        low, high = np.maximum(a.lower, 0.0), a.upper
        with np.errstate(all="ignore"):
            slope = (high**p - low**p) / (high - low)
            touch = np.clip((slope / p) ** (1 / (p - 1)), low, high)
            tangent = p * touch ** (p - 1)
            ends = low**p - slope * low, high**p - slope * high
            above = touch**p + tangent * (low - touch) - slope * low
            other = touch**p + tangent * (high - touch) - slope * high
            parts = np.stack([*ends, above, other])
            slack = 1e-13 * (np.abs(parts).max(axis=0) + np.abs(slope * high) + high**p)
            least, most = parts.min(axis=0) - slack, parts.max(axis=0) + slack
        usable = np.isfinite(slope) & np.isfinite(least) & np.isfinite(most)
        return self.better(model, self.affine(a, slope, least, most), usable)

    def affine(self, a: Model, slope: Floats, least: Floats, most: Floats) -> Model:
        """Return ``slope * a`` plus anything in [least, most]."""
        on = self.on
        known = np.isfinite(slope) & np.isfinite(least) & np.isfinite(most)
        slope, least, most = (np.where(known, part, 0.0) for part in (slope, least, most))
        coefficients = a.coefficients * on.exact(slope)
        rest = on.interval(least, most, on.cause(a))
        with np.errstate(invalid="ignore"):
            remainder = (a.remainder * np.abs(slope) + rest.remainder) * WIDEN
        if not on.balls:
            remainder[-1] += 4 * on.unit * np.abs(coefficients).sum(axis=0)
        coefficients[0] = coefficients[0] + rest.coefficients[0]
        infinite = np.full(on.count, np.inf)
        return on.finish(coefficients, remainder, -infinite, infinite)

    def better(self, a: Model, b: Model, usable: NDArray[np.bool_]) -> Model:
        """Take b where it is usable and has the smaller remainder."""
        chosen = usable & (b.total < a.total)
        model = select(chosen, b, a)
        # Both enclose the same function, so both ranges hold where b does.
        low = np.where(usable, np.fmax(a.lower, b.lower), a.lower)
        high = np.where(usable, np.fmin(a.upper, b.upper), a.upper)
        return Model(model.coefficients, model.remainder, low, high)

    def absolute(self, a: Model) -> Model:
        low, high = a.lower, a.upper
        crossing = self.straddling(a)
        model = select(low >= 0, a, select(high <= 0, self.on.negative(a), crossing))
        least = np.where((low < 0) & (high > 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
        most = np.maximum(np.abs(low), np.abs(high))
        return Model(
            model.coefficients,
            model.remainder,
            np.fmax(model.lower, least),
            np.fmin(model.upper, most),
        )

    def straddling(self, a: Model) -> Model:
        """Enclose the absolute value between the chord and the parallel through 0."""
        with np.errstate(all="ignore"):
            width = a.upper - a.lower
            slope = np.clip((a.upper + a.lower) / width, -1.0, 1.0)
            most = np.maximum(a.upper * (1 - slope), -a.lower * (1 + slope)) * (1 + 1e-13)
        crosses = (a.lower < 0) & (a.upper > 0) & np.isfinite(width)
        slope = np.where(crosses, slope, 0.0)
        most = np.where(crosses, most, np.inf)
        model = self.affine(a, slope, np.zeros(most.shape), np.where(crosses, most, 0.0))
        unbounded = self.on.interval(
            np.zeros(most.shape), np.full(most.shape, np.inf), self.on.cause(a)
        )
        return select(crosses, model, unbounded)

    def extreme(self, a: Model, b: Model, *, largest: bool) -> Model:
        """Minimum or maximum: ``(a + b)/2 ± |a - b|/2``, exactly one of the two where that is known."""
        on = self.on
        difference = on.add(a, b, subtract=True)
        if largest:
            first, second = difference.lower >= 0, difference.upper <= 0
            pick = np.maximum
        else:
            first, second = difference.upper <= 0, difference.lower >= 0
            pick = np.minimum
        sum_ = on.add(a, b)
        spread = self.straddling(difference)
        mixed = on.scale(on.add(sum_, spread, subtract=not largest), 0.5)
        model = select(first, a, select(second, b, mixed))
        low, high = pick(a.lower, b.lower), pick(a.upper, b.upper)
        return Model(
            model.coefficients,
            model.remainder,
            np.fmax(model.lower, low),
            np.fmin(model.upper, high),
        )

    def sign(self, a: Model) -> Model:
        on = self.on
        above, below = a.lower > 0, a.upper < 0
        zero = (a.lower == 0) & (a.upper == 0)
        ones = np.ones(on.count)
        model = on.interval(-ones, ones, on.cause(a))
        for where, value in ((above, 1.0), (below, -1.0), (zero, 0.0)):
            model = select(where, on.constant(value), model)
        return model

    def choose(self, truth: Truth, a: Model, b: Model) -> Model:
        """where: one of the two, or what encloses both."""
        on = self.on
        yes, no, share = truth
        middle = on.scale(on.add(a, b), 0.5)
        gap = on.add(a, b, subtract=True)
        half = np.maximum(np.abs(gap.lower), np.abs(gap.upper)) / 2 * WIDEN
        half = np.where(np.isnan(half), np.inf, half)
        both = on.add(middle, on.interval(-half, half, share))
        low, high = np.minimum(a.lower, b.lower), np.maximum(a.upper, b.upper)
        both = Model(
            both.coefficients, both.remainder, np.fmax(both.lower, low), np.fmin(both.upper, high)
        )
        return select(yes, a, select(no, b, both))

    def truth(self, node: Node, models: dict[int, Model], truths: dict[int, Truth]) -> Truth:
        operation = node.operation
        nowhere = np.zeros((self.on.dimension + 1, self.on.count))
        if operation == "true":
            every = np.ones(self.on.count, dtype=bool)
            return every, ~every, nowhere
        if operation in ("and", "or", "not"):
            known = [truths[id(argument)] for argument in node.arguments]
            share = sum((k[2] * ~(k[0] | k[1]) for k in known), nowhere) / len(known)
            yes, no = [k[0] for k in known], [k[1] for k in known]
            if operation == "not":
                return no[0], yes[0], share
            if operation == "and":
                return np.logical_and.reduce(yes), np.logical_or.reduce(no), share
            return np.logical_or.reduce(yes), np.logical_and.reduce(no), share
        a, b = (models[id(argument)] for argument in node.arguments)
        difference = self.on.add(a, b, subtract=True)
        share = self.on.cause(difference)
        below, above = difference.upper < 0, difference.lower > 0
        if operation == "less":
            return below, difference.lower >= 0, share
        if operation == "less_equal":
            return difference.upper <= 0, above, share
        apart = below | above
        same = (difference.lower == 0) & (difference.upper == 0)
        return (same, apart, share) if operation == "equal" else (apart, same, share)


def select(where: NDArray[np.bool_], a: Model, b: Model) -> Model:
    """Take a where true, b elsewhere, box by box."""
    if where.all():
        return a
    if not where.any():
        return b
    return Model(
        np.where(where, a.coefficients, b.coefficients),
        np.where(where, a.remainder, b.remainder),
        np.where(where, a.lower, b.lower),
        np.where(where, a.upper, b.upper),
    )


def _constant(node: Node) -> float | flint.arb:
    if node.value == "pi":
        return flint.arb.pi()
    if node.value == "e":
        return flint.arb(1).exp()
    assert isinstance(node.value, Fraction)
    nearest = float(node.value)
    if Fraction(nearest) == node.value:
        return nearest
    return flint.arb(flint.fmpq(node.value.numerator, node.value.denominator))
