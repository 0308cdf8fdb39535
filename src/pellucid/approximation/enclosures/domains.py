"""Whether a formula is defined and finite on all of a box; if not, which part of it, and where.

A proof, not a sample: boxes are bisected until intervals show that every root, logarithm, quotient,
power and tangent has its argument in the domain and that the result is finite. A branch of
``where`` that is not taken need not be defined: it is examined only on the part of the box that its
condition leaves, as far as the condition compares a coordinate with a constant. Elsewhere both
branches count where intervals cannot decide the condition.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.enclosures.derivative_rules import Part, apply
from pellucid.approximation.enclosures.intervals import Intervals
from pellucid.approximation.enclosures.jets import working
from pellucid.approximation.formula_tree import Expression, Node, evaluate, in_order, shorten

#: Boxes at once; with more, only some are followed, to find a place to name.
_MOST_BOXES = 8_192
_FOLLOWED = 64
#: The smallest side, relative to the box.
_MOST_ROUNDS = 56
_FINEST = 1e-15
#: Arguments of roots may leave the domain by this much relative to the largest step: rounding.
_ROUNDING = 1e-13
_NAMES = ("x", "y", "z", "t")
#: Operations that are not defined everywhere.
_PARTIAL = {"divide", "power", "general_power", "log", "sqrt", "tan", "asin", "acos"}


def check_defined(expression: Expression, box: Box) -> None:
    """Check that a formula is defined and finite at every point of a box.

    An argument of a root that is negative by rounding only, such as in ``sqrt(x**2 - 2*x + 1)`` at
    1, is let pass in single points.

    Raises:
        UsageError: Naming the part of the formula, a point or a small box, and a remedy. Also where
            no point was found but definedness cannot be shown.

    Example:
        >>> from pellucid.approximation.expressions import parse
        >>> check_defined(parse("log(1 + x**2)"), Box((0.0,), (1.0,)))
    """
    if box.dimension != expression.dimension:
        raise UsageError(
            f"box must have {expression.dimension} dimension(s), as the formula has, "
            f"got {box.dimension}."
        )
    lower, upper = np.array([box.lower]), np.array([box.upper])
    last = lower, upper
    complete = True
    with working("intervals"):
        # Each round halves the longest sides; below a unit in the last place nothing is halved.
        for _ in range(_MOST_ROUNDS * box.dimension):
            proved = _Walk(lower, upper).proved(expression.root)
            lower, upper = lower[~proved], upper[~proved]
            if not len(lower) and complete:
                return
            _check_points(expression, lower, upper)
            if len(lower) > (_MOST_BOXES if complete else 4 * _FOLLOWED):
                complete = False
                chosen = np.linspace(0, len(lower) - 1, _FOLLOWED).astype(int)
                lower, upper = lower[chosen], upper[chosen]
            widths = (upper - lower) / box.sides
            if widths.max(initial=0.0) < _FINEST or len(lower) == 0:
                break
            last = lower, upper
            lower, upper = bisect(lower, upper, np.argmax(widths, axis=1))
        if complete and _Walk(lower, upper, slack=_ROUNDING).proved(expression.root).all():
            return
        if not len(lower):
            lower, upper = last
        _fail_unproved(expression, lower[:1], upper[:1])


def bisect(lower: np.ndarray, upper: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both halves of every box, cut across its axis in ``axes``; shapes (2n, d)."""
    rows = np.arange(len(lower))
    middle = 0.5 * lower[rows, axes] + 0.5 * upper[rows, axes]
    left_upper, right_lower = upper.copy(), lower.copy()
    left_upper[rows, axes] = right_lower[rows, axes] = middle
    return np.concatenate([lower, right_lower]), np.concatenate([left_upper, upper])


