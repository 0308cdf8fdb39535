"""Labelled images: built-in sets, folders, splits, batches and transforms."""

from __future__ import annotations

from pellucid.data.augmentation import Augmentation
from pellucid.data.batches import batches
from pellucid.data.check import FolderReport, check_folder
from pellucid.data.creatures import Creatures, CreatureSettings, Difficulty, PartAnnotations
from pellucid.data.folders import Problem
from pellucid.data.image_sets import ImageSet, InMemoryImages, StreamedImages
from pellucid.data.load import LabelledData, RejectedFile, load_creatures, load_data
from pellucid.data.normalization import Normalization, measure_channels, normalize, to_unit
from pellucid.data.splits import Splits, split_images

__all__ = [
    "Augmentation",
    "CreatureSettings",
    "Creatures",
    "Difficulty",
    "FolderReport",
    "ImageSet",
    "InMemoryImages",
    "LabelledData",
    "Normalization",
    "PartAnnotations",
    "Problem",
    "RejectedFile",
    "Splits",
    "StreamedImages",
    "batches",
    "check_folder",
    "load_creatures",
    "load_data",
    "measure_channels",
    "normalize",
    "split_images",
    "to_unit",
]
