"""Constructive approximation: from a function and a tolerance to a certified sigmoid network.

The names load on first use, so that whoever only verifies a certificate imports no construction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid._lazy_names import load_on_use

_HOMES = {
    "Approximation": "pellucid.approximation.schemes",
    "Box": "pellucid.approximation.box",
    "Candidate": "pellucid.approximation.schemes",
    "Certificate": "pellucid.approximation.certificate",
    "SigmoidNetwork": "pellucid.approximation.network",
    "Verification": "pellucid.approximation.certificate",
    "approximate": "pellucid.approximation.schemes",
    "audit": "pellucid.approximation.tiling_audit",
    "bump": "pellucid.approximation.reference_shapes",
    "certify": "pellucid.approximation.certificate",
    "export_onnx": "pellucid.approximation.onnx_export",
    "neuron_count": "pellucid.approximation.neuron_counts",
    "parse": "pellucid.approximation.expressions",
    "ridge_bump": "pellucid.approximation.reference_shapes",
    "target": "pellucid.approximation.targets",
    "tile": "pellucid.approximation.tiling",
    "tower": "pellucid.approximation.reference_shapes",
    "verify": "pellucid.approximation.certificate",
    "worst_point": "pellucid.approximation.certificate",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)

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
