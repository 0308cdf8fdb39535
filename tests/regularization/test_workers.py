from __future__ import annotations

import importlib.util
import math
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from pellucid import UsageError
from pellucid.regularization import workers
from pellucid.regularization.workers import run_in_workers
from pellucid.training import Interrupted, interruptible


@pytest.mark.parametrize("backend", ["loky", "sequential"])
def test_run_in_workers_yields_every_result(backend):
    found = run_in_workers(math.pow, [(n, 2) for n in range(5)], processes=2, backend=backend)
    assert sorted(found) == [0, 1, 4, 9, 16]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_run_in_workers_cluster_yields_every_result(backend):
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[backend])
    found = run_in_workers(math.pow, [(n, 2) for n in range(5)], processes=2, backend=backend)
    assert sorted(found) == [0, 1, 4, 9, 16]


def wait(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_run_in_workers_yields_each_result_as_soon_as_it_is_done(backend):
    pytest.importorskip({"loky": "joblib", "dask": "distributed", "ray": "ray"}[backend])
    found = run_in_workers(wait, [(3.0,), (0.0,)], processes=2, backend=backend)
    assert list(found) == [0.0, 3.0]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_run_in_workers_cluster_error_of_a_call_is_raised_here(backend):
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[backend])
    with pytest.raises(ValueError, match="math domain error") as caught:
        list(run_in_workers(math.sqrt, [(-1.0,)], processes=1, backend=backend))
    assert type(caught.value) is ValueError


def test_run_in_workers_loky_uses_other_processes():
    found = list(run_in_workers(os.getpid, [(), ()], processes=2))
    assert os.getpid() not in found


def test_run_in_workers_error_of_a_call_is_raised_here():
    with pytest.raises(ValueError, match="math domain error"):
        list(run_in_workers(math.sqrt, [(1.0,), (-1.0,)], processes=2))


def test_run_in_workers_watches_while_waiting():
    seen: list[int] = []
    list(run_in_workers(math.sqrt, [(4.0,)], processes=1, watch=lambda: seen.append(1)))
    assert seen


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_run_in_workers_backend_that_is_not_installed_says_how_to_get_it(backend, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"pip install 'pellucid\[{backend}\]'"):
        list(run_in_workers(math.sqrt, [(4.0,)], processes=1, backend=backend))


def wait_until_told(folder: Path, name: str) -> None:
    """Wait in short steps; leave a file where it was told to stop."""
    (folder / name).touch()
    with interruptible() as stop_if_asked:
        try:
            for _ in range(400):
                stop_if_asked()
                time.sleep(0.05)
        except Interrupted:
            (folder / f"{name}-kept").touch()
            raise


def wait_and_answer(folder: Path, name: str) -> str:
    """Finish shortly after the other workers were told to stop."""
    (folder / name).touch()
    time.sleep(0.5)
    return name


def interrupt_once(number: int, *files: Path):
    """Return what sends a signal to this process when all files are there, once."""
    sent = []

    def watch():
        if not sent and all(file.exists() for file in files):
            sent.append(number)
            signal.raise_signal(number)

    return watch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_in_workers_interrupted_lets_each_worker_keep_its_state(tmp_path, number):
    watch = interrupt_once(number, tmp_path / "a", tmp_path / "b")
    calls = [(tmp_path, name) for name in "abc"]
    with pytest.raises(Interrupted, match="Go on with x") as caught:
        list(
            run_in_workers(wait_until_told, calls, processes=2, remedy="Go on with x.", watch=watch)
        )
    assert caught.value.signal_number == number
    assert {file.name for file in tmp_path.iterdir()} == {"a", "b", "a-kept", "b-kept"}


def test_run_in_workers_interrupted_yields_what_is_finished_in_time(tmp_path):
    watch = interrupt_once(signal.SIGTERM, tmp_path / "a")
    calls = [(tmp_path, "a"), (tmp_path, "b")]
    found = []
    with pytest.raises(Interrupted):
        found.extend(run_in_workers(wait_and_answer, calls, processes=1, watch=watch))
    assert found == ["a"]


def test_run_in_workers_interrupted_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_STOP_SECONDS", 0.3)
    watch = interrupt_once(signal.SIGTERM, tmp_path / "deaf")
    with pytest.raises(Interrupted):
        list(run_in_workers(be_deaf, [(tmp_path,)], processes=1, watch=watch))


def be_deaf(folder: Path) -> None:
    (folder / "deaf").touch()
    time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told")
def test_run_in_workers_the_c_library_takes_the_settings_for_freed_memory():
    assert workers._keep_freed_memory.__wrapped__() is True


def test_run_in_workers_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(workers.ctypes, "CDLL", lambda name: object())
    assert workers._keep_freed_memory.__wrapped__() is False