class _Walk:
    """Evaluates a formula on boxes and notes where a step may be undefined.

    Args:
        lower: Lower ends of the boxes, shape (n, d).
        upper: Upper ends.
        slack: By how much, relative to the largest step below it, the argument of a root may leave
            the domain.
    """

    def __init__(self, lower: np.ndarray, upper: np.ndarray, slack: float = 0.0) -> None:
        self._columns = [
            Intervals(lower[:, axis], upper[:, axis]) for axis in range(lower.shape[1])
        ]
        self._count, self._slack = len(lower), slack
        #: Steps not shown to be defined, and steps not shown to be finite, on the first box.
        self.undefined: list[tuple[Node, list[Intervals]]] = []
        self.unbounded: list[tuple[Node, list[Intervals]]] = []

    def proved(self, root: Node) -> np.ndarray:
        """Return for which boxes the formula is defined and finite, shape (n,)."""
        part, defined, _ = self._walk(root, self._columns, np.ones(self._count, dtype=bool))
        return defined & np.broadcast_to(part.value.is_bounded, (self._count,))

    def _walk(
        self, root: Node, columns: list[Intervals], relevant: np.ndarray
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the enclosure of ``root``, where all is defined, and the size of the steps."""
        results: dict[int, tuple[Any, np.ndarray, np.ndarray]] = {}
        for node in in_order(root, enter_branches=False):
            if node.operation == "where":
                condition = results[id(node.arguments[0])]
                results[id(node)] = self._where(node, condition, columns, relevant)
                continue
            below = [results[id(argument)] for argument in node.arguments]
            part = apply(node, [result[0] for result in below], columns, 0)
            defined = np.ones(self._count, dtype=bool)
            size = np.zeros(1)
            for _, below_defined, below_size in below:
                defined, size = defined & below_defined, np.maximum(size, below_size)
            if isinstance(part, Part):
                values = [result[0].value for result in below]
                inside = _in_domain(node, values, part.value, self._slack * size)
                self._note(node, values, part.value, inside, relevant)
                defined = defined & inside
                bounded = part.value.is_bounded
                size = np.maximum(size, np.where(bounded, part.value.magnitude, 0.0))
            results[id(node)] = part, defined, size
        return results[id(root)]

    def _note(
        self,
        node: Node,
        values: list[Intervals],
        value: Intervals,
        inside: np.ndarray | np.bool_,
        relevant: np.ndarray,
    ) -> None:
        if not self._count or not relevant[0]:
            return
        first = [Intervals(part.lower[:1], part.upper[:1]) for part in values]
        if not np.ravel(inside)[0]:
            self.undefined.append((node, first))
        if not value.is_bounded[0] and all(part.is_bounded[0] for part in first):
            self.unbounded.append((node, first))

    def _where(
        self,
        node: Node,
        condition: tuple[Any, np.ndarray, np.ndarray],
        columns: list[Intervals],
        relevant: np.ndarray,
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the branch that is taken, or both."""
        true, false = (np.broadcast_to(mask, (self._count,)) for mask in condition[0])
        defined, size = condition[1], condition[2]
        branches = []
        for branch, holds, excluded in ((1, True, false), (2, False, true)):
            narrowed, empty = _narrowed(node.arguments[0], columns, holds)
            skipped = excluded | empty
            taken = self._walk(node.arguments[branch], narrowed, relevant & ~skipped)
            branches.append((taken[0], skipped))
            defined = defined & (taken[1] | skipped)
            size = np.maximum(size, taken[2])
        (a, a_skipped), (b, b_skipped) = branches
        value = a.value.choose(b_skipped, b.value.choose(a_skipped, a.value.hull(b.value)))
        return Part(value, {}, {}), defined, size


def _narrowed(
    condition: Node, columns: list[Intervals], holds: bool
) -> tuple[list[Intervals], np.ndarray]:
    """Return the part of the boxes where ``condition`` may hold (or not), and where it is empty."""
    columns = list(columns)
    waiting = [(condition, holds)]
    while waiting:
        node, wanted = waiting.pop()
        if node.operation == "not":
            waiting.append((node.arguments[0], not wanted))
        elif node.operation == ("and" if wanted else "or"):
            waiting.extend((argument, wanted) for argument in node.arguments)
        elif node.operation in ("less", "less_equal"):
            small, large = node.arguments if wanted else node.arguments[::-1]
            _narrow(columns, small, large)
        elif node.operation == ("equal" if wanted else "not_equal"):
            _narrow(columns, *node.arguments)
            _narrow(columns, *node.arguments[::-1])
    empty = np.any([column.lower > column.upper for column in columns], axis=0)
    safe = [Intervals(np.minimum(column.lower, column.upper), column.upper) for column in columns]
    return safe, empty


def _narrow(columns: list[Intervals], small: Node, large: Node) -> None:
    """Use ``small <= large`` where one is a coordinate and the other a constant."""
    if small.operation == "variable" and not large.variables:
        most = _constant(large).upper
        column = columns[small.value]  # type: ignore[call-overload]
        columns[small.value] = Intervals(column.lower, np.minimum(column.upper, most))  # type: ignore[call-overload]
    if large.operation == "variable" and not small.variables:
        least = _constant(small).lower
        column = columns[large.value]  # type: ignore[call-overload]
        columns[large.value] = Intervals(np.maximum(column.lower, least), column.upper)  # type: ignore[call-overload]


def _constant(node: Node) -> Intervals:
    parts: dict[int, Any] = {}
    for step in in_order(node):
        parts[id(step)] = apply(step, [parts[id(below)] for below in step.arguments], [], 0)
    return parts[id(node)].value


def _in_domain(
    node: Node, values: list[Intervals], result: Intervals, slack: np.ndarray | float
) -> np.ndarray | np.bool_:
    """Return where the arguments are certainly in the domain of the operation."""
    operation = node.operation
    if operation in ("sin", "cos"):
        return values[0].is_bounded  # float64 knows no sine of what it cannot hold
    if operation not in _PARTIAL:
        return np.True_
    last = values[-1]
    if operation == "divide":
        return (last.lower > 0) | (last.upper < 0)
    if operation == "power":
        exponent = node.value
        assert isinstance(exponent, Fraction)
        if exponent.denominator > 1:
            return last.lower > 0 if exponent < 0 else last.lower >= -slack
        return (last.lower > 0) | (last.upper < 0) | np.bool_(exponent >= 0)
    if operation == "general_power":
        base = values[0]
        return (base.lower > 0) | ((base.lower >= 0) & (last.lower > 0))
    if operation == "log":
        return last.lower > 0
    if operation == "sqrt":
        return last.lower >= -slack
    if operation == "tan":
        return result.is_bounded
    return (last.lower >= -1 - slack) & (last.upper <= 1 + slack)


# What is said.


def _check_points(expression: Expression, lower: np.ndarray, upper: np.ndarray) -> None:
    """Look for a point where the formula is undefined, among corners and centers."""
    lower, upper = lower[:_FOLLOWED], upper[:_FOLLOWED]
    weights = [*itertools.product((0.0, 1.0), repeat=lower.shape[1]), (0.5,) * lower.shape[1]]
    for weight in weights:
        points = lower + (upper - lower) * np.array(weight)
        values = dict(
            zip(map(id, expression.steps), evaluate(expression.steps, points.T), strict=True)
        )
        suspicious = np.zeros(len(points), dtype=bool)
        for node in expression.steps:
            if node.operation in _PARTIAL or node is expression.root:
                suspicious |= ~np.isfinite(np.broadcast_to(values[id(node)], suspicious.shape))
        for row in np.flatnonzero(suspicious)[:4]:
            at_point = {
                key: np.broadcast_to(value, suspicious.shape)[row] for key, value in values.items()
            }
            culprit = _culprit(expression.root, at_point)
            if culprit is not None:
                place = ", ".join(
                    f"{_variable(expression, axis)}={value:.6g}"
                    for axis, value in enumerate(points[row])
                )
                arguments = [float(at_point[id(argument)]) for argument in culprit.arguments]
                raise UsageError(_complaint(expression, culprit, arguments, f"at {place}"))


def _culprit(root: Node, values: dict[int, Any]) -> Node | None:
    """Return the first step that is undefined at a point, on the branches that are taken."""
    overflow = None
    for node in in_order(root, taken=values):
        finite = all(np.isfinite(values[id(argument)]) for argument in node.arguments)
        if finite and not np.isfinite(values[id(node)]):
            if node.operation in _PARTIAL:
                return node
            overflow = overflow or node
    return overflow if not np.isfinite(values[id(root)]) else None


def _fail_unproved(expression: Expression, lower: np.ndarray, upper: np.ndarray) -> None:
    walk = _Walk(lower, upper)
    walk.proved(expression.root)
    node, arguments = (walk.undefined or walk.unbounded or [(expression.root, [])])[0]
    center = 0.5 * (lower[0] + upper[0])
    place = ", ".join(
        f"{_variable(expression, axis)}={0.0 if abs(value) < 1e-14 else value:.6g}"
        for axis, value in enumerate(center)
    )
    complaint = _complaint(expression, node, [], f"near {place}")
    raise UsageError(
        f"{complaint} (It could not be shown to be defined there"
        + (f": its argument may be as low as {arguments[-1].lower[0]:.3g}.)" if arguments else ".)")
    )


def _variable(expression: Expression, axis: int) -> str:
    if expression.dimension == 1 and "x" not in expression.text.replace("exp", ""):
        return "t"
    return _NAMES[axis]


def _complaint(expression: Expression, node: Node, arguments: list[float], place: str) -> str:
    """Return what is wrong with ``node``, where, and what to do."""
    whole = shorten(expression.text_of(node))
    inner = shorten(expression.text_of(node.arguments[-1])) if node.arguments else whole
    got = f", got {arguments[-1]:.6g}" if arguments else ""
    if node.operation == "divide" or (node.operation == "power" and _whole(node)):
        what = "divides by zero"
        remedy = "approximate on both sides of it separately"
        if node.operation == "power":
            inner = shorten(expression.text_of(node.arguments[0]))
    elif node.operation == "log":
        what = f"needs a positive argument{got}"
        remedy = f"write log(max({inner}, 1e-6))"
    elif node.operation == "sqrt":
        what = f"needs an argument of at least 0{got}"
        remedy = f"write sqrt(max({inner}, 0))"
    elif node.operation in ("power", "general_power"):
        base = shorten(expression.text_of(node.arguments[0]))
        got = f", got {arguments[0]:.6g}" if arguments else ""
        what = f"needs a positive base{got}"
        remedy = f"use abs({base}) or max({base}, 1e-6) as the base"
    elif node.operation in ("asin", "acos"):
        what = f"needs an argument in [-1, 1]{got}"
        remedy = f"write {node.operation}(max(-1, min(1, {inner})))"
    elif node.operation == "tan":
        what, remedy = "has a pole", "leave the pole out"
    else:
        what, remedy = "is larger than float64 can hold (1.8e308)", "scale the formula down"
    return f"{whole} {what} {place}. Choose a box without this place, or {remedy}."


def _whole(node: Node) -> bool:
    return isinstance(node.value, Fraction) and node.value.denominator == 1
