"""Stopping on Ctrl-C or SIGTERM at a step boundary, where nothing is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pellucid._checks import PellucidError


class Interrupted(PellucidError, KeyboardInterrupt):
    """A person or a scheduler asked to stop; ``exit_code`` is 130 (Ctrl-C) or 143 (SIGTERM)."""

    def __init__(self, signal_number: int, remedy: str = "") -> None:
        name = signal.Signals(signal_number).name
        super().__init__(f"interrupted by {name}. {remedy}".rstrip())
        self.signal_number = signal_number
        self.remedy = remedy
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int, str]]:
        """Let it travel between processes, which rebuild it from its arguments."""
        return type(self), (self.signal_number, self.remedy)


@contextmanager
def interruptible(remedy: str = "") -> Iterator[Callable[[], None]]:
    """Yield a function to call between steps: it raises `Interrupted` once a signal has come.

    A second Ctrl-C stops at once. Outside the main thread signals cannot be caught;
    there the function heeds `stopping_when` alone.

    Args:
        remedy: What the person can do next, for example how to resume.
    """
    received: list[int] = []

    def remember(number: int, _: object) -> None:
        if received:
            raise Interrupted(number, remedy)
        received.append(number)

    def stop_if_asked() -> None:
        if received:
            raise Interrupted(received[0], remedy)
        if any(is_asked() for is_asked in _QUESTIONS):
            raise Interrupted(signal.SIGTERM, remedy)

    if threading.current_thread() is not threading.main_thread():
        yield stop_if_asked
        return
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop_if_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    stop_if_asked()  # a signal during the last step


_QUESTIONS: list[Callable[[], bool]] = []


@contextmanager
def stopping_when(is_asked: Callable[[], bool]) -> Iterator[None]:
    """Let whatever is `interruptible` inside the block stop, as by SIGTERM, when asked.

    This is how a worker process hears that its study is to stop.

    Args:
        is_asked: Called between steps; must take microseconds.
    """
    _QUESTIONS.append(is_asked)
    try:
        yield
    finally:
        _QUESTIONS.remove(is_asked)
