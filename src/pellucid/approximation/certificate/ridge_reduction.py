"""A function and a network of one linear form ``u = a . x`` are functions of one variable.

Then their largest difference on a box is that of two functions on the interval of u, which takes
one dimension of boxes instead of two or three. Whether it is so is decided exactly, in fractions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pellucid.approximation.box import Box
from pellucid.approximation.formula_tree import Expression, Node
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork, dense

Form = tuple[tuple[Fraction, ...], Fraction]  # coefficients of the variables, and a constant


@dataclass(frozen=True)
class Ridge:
    """The problem in one variable.

    Args:
        expression: The function of u.
        network: The network of u.
        box: An interval that contains all values of u.
        direction: a, scaled so that one component is 1.
    """

    expression: Expression
    network: SigmoidNetwork
    box: Box
    direction: tuple[float, ...]


def ridge_reduction(expression: Expression, network: SigmoidNetwork, box: Box) -> Ridge | None:
    """Return the problem in one variable, or None where there is more than one."""
    dimension = expression.dimension
    if dimension == 1 or not network.hidden or network.hidden[0].neurons > 2_000:
        return None
    weight = dense(network.hidden[0].weight)
    rows = weight[np.any(weight != 0, axis=1)]
    if not len(rows):
        return None
    axis = int(np.argmax(np.abs(rows[0])))
    lead = Fraction(float(rows[0, axis]))
    direction = tuple(Fraction(float(part)) / lead for part in rows[0])
    for row in rows:
        first = Fraction(float(row[axis]))
        if any(Fraction(float(w)) != first * a for w, a in zip(row, direction, strict=True)):
            return None
    root = _in_one_variable(expression, direction, axis)
    if root is None:
        return None
    layer = network.hidden[0]
    reduced = SigmoidNetwork(
        (SigmoidLayer(weight[:, axis : axis + 1], layer.bias), *network.hidden[1:]),
        network.output_weight,
        network.output_bias,
        scheme=network.scheme,
    )
    ends = [
        [a * Fraction(end) for end in (low, high)]
        for a, low, high in zip(direction, box.lower, box.upper, strict=True)
    ]
    low, high = _outward(sum(map(min, ends)), sum(map(max, ends)))
    return Ridge(
        Expression(expression.text, 1, root),
        reduced,
        Box((low,), (high,)),
        tuple(float(a) for a in direction),
    )


def _outward(low: Fraction | int, high: Fraction | int) -> tuple[float, float]:
    below, above = float(low), float(high)
    return (
        below if Fraction(below) <= low else math.nextafter(below, -math.inf),
        above if Fraction(above) >= high else math.nextafter(above, math.inf),
    )


def _in_one_variable(
    expression: Expression, direction: tuple[Fraction, ...], axis: int
) -> Node | None:
    """Rewrite an expression in ``u = direction . x``, or return None."""
    forms: dict[int, Form | None] = {}
    variable = Node("variable", (), 0, variables=frozenset({0}))
    rewritten: dict[int, Node] = {}
    for node in expression.steps:
        form = forms[id(node)] = _form(node, forms, len(direction))
        if not node.variables:
            rewritten[id(node)] = node
        elif form is not None:
            slope = form[0][axis]
            if any(c != slope * a for c, a in zip(form[0], direction, strict=True)):
                continue  # not usable itself, though a sum with it may be
            rewritten[id(node)] = _affine(variable, slope, form[1], node.span)
        elif all(id(argument) in rewritten for argument in node.arguments):
            arguments = tuple(rewritten[id(argument)] for argument in node.arguments)
            known = frozenset().union(*(argument.variables for argument in arguments))
            rewritten[id(node)] = Node(node.operation, arguments, node.value, node.span, known)
    return rewritten.get(id(expression.root))


def _affine(variable: Node, slope: Fraction, offset: Fraction, span: tuple[int, int]) -> Node:
    known = variable.variables
    factor, constant = (Node("constant", (), value, span) for value in (slope, offset))
    if slope == 0:
        return constant
    term = variable if slope == 1 else Node("multiply", (factor, variable), None, span, known)
    return term if offset == 0 else Node("add", (term, constant), None, span, known)


def _form(node: Node, forms: dict[int, Form | None], dimension: int) -> Form | None:
    """Return the coefficients of a node that is affine with rational ones, None of another."""
    nothing = (Fraction(0),) * dimension
    if node.operation == "constant":
        return (nothing, node.value) if isinstance(node.value, Fraction) else None
    if node.operation == "variable":
        return tuple(Fraction(int(i == node.value)) for i in range(dimension)), Fraction(0)
    known = [forms[id(argument)] for argument in node.arguments]
    if node.operation == "negate" and known[0] is not None:
        return tuple(-c for c in known[0][0]), -known[0][1]
    if len(known) != 2:
        return None
    left, right = known
    if left is None or right is None:
        return None
    (a, a0), (b, b0) = left, right
    if node.operation in ("add", "subtract"):
        sign = 1 if node.operation == "add" else -1
        return tuple(p + sign * q for p, q in zip(a, b, strict=True)), a0 + sign * b0
    if node.operation == "multiply" and b == nothing:
        return tuple(p * b0 for p in a), a0 * b0
    if node.operation == "multiply" and a == nothing:
        return tuple(q * a0 for q in b), b0 * a0
    if node.operation == "divide" and b == nothing and b0 != 0:
        return tuple(p / b0 for p in a), a0 / b0
    return None
