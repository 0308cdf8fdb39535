"""A formula evaluated the slow and obvious way: mpmath with 120 digits, one point at a time.

Derivatives are difference quotients with steps of 1e-18, exact to dozens of digits where the
formula is smooth. Nothing here is interval arithmetic (``mpmath.iv`` is not sound).
"""

from __future__ import annotations

from fractions import Fraction

import mpmath
from mpmath import mp, mpf

DIGITS = 120
STEP = mpf(10) ** -18


class Undefined(Exception):
    """The formula has no real value at the point, or one too extreme to compute."""


def _number(value):
    if isinstance(value, str):
        return +mp.pi if value == "pi" else mp.e
    return mpf(value.numerator) / mpf(value.denominator)


def _power(base, exponent):
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        if (base == 0 and exponent < 0) or abs(base) > 1e300:
            raise Undefined
        return base ** int(exponent)
    power = _number(exponent) if isinstance(exponent, Fraction) else exponent
    if base < 0 or (base == 0 and power <= 0):
        raise Undefined
    return (
        mpf(0)
        if base == 0
        else _need(abs(power * mp.log(base)) < 10_000, lambda: mp.power(base, power))
    )


def _need(condition, value):
    if not condition:
        raise Undefined
    return value()


_RULES = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: _need(b != 0, lambda: a / b),
    "negate": lambda a: -a,
    "general_power": _power,
    "sin": lambda a: _need(abs(a) < 1e30, lambda: mp.sin(a)),
    "cos": lambda a: _need(abs(a) < 1e30, lambda: mp.cos(a)),
    "tan": lambda a: _need(abs(a) < 1e30, lambda: mp.tan(a)),
    "asin": lambda a: _need(abs(a) <= 1, lambda: mp.asin(a)),
    "acos": lambda a: _need(abs(a) <= 1, lambda: mp.acos(a)),
    "atan": mp.atan,
    "sinh": lambda a: _need(abs(a) < 10_000, lambda: mp.sinh(a)),
    "cosh": lambda a: _need(abs(a) < 10_000, lambda: mp.cosh(a)),
    "tanh": lambda a: _need(abs(a) < 10_000, lambda: mp.tanh(a)),
    "exp": lambda a: _need(a < 10_000, lambda: mp.exp(a)),
    "log": lambda a: _need(a > 0, lambda: mp.log(a)),
    "sqrt": lambda a: _need(a >= 0, lambda: mp.sqrt(a)),
    "abs": abs,
    "sign": mp.sign,
    "sigmoid": lambda a: _need(abs(a) < 10_000, lambda: 1 / (1 + mp.exp(-a))),
    "erf": lambda a: _need(abs(a) < 1_000, lambda: mp.erf(a)),
    "min": min,
    "max": max,
    "norm": lambda *parts: mp.sqrt(sum(part**2 for part in parts)),
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": lambda a: not a,
    "true": lambda: True,
}


def _value(node, point):
    if node.operation == "variable":
        return point[node.value]
    if node.operation == "constant":
        return _number(node.value)
    if node.operation == "where":
        condition, true, false = node.arguments
        return _value(true if _value(condition, point) else false, point)
    arguments = [_value(argument, point) for argument in node.arguments]
    if node.operation == "power":
        return _power(arguments[0], node.value)
    return _RULES[node.operation](*arguments)


def value_at(expression, point):
    """Return the value as an ``mpf``, or ``None`` where it is undefined."""
    with mpmath.workdps(DIGITS):
        try:
            return mpf(_value(expression.root, [mpf(x) for x in point]))
        except Undefined:
            return None


def _moved(expression, point, *moves):
    with mpmath.workdps(DIGITS):
        moved = [mpf(x) for x in point]
        for axis, step in moves:
            moved[axis] += step
        try:
            return mpf(_value(expression.root, moved))
        except Undefined:
            return mp.nan


def gradient_at(expression, point):
    """Return difference quotients, nan where the formula is undefined nearby."""
    with mpmath.workdps(DIGITS):
        return [
            (_moved(expression, point, (i, STEP)) - _moved(expression, point, (i, -STEP)))
            / (2 * STEP)
            for i in range(len(point))
        ]


def hessian_at(expression, point):
    """Return second difference quotients."""
    with mpmath.workdps(DIGITS):
        size = range(len(point))
        return [
            [
                sum(
                    a * b * _moved(expression, point, (i, a * STEP), (j, b * STEP))
                    for a in (1, -1)
                    for b in (1, -1)
                )
                / (4 * STEP**2)
                for j in size
            ]
            for i in size
        ]
