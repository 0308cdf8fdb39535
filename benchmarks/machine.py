"""What the figures were measured on, in words. Imports nothing but the standard library."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from pathlib import Path


def describe_machine(*, threads: int, distributions: tuple[str, ...]) -> dict[str, object]:
    """Return the processor, the thread count, the date and the versions of some distributions."""
    versions = {"python": platform.python_version()}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "from source"
    return {
        "processor": _processor(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "versions": versions,
    }


def machine_line(machine: dict) -> str:
    """Return one line for the foot of a table."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    threads = machine["threads"]
    return (
        f"{machine['processor']}, {threads} thread{'' if threads == 1 else 's'}, "
        f"{machine['system']}; {versions}; {machine['date']}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
