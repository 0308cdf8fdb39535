from __future__ import annotations

import copy
import os
import signal
import threading

import pytest

from pellucid import PellucidError
from pellucid.training import Interrupted, interruptible, stopping_when


def steps_with_signals(*signals_of_steps: int, reached: list[str]) -> None:
    """Send one signal within each step; note each signal that a step went on after."""
    with interruptible("Continue with --resume X") as stop_if_asked:
        for number in signals_of_steps:
            stop_if_asked()
            os.kill(os.getpid(), number)
            reached.append(signal.Signals(number).name)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruptible_signal_raises_at_the_next_step_with_its_exit_code(number, code):
    reached: list[str] = []
    with pytest.raises(Interrupted, match="Continue with --resume X") as caught:
        steps_with_signals(number, number, reached=reached)
    assert caught.value.exit_code == code
    assert reached == [signal.Signals(number).name]


def test_interruptible_second_signal_raises_at_once():
    def step() -> None:
        with interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("went on after the second signal")

    with pytest.raises(Interrupted, match="interrupted by SIGINT"):
        step()


def test_interruptible_gives_the_old_handlers_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_interruptible_outside_the_main_thread_does_nothing():
    seen = []

    def work():
        with interruptible() as stop_if_asked:
            stop_if_asked()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_interrupted_is_both_our_error_and_a_keyboard_interrupt():
    assert issubclass(Interrupted, PellucidError)
    assert issubclass(Interrupted, KeyboardInterrupt)


def test_interruptible_signal_after_the_last_step_is_not_lost():
    with pytest.raises(Interrupted), interruptible() as _:
        os.kill(os.getpid(), signal.SIGTERM)


def test_interrupted_travels_between_processes():
    stop = copy.copy(Interrupted(signal.SIGTERM, "Go on."))
    assert (stop.exit_code, str(stop)) == (143, "interrupted by SIGTERM. Go on.")


def test_stopping_when_asked_raises_at_the_next_step_in_any_thread():
    reached: list[object] = []

    def work():
        answers = iter([False, True])
        with stopping_when(lambda: next(answers)), interruptible("Go on.") as stop_if_asked:
            stop_if_asked()
            reached.append("first step")
            try:
                stop_if_asked()
            except Interrupted as stop:
                reached.append(str(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == ["first step", "interrupted by SIGTERM. Go on."]


def test_stopping_when_outside_its_block_nobody_is_asked():
    with stopping_when(lambda: True):
        pass
    with interruptible() as stop_if_asked:
        stop_if_asked()
