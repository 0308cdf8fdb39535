"""Jobs given to worker processes: here (joblib's loky), on a Dask or on a Ray cluster."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
from tqdm import tqdm

from pellucid.regularization.backends import check_backend
from pellucid.training import Interrupted, interruptible, stopping_when

_LOOK_SECONDS = 0.2
_STOP_SECONDS = 5.0
"""What workers that are to stop have for their last step and a checkpoint."""


def run_in_workers(
    call: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    *,
    processes: int,
    backend: str = "loky",
    remedy: str = "",
    watch: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """Yield ``call(*arguments[i])`` for every i, each as soon as it is done.

    After Ctrl-C or SIGTERM no call begins any more, and workers on this machine have a few seconds
    to stop at a step's end and keep what they have; what is finished by then is still yielded.

    Every worker computes with one thread: two processes beat two threads here, and results then do
    not depend on how many cores a worker's machine has.

    Args:
        call: A function that can be imported by name.
        arguments: One tuple a call.
        processes: How many run at the same time; a cluster that is already there decides itself.
        backend: ``"loky"`` (processes on this machine), ``"dask"`` or ``"ray"`` (the cluster that
            the process is connected to, or one started here), or ``"sequential"`` (this process).
        remedy: What a person can do after an interruption.
        watch: Called several times a second while waiting.

    Raises:
        UsageError: the backend is unknown or not installed.
        Interrupted: Ctrl-C or SIGTERM; the workers are stopped.
    """
    check_backend(backend)
    if backend == "sequential":
        for given in arguments:
            yield call(*given)
            watch()
        return
    results: queue.Queue[tuple[str, Any]] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="pellucid-") as folder:
        # A file tells the workers to stop: a signal to them would be theirs alone to survive.
        stop = Path(folder) / "stop" if backend == "loky" else None
        consumer = threading.Thread(
            target=_consume, args=(call, arguments, processes, backend, stop, results), daemon=True
        )
        with (
            _stopped_at_the_end(backend, consumer),
            interruptible(remedy) as stop_if_asked,
        ):
            yield from _take(consumer, results, stop, remedy, stop_if_asked, watch)


def _take(
    consumer: threading.Thread,
    results: queue.Queue[tuple[str, Any]],
    stop: Path | None,
    remedy: str,
    stop_if_asked: Callable[[], None],
    watch: Callable[[], None],
) -> Iterator[Any]:
    asked: Interrupted | None = None
    wait_until = math.inf
    consumer.start()
    while True:
        if asked is None:
            try:
                stop_if_asked()
            except Interrupted as error:
                if stop is None:
                    raise
                stop.touch()
                asked, wait_until = error, time.monotonic() + _STOP_SECONDS
        elif time.monotonic() > wait_until:
            raise asked
        watch()
        try:
            kind, value = results.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
        if kind == "error":
            time.sleep(_LOOK_SECONDS)  # a Ctrl-C reaches the workers first, at times
            stop_if_asked()
            raise asked or value
        if kind == "end":
            stop_if_asked()
            if asked is not None:
                raise asked
            return
        if not isinstance(value, _Stopped):
            yield value
        elif asked is None:
            time.sleep(_LOOK_SECONDS)
            stop_if_asked()
            # Somebody else has stopped the worker; without its part there is no study.
            raise Interrupted(value.signal_number, remedy)


def _consume(
    call: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    processes: int,
    backend: str,
    stop: Path | None,
    results: queue.Queue[tuple[str, Any]],
) -> None:
    try:
        run = _run_by_ray if backend == "ray" else _run_by_joblib
        for value in run([(call, stop, *given) for given in arguments], processes, backend):
            results.put(("value", value))
    except BaseException as error:
        results.put(("error", error))
    else:
        results.put(("end", None))


@dataclass(frozen=True)
class _Stopped:
    """What a call gives back that was told to stop: an error would end the other workers."""

    signal_number: int


def _call_undisturbed(call: Callable[..., Any], stop: Path | None, *given: Any) -> Any:
    """Call, deaf to Ctrl-C: it goes to a whole group of processes, and the parent tells us."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent(os.getppid())
    if stop is None:
        return call(*given)
    if stop.exists():
        return _Stopped(signal.SIGTERM)
    # PyTorch's tracing makes bars, though it shows none, and with the first a semaphore between
    # processes, which a worker that is killed would leave behind.
    tqdm.set_lock(threading.RLock())
    _keep_freed_memory()
    try:
        with stopping_when(stop.exists):
            return call(*given)
    except Interrupted as error:
        return _Stopped(error.signal_number)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


@lru_cache(maxsize=1)
def _keep_freed_memory() -> bool:
    """Let the C library keep what tensors give back, for the next step; say whether it will.

    By itself it hands large blocks back to the system and asks for them again: up to 1,300 page
    faults a step of three small networks in float32, an eighth of its time. Which memory holds a
    number changes no result.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    greatest = {_M_TRIM_THRESHOLD: 2**31 - 1, _M_MMAP_THRESHOLD: 2**25}
    taken = [mallopt(name, value) for name, value in greatest.items()]
    return 0 not in taken


@lru_cache(maxsize=1)
def _end_with_parent(parent: int) -> None:
    """Watch for the parent's end: a process that is killed cannot take its workers along."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_by_joblib(
    arguments: Sequence[tuple[Any, ...]], processes: int, backend: str
) -> Iterator[Any]:
    tasks = (joblib.delayed(_call_undisturbed)(*given) for given in arguments)
    with _joblib_backend(backend, processes) as options, joblib.parallel_config(**options):
        one_by_one: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
        yield from joblib.Parallel(**one_by_one)(tasks)


@contextlib.contextmanager
def _joblib_backend(backend: str, processes: int) -> Iterator[dict[str, Any]]:
    if backend == "loky":
        yield {"backend": "loky", "n_jobs": processes, "inner_max_num_threads": 1}
        return
    import distributed  # type: ignore[import-not-found]

    try:
        client, own = distributed.get_client(), False
    except ValueError:
        client = distributed.Client(
            n_workers=processes, threads_per_worker=1, dashboard_address=None
        )
        own = True
    try:
        yield {"backend": "dask", "n_jobs": -1}
    finally:
        if own:
            client.shutdown()


def _run_by_ray(arguments: Sequence[tuple[Any, ...]], processes: int, _: str) -> Iterator[Any]:
    """Give the calls to Ray itself: through joblib it hands out all results at the very end."""
    import ray  # type: ignore[import-not-found]

    own = not ray.is_initialized()
    if own:
        ray.init(num_cpus=processes, include_dashboard=False, log_to_driver=False)
    try:
        remote = ray.remote(num_cpus=1)(_call_undisturbed)
        pending = [remote.remote(*given) for given in arguments]
        while pending:
            done, pending = ray.wait(pending)
            try:
                yield ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
    finally:
        if own:
            ray.shutdown()


@contextlib.contextmanager
def _stopped_at_the_end(backend: str, consumer: threading.Thread) -> Iterator[None]:
    """End the workers where something went wrong, and wait until they have ended."""
    try:
        yield
    except BaseException:
        if backend == "loky":
            from joblib.externals.loky import get_reusable_executor

            # Without `reuse` it would wait for the workers that joblib made, and make others.
            executor = get_reusable_executor(reuse=True)  # type: ignore[arg-type]
            executor.shutdown(wait=True, kill_workers=True)
            # It tidies up after them; if the process ended meanwhile, joblib would do so twice.
            if consumer.is_alive():
                consumer.join(_STOP_SECONDS)
        raise
