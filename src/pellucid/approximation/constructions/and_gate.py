"""The AND neuron of sigmoid steps, and the law of the shift that it amounts to.

A step ``p = s(w (x - a) + centre)`` for each axis goes into ``C = s(K sum(p - 1) - offset)``, made
1 where all are on by dividing by ``s(-offset)``. With ``t = K (1 - p)`` this is ``g(sum t)``,

    g(t) = s(-t - offset) / s(-offset) = (1 + e^offset) / (1 + e^(t + offset)),

so C is an Archimedean copula of its marginals ``u = g(t)`` (Ali-Mikhail-Haq): the joint
distribution function of a random shift Z, of which each component has ``P(Z <= z / w) = u(z)``. A
sum of C times mixed differences of cell values is then ``E f_cell(x - Z)``: a mean of cell values
with weights that are not negative and add up to 1. It is a distribution function as long as g is
d-monotone: ``(-1)^j g^(j) >= 0`` for j up to d, which bounds the offset from below.

Source: derived in docs/concepts/approximation/cells.md; copula: Ali, Mikhail, Haq 1978, McNeil and
Neslehova 2009 (d-monotone generators).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import simpson
from scipy.special import expit

#: Weight K of each step; an AND neuron with one step off is e^-K of one with all steps on.
GAIN = 40.0
#: Offset by number of axes, each a short binary number at or above what d-monotone needs: 0 for
#: two axes, ln(2 + sqrt 3) = 1.31696 for three, 2.29243 for four. With it and the gain short, the
#: sum in a neuron that is on has no rounding at all.
OFFSETS = {1: 0.0, 2: 0.0, 3: 1.375, 4: 2.3125}


@dataclass(frozen=True)
class AndGate:
    """The AND neuron for a number of axes; with one axis there is none, only the steps.

    Args:
        dimension: Number of axes, 1 to 4.
        gain: K, the weight of each step.
        offset: How far below zero the neuron stays with all steps on; at least ``OFFSETS``.
    """

    dimension: int
    gain: float
    offset: float

    @classmethod
    def of(cls, dimension: int) -> AndGate:
        """Return the gate this package uses for so many axes."""
        return cls(dimension, GAIN, OFFSETS[dimension])

    @property
    def height(self) -> float:
        """Activation with all steps on, s(-offset); output weights are divided by it."""
        return 1.0 if self.dimension == 1 else float(expit(-self.offset))

    @cached_property
    def centre(self) -> float:
        """Added to each step so that the AND neuron is half on at an edge: ``u(0) = 1/2``.

        ``ln(K / (ln(1 + 2 e^offset) - offset) - 1)``.
        """
        if self.dimension == 1:
            return 0.0
        half = math.log1p(2 * math.exp(self.offset)) - self.offset
        return math.log(self.gain / half - 1)

    def marginal(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return u(z), the share of the way over an edge at ``z = w (x - a)``."""
        if self.dimension == 1:
            return expit(z)
        off = expit(-(np.asarray(z) + self.centre))
        return expit(-self.gain * off - self.offset) / self.height

    @cached_property
    def mean_shift(self) -> float:
        """E|wZ|, the constant C: 2 ln 2 for the logistic law, 0.867, 0.948, 0.970 for 2, 3, 4 axes.

        The mass e^-K that the marginal leaves at minus infinity is not counted; it moves a value
        by at most e^-K times the range of the cell values.
        """
        if self.dimension == 1:
            return 2 * math.log(2)
        below, above = self._integrals(np.ones_like)
        return below + above

    def moments(self) -> tuple[float, float]:
        """Return mean and variance of wZ."""
        if self.dimension == 1:
            return 0.0, math.pi**2 / 3
        below, above = self._integrals(np.ones_like)
        mean = above - below
        below, above = self._integrals(lambda z: 2 * np.abs(z))
        return mean, below + above - mean**2

    def tails(self, probability: float) -> tuple[float, float]:
        """Return ``(z_low, z_high)`` with ``u(z_low)`` and ``1 - u(z_high)`` at most `probability`.

        Args:
            probability: In (e^-38, 1/2).
        """
        if self.dimension == 1:
            reach = math.log(1 / probability)
            return -reach, reach
        # Slightly inside, so that rounding of the inverse does not cross the line.
        inside = probability * (1 - 1e-9)
        return self._inverse(inside), self._inverse(1 - inside, rest=inside)

    def _inverse(self, u: float, rest: float | None = None) -> float:
        # g(t) = u at t = ln((1 + e^m)/u - 1) - m; near u = 1 from 1 - u without cancellation.
        grown = math.exp(self.offset)
        if rest is None:
            t = math.log((1 + grown) / u - 1) - self.offset
        else:
            t = math.log1p(rest * (1 + 1 / grown) / (1 - rest))
        return math.log(self.gain / t - 1) - self.centre

    def _integrals(
        self, weight: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> tuple[float, float]:
        """Integrate `weight` times u over z < 0 and times 1 - u over z > 0 (Simpson's rule)."""
        z = np.linspace(0.0, 60.0, 24_001)
        factors = weight(z)
        floor = float(self.marginal(np.array(-700.0)))
        below = simpson((self.marginal(-z) - floor) * factors, x=z)
        off = expit(-(z + self.centre))
        # 1 - g(t) = expm1(t) / (e^t + e^-m) without cancellation for small t.
        t = self.gain * off
        above = simpson(np.expm1(t) / (np.exp(t) + math.exp(-self.offset)) * factors, x=z)
        return float(below), float(above)
