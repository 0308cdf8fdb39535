"""Where the workers of a study may run: names, and what must be installed."""

from __future__ import annotations

import importlib.util

from pellucid._checks import UsageError, check_choice

BACKENDS = ("loky", "dask", "ray", "sequential")
_EXTRAS = {"dask": "distributed", "ray": "ray"}


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
