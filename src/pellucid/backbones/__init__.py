"""Backbones: from an image to a latent map, and what of the image each latent cell sees."""

from __future__ import annotations

from pellucid.backbones.adapter import Backbone, create_backbone, wrap_module
from pellucid.backbones.patch_cnn import PatchCnn, default_patch_size_px
from pellucid.backbones.receptive_field import Box, ReceptiveField, measure_receptive_field
from pellucid.backbones.small_cnn import SmallCnnFeatures

__all__ = [
    "Backbone",
    "Box",
    "PatchCnn",
    "ReceptiveField",
    "SmallCnnFeatures",
    "create_backbone",
    "default_patch_size_px",
    "measure_receptive_field",
    "wrap_module",
]
