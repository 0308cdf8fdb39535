"""What the page needs to know of an approximation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pellucid.approximation.box import Box
from pellucid.approximation.network import SigmoidNetwork, variable_names

Floats = NDArray[np.float64]


class ShownTarget(Protocol):
    """A function to approximate: callable on points (n, d); a formula has a text too."""

    kind: ClassVar[str]

    def __call__(self, points: Floats, /) -> Floats: ...  # noqa: D102


class ShownCertificate(Protocol):
    """The bound on the error and how it was found."""

    @property
    def bound(self) -> float: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def rounding(self) -> float: ...  # noqa: D102
    @property
    def tolerance(self) -> float | None: ...  # noqa: D102
    @property
    def excluded_measure(self) -> float: ...  # noqa: D102


class ShownCandidate(Protocol):
    """One scheme that was tried."""

    @property
    def scheme(self) -> str: ...  # noqa: D102
    @property
    def hidden_neurons(self) -> int | None: ...  # noqa: D102
    @property
    def parameters(self) -> int | None: ...  # noqa: D102
    @property
    def bound(self) -> float | None: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def remark(self) -> str: ...  # noqa: D102


class ShownApproximation(Protocol):
    """A function, the network that was built for it, and its certificate."""

    @property
    def network(self) -> SigmoidNetwork: ...  # noqa: D102
    @property
    def certificate(self) -> ShownCertificate: ...  # noqa: D102
    @property
    def target(self) -> ShownTarget: ...  # noqa: D102
    @property
    def box(self) -> Box: ...  # noqa: D102
    @property
    def tolerance(self) -> float: ...  # noqa: D102
    @property
    def scheme(self) -> str: ...  # noqa: D102
    @property
    def candidates(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102


def text_of(target: ShownTarget) -> str:
    """Return the formula, or words for a function that has none."""
    if text := _formula(target):
        return text
    words = {"table": "the tabulated function", "black_box": "the black-box function"}
    return words.get(target.kind, "the given function")


def names_of(target: ShownTarget, dimension: int) -> tuple[str, ...]:
    """Return the names of the variables as the formula writes them."""
    text = _formula(target)
    if re.search(r"\bx[1-4]\b", text):
        return tuple(f"x{axis}" for axis in range(1, dimension + 1))
    if dimension == 1 and re.search(r"\bt\b", text) and not re.search(r"\bx\b", text):
        return ("t",)
    return variable_names(dimension)


def _formula(target: ShownTarget) -> str:
    """Return the text of the formula, which the target or its expression holds; empty without."""
    holder = getattr(target, "expression", target)
    return str(getattr(holder, "text", None) or "")
