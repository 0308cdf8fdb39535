"""``pellucid doctor``: what this machine has, what is missing, and what to install."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid import __version__
from pellucid.cli.arguments import Parser, add_output_options
from pellucid.cli.output import make_table, print_json, print_lines

LEAST_PYTHON = (3, 11)
# Package as installed, and as imported. A test keeps both tables equal to pyproject.toml.
REQUIRED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "safetensors": "safetensors",
    "numpy": "numpy",
    "scipy": "scipy",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "jinja2": "jinja2",
    "jaxtyping": "jaxtyping",
    "platformdirs": "platformdirs",
    "tqdm": "tqdm",
    "joblib": "joblib",
    "threadpoolctl": "threadpoolctl",
    "python-flint": "flint",
    "onnx": "onnx",
}
EXTRAS = {
    "onnx": {"onnxruntime": "onnxruntime", "onnxscript": "onnxscript"},
    "dask": {"distributed": "distributed"},
    "ray": {"ray": "ray"},
    "tensorboard": {"tensorboard": "tensorboard"},
    "captum": {"captum": "captum"},
    "docs": {
        "sphinx": "sphinx",
        "docutils": "docutils",
        "furo": "furo",
        "myst-parser": "myst_parser",
    },
    "test": {
        "pytest": "pytest",
        "pytest-cov": "pytest_cov",
        "hypothesis": "hypothesis",
        "beartype": "beartype",
        "mpmath": "mpmath",
        "pytest-xdist": "xdist",
        "captum": "captum",
    },
}


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "doctor",
        "Say what this machine has, what is missing and how to install it.\n"
        "Exits 0 if everything that is needed is there, else 1.",
        ["pellucid doctor", "pellucid doctor --json"],
    )
    add_output_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Examine the machine and print; return the exit code."""
    values = build_parser().parse(given)
    found = examine_machine()
    if values.json:
        print_json(found)
    else:
        print_lines(_in_words(found))
    return 0 if found["ok"] else 1


def examine_machine() -> dict[str, Any]:
    """Return versions, devices, missing packages, folders and defaults; imports torch if there."""
    required = {package: _version(package, module) for package, module in REQUIRED.items()}
    missing = [package for package, version in required.items() if version is None]
    extras = {
        extra: {package: _version(package, module) for package, module in packages.items()}
        for extra, packages in EXTRAS.items()
    }
    torch = _examine_torch() if required["torch"] is not None else {"error": "not installed"}
    folders = {"runs": _examine_folder(Path("runs")), "cache": _examine_folder(_cache_folder())}
    python_fits = sys.version_info[:2] >= LEAST_PYTHON
    advice = []
    if not python_fits:
        advice.append(f"install Python {'.'.join(map(str, LEAST_PYTHON))} or later")
    if missing:
        advice.append(f"pip install {' '.join(missing)}")
    if "error" in torch and not missing:
        advice.append(
            f"torch does not load ({torch['error']}): pip install --force-reinstall torch"
        )
    advice += [
        f"use -o: the folder {folder['path']} cannot be written"
        if name == "runs"
        else f"set PELLUCID_CACHE: the folder {folder['path']} cannot be written"
        for name, folder in folders.items()
        if not folder["writable"]
    ]
    return {
        "ok": python_fits and not missing and "error" not in torch,
        "pellucid": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "required": required,
        "extras": extras,
        "install_extras": {
            extra: f'pip install "pellucid[{extra}]"'
            for extra, packages in extras.items()
            if None in packages.values()
        },
        "torch": torch,
        "folders": folders,
        "defaults": {
            "data": "digits",
            "backbone": "patch_cnn",
            "device": torch.get("device_auto", "cpu"),
            "threads": torch.get("threads"),
        },
        "advice": advice,
    }


def _version(package: str, module: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _examine_torch() -> dict[str, Any]:
    try:
        import torch
    except Exception as error:  # a broken installation raises nearly anything
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    devices = {"cpu": platform.processor() or platform.machine()}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    chosen = "cuda" if torch.cuda.is_available() else "mps" if "mps" in devices else "cpu"
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "devices": devices,
        "device_auto": chosen,
    }


def _cache_folder() -> Path:
    chosen = os.environ.get("PELLUCID_CACHE")
    if chosen:
        return Path(chosen)
    if importlib.util.find_spec("platformdirs") is None:
        return Path.home() / ".cache" / "pellucid"
    import platformdirs

    return platformdirs.user_cache_path("pellucid")


def _examine_folder(path: Path) -> dict[str, Any]:
    """Return whether files can be made in ``path``, or in the folder where it would be made."""
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            writable = True
    except OSError:
        writable = False
    return {"path": str(path.absolute()), "exists": path.exists(), "writable": writable}


def _in_words(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"pellucid {found['pellucid']}, Python {found['python']}, {found['platform']}"
    torch = found["torch"]
    if "error" not in torch:
        listed = ", ".join(f"{name} ({what})" for name, what in torch["devices"].items())
        yield f"devices: {listed}; --device auto takes {torch['device_auto']}"
        yield f"threads: {torch['threads']} of {found['cpu_count']} CPUs"
    for name, folder in found["folders"].items():
        yield f"{name} folder: {folder['path']} ({'' if folder['writable'] else 'not '}writable)"
    yield f"defaults: data {found['defaults']['data']}, backbone {found['defaults']['backbone']}"
    yield ""
    rows = [("package", "version", "needed for")]
    rows += [
        (name, version or "missing", "everything") for name, version in found["required"].items()
    ]
    for extra, packages in found["extras"].items():
        rows += [(name, version or "missing", extra) for name, version in packages.items()]
    yield from make_table(rows)
    yield ""
    for command in found["install_extras"].values():
        yield f"for more: {command}"
    for advice in found["advice"]:
        yield f"to do: {advice}"
    yield "Everything that is needed is there." if found["ok"] else "Something is missing."
