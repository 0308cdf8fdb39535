"""What a person wants of a bump, a ridge bump or a tower, and the weights that give it.

A step ``s(w x + b)`` of the logistic sigmoid s is ½ at its *location* ``-b / w`` and climbs from
10 % to 90 % over a length of ``2 ln 9 / w``; w is its *steepness*. The rest follows from that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from pellucid._checks import UsageError, check_number
from pellucid.approximation.box import MAXIMUM_DIMENSION
from pellucid.approximation.network import (
    NeuronGroup,
    SigmoidLayer,
    SigmoidNetwork,
    variable_names,
)

STEEPNESS = 500.0
GATE = 200.0
_GOOD_PEAK = 0.99
_GOOD_GATE = 10.0


@dataclass(frozen=True)
class BumpDesign:
    """What a person wants of a bump: where it rises and falls, how high and how steep.

    ``y = h·s(w1·u + b1) + h·s(w2·u + b2) - h`` with ``u = direction · x``, ``b1 = -rise·w1`` and
    ``b2 = -fall·w2``, w1 positive and w2 negative.

    Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapter 4. Deviation: the output
    is the sum itself; there it is a weighted input.

    Args:
        rise: Location of the step up, along the direction.
        fall: Location of the step down, above ``rise``.
        height: Of the plateau; negative makes a dent; not 0.
        steepness: (w1, -w2), or one number for both; positive.
        direction: Shape (d,). (1,) is a bump of one variable, (1, 0) a ridge bump of two that does
            not depend on the second.

    Raises:
        UsageError: An argument is not finite, rise >= fall, or a steepness is not positive.

    Example:
        >>> design = BumpDesign(0.4, 0.6, 1.0, 500.0)
        >>> design.to_network().hidden[0].bias
        array([-200.,  300.])
        >>> design.edge_values
        (0.5, 0.5)
    """

    rise: float
    fall: float
    height: float = 1.0
    steepness: tuple[float, float] | float = STEEPNESS
    direction: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        rise, fall = _check_interval(self.rise, self.fall)
        given = self.steepness
        pair = tuple(given) if isinstance(given, tuple | list) else (given, given)
        if len(pair) != 2:
            raise UsageError(
                f"steepness must be one number or two (of the rise, of the fall), got {given!r}."
            )
        up, down = (_check_steepness(value) for value in pair)
        direction = tuple(check_number("direction", value) for value in self.direction)
        if not 1 <= len(direction) <= MAXIMUM_DIMENSION or not any(direction):
            raise UsageError(
                f"direction must be 1 to {MAXIMUM_DIMENSION} numbers, not all 0, got "
                f"{self.direction!r}. Use (1, 0) for a ridge across the first of two variables."
            )
        for location, weight in ((rise, up), (fall, down)):
            _check_product(location, weight)
            for part in direction:
                _check_product(part, weight)
        object.__setattr__(self, "rise", rise)
        object.__setattr__(self, "fall", fall)
        object.__setattr__(self, "height", _check_height(self.height))
        object.__setattr__(self, "steepness", (up, down))
        object.__setattr__(self, "direction", direction)

    @property
    def steepness_pair(self) -> tuple[float, float]:
        """Steepness of the rise and of the fall."""
        assert isinstance(self.steepness, tuple)
        return self.steepness

    @property
    def width(self) -> float:
        """From rise to fall."""
        return self.fall - self.rise

    @property
    def dimension(self) -> int:
        """Number of variables."""
        return len(self.direction)

    def value(self, along: float) -> float:
        """Return the height of the bump at the place ``along`` the direction."""
        up, down = self.steepness_pair
        # 1 - s(v) = s(-v), written so that far away the difference is not lost.
        if along > self.fall:
            return self.height * float(
                expit(-down * (along - self.fall)) - expit(-up * (along - self.rise))
            )
        return self.height * float(
            expit(up * (along - self.rise)) - expit(down * (along - self.fall))
        )

    @property
    def peak_location(self) -> float:
        """Where the bump is highest: the middle if both steps are equally steep."""
        up, down = self.steepness_pair
        middle = self.rise + self.width / 2
        if up == down:
            return middle
        from scipy.optimize import minimize_scalar  # rarely needed, and slow to load

        # Between the edges: left of the rise the first step wins, right of the fall the second.
        found = minimize_scalar(
            lambda place: -self.value(place) * math.copysign(1.0, self.height),
            bounds=(self.rise, self.fall),
            method="bounded",
        )
        return float(found.x)

    @property
    def peak(self) -> float:
        """Height at the highest place: ``h·tanh(w (fall - rise) / 4)`` for equal steepness."""
        up, down = self.steepness_pair
        if up == down:
            return self.height * math.tanh(up * self.width / 4)
        return self.value(self.peak_location)

    @property
    def edge_values(self) -> tuple[float, float]:
        """Height at the rise and at the fall: ``½·h·tanh(w (fall - rise) / 2)``, so nearly ½ h."""
        return self.value(self.rise), self.value(self.fall)

    @property
    def l1_distance(self) -> float:
        """Area between the bump and the ideal one, which jumps from 0 to h and back.

        ``|h|·(4/w)·ln(2 / (1 + exp(-w (fall - rise))))``, which is ``4 ln 2 / w`` for a bump that
        is wider than its steps. With two steepnesses ``2 ln 2 (1/w1 + 1/w2)``, an upper bound.
        """
        up, down = self.steepness_pair
        if up != down:
            return abs(self.height) * 2 * math.log(2) * (1 / up + 1 / down)
        missing = math.log1p(math.exp(-up * self.width))
        return abs(self.height) * 4 / up * (math.log(2) - missing)

    def edges_if_biases_stay(self, steepness: float) -> tuple[float, float]:
        """Return where the edges would be if ``steepness`` changed and the biases did not.

        The location is ``-bias / weight``, so a steeper step with its old bias stands nearer to 0.
        """
        new = _check_steepness(steepness)
        up, down = self.steepness_pair
        return self.rise * up / new, self.fall * down / new

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what a person should know before using this bump; empty if nothing is amiss."""
        share = self.peak / self.height
        up, down = self.steepness_pair
        found = []
        if share < _GOOD_PEAK:
            needed = steepness_for_peak(self.width, _GOOD_PEAK)
            kind = "vanishes" if share < 0.5 else "does not reach its height"
            found.append(
                f"this bump {kind}: its steps need more room than the {self.width:.4g} between "
                f"them, so the peak is {100 * share:.3g} % of the height. A steepness of at least "
                f"{needed:.4g} gives 99 %."
            )
        undershoot = math.exp(-min(up, down) * self.width)
        if up != down and undershoot > 1e-3:
            found.append(
                "the steps are unequally steep and close together, so the bump crosses 0 beside "
                f"the steeper one, by at most {undershoot:.2g} of the height."
            )
        return tuple(found)

    def to_network(self) -> SigmoidNetwork:
        """Return the weights: two hidden neurons in one layer."""
        up, down = self.steepness_pair
        along = np.array(self.direction)
        # Adding 0 turns the -0 of a variable that does not count into 0.
        weight = np.stack([up * along, -down * along]) + 0.0
        bias = np.array([-self.rise * up, self.fall * down]) + 0.0
        where = "" if self.dimension == 1 else f" across {_direction_words(self.direction)}"
        groups = (NeuronGroup(f"step up{where}", 0, 1), NeuronGroup(f"step down{where}", 1, 2))
        return SigmoidNetwork(
            (SigmoidLayer(weight, bias, groups),),
            np.array([self.height, self.height]),
            -self.height,
            scheme="bump" if self.dimension == 1 else "ridge bump",
        )


