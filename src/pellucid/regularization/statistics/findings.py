"""Comparisons as statements about one arm, and their numbers as a person writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pellucid.regularization.statistics.comparison import Comparison
from pellucid.regularization.statistics.power import SIGNIFICANCE, Power
from pellucid.regularization.statistics.summaries import ArmSummary

MOMENT_WORDS = {"last": "after the last epoch", "best": "at the best checkpoint"}


@dataclass(frozen=True)
class Finding:
    """A comparison seen from one of its arms: what `arm` has more than `other`.

    Attributes:
        arm: The arm spoken of.
        other: The arm it is measured against.
        comparison: The figures, in either direction.
    """

    arm: str
    other: str
    comparison: Comparison

    @property
    def _sign(self) -> int:
        return 1 if self.comparison.a == self.arm else -1

    @property
    def difference(self) -> float:
        """Accuracy of `arm` minus accuracy of `other`."""
        return self._sign * self.comparison.difference

    @property
    def without_flagged(self) -> float | None:
        """The same at the seeds at which neither collapsed or diverged."""
        value = self.comparison.difference_without_flagged
        return None if value is None else self._sign * value

    @property
    def interval(self) -> tuple[float, float] | None:
        """Over seeds, on these test images."""
        return self._turn(self.comparison.low, self.comparison.high)

    @property
    def sampling(self) -> tuple[float, float] | None:
        """Over test images, for these networks."""
        return self._turn(self.comparison.sampling_low, self.comparison.sampling_high)

    @property
    def combined(self) -> tuple[float, float] | None:
        """Over seeds and test images."""
        return self._turn(self.comparison.combined_low, self.comparison.combined_high)

    @property
    def decided(self) -> bool:
        """Whether other seeds would say the same on these test images, all comparisons guarded."""
        p = self.comparison.p_holm
        return p is not None and p < SIGNIFICANCE

    @property
    def holds_elsewhere(self) -> bool:
        """Whether it also holds with the chance of the test images counted in."""
        p = self.comparison.p_combined_holm
        return self.decided and p is not None and p < SIGNIFICANCE

    def _turn(self, low: float | None, high: float | None) -> tuple[float, float] | None:
        if low is None or high is None:
            return None
        return (low, high) if self._sign > 0 else (-high, -low)


def find(comparisons: Sequence[Comparison], arm: str, other: str, moment: str) -> Finding | None:
    """Return the comparison of two arms at a moment from the side of `arm`; None if not made."""
    for comparison in comparisons:
        if comparison.moment == moment and {comparison.a, comparison.b} == {arm, other}:
            return Finding(arm, other, comparison)
    return None


@dataclass(frozen=True)
class Case:
    """All that a verdict is made from.

    Attributes:
        summaries: Both moments.
        comparisons: Both moments.
        power: Of the study.
        moment: The one the headline speaks of.
        baseline: The arm the others are measured against.
        name: Turns an arm's name into words.
    """

    summaries: Sequence[ArmSummary]
    comparisons: Sequence[Comparison]
    power: Power
    moment: str
    baseline: str
    name: Callable[[str], str]

    def arms(self, moment: str | None = None) -> list[ArmSummary]:
        """Return the arms' summaries at a moment, by default the headline's."""
        return [s for s in self.summaries if s.moment == (moment or self.moment)]

    def find(self, arm: str, other: str, moment: str | None = None) -> Finding | None:
        """Return the comparison of two arms from the side of `arm`."""
        return find(self.comparisons, arm, other, moment or self.moment)

    def against_baseline(self, moment: str | None = None) -> list[Finding]:
        """Return what is known of each arm against the baseline, the best arm first."""
        found = [
            finding
            for s in self.arms(moment)
            if s.arm != self.baseline
            and (finding := self.find(s.arm, self.baseline, moment)) is not None
        ]
        return sorted(found, key=lambda finding: -finding.difference)

    def told_in_headline(self) -> list[Finding]:
        """Return the arms that beat the baseline for sure; if there are none, those it beats."""
        decided = [f for f in self.against_baseline() if f.decided]
        return [f for f in decided if f.difference > 0] or decided

    def pairs(self, moment: str | None = None) -> list[Finding]:
        """Return every comparison once, told from the side of the arm that is ahead."""
        found = []
        for c in self.comparisons:
            if c.moment == (moment or self.moment):
                ahead, behind = (c.a, c.b) if c.difference >= 0 else (c.b, c.a)
                found.append(Finding(ahead, behind, c))
        return found


def other_moment(case: Case) -> str:
    """Return the moment the headline does not speak of."""
    return "best" if case.moment == "last" else "last"


def find_reversals(case: Case) -> list[tuple[Finding, Finding]]:
    """Return pairs of arms whose order differs between the moments, as seen at each."""
    found = []
    for here in case.pairs():
        there = case.find(here.arm, here.other, other_moment(case))
        if there is not None and here.difference * there.difference < 0:
            found.append((here, there))
    return found


# ---------------------------------------------------------------- numbers in words


def write_points(value: float) -> str:
    """Return an accuracy difference as points: ``2.5``, ``0.03`` where one digit would say 0.0."""
    points = 100 * value
    text = f"{points:.1f}"
    if float(text) == 0:
        text = f"{points:.2f}" if abs(points) >= 0.005 else "0.0"
    return text


def write_amount(value: float) -> str:
    """Return the size of an accuracy difference: ``1 point``, ``2.5 points``."""
    text = write_points(abs(value))
    return "1 point" if text == "1.0" else f"{text} points"


def write_signed_points(value: float) -> str:
    """Return an accuracy difference as points with its sign: ``+2.5``, ``-2.5``, ``0.0``."""
    text = write_points(value)
    return f"+{text}" if value > 0 and float(text) != 0 else text


def write_range(interval: tuple[float, float]) -> str:
    """Return an interval of accuracy differences in points: ``-0.4 to 2.6``."""
    return f"{write_points(interval[0])} to {write_points(interval[1])}"


def write_share(value: float) -> str:
    """Return a share as ``38.2 %``; what is not quite 0 or 1 never reads so."""
    text = f"{100 * value:.1f}"
    if text == "0.0" and value > 0:
        return "less than 0.1 %"
    if text == "100.0" and value < 1:
        return "more than 99.9 %"
    return f"{text} %"


def write_p(p: float) -> str:
    """Return ``p < 0.001`` or ``p = 0.031``; what is not .05 never reads so."""
    if p < 0.001:
        return "p < 0.001"
    if f"{p:.3f}" == "0.050":
        return f"p = {p:.4f}" if abs(p - 0.05) >= 5e-5 else f"p {'<' if p < 0.05 else '>='} 0.05"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def write_list(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def count(n: int, singular: str) -> str:
    """Return ``1 seed`` or ``5 seeds``, thousands set apart by commas."""
    return f"{n:,} {singular}" if n == 1 else f"{n:,} {singular}s"


def write_how_many(some: int, n_seeds: int) -> str:
    """Return ``every seed``, ``its only seed`` or ``2 of 5 seeds``."""
    if some < n_seeds:
        return f"{some} of {n_seeds} seeds"
    return "its only seed" if n_seeds == 1 else "every seed"


def capitalize(sentence: str) -> str:
    """Return the sentence with a large first letter; an arm's quoted name stays as it is."""
    return sentence[:1].upper() + sentence[1:]


def write_brackets(finding: Finding) -> str:
    """Return ``95 % interval over seeds 1.2 to 3.8, Holm p = 0.004``, as far as there is one."""
    parts = []
    if finding.interval is not None:
        parts.append(f"95 % interval over seeds {write_range(finding.interval)}")
    if finding.comparison.p_holm is not None:
        parts.append(f"Holm {write_p(finding.comparison.p_holm)}")
    return ", ".join(parts) or "no interval over seeds"


def write_figures(finding: Finding) -> str:
    """Return ``+2.5 points, 95 % interval over seeds 1.2 to 3.8, Holm p = 0.004``."""
    return f"{write_signed_points(finding.difference)} points, {write_brackets(finding)}"
