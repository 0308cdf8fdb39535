"""Networks written down by theorem: one scheme a file, each a function of target, box, tolerance.

A construction returns weights and what was promised for them before any was computed; it does not
certify its result, which `pellucid.approximation.certificate` does from the weights alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..network import SigmoidNetwork


class NotApplicable(Exception):
    """A scheme does not fit this target.

    Args:
        reason: One sentence a person can read, such as ``"the staircase needs one variable"``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OverBudget(NotApplicable):
    """A scheme that fits the target needs more neurons than it may use for any network at all."""


@dataclass(frozen=True, eq=False)
class Construction:
    """A network and what its scheme promises about it.

    Attributes:
        network: The weights.
        a_priori_bound: What the scheme's theorem gives for the sup error before certification;
            ``None`` where it gives none.
        remark: One sentence: what was done and, where the tolerance was not reached, why.
        details: What the report shows: cells, steepness, knots. JSON-able but for arrays.
    """

    network: SigmoidNetwork
    a_priori_bound: float | None
    remark: str
    details: dict[str, Any] = field(default_factory=dict)


__all__ = ["Construction", "NotApplicable", "OverBudget"]
