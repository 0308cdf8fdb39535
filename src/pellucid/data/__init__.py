"""Labelled images: built-in sets, folders, splits, batches and transforms."""

from __future__ import annotations

from pellucid.data.batches import batches
from pellucid.data.image_sets import ImageSet, InMemoryImages, StreamedImages
from pellucid.data.load import LabelledData, load_data
from pellucid.data.splits import Splits

__all__ = [
    "ImageSet",
    "InMemoryImages",
    "LabelledData",
    "Splits",
    "StreamedImages",
    "batches",
    "load_data",
]
