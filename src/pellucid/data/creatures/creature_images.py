"""The set of pictures: rendered when asked for, annotated, and rendered again with changes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pellucid._checks import UsageError, check_choice, check_integer
from pellucid.data.creatures.anatomy import PART_NAMES, VARIANT_NAMES
from pellucid.data.creatures.class_table import VARIANTS, choose_classes, name_classes
from pellucid.data.creatures.scenery import MOST_OBJECTS
from pellucid.data.creatures.scenes import (
    ABSENT,
    BODY_CODE,
    LABEL_CODES,
    OBJECT_CODE,
    PART_CODES,
    Rendering,
    Scenes,
    choose_backgrounds,
    render_scenes,
)
from pellucid.data.creatures.settings import CreatureSettings
from pellucid.data.image_sets import ImageSet
from pellucid.data.splits import Splits

DEFAULT_IMAGE_SIZE = (64, 64)
ORIGINAL_SIDE_PX = 192
_DIGEST_IMAGES = 24
_DIGEST_SIZE = (32, 32)
_TEST, _VALIDATION = 1, 2


@dataclass(frozen=True)
class PartAnnotations:
    """Where the parts are; a pixel belongs to what is topmost and covers at least half of it.

    Attributes:
        masks: Visible pixels of each part, bool (b, parts, height, width); no two overlap.
        centers_px: (row, column) of the middle of each part's visible pixels, for a pair of the
            piece that shows more of them; float (b, parts, 2), NaN where nothing is visible. The
            middle of the upper left pixel is (0.5, 0.5).
        visible: Whether any pixel is, bool (b, parts).
        touched: Where a part has a share in the color, however small: no other pixel changes with
            it. Bool (b, parts, height, width), contains ``masks``.
        creature: Body and parts together, bool (b, height, width).
        background: Where the background or an object on it has a share in the color; no other pixel
            changes with them. Bool (b, height, width).
        objects: Visible pixels of each background object, bool (b, objects, height, width).
    """

    masks: Tensor
    centers_px: Tensor
    visible: Tensor
    touched: Tensor
    creature: Tensor
    background: Tensor
    objects: Tensor


class Creatures(ImageSet):
    """Generated creatures of several classes; a class is a combination of variants of five parts.

    Image ``i`` is the same to the last bit in whatever batch, on any number of threads and at any
    time. Everything random has an address (seed, split, number in the split, what it is for), so a
    changed rendering differs from the plain one in nothing but the change.

    Attributes:
        settings: What the set was made of.
        part_names: ``ears``, ``eyes``, ``beak``, ``wings``, ``feet``.
        variant_names: By part, in the order of the variants.
        class_parts: Variant of each part of each class, int64 (classes, parts).
        splits: Training images come first, then test, then validation images.
    """

    part_names = PART_NAMES
    variant_names = VARIANT_NAMES
    most_objects = MOST_OBJECTS
    prefetch = 2

    def __init__(
        self,
        settings: CreatureSettings,
        *,
        image_size: tuple[int, int] = DEFAULT_IMAGE_SIZE,
        memory_limit_bytes: int = 2**29,
    ) -> None:
        """Describe the set; nothing is rendered yet but a sample for the digest.

        Args:
            settings: Classes, numbers of images, difficulty, seed.
            image_size: (height, width) of ``read``, px.
            memory_limit_bytes: Images are kept once rendered if all of them fit in this.
        """
        self.settings = settings
        table = choose_classes(settings.classes, settings.seed)
        self.class_parts = torch.from_numpy(table)
        counts = [
            settings.classes * per_class
            for per_class in (
                settings.train_per_class,
                settings.test_per_class,
                settings.validation_per_class,
            )
        ]
        number = np.concatenate([np.arange(count) for count in counts])
        split = np.repeat((0, _TEST, _VALIDATION), counts)
        self._scene_numbers = number + (split << 48)
        # Apart from `labels`, which others may make wrong on purpose.
        self._classes = number % settings.classes
        # Held back from the images that are collected, validation images have the shortcut too.
        self._has_shortcut = split != _TEST
        train, test, validation = torch.arange(len(number)).split(counts)
        self.splits = Splits(train, validation, test)
        super().__init__(
            labels=torch.from_numpy(self._classes.astype(np.int64)),
            class_names=name_classes(settings.classes),
            names=[f"creatures[{index}]" for index in range(len(number))],
            image_size=image_size,
            digest="",
        )
        self.digest = self._digest()
        self._is_kept = len(self) * 3 * image_size[0] * image_size[1] <= memory_limit_bytes
        self._kept = _KeptImages(len(self))

    def __getstate__(self) -> dict[str, Any]:
        # A worker process renders for itself: that takes less time than sending the pixels.
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._kept = _KeptImages(len(self))

    def read(self, indices: Tensor) -> Tensor:
        """Return the images at ``indices`` (int64 (b,)) as uint8 (b, 3, height, width)."""
        indices = self._check_indices(indices)
        if not self._is_kept or not len(indices):
            return self.render(indices)
        missing = self._kept.missing(indices)
        if len(missing):
            self._kept.put(missing, self.render(missing))
        return self._kept.get(indices)

    def original(self, index: int) -> Image.Image:
        """Return one picture rendered larger: its shorter side has at least 192 px."""
        indices = self._check_indices(torch.tensor([int(index)]))
        times = max(1.0, ORIGINAL_SIDE_PX / min(self.image_size))
        height, width = (round(side * times) for side in self.image_size)
        pixels = self._render(indices, image_size=(height, width)).pixels[0]
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    def annotations(self, indices: Tensor, *, variants: Tensor | None = None) -> PartAnnotations:
        """Return masks and centers of the parts.

        Args:
            indices: Which images, int64 (b,).
            variants: As in ``render``: of the images with other variants or without some parts.

        Raises:
            UsageError: An argument is out of range or of another shape.
        """
        rendering = self._render(self._check_indices(indices), variants=variants, annotate=True)
        labels = rendering.labels
        counts, centers = _pieces(labels)
        right_is_larger = counts[:, PART_CODES + 1] > counts[:, PART_CODES]
        shown = PART_CODES + right_is_larger
        both = (3 << PART_CODES).astype(np.int32)[:, None, None]
        objects = OBJECT_CODE + np.arange(MOST_OBJECTS, dtype=np.int32)
        behind = 1 | (1 << objects).sum()
        # The codes of a part's pieces are an odd number and the one after it.
        part_numbers = ((PART_CODES + 1) >> 1).astype(np.int8)[:, None, None]
        return PartAnnotations(
            masks=torch.from_numpy((labels[:, None] + 1) >> 1 == part_numbers),
            centers_px=torch.from_numpy(np.take_along_axis(centers, shown[..., None], axis=1)),
            visible=torch.from_numpy(counts[:, PART_CODES] + counts[:, PART_CODES + 1] > 0),
            touched=torch.from_numpy((rendering.touched[:, None] & both) != 0),
            creature=torch.from_numpy((labels > 0) & (labels <= BODY_CODE)),
            background=torch.from_numpy((rendering.touched & behind) != 0),
            objects=torch.from_numpy(labels[:, None] == objects.astype(np.int8)[:, None, None]),
        )

    def variants(self, indices: Tensor) -> Tensor:
        """Return the variant of each part of the images at ``indices``, int64 (b, parts)."""
        return self.class_parts[torch.from_numpy(self._classes)[self._check_indices(indices)]]

    def backgrounds(self, indices: Tensor) -> Tensor:
        """Return hue and pattern of each background as one number in [0, 40), int64 (b,)."""
        return torch.from_numpy(choose_backgrounds(self._scenes(self._check_indices(indices))))

    def render(
        self,
        indices: Tensor,
        *,
        variants: Tensor | None = None,
        background_seed: int | None = None,
        objects: Tensor | None = None,
    ) -> Tensor:
        """Render the images at ``indices`` with changes; without any they are those of ``read``.

        Args:
            indices: Which images, int64 (b,).
            variants: Variant of each part, -1 to leave it out, int64 (b, parts).
            background_seed: Draws background and background objects anew, independent of the class.
            objects: Which of the background objects stay, bool (b, 6) or (6,).

        Returns:
            uint8 (b, 3, height, width).

        Raises:
            UsageError: An argument is out of range or of another shape.
        """
        indices = self._check_indices(indices)
        if background_seed is not None:
            background_seed = check_integer("background_seed", background_seed, low=0, high=2**31)
        rendering = self._render(
            indices, variants=variants, background_seed=background_seed, objects=objects
        )
        return torch.from_numpy(rendering.pixels)

    def without_part(self, indices: Tensor, part: str | int | Sequence[str | int]) -> Tensor:
        """Render the images without a part, or without several; what is behind it appears."""
        parts = part if isinstance(part, Sequence) and not isinstance(part, str) else [part]
        variants = self.variants(indices).clone()
        variants[:, [self._part_number(part) for part in parts]] = ABSENT
        return self.render(indices, variants=variants)

    def with_variant(self, indices: Tensor, part: str | int, variant: int | Tensor) -> Tensor:
        """Render the images with another variant of a part.

        Args:
            indices: Which images, int64 (b,).
            part: Name or number.
            variant: One in [0, 3] for all, or one for each image, int64 (b,).
        """
        variants = self.variants(indices).clone()
        number = self._part_number(part)
        if not isinstance(variant, Tensor):
            variants[:, number] = check_integer("variant", variant, low=0, high=VARIANTS - 1)
        elif variant.dtype != torch.int64 or variant.shape != (len(variants),):
            raise UsageError(
                f"variant must be an integer or int64 ({len(variants)},), "
                f"got {variant.dtype} {tuple(variant.shape)}."
            )
        elif len(variant) and not (int(variant.min()) >= 0 and int(variant.max()) < VARIANTS):
            raise UsageError(
                f"variant must be in [0, {VARIANTS - 1}], "
                f"got {int(variant.min())} to {int(variant.max())}."
            )
        else:
            variants[:, number] = variant
        return self.render(indices, variants=variants)

    def with_background(self, indices: Tensor, seed: int) -> Tensor:
        """Render the same creatures, and what is in front of them, before another background."""
        return self.render(indices, background_seed=seed)

    def without_objects(self, indices: Tensor, objects: Sequence[int] | None = None) -> Tensor:
        """Render the images without some background objects; None takes all of them away."""
        kept = torch.zeros(MOST_OBJECTS, dtype=torch.bool)
        if objects is not None:
            kept[:] = True
            for number in objects:
                kept[check_integer("objects", number, low=0, high=MOST_OBJECTS - 1)] = False
        return self.render(indices, objects=kept)

    def describe_class(self, label: int) -> tuple[str, ...]:
        """Return the names of a class's variants, in the order of the parts."""
        label = check_integer("label", label, low=0, high=self.settings.classes - 1)
        chosen = self.class_parts[label].tolist()
        return tuple(names[variant] for names, variant in zip(VARIANT_NAMES, chosen, strict=True))

    def _part_number(self, part: object) -> int:
        if isinstance(part, str):
            return PART_NAMES.index(check_choice("part", part, PART_NAMES))
        return check_integer("part", part, low=0, high=len(PART_NAMES) - 1)

    def _check_indices(self, indices: Tensor) -> Tensor:
        if indices.dtype != torch.int64 or indices.dim() != 1:
            found = f"{indices.dtype} {tuple(indices.shape)}"
            raise UsageError(f"indices must be int64 (n,), got {found}.")
        if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < len(self)):
            raise UsageError(
                f"indices must be in [0, {len(self) - 1}], "
                f"got {int(indices.min())} to {int(indices.max())}."
            )
        return indices.cpu()

    def _scenes(
        self,
        indices: Tensor,
        *,
        variants: Tensor | None = None,
        background_seed: int | None = None,
        objects: Tensor | None = None,
    ) -> Scenes:
        chosen = indices.numpy()
        count = len(chosen)
        kept = torch.ones(MOST_OBJECTS, dtype=torch.bool) if objects is None else objects
        if kept.dtype != torch.bool or kept.shape not in ((MOST_OBJECTS,), (count, MOST_OBJECTS)):
            raise UsageError(
                f"objects must be bool ({count}, {MOST_OBJECTS}) or ({MOST_OBJECTS},), "
                f"got {kept.dtype} {tuple(kept.shape)}."
            )
        if variants is None:
            variants = self.variants(indices)
        elif variants.shape != (count, len(PART_NAMES)) or variants.dtype != torch.int64:
            raise UsageError(
                f"variants must be int64 ({count}, {len(PART_NAMES)}), "
                f"got {variants.dtype} {tuple(variants.shape)}."
            )
        elif count and not (int(variants.min()) >= ABSENT and int(variants.max()) < VARIANTS):
            raise UsageError(
                f"variants must be in [{ABSENT}, {VARIANTS - 1}], "
                f"got {int(variants.min())} to {int(variants.max())}."
            )
        return Scenes(
            seed=self.settings.seed,
            numbers=self._scene_numbers[chosen],
            variants=variants.cpu().numpy(),
            shortcut=np.where(self._has_shortcut[chosen], self._classes[chosen], -1),
            difficulty=self.settings.difficulty,
            background_seed=background_seed,
            objects=kept.cpu().expand(count, -1).numpy(),
        )

    def _render(
        self,
        indices: Tensor,
        *,
        image_size: tuple[int, int] | None = None,
        annotate: bool = False,
        variants: Tensor | None = None,
        background_seed: int | None = None,
        objects: Tensor | None = None,
    ) -> Rendering:
        scenes = self._scenes(
            indices, variants=variants, background_seed=background_seed, objects=objects
        )
        return render_scenes(scenes, image_size or self.image_size, annotate=annotate)

    def _digest(self) -> str:
        """Hash the settings and a few small pictures, so that another way to draw shows."""
        spread = torch.linspace(0, len(self) - 1, _DIGEST_IMAGES).round().to(torch.int64)
        sample = self._render(spread, image_size=_DIGEST_SIZE).pixels
        total = hashlib.sha256(json.dumps(self.settings.to_dict(), sort_keys=True).encode())
        total.update(sample.tobytes())
        return total.hexdigest()


