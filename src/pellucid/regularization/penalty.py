"""What a penalty is: the terms that it adds to the objective, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pellucid._checks import UsageError, check_choice, check_integer, check_number

METHODS = ("proximal", "subgradient")
KINDS = ("weight", "bias", "norm")
NO_GROUP_UNDER_ADAM = (
    "optimizer must be 'sgd' with a group penalty and method='proximal', got 'adam'. The proximal "
    "map of groups has no closed form under Adam's steps: use optimizer='sgd' or "
    "method='subgradient'."
)
_FIRST_MOMENT = {"sgd": "momentum", "adam": "Adam's averages"}
_THRESHOLD = {
    "sgd": "learning rate * strength / (1 - momentum)",
    "adam": "learning rate * strength / (sqrt(v_hat) + eps) of each weight",
}


@dataclass(frozen=True)
class Penalty:
    """What is added to the cross-entropy, as a sum of terms over the penalized parameters ``w``.

    ``l1 * sum|w| + l2/2 * sum w^2 + group * sum_g sqrt(|g|) * ||w_g||_2``, subject to
    ``||w_g||_2 <= max_norm``. A group ``g`` is all weights into one filter or neuron. One class
    so covers none, L1, L2, elastic net (l1, l2), group lasso, sparse group lasso (l1, group) and
    max-norm.

    Attributes:
        l1: Strength of the sum of absolute values, >= 0.
        l2: Strength of half the sum of squares, >= 0; what SGD calls ``weight_decay``.
        group: Strength of the sum of the groups' lengths, >= 0.
        max_norm: Greatest length of a group, > 0, or None for no limit.
        method: ``"proximal"`` (exact zeros) or ``"subgradient"`` (for `l1` and `group`; none).
        include_biases: Penalize biases too.
        include_norms: Penalize the scales of normalization layers too.
        ramp: Share of the epochs over which all strengths rise linearly from 0, in [0, 1].
        polish_steps: Proximal full-batch gradient steps after the last epoch.

    Raises:
        UsageError: a value is out of range.
    """

    l1: float = 0.0
    l2: float = 0.0
    group: float = 0.0
    max_norm: float | None = None
    method: str = "proximal"
    include_biases: bool = False
    include_norms: bool = False
    ramp: float = 0.0
    polish_steps: int = 0

    def __post_init__(self) -> None:
        for name in ("l1", "l2", "group"):
            check_number(name, getattr(self, name), low=0, high=1e6)
        if self.max_norm is not None:
            check_number("max_norm", self.max_norm, low=0, open_low=True)
        check_choice("method", self.method, METHODS)
        check_number("ramp", self.ramp, low=0, high=1)
        check_integer("polish_steps", self.polish_steps, low=0)
        if self.polish_steps and self.method == "subgradient":
            raise UsageError(
                f"polish_steps must be 0 with method='subgradient', got {self.polish_steps}. "
                "Polishing is proximal: use method='proximal'."
            )

    def applies_to(self, kind: str) -> bool:
        """Whether parameters of this kind (``"weight"``, ``"bias"``, ``"norm"``) are penalized."""
        check_choice("kind", kind, KINDS)
        return kind == "weight" or (self.include_biases if kind == "bias" else self.include_norms)

    def check_optimizer(self, optimizer: str) -> None:
        """Refuse groups by proximal steps under ``"adam"``: there is no closed form.

        Raises:
            UsageError: they are asked for together.
        """
        if optimizer == "adam" and self.group and self.method == "proximal":
            raise UsageError(NO_GROUP_UNDER_ADAM)

    @property
    def title(self) -> str:
        """A few words, such as ``"L1 0.0006"``, ``"elastic net 0.0003 + 0.0125"``, ``"none"``."""
        if self.l1 and self.l2 and not self.group:
            words = [f"elastic net {self.l1:g} + {self.l2:g}"]
        elif self.l1 and self.group and not self.l2:
            words = [f"sparse group lasso {self.l1:g} + {self.group:g}"]
        else:
            terms = (("L1", self.l1), ("L2", self.l2), ("group lasso", self.group))
            words = [f"{name} {strength:g}" for name, strength in terms if strength]
        if self.max_norm is not None:
            words.append(f"max-norm {self.max_norm:g}")
        words = words or ["none"]
        if self.method == "subgradient" and (self.l1 or self.group):
            words.append("by subgradient")
        if self.ramp and (self.l1 or self.l2 or self.group):
            words.append(f"ramp {self.ramp:.0%}")
        if self.polish_steps:
            words.append(f"{self.polish_steps} polishing steps")
        return ", ".join(words)

    def objective(
        self, kinds: Mapping[str, str], *, loss: str = "cross-entropy", optimizer: str = "sgd"
    ) -> str:
        """Say exactly what is minimized, over which parameters, and how.

        Args:
            kinds: Name of each parameter to ``"weight"``, ``"bias"`` or ``"norm"``.
            loss: What the penalty is added to.
            optimizer: ``"sgd"`` or ``"adam"``; they differ in the thresholds.

        Raises:
            UsageError: groups by proximal steps under ``"adam"``.
        """
        self.check_optimizer(optimizer)
        formula = loss
        if self.l1:
            formula += f" + {self.l1:g} * sum |w|"
        if self.l2:
            formula += f" + {self.l2:g}/2 * sum w^2"
        if self.group:
            formula += f" + {self.group:g} * sum_g sqrt(|g|) * ||w_g||"
        if self.max_norm is not None:
            formula += f", subject to ||w_g|| <= {self.max_norm:g}"
        sentences = [formula]
        if self.l1 or self.l2 or self.group or self.max_norm is not None:
            penalized = [name for name, kind in kinds.items() if self.applies_to(kind)]
            free = [name for name in kinds if name not in penalized]
            sentences.append(f"w: {', '.join(penalized) or 'no parameter'}")
            if self.group or self.max_norm is not None:
                sentences.append("g: the weights of one w into one filter or neuron, |g| of them")
            if free:
                sentences.append(f"Not penalized: {', '.join(free)}")
            sentences += self._method_in_words(optimizer)
        if self.polish_steps:
            sentences.append(
                f"At the end {self.polish_steps} proximal gradient steps on all training images, "
                "without momentum"
            )
        return ". ".join(sentences) + "."

    def _method_in_words(self, optimizer: str) -> list[str]:
        sentences = []
        if self.l2:
            sentences.append(f"w^2 by its gradient, before {_FIRST_MOMENT[optimizer]}")
        nonsmooth = " and ".join(
            term for term, used in (("|w|", self.l1), ("||w_g||", self.group)) if used
        )
        if nonsmooth and self.method == "subgradient":
            sentences.append(
                f"{nonsmooth} by a subgradient, 0 at 0, before {_FIRST_MOMENT[optimizer]}: "
                "no exact zeros"
            )
        elif nonsmooth:
            roots = ", for groups times sqrt(|g|)" if self.group else ""
            sentences.append(
                f"{nonsmooth} by a proximal step after each step of the optimizer, threshold "
                f"{_THRESHOLD[optimizer]}{roots}"
            )
        if self.max_norm is not None:
            sentences.append("Longer w_g are shortened after each step")
        if self.ramp and (self.l1 or self.l2 or self.group):
            sentences.append(
                f"Strengths rise linearly from 0 over the first {self.ramp:.0%} of the training"
            )
        return sentences
