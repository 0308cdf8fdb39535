"""What has to be proved: which enclosure of the error, on which box, with what standing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.certificate.branch_and_bound import Enclosure
from pellucid.approximation.certificate.certificate import Status
from pellucid.approximation.certificate.error_models import (
    expression_error,
    table_boxes,
    table_error,
)
from pellucid.approximation.certificate.ridge_reduction import ridge_reduction
from pellucid.approximation.certificate.taylor_models import Floats
from pellucid.approximation.formula_tree import Expression
from pellucid.approximation.network import SigmoidNetwork


@dataclass(frozen=True)
class Problem:
    """An enclosure of the error and where it is needed.

    Args:
        enclosure: Taylor models of the error; None where nothing is known of the target.
        box: Where; an interval where function and network depend on one linear form only.
        function: The error's function of points of that box, and the network to compare it with.
        network: The network on that box.
        start: Boxes to begin with, None for equal parts.
        may_jump: The target may be discontinuous.
        status: What a finished proof is worth.
        reduced: The direction a of the linear form, if the problem was reduced to it.
    """

    enclosure: Enclosure | None
    box: Box
    function: Callable[[Floats], Floats] | None
    network: SigmoidNetwork
    start: tuple[Floats, Floats] | None
    may_jump: bool
    status: Status
    reduced: tuple[float, ...] | None = None

    @property
    def size(self) -> int:
        """Neurons of the widest layer."""
        return max([1, *self.network.neurons_per_layer])


def make_problem(network: SigmoidNetwork, target: Any, box: Box) -> Problem:
    """Say what has to be proved of a network.

    Args:
        network: The network.
        target: An ``Expression`` or a target of ``pellucid.approximation.targets``.
        box: Where.

    Raises:
        UsageError: Dimensions that do not fit, or a table that does not cover the box.
    """
    kind = kind_of(target)
    if not network.input_dimension == target.dimension == box.dimension:
        raise UsageError(
            f"network, target and box must have one dimension, got {network.input_dimension}, "
            f"{target.dimension} and {box.dimension}."
        )
    if kind == "expression":
        expression = expression_of(target)
        may_jump = expression.continuous is None
        # The measure of what is set aside near jumps is one of the box itself.
        ridge = None if may_jump else ridge_reduction(expression, network, box)
        if ridge is not None:
            expression, network, box = ridge.expression, ridge.network, ridge.box
        return Problem(
            expression_error(expression, network),
            box,
            expression,
            network,
            None,
            may_jump,
            "proved",
            ridge.direction if ridge is not None else None,
        )
    if kind == "table":
        axes = table_axes(target)
        for line, low, high in zip(axes, box.lower, box.upper, strict=True):
            if low < line[0] or high > line[-1]:
                raise UsageError(f"the table must cover the box {box}, got a smaller one.")
        enclosure = table_error(np.asarray(target.values), axes, target.lipschitz, network)
        start = table_boxes(axes, box)
        return Problem(enclosure, box, target, network, start, False, "conditional")
    return Problem(None, box, target, network, None, False, "pac")


def kind_of(target: Any) -> str:
    """Return ``"expression"``, ``"table"`` or ``"black_box"``."""
    if isinstance(target, Expression):
        return "expression"
    return "table" if target.kind == "callable" else str(target.kind)


def expression_of(target: Any) -> Expression:
    """Return the formula of an expression or of a target that has one."""
    return target if isinstance(target, Expression) else target.expression


def target_content(target: Any) -> dict[str, Any]:
    """Return the target as JSON."""
    if isinstance(target, Expression):
        return {"kind": "expression", "text": target.text, "dimension": target.dimension}
    return dict(target.to_json())


def table_axes(target: Any) -> list[Floats]:
    """Return the coordinates of a table's grid points."""
    shape = np.asarray(target.values).shape
    return [
        np.linspace(low, high, count)
        for low, high, count in zip(target.box.lower, target.box.upper, shape, strict=True)
    ]
