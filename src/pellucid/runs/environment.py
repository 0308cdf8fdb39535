"""The facts a result depends on: versions, machine, threads, flags, command line."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from datetime import datetime
from typing import Any

import torch

_PACKAGES = (
    "pellucid",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "safetensors",
    "pillow",
)


def describe_environment() -> dict[str, Any]:
    """Return versions, machine, thread count, determinism flags and command line, JSON-able."""
    return {
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: _installed_version(name) for name in _PACKAGES}
        | {"torch": str(torch.__version__)},  # with the build, such as +cu126
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cuda_version": torch.version.cuda,
        "arguments": list(sys.argv),
    }


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