class _KeptImages:
    """Pixels of the images that were rendered; shared by copies of a set with other labels."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._is_there = torch.zeros(count, dtype=torch.bool)
        self._pixels = torch.empty(0, dtype=torch.uint8)

    def missing(self, indices: Tensor) -> Tensor:
        """Return those that are not there, each once."""
        return indices[~self._is_there[indices]].unique()

    def put(self, indices: Tensor, pixels: Tensor) -> None:
        """Keep some; another thread may bring the same ones, with the same bytes."""
        with self._lock:
            if not len(self._pixels):
                shape = (len(self._is_there), *pixels.shape[1:])
                self._pixels = torch.empty(shape, dtype=torch.uint8)
            self._pixels[indices] = pixels
            self._is_there[indices] = True

    def get(self, indices: Tensor) -> Tensor:
        """Return images that are there."""
        return self._pixels[indices]


def _pieces(labels: NDArray[np.int8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return for each image and code how many pixels have it, and their middle.

    Args:
        labels: See ``Canvas`` (b, height, width).

    Returns:
        Counts (b, codes), and (row, column) of the middle (b, codes, 2), NaN where there is none.
    """
    count, height, width = labels.shape
    key = (labels + LABEL_CODES * np.arange(count)[:, None, None]).ravel()
    row, column = np.indices((height, width)) + 0.5

    def total(values: NDArray[np.float64]) -> NDArray[Any]:
        weights = np.broadcast_to(values, labels.shape).ravel()
        sums = np.bincount(key, weights=weights, minlength=LABEL_CODES * count)
        return sums.reshape(count, LABEL_CODES)

    counts = total(np.ones((height, width)))
    known = np.where(counts > 0, counts, np.nan)
    return counts, np.stack([total(row) / known, total(column) / known], axis=-1)
