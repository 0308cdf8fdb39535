"""The facts a result depends on: versions, machine, threads, flags, command line."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from datetime import datetime
from typing import Any

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
    "python-flint",
    "onnx",
)


def describe_environment() -> dict[str, Any]:
    """Return versions, machine, thread count, determinism flags and command line, JSON-able.

    What torch computes with is described where torch is loaded: a command that does without it
    does not depend on it.
    """
    described = {
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: _installed_version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "arguments": list(sys.argv),
    }
    if "torch" in sys.modules:
        import torch

        described["packages"]["torch"] = str(torch.__version__)  # with the build, such as +cu126
        described |= {
            "torch_threads": torch.get_num_threads(),
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "cuda_version": torch.version.cuda,
        }
    return described


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
