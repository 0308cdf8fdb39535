"""Times of several contestants, taken in turn, and the memory that PyTorch holds at its peak."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable


def interleaved_medians(
    contestants: dict[str, Callable[[], object]], *, rounds: int, warm_up: int = 1
) -> dict[str, float]:
    """Return each contestant's median milliseconds.

    In every round each contestant runs once, in turn, so that a busy moment of the machine or a
    change of its clock hits all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warm_up + rounds):
        for name, call in contestants.items():
            started = time.perf_counter()
            call()
            elapsed = time.perf_counter() - started
            if number >= warm_up:
                times[name].append(1e3 * elapsed)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory_mib(call: Callable[[], object]) -> float:
    """Return the most MiB that ``call`` holds in PyTorch's CPU allocator at any one moment.

    The sum of all allocations minus all releases, in their order, as PyTorch's profiler records
    them. Counted from the start of the call: its inputs are not in it, its gradients are. Memory
    that a math library takes for itself (packing buffers of a matrix product) is not seen.
    """
    from torch.profiler import ProfilerActivity, profile

    call()  # what is allocated once and kept is not the call's
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / 2**20