@dataclass(frozen=True)
class TowerDesign:
    """What a person wants of a tower: a box on which it stands, how high and how steep.

    Two steps for each variable and a gate that opens where all of them are on:
    ``y = h·s(K·Σ_i [s(w(x_i - rise_i)) + s(w(fall_i - x_i))] - K(2d - ½))``. Inside, both steps of
    a variable are 1; outside, only one is. So the sum is 2d inside and at most 2d - 1 outside.

    Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapter 4, for two variables.
    Deviation: there each variable's steps make a bump of height K/2 or so before they are added;
    adding the steps themselves moves the threshold by a constant and changes nothing else.

    Args:
        rise: Lower ends of the box, shape (d,), d from 1 to 4.
        fall: Upper ends.
        height: Of the roof; not 0.
        steepness: w of every step; positive.
        gate: K, the steepness of the second layer; positive.

    Raises:
        UsageError: An argument is not finite, rise >= fall somewhere, or not positive.

    Example:
        >>> design = TowerDesign((0.45, 0.45), (0.55, 0.55))
        >>> design.edge_value, f"{design.corner_value:.2e}"
        (0.4999999986111998, '3.72e-44')
    """

    rise: tuple[float, ...]
    fall: tuple[float, ...]
    height: float = 1.0
    steepness: float = STEEPNESS
    gate: float = GATE

    def __post_init__(self) -> None:
        rise, fall = tuple(self.rise), tuple(self.fall)
        if len(rise) != len(fall) or not 1 <= len(rise) <= MAXIMUM_DIMENSION:
            raise UsageError(
                f"rise and fall must be equally many numbers, 1 to {MAXIMUM_DIMENSION}, got "
                f"{len(rise)} and {len(fall)}."
            )
        names = variable_names(len(rise))
        ends = [
            _check_interval(low, high, f" in {name}")
            for low, high, name in zip(rise, fall, names, strict=True)
        ]
        steepness = _check_steepness(self.steepness)
        for end in (*rise, *fall):
            _check_product(end, steepness)
        gate = check_number(
            "gate", self.gate, low=0, open_low=True, remedy=f"Use {GATE:g}, the text-book's."
        )
        _check_product(2 * len(rise), gate)
        object.__setattr__(self, "rise", tuple(low for low, _ in ends))
        object.__setattr__(self, "fall", tuple(high for _, high in ends))
        object.__setattr__(self, "height", _check_height(self.height))
        object.__setattr__(self, "steepness", steepness)
        object.__setattr__(self, "gate", gate)

    @property
    def dimension(self) -> int:
        """Number of variables."""
        return len(self.rise)

    @property
    def widths(self) -> tuple[float, ...]:
        """Sides of the box, shape (d,)."""
        return tuple(high - low for low, high in zip(self.rise, self.fall, strict=True))

    @property
    def peak(self) -> float:
        """Height at the center: ``h·s(K (Σ tanh(w side_i / 4) - d + ½))``."""
        on = sum(math.tanh(self.steepness * side / 4) for side in self.widths)
        return self.height * _gate_value(self.gate, on, self.dimension)

    @property
    def edge_value(self) -> float:
        """Height in the middle of a face (of an edge, in two dimensions) of the first variable."""
        first, *others = self.widths
        on = math.tanh(self.steepness * first / 2) / 2
        on += sum(math.tanh(self.steepness * side / 4) for side in others)
        return self.height * _gate_value(self.gate, on, self.dimension)

    @property
    def corner_value(self) -> float:
        """Height at a corner: about ``h·s(-K (d - 1) / 2)``, next to nothing for d > 1."""
        on = sum(math.tanh(self.steepness * side / 2) / 2 for side in self.widths)
        return self.height * _gate_value(self.gate, on, self.dimension)

    @property
    def vanishing_side(self) -> float:
        """The side below which a cubic tower of this steepness does not reach half its height."""
        return vanishing_side(self.steepness, self.dimension)

    @property
    def vanishes(self) -> bool:
        """Whether not even the center reaches half the height."""
        return self.peak / self.height < 0.5

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what a person should know before using this tower; empty if nothing is amiss."""
        share = self.peak / self.height
        odd = 4 * self.dimension - 1
        found = []
        if self.gate < _GOOD_GATE:
            most = 100 * _gate_value(self.gate, self.dimension, self.dimension)
            found.append(
                f"this tower's gate is soft: its roof is at most s({self.gate:g}/2) = {most:.3g} % "
                f"of the height, and what it gives far away is not 0. A gate of {GATE:g} is usual."
            )
        if share < _GOOD_PEAK * _gate_value(self.gate, self.dimension, self.dimension):
            narrowest = min(self.widths)
            kind = "vanishes" if self.vanishes else "does not reach its height"
            wanted = _GOOD_PEAK * _gate_value(self.gate, self.dimension, self.dimension)
            below = 0.5 - float(logit(wanted)) / self.gate
            needed = 1.01 * 4 * math.atanh(1 - below / self.dimension) / narrowest
            found.append(
                f"this tower {kind}: its center is {100 * share:.3g} % of the height. At steepness "
                f"{self.steepness:g} a tower needs sides above 2 ln {odd} / {self.steepness:g} = "
                f"{self.vanishing_side:.4g}, and its narrowest is {narrowest:.4g}. "
                f"A steepness of {needed:.4g} is enough."
            )
        return tuple(found)

    def to_network(self) -> SigmoidNetwork:
        """Return the weights: 2d + 1 hidden neurons in two layers."""
        count = self.dimension
        weight = np.zeros((2 * count, count))
        bias = np.zeros(2 * count)
        groups = []
        for axis, (name, low, high) in enumerate(
            zip(variable_names(count), self.rise, self.fall, strict=True)
        ):
            weight[2 * axis, axis], bias[2 * axis] = self.steepness, -low * self.steepness
            weight[2 * axis + 1, axis], bias[2 * axis + 1] = -self.steepness, high * self.steepness
            groups += [
                NeuronGroup(f"step up in {name}", 2 * axis, 2 * axis + 1),
                NeuronGroup(f"step down in {name}", 2 * axis + 1, 2 * axis + 2),
            ]
        steps = SigmoidLayer(weight, bias + 0.0, tuple(groups))
        both = SigmoidLayer(
            np.full((1, 2 * count), self.gate),
            np.array([-self.gate * (2 * count - 0.5)]),
            (NeuronGroup(f"AND of {2 * count} steps", 0, 1),),
        )
        return SigmoidNetwork((steps, both), np.array([self.height]), 0.0, scheme="tower")


def steepness_for_peak(width: float, share: float) -> float:
    """Return the steepness at which a bump of this width reaches a share of its height.

    ``4 artanh(share) / width``, from the peak ``h·tanh(w·width / 4)``.

    Example:
        >>> round(steepness_for_peak(0.2, 0.99), 2)
        52.93
    """
    check_number("width", width, low=0, open_low=True)
    check_number("share", share, low=0, high=1, open_low=True, open_high=True)
    return 4 * math.atanh(share) / width


def vanishing_side(steepness: float, dimension: int = 2) -> float:
    """Return the side below which a cubic tower does not reach half its height.

    The gate is half open where ``d·tanh(w·side / 4) = d - ½``, so ``side = 2 ln(4d - 1) / w``
    whatever the gate's own steepness: 2 ln 7 / w in two dimensions.

    Example:
        >>> round(vanishing_side(500.0), 5)
        0.00778
    """
    return 2 * math.log(4 * dimension - 1) / _check_steepness(steepness)


def _gate_value(gate: float, on: float, dimension: int) -> float:
    return float(expit(gate * (on - dimension + 0.5)))


def _check_interval(rise: object, fall: object, where: str = "") -> tuple[float, float]:
    low = check_number("rise", rise)
    high = check_number("fall", fall)
    if low >= high:
        raise UsageError(
            f"rise must be below fall{where}, got rise={low:g} and fall={high:g}. "
            "Use a negative height for a dent."
        )
    return low, high


def _check_steepness(value: object) -> float:
    return check_number(
        "steepness", value, low=0, open_low=True, remedy="Use 500, the text-book's, or 10 / width."
    )


def _check_height(value: object) -> float:
    height = check_number("height", value)
    if height == 0:
        raise UsageError("height must not be 0, got 0. Use 1, or a negative number for a dent.")
    return height


def _check_product(location: float, weight: float) -> None:
    if not math.isfinite(location * weight):
        raise UsageError(
            f"steepness must leave the bias finite, got {weight:g} at {location:g}. "
            "Use a smaller steepness."
        )


def _direction_words(direction: Sequence[float]) -> str:
    names = variable_names(len(direction))
    terms = [
        name if part == 1 else f"{part:g} {name}"
        for part, name in zip(direction, names, strict=True)
        if part
    ]
    return " + ".join(terms).replace("+ -", "- ")
