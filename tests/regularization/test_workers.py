from __future__ import annotations

import importlib.util
import math
import os

import pytest

from pellucid import UsageError
from pellucid.regularization.workers import run_in_workers


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
