"""Labelled images: built-in sets, folders, splits, batches and transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid._lazy_names import load_on_use

_HOMES = {
    "Augmentation": "pellucid.data.augmentation",
    "CreatureSettings": "pellucid.data.creatures.settings",
    "Creatures": "pellucid.data.creatures.creature_images",
    "Difficulty": "pellucid.data.creatures.settings",
    "FolderReport": "pellucid.data.check",
    "ImageSet": "pellucid.data.image_sets",
    "InMemoryImages": "pellucid.data.image_sets",
    "LabelledData": "pellucid.data.load",
    "Normalization": "pellucid.data.normalization",
    "PartAnnotations": "pellucid.data.creatures.creature_images",
    "Problem": "pellucid.data.folders",
    "RejectedFile": "pellucid.data.load",
    "Splits": "pellucid.data.splits",
    "StreamedImages": "pellucid.data.image_sets",
    "batches": "pellucid.data.batching",
    "check_folder": "pellucid.data.check",
    "load_creatures": "pellucid.data.load",
    "load_data": "pellucid.data.load",
    "measure_channels": "pellucid.data.normalization",
    "normalize": "pellucid.data.normalization",
    "split_images": "pellucid.data.splits",
    "to_unit": "pellucid.data.normalization",
}
__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)

if TYPE_CHECKING:
    from pellucid.data.augmentation import Augmentation as Augmentation
    from pellucid.data.batching import batches as batches
    from pellucid.data.check import FolderReport as FolderReport
    from pellucid.data.check import check_folder as check_folder
    from pellucid.data.creatures.creature_images import Creatures as Creatures
    from pellucid.data.creatures.creature_images import PartAnnotations as PartAnnotations
    from pellucid.data.creatures.settings import CreatureSettings as CreatureSettings
    from pellucid.data.creatures.settings import Difficulty as Difficulty
    from pellucid.data.folders import Problem as Problem
    from pellucid.data.image_sets import ImageSet as ImageSet
    from pellucid.data.image_sets import InMemoryImages as InMemoryImages
    from pellucid.data.image_sets import StreamedImages as StreamedImages
    from pellucid.data.load import LabelledData as LabelledData
    from pellucid.data.load import RejectedFile as RejectedFile
    from pellucid.data.load import load_creatures as load_creatures
    from pellucid.data.load import load_data as load_data
    from pellucid.data.normalization import Normalization as Normalization
    from pellucid.data.normalization import measure_channels as measure_channels
    from pellucid.data.normalization import normalize as normalize
    from pellucid.data.normalization import to_unit as to_unit
    from pellucid.data.splits import Splits as Splits
    from pellucid.data.splits import split_images as split_images
