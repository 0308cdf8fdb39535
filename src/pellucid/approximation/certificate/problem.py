"""What has to be proved of a formula: which enclosure of the error, on which box."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.branch_and_bound import Enclosure
from pellucid.approximation.certificate.expression_models import expression_model
from pellucid.approximation.certificate.network_models import network_model
from pellucid.approximation.certificate.ridge_reduction import ridge_reduction
from pellucid.approximation.certificate.taylor_models import Arithmetic, Model
from pellucid.approximation.formula_tree import Expression
from pellucid.approximation.network import SigmoidNetwork


@dataclass(frozen=True)
class Problem:
    """A formula and a network on a box.

    Args:
        expression: The formula.
        network: The network.
        box: Where; an interval where both depend on one linear form of the variables only.
        reduced: The direction of that linear form, None where the problem is the original one.
    """

    expression: Expression
    network: SigmoidNetwork
    box: Box
    reduced: tuple[float, ...] | None = None

    @property
    def may_jump(self) -> bool:
        """The formula may be discontinuous."""
        return self.expression.continuous is None

    @property
    def size(self) -> int:
        """Neurons of the widest layer."""
        return max([1, *self.network.neurons_per_layer])

    @property
    def enclosure(self) -> Enclosure:
        """Taylor models of the error."""

        def enclose(arithmetic: Arithmetic) -> Model:
            model = expression_model(self.expression, arithmetic)
            return arithmetic.add(model, network_model(self.network, arithmetic), subtract=True)

        return enclose


def make_problem(network: SigmoidNetwork, expression: Expression, box: Box) -> Problem:
    """Say what has to be proved, in as few variables as there are."""
    # The measure of what is set aside near jumps is one of the box itself.
    ridge = None if expression.continuous is None else ridge_reduction(expression, network, box)
    if ridge is None:
        return Problem(expression, network, box)
    return Problem(ridge.expression, ridge.network, ridge.box, ridge.direction)
