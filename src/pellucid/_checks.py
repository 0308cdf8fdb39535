"""Argument checks with one error format; imports nothing of ours.

Every message names the argument as the user typed it, the value, what is allowed and the remedy:
``depth must be an integer in [1, 12], got 0. Use depth=5 for about 30 prototypes.``
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable


class PellucidError(Exception):
    """An expected failure with a message a person can act on; ``exit_code`` is the command's."""

    exit_code = 1


class UsageError(PellucidError, ValueError):
    """An argument is outside what is allowed."""

    exit_code = 2


class DataError(PellucidError, ValueError):
    """The user's data or files cannot be used."""

    exit_code = 3


def _sentence(requirement: str, value: object, remedy: str) -> str:
    message = f"{requirement}, got {value!r}."
    return f"{message} {remedy}" if remedy else message


def check_integer(
    name: str, value: object, *, low: int, high: int | None = None, remedy: str = ""
) -> int:
    """Return ``value`` as an int in [low, high]; ``high=None`` means no upper end."""
    allowed = f"an integer in [{low}, {high}]" if high is not None else f"an integer >= {low}"
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < low or (high is not None and value > high):  # type: ignore[operator]
        raise UsageError(_sentence(f"{name} must be {allowed}", value, remedy))
    return int(value)  # type: ignore[call-overload]


def check_number(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    remedy: str = "",
) -> float:
    """Return ``value`` as a finite float between ``low`` and ``high`` (open ends as named)."""
    left = "(" if open_low or low == -math.inf else "["
    right = ")" if open_high or high == math.inf else "]"
    requirement = f"{name} must be a number in {left}{low:g}, {high:g}{right}"
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise UsageError(_sentence(requirement, value, remedy))
    number = float(value)
    below = number <= low if open_low else number < low
    above = number >= high if open_high else number > high
    if not math.isfinite(number) or below or above:
        raise UsageError(_sentence(requirement, value, remedy))
    return number


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?`` for the closest of ``choices``, or an empty string."""
    close = difflib.get_close_matches(str(value), list(choices), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def check_choice(name: str, value: object, choices: Iterable[str], *, remedy: str = "") -> str:
    """Return ``value`` if it is one of ``choices``, else say which there are and the closest."""
    allowed = list(choices)
    if value not in allowed:
        listed = ", ".join(repr(choice) for choice in allowed)
        guess = did_you_mean(value, allowed)
        raise UsageError(
            _sentence(
                f"{name} must be one of {listed}", value, " ".join(filter(None, [guess, remedy]))
            )
        )
    return str(value)
