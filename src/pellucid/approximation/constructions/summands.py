"""The summands of a formula, and the factors of each, as functions of their own."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formula_tree import Expression, Node, evaluate, in_order
from .exchange import Function

Floats = NDArray[np.float64]
MOST_SUMMANDS = 24


@dataclass(frozen=True, eq=False)
class Summand:
    """One summand ``scale * factor_1 * factor_2 * ...`` of a formula.

    Attributes:
        scale: Product of the constants.
        factors: Functions (n, d) to (n,), none of them constant; empty for a constant summand.
    """

    scale: float
    factors: tuple[Function, ...]

    def __call__(self, points: Floats) -> Floats:
        """Return the values at points (n, d), shape (n,)."""
        values = np.full(len(points), self.scale)
        for factor in self.factors:
            values = values * factor(points)
        return values


def summands(target: Any) -> list[Summand] | None:
    """Split a formula at its sums, its products of sums multiplied out.

    Args:
        target: An expression, a target with one in ``expression``, or anything else.

    Returns:
        Summands that add up to the target; ``None`` where there is no formula or it has too many.
    """
    expression = target if isinstance(target, Expression) else getattr(target, "expression", None)
    if not isinstance(expression, Expression):
        return None
    found: list[Summand] = []
    # A product in the making: scale, factors settled, factors still to be taken apart.
    stack: list[tuple[float, tuple[Node, ...], tuple[Node, ...]]] = [(1.0, (), (expression.root,))]
    while stack:
        if len(found) + len(stack) > MOST_SUMMANDS:
            return None
        scale, settled, pending = stack.pop()
        if not pending:
            found.append(Summand(scale, tuple(_function(node) for node in settled)))
            continue
        node, rest = pending[0], pending[1:]
        whole = not settled and not rest
        if not node.variables:
            value = float(np.ravel(evaluate(tuple(in_order(node)), np.zeros((4, 1)))[-1])[0])
            stack.append((scale * value, settled, rest))
        elif node.operation == "negate":
            stack.append((-scale, settled, (*node.arguments, *rest)))
        elif node.operation == "multiply":
            stack.append((scale, settled, (*node.arguments, *rest)))
        elif node.operation == "divide" and not node.arguments[1].variables:
            below = node.arguments[1]
            value = float(np.ravel(evaluate(tuple(in_order(below)), np.zeros((4, 1)))[-1])[0])
            stack.append((scale / value, settled, (node.arguments[0], *rest)))
        elif node.operation == "divide":
            above, below = node.arguments
            inverse = Node("power", (below,), Fraction(-1), below.span, below.variables)
            stack.append((scale, (*settled, inverse), (above, *rest)))
        elif node.operation == "exp" and len(parts := _addends(node.arguments[0])) > 1:
            powers = [Node("exp", (part,), None, node.span, part.variables) for part in parts]
            stack.append((scale, settled, (*powers, *rest)))
        elif node.operation in ("add", "subtract") and (whole or len(node.variables) > 1):
            sign = 1.0 if node.operation == "add" else -1.0
            left, right = node.arguments
            if whole or not _affine(node):
                stack.append((sign * scale, settled, (right, *rest)))
                stack.append((scale, settled, (left, *rest)))
            else:
                stack.append((scale, (*settled, node), rest))
        else:
            stack.append((scale, (*settled, node), rest))
    return found


def _addends(node: Node) -> list[Node]:
    """Split an exponent that is no affine form into addends, signs and divisors passed on."""
    if _affine(node) or len(node.variables) < 2:
        return [node]
    if node.operation in ("add", "subtract"):
        left, right = node.arguments
        if node.operation == "subtract":
            right = Node("negate", (right,), None, node.span, right.variables)
        return [*_addends(left), *_addends(right)]
    if node.operation == "negate" or (
        node.operation == "divide" and not node.arguments[1].variables
    ):
        return [
            Node(node.operation, (part, *node.arguments[1:]), None, node.span, part.variables)
            for part in _addends(node.arguments[0])
        ]
    return [node]


def _affine(root: Node) -> bool:
    """Say whether a node is an affine form in the variables, as it is written."""
    for node in in_order(root):
        varying = sum(bool(argument.variables) for argument in node.arguments)
        plain = node.operation in ("add", "subtract", "negate", "variable", "constant")
        scaled = node.operation == "multiply" and varying <= 1
        divided = node.operation == "divide" and varying <= 1 and not node.arguments[1].variables
        if node.variables and not (plain or scaled or divided):
            return False
    return True


def _function(node: Node) -> Function:
    steps = tuple(in_order(node))

    def values(points: Floats) -> Floats:
        columns = np.ascontiguousarray(points.T)
        return np.array(np.broadcast_to(evaluate(steps, columns)[-1], len(points)))

    return values
