"""Pellucid: neural networks that a person can read.

The names below load on first use (PEP 562), so ``import pellucid`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "DataError": "pellucid._checks",
    "PellucidError": "pellucid._checks",
    "ProtoTree": "pellucid.prototree",
    "ProtoTreeClassifier": "pellucid.prototree.classifier",
    "Topology": "pellucid.prototree",
    "UsageError": "pellucid._checks",
    "approximate": "pellucid.approximation.schemes",
    "explain": "pellucid.reports.explained_picture",
    "study": "pellucid.reports.study.reported_study",
    "verify": "pellucid.approximation.certificate",
}
__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from pellucid._checks import DataError as DataError
    from pellucid._checks import PellucidError as PellucidError
    from pellucid._checks import UsageError as UsageError
    from pellucid.approximation.certificate import verify as verify
    from pellucid.approximation.schemes import approximate as approximate
    from pellucid.prototree import ProtoTree as ProtoTree
    from pellucid.prototree import Topology as Topology
    from pellucid.prototree.classifier import ProtoTreeClassifier as ProtoTreeClassifier
    from pellucid.reports.explained_picture import explain as explain
    from pellucid.reports.study.reported_study import study as study


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
