"""Building the tree of a formula: equal parts are shared, exact constants are folded.

What is rewritten never changes the value as a real number, and helps every arithmetic: ``x*x`` is
the square (never negative), ``sqrt(u**2 + v**2)`` the norm of (u, v) (whose slope is at most 1
even at 0), ``u**0.5`` the root, and ``1/3`` the exact third.
"""

from __future__ import annotations

import math
from fractions import Fraction

from pellucid.approximation.formula_tree import Node

#: Largest exponent that a formula may have, either sign.
MAXIMAL_EXPONENT = 1_000
#: Operations a formula may have.
MAXIMAL_NODES = 4_000
#: Bits of a folded constant; longer ones are left to the arithmetic.
_MAXIMAL_BITS = 2_048
_HALF = Fraction(1, 2)
#: Squares below a root that are treated as one norm; its Hessian has a term for every pair.
_LONGEST_NORM = 8


class TreeError(Exception):
    """A formula that is well-formed and yet cannot be used; the parser adds the place."""


class TreeBuilder:
    """Makes the nodes of one formula."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[object, ...], Node] = {}

    def leaf(
        self, operation: str, value: Fraction | int | str | None, span: tuple[int, int]
    ) -> Node:
        """Return a constant, a variable or ``true``."""
        return self._node(operation, (), value, span)

    def number(self, text: str, span: tuple[int, int]) -> Node:
        """Return the float64 nearest to a decimal number, as Python reads it."""
        exponent = text.lower().partition("e")[2]
        long = len(exponent) > 5 or (exponent and abs(int(exponent)) > 400) or len(text) > 400
        if long or math.isinf(float(text)):
            raise TreeError("this number is too large, too small or too long for float64")
        return self.leaf("constant", Fraction(float(text)), span)

    def apply(self, operation: str, *arguments: Node, span: tuple[int, int]) -> Node:
        """Return ``operation`` of the arguments."""
        exact = [a.value for a in arguments if isinstance(a.value, Fraction) and not a.arguments]
        if operation in _FOLDED and len(exact) == len(arguments):
            folded = self._folded(operation, exact)
            if folded is not None:
                return self.leaf("constant", folded, span)
        if operation == "divide" and arguments[1].value == 0 and not arguments[1].variables:
            raise TreeError("division by zero")
        if operation == "multiply":
            left, right = (_as_power(argument) for argument in arguments)
            if left[0] is right[0] and left[1] >= 1 and right[1] >= 1:
                return self._power(left[0], left[1] + right[1], span)
        if operation == "sqrt":
            return self._sqrt(arguments[0], span)
        if operation == "norm" and len(arguments) == 1:
            return self._node("abs", arguments, None, span)
        return self._node(operation, arguments, None, span)

    def power(self, base: Node, exponent: Node, span: tuple[int, int]) -> Node:
        """Return ``base ** exponent``, with what is known of the exponent."""
        if not isinstance(exponent.value, Fraction) or exponent.arguments:
            return self._node("general_power", (base, exponent), None, span)
        value = exponent.value
        if abs(value) > MAXIMAL_EXPONENT:
            raise TreeError(
                f"an exponent must be between -{MAXIMAL_EXPONENT} and {MAXIMAL_EXPONENT}"
            )
        if value == 1:
            return base
        if value == _HALF:
            return self._sqrt(base, span)
        if isinstance(base.value, Fraction) and not base.arguments and value.denominator == 1:
            if base.value == 0 and value < 0:
                raise TreeError("division by zero")
            self._check_magnitude(base.value, int(value))
            bits = base.value.numerator.bit_length() + base.value.denominator.bit_length()
            if bits * abs(value) <= _MAXIMAL_BITS:
                return self.leaf("constant", base.value ** int(value), span)
        return self._power(base, value, span)

    def _power(self, base: Node, exponent: Fraction, span: tuple[int, int]) -> Node:
        if exponent > MAXIMAL_EXPONENT:
            raise TreeError(
                f"an exponent must be between -{MAXIMAL_EXPONENT} and {MAXIMAL_EXPONENT}"
            )
        return self._node("power", (base,), exponent, span)

    def _sqrt(self, argument: Node, span: tuple[int, int]) -> Node:
        """Return the root, or the norm where the argument is a sum of squares."""
        squares, waiting = [], [argument]
        while waiting:
            term = waiting.pop()
            if term.operation == "add":
                waiting.extend(reversed(term.arguments))
                continue
            base, exponent = _as_power(term)
            if exponent != 2:
                return self._node("sqrt", (argument,), None, span)
            squares.append(base)
            if len(squares) > _LONGEST_NORM:
                return self._node("sqrt", (argument,), None, span)
        if len(squares) == 1:
            return self._node("abs", (squares[0],), None, span)
        return self._node("norm", tuple(squares), None, span)

    def _folded(self, operation: str, values: list[Fraction]) -> Fraction | None:
        bits = max(
            value.numerator.bit_length() + value.denominator.bit_length() for value in values
        )
        if bits > _MAXIMAL_BITS:
            return None
        if operation == "divide" and values[1] == 0:
            raise TreeError("division by zero")
        value = _FOLDED[operation](*values)
        self._check_size(value)
        return value

    @staticmethod
    def _check_size(value: Fraction) -> None:
        try:
            float(value)
        except OverflowError:
            raise TreeError("this constant is too large for float64") from None

    @staticmethod
    def _check_magnitude(base: Fraction, exponent: int) -> None:
        if base == 0:
            return
        size = math.log2(abs(base.numerator)) - math.log2(base.denominator)
        if abs(size * exponent) > 1_023:
            raise TreeError("this constant is too large or too small for float64")

    def _node(
        self,
        operation: str,
        arguments: tuple[Node, ...],
        value: Fraction | int | str | None,
        span: tuple[int, int],
    ) -> Node:
        key = (operation, value, *map(id, arguments))
        if key not in self._nodes:
            if len(self._nodes) >= MAXIMAL_NODES:
                raise TreeError(f"more than {MAXIMAL_NODES} operations")
            variables: frozenset[int] = frozenset()
            if operation == "variable":
                assert isinstance(value, int)
                variables = frozenset([value])
            variables = variables.union(*(argument.variables for argument in arguments))
            self._nodes[key] = Node(operation, arguments, value, span, variables)
        return self._nodes[key]


def _as_power(node: Node) -> tuple[Node, Fraction]:
    """Return base and exponent where ``node`` is an integer power; else itself and 1."""
    if node.operation == "power":
        assert isinstance(node.value, Fraction)
        if node.value.denominator == 1:
            return node.arguments[0], node.value
    return node, Fraction(1)


_FOLDED = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negate": lambda a: -a,
}
