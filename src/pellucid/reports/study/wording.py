"""How a study's numbers are put into words: shares, points, intervals, p-values, strengths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pellucid.reports.wording import percent

_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"

"""What is wrong with the protocol of the preset ``reference``."""


def finite(values: Iterable[float | None]) -> list[float]:
    """Return the values that are finite numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]


def signed(value: float, digits: int = 1) -> str:
    """Return a number with its sign, and a true minus; 0 without."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else _MINUS}{text}"


def plain_points(value: float) -> str:
    """Return a difference of shares in percentage points, without the word: ``+2.5``."""
    return signed(100 * value)


def points(value: float | None) -> str:
    """Return a difference of shares as ``+2.5 points``."""
    if value is None or not math.isfinite(value):
        return "not measured"
    return f"{plain_points(value)}{_SPACE}points"


def points_interval(low: float | None, high: float | None) -> str:
    """Return the ends of an interval of differences: ``+0.9 to +4.1``; empty without one."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{plain_points(low)} to {plain_points(high)}"


def share_interval(low: float | None, high: float | None) -> str:
    """Return the ends of an interval of shares: ``80.1 to 83.4 %``; empty without one."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{100 * low:.1f} to {percent(high)}"


def write_p(value: float | None) -> str:
    """Return a p-value with two digits that count, ``<`` where it is very small."""
    if value is None or not math.isfinite(value):
        return "not tested"
    if value < 0.001:
        return f"<{_SPACE}0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def write_amount(value: float | None) -> str:
    """Return a norm, a loss or a penalty with three digits that count."""
    if value is None or not math.isfinite(value):
        return "not measured"
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}".replace(",", _SPACE)
    if abs(value) < 0.001:
        return _scientific(value)
    return f"{value:.3g}"


def write_seeds(seeds: Sequence[int]) -> str:
    """Return seeds as a list, or as a range where they follow one another."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds)) or "none"


def write_strength(strength: float) -> str:
    """Return a strength with two digits that count, as a power of ten where that is shorter."""
    if strength == 0:
        return "0"
    plain = f"{float(f'{strength:.2g}'):.9f}".rstrip("0").rstrip(".")
    return plain if len(plain) <= 6 else _scientific(strength)


def _scientific(value: float) -> str:
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", _MINUS)


def count_of(number: int, one: str, many: str | None = None) -> str:
    """Return ``1 seed``, ``5 seeds``."""
    return f"{number:,}".replace(",", _SPACE) + f" {one if number == 1 else many or one + 's'}"


def write_bytes(number: float) -> str:
    """Return a size in bytes, kB or MB."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{_SPACE}{unit}"
    return f"{number:.0f}{_SPACE}bytes"


def write_seconds(seconds: float) -> str:
    """Return a time in microseconds, milliseconds, seconds, minutes or hours."""
    if not math.isfinite(seconds):
        return "not measured"
    if seconds < 0.001:
        return f"{1e6 * seconds:.0f}{_SPACE}µs"
    if seconds < 1:
        return f"{1e3 * seconds:.3g}{_SPACE}ms"
    if seconds < 100:
        return f"{seconds:.1f}{_SPACE}s"
    if seconds < 6000:
        return f"{seconds / 60:.1f}{_SPACE}minutes"
    return f"{seconds / 3600:.1f}{_SPACE}hours"
