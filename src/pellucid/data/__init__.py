"""Labelled images: built-in sets, folders, splits, batches and transforms."""

from __future__ import annotations

from pellucid.data.augmentation import Augmentation
from pellucid.data.batches import batches
from pellucid.data.check import FolderReport, check_folder
from pellucid.data.folders import Problem
from pellucid.data.image_sets import ImageSet, InMemoryImages, StreamedImages
from pellucid.data.load import LabelledData, RejectedFile, load_data
from pellucid.data.normalization import Normalization, measure_channels, normalize, to_unit
from pellucid.data.splits import Splits, split_images

__all__ = [
    "Augmentation",
    "FolderReport",
    "ImageSet",
    "InMemoryImages",
    "LabelledData",
    "Normalization",
    "Problem",
    "RejectedFile",
    "Splits",
    "StreamedImages",
    "batches",
    "check_folder",
    "load_data",
    "measure_channels",
    "normalize",
    "split_images",
    "to_unit",
]
