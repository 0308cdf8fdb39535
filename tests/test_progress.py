from __future__ import annotations

import io
import sys

import pytest

from pellucid import _progress
from pellucid._progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_progress, "time", clock)
    return clock


def work(clock: Clock, steps: int, *, seconds: float, progress: Progress) -> None:
    for _ in range(steps):
        clock.seconds += seconds
        progress.update()


def test_progress_in_a_file_is_a_plain_line_every_ten_seconds_and_at_the_end(capsys, clock):
    with Progress(25, "step", "train") as progress:
        work(clock, 25, seconds=1, progress=progress)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "train: 40%, 10 of 25, 1 step/s, 00:10 so far, 00:15 left",
        "train: 80%, 20 of 25, 1 step/s, 00:20 so far, 00:05 left",
        "train: 100%, 25 of 25, 1 step/s, 00:25 so far, 00:00 left",
    ]


def test_progress_says_what_is_done_now_and_some_figures(capsys, clock):
    with Progress(1, "step", "train") as progress:
        progress.describe("tree 2/2")
        work(clock, 1, seconds=2, progress=progress)
        progress.postfix({"loss": "0.123", "validation": "0.900"})
    assert capsys.readouterr().err == (
        "tree 2/2: 100%, 1 of 1, 0.5 step/s, 00:02 so far, 00:00 left, "
        "loss=0.123, validation=0.900\n"
    )


def test_progress_what_was_done_before_does_not_count_for_the_speed(capsys, clock):
    with Progress(100, "step", "train", initial=90) as progress:
        work(clock, 5, seconds=1, progress=progress)
    assert "95 of 100, 1 step/s, 00:05 so far, 00:05 left" in capsys.readouterr().err


def test_progress_of_bytes_is_written_in_larger_units(capsys, clock):
    with Progress(4_000_000, "B", "downloading") as progress:
        clock.seconds += 2
        progress.update(3_000_000)
    assert "75%, 3.00MB of 4.00MB, 1.50MB/s" in capsys.readouterr().err


def test_progress_moved_back_counts_from_there(capsys, clock):
    with Progress(100, "step", "x", initial=50) as progress:
        progress.move_to(0)
        work(clock, 10, seconds=1, progress=progress)
    assert "10%, 10 of 100, 1 step/s" in capsys.readouterr().err.splitlines()[-1]


def test_progress_not_left_says_nothing_of_a_short_job(capsys, clock):
    with Progress(3, "file", "reading", leave=False) as progress:
        work(clock, 3, seconds=1, progress=progress)
    assert capsys.readouterr().err == ""


def test_progress_quiet_says_nothing(capsys, clock):
    with Progress(3, "file", "reading", quiet=True) as progress:
        work(clock, 3, seconds=20, progress=progress)
    assert capsys.readouterr().err == ""


def test_progress_of_nothing_is_complete(capsys, clock):
    with Progress(0, "file", "reading"):
        pass
    assert capsys.readouterr().err.startswith("reading: 100%, 0 of 0")


def test_progress_in_a_terminal_is_a_bar_without_color_that_says_the_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress(2, "step", "train") as progress:
        progress.update(2)
        progress.postfix({"loss": "0.1"})
    said = terminal.getvalue()
    assert "\r" in said
    assert "\x1b[3" not in said  # the codes of colors
    assert "train: 100%" in said
    assert "00:00<00:00" in said
    assert "loss=0.1" in said


def test_progress_in_a_dumb_terminal_is_plain_lines(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with Progress(2, "step", "train") as progress:
        progress.update(2)
    assert "\r" not in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1
