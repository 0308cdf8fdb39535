"""Jobs given to worker processes through joblib: here (loky), on a Dask or on a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import joblib

from pellucid._checks import UsageError, check_choice
from pellucid.training import interruptible

BACKENDS = ("loky", "dask", "ray", "sequential")
_EXTRAS = {"dask": "distributed", "ray": "ray"}
_LOOK_SECONDS = 0.2


def check_backend(backend: str) -> None:
    """Refuse a backend that is unknown or not installed.

    Raises:
        UsageError: so it is.
    """
    check_choice("backend", backend, BACKENDS)
    package = _EXTRAS.get(backend)
    if package is not None and importlib.util.find_spec(package) is None:
        raise UsageError(
            f"backend {backend!r} needs the package {package!r}, which is not installed. "
            f"Run `pip install 'pellucid[{backend}]'` ('.[{backend}]' in a clone), or use backend "
            "'loky'."
        )


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
    consumer = threading.Thread(
        target=_consume, args=(call, arguments, processes, backend, results), daemon=True
    )
    with interruptible(remedy) as stop_if_asked:
        consumer.start()
        try:
            while True:
                stop_if_asked()
                watch()
                try:
                    kind, value = results.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    continue
                if kind == "error":
                    time.sleep(_LOOK_SECONDS)  # a Ctrl-C reaches the workers first, at times
                    stop_if_asked()
                    raise value
                if kind == "end":
                    return
                yield value
        except BaseException:
            _stop_workers(backend)
            raise


def _consume(
    call: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    processes: int,
    backend: str,
    results: queue.Queue[tuple[str, Any]],
) -> None:
    try:
        with _cluster(backend, processes) as options, joblib.parallel_config(**options):
            tasks = (joblib.delayed(_call_undisturbed)(call, *given) for given in arguments)
            parallel = joblib.Parallel(return_as=_return_as(backend), batch_size=1)  # type: ignore[arg-type]
            for value in parallel(tasks):
                results.put(("value", value))
    except BaseException as error:
        results.put(("error", error))
    else:
        results.put(("end", None))


def _call_undisturbed(call: Callable[..., Any], *given: Any) -> Any:
    """Call, deaf to Ctrl-C: it goes to a whole group of processes, and the parent ends us."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent(os.getppid())
    return call(*given)


@lru_cache(maxsize=1)
def _end_with_parent(parent: int) -> None:
    """Watch for the parent's end: a process that is killed cannot take its workers along."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _cluster(backend: str, processes: int) -> Iterator[dict[str, Any]]:
    if backend == "loky":
        yield {"backend": "loky", "n_jobs": processes, "inner_max_num_threads": 1}
    elif backend == "dask":
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
    else:
        import ray  # type: ignore[import-not-found]
        from ray.util.joblib import register_ray  # type: ignore[import-not-found]

        own = not ray.is_initialized()
        if own:
            ray.init(num_cpus=processes, include_dashboard=False, log_to_driver=False)
        register_ray()
        try:
            yield {"backend": "ray", "n_jobs": processes}
        finally:
            if own:
                ray.shutdown()


def _return_as(backend: str) -> str:
    # Only loky and Dask can hand out results one by one.
    return "list" if backend == "ray" else "generator_unordered"


def _stop_workers(backend: str) -> None:
    if backend == "loky":
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=False, kill_workers=True)
