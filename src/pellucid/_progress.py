"""How far a long job is: a bar in a terminal, now and then a plain line in a file.

Imports nothing of ours, because data and training both show progress.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """A bar on stderr, or plain lines where stderr is no terminal; without color in either form.

    A line is written at most every ten seconds and one at the end. Both forms say how much is
    done, how fast it goes and how long it will still take.

    Args:
        total: How much there is to do.
        unit: What is counted, such as ``"step"``; ``"B"`` for bytes, written as kB, MB and so on.
        description: What is being done.
        quiet: Show nothing.
        initial: How much was done before, which does not count for the speed.
        leave: Keep the bar when the job is done. Without it a job that is over before the first
            line is due writes none.

    Example:
        >>> with Progress(2, "file", "reading", quiet=True) as progress:
        ...     progress.update()
        ...     progress.postfix({"loss": "0.100"})
    """

    def __init__(
        self,
        total: int,
        unit: str,
        description: str,
        *,
        quiet: bool = False,
        initial: int = 0,
        leave: bool = True,
    ) -> None:
        self._total, self._unit, self._done, self._initial = total, unit, initial, initial
        self._description, self._postfix = description, ""
        self._quiet, self._leave = quiet, leave
        self._file = sys.stderr
        self._started = self._last_line = time.monotonic()
        self._wrote = False
        self._bar = None
        if not quiet and self._file.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = tqdm(
                total=total,
                initial=initial,
                desc=description,
                unit=unit if unit == "B" else f" {unit}",
                unit_scale=unit == "B",
                leave=leave,
                file=self._file,
            )

    @property
    def done(self) -> int:
        """How much is done."""
        return self._done

    def update(self, count: int = 1) -> None:
        """Count ``count`` more as done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif not self._quiet and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._write_line()

    def move_to(self, done: int) -> None:
        """Say that ``done`` is done, less than before where work was lost."""
        self._initial = min(self._initial, done)
        self._done = done
        if self._bar is not None:
            self._bar.n = done

    def describe(self, description: str) -> None:
        """Say what is being done now."""
        self._description = description
        if self._bar is not None:
            self._bar.set_description(description)

    def postfix(self, values: Mapping[str, str]) -> None:
        """Show some figures behind the rest."""
        self._postfix = "".join(f", {name}={value}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix(values, refresh=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif not self._quiet and (self._leave or self._wrote):
            self._write_line()

    def _write_line(self) -> None:
        self._last_line = time.monotonic()
        self._wrote = True
        elapsed = self._last_line - self._started
        rate = (self._done - self._initial) / elapsed if elapsed > 0 else 0.0
        parts = [f"{self._amount(self._done)} of {self._amount(self._total)}", self._speed(rate)]
        parts.append(f"{tqdm.format_interval(elapsed)} so far")
        if rate > 0:
            left = max(0, self._total - self._done) / rate
            parts.append(f"{tqdm.format_interval(left)} left")
        percent = f"{100 * self._done // self._total}%" if self._total else "100%"
        line = f"{self._description}: {percent}, {', '.join(parts)}{self._postfix}"
        print(line, file=self._file, flush=True)

    def _amount(self, count: float) -> str:
        if self._unit == "B":
            return tqdm.format_sizeof(count, "B")
        return f"{count:.0f}"

    def _speed(self, rate: float) -> str:
        return f"{self._amount(rate) if self._unit == 'B' else f'{rate:.3g} {self._unit}'}/s"
