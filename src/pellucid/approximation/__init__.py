"""Constructive approximation: from a function and a tolerance to a certified sigmoid network.

The names load on first use, so that whoever only verifies a certificate imports no construction.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_HOMES = {
    "Approximation": "schemes",
    "Box": "box",
    "Candidate": "schemes",
    "Certificate": "certificate",
    "SigmoidNetwork": "network",
    "Verification": "certificate",
    "approximate": "schemes",
    "audit": "tiling_audit",
    "bump": "reference_shapes",
    "certify": "certificate",
    "export_onnx": "onnx_export",
    "neuron_count": "neuron_counts",
    "parse": "expressions",
    "ridge_bump": "reference_shapes",
    "target": "targets",
    "tile": "tiling",
    "tower": "reference_shapes",
    "verify": "certificate",
    "worst_point": "certificate",
}

if TYPE_CHECKING:
    from pellucid.approximation.box import Box as Box
    from pellucid.approximation.certificate import Certificate as Certificate
    from pellucid.approximation.certificate import Verification as Verification
    from pellucid.approximation.certificate import certify as certify
    from pellucid.approximation.certificate import verify as verify
    from pellucid.approximation.certificate import worst_point as worst_point
    from pellucid.approximation.expressions import parse as parse
    from pellucid.approximation.network import SigmoidNetwork as SigmoidNetwork
    from pellucid.approximation.neuron_counts import neuron_count as neuron_count
    from pellucid.approximation.onnx_export import export_onnx as export_onnx
    from pellucid.approximation.reference_shapes import bump as bump
    from pellucid.approximation.reference_shapes import ridge_bump as ridge_bump
    from pellucid.approximation.reference_shapes import tower as tower
    from pellucid.approximation.schemes import Approximation as Approximation
    from pellucid.approximation.schemes import Candidate as Candidate
    from pellucid.approximation.schemes import approximate as approximate
    from pellucid.approximation.targets import target as target
    from pellucid.approximation.tiling import tile as tile
    from pellucid.approximation.tiling_audit import audit as audit


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid.approximation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pellucid.approximation.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
