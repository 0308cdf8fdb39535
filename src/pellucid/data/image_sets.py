"""Labelled images, held in memory or read from disk as they are needed."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid._checks import UsageError
from pellucid.data.pictures import resize_picture

# Gives the picture of one index at source resolution, RGB, upright.
ReadPicture = Callable[[int], Image.Image]

MAX_READ_THREADS = 8
_BLOCKS_PER_THREAD = 4


def count_read_threads() -> int:
    """Return how many threads decode pictures: one per usable core, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MAX_READ_THREADS, cores or 1))


class ImageSet(ABC):
    """Labelled images of one size, three channels each.

    Attributes:
        labels: Class index of each image, int64 (n,).
        class_names: Any text, in the order of the labels.
        names: What to call each image: ``digits[17]`` or a path relative to the folder.
        image_size: (height, width) of what ``read`` gives, px.
        channels: Always 3; grey is repeated.
        digest: SHA-256 (hex) over the source pixels or file bytes, names and labels. It does not
            depend on ``image_size``.
        prefetch: How many batches are worth reading ahead; 0 when reading is only indexing.
    """

    channels = 3
    prefetch = 0

    def __init__(
        self,
        *,
        labels: Tensor,
        class_names: Sequence[str],
        names: Sequence[str],
        image_size: tuple[int, int],
        digest: str,
    ) -> None:
        if labels.dtype != torch.int64 or labels.dim() != 1:
            raise UsageError(
                f"labels must be int64 (n,), got {labels.dtype} {tuple(labels.shape)}."
            )
        if len(names) != len(labels):
            raise UsageError(
                f"names must have one entry per image ({len(labels)}), got {len(names)}."
            )
        if labels.numel() and not (int(labels.min()) >= 0 and int(labels.max()) < len(class_names)):
            raise UsageError(
                f"labels must be in [0, {len(class_names) - 1}] for {len(class_names)} classes, "
                f"got {int(labels.min())} to {int(labels.max())}."
            )
        self.labels = labels
        self.class_names = tuple(class_names)
        self.names = tuple(names)
        self.image_size = image_size
        self.digest = digest

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, indices: Tensor) -> Tensor:
        """Return the images at ``indices`` (int64 (b,)) as uint8 (b, 3, height, width)."""

    @abstractmethod
    def original(self, index: int) -> Image.Image:
        """Return one picture at source resolution, RGB, turned upright by its EXIF entry."""


class InMemoryImages(ImageSet):
    """Images held as one uint8 tensor (n, 3, height, width)."""

    def __init__(
        self,
        pixels: Tensor,
        *,
        labels: Tensor,
        class_names: Sequence[str],
        names: Sequence[str],
        digest: str,
        read_picture: ReadPicture | None = None,
    ) -> None:
        """Hold ``pixels``; ``read_picture`` gives originals where they are larger than these."""
        if pixels.dtype != torch.uint8 or pixels.dim() != 4 or pixels.shape[1] != 3:
            raise UsageError(
                "pixels must be uint8 (n, 3, height, width), "
                f"got {pixels.dtype} {tuple(pixels.shape)}."
            )
        if len(pixels) != len(labels):
            raise UsageError(f"labels must have {len(pixels)} entries, got {len(labels)}.")
        super().__init__(
            labels=labels,
            class_names=class_names,
            names=names,
            image_size=(pixels.shape[2], pixels.shape[3]),
            digest=digest,
        )
        self.pixels = pixels
        self._read_picture = read_picture

    def read(self, indices: Tensor) -> Tensor:
        """Return the images at ``indices`` (int64 (b,)) as uint8 (b, 3, height, width)."""
        return self.pixels[indices]

    def original(self, index: int) -> Image.Image:
        """Return one picture at source resolution, RGB, turned upright by its EXIF entry."""
        if self._read_picture is not None:
            return self._read_picture(int(index))
        return Image.fromarray(self.pixels[int(index)].permute(1, 2, 0).contiguous().numpy())


class StreamedImages(ImageSet):
    """Images decoded when they are asked for, by a few threads (Pillow releases the GIL)."""

    prefetch = 2

    def __init__(
        self,
        read_picture: ReadPicture,
        *,
        labels: Tensor,
        class_names: Sequence[str],
        names: Sequence[str],
        image_size: tuple[int, int],
        digest: str,
    ) -> None:
        """Read picture ``i`` by ``read_picture(i)`` and resize it to ``image_size``."""
        super().__init__(
            labels=labels,
            class_names=class_names,
            names=names,
            image_size=image_size,
            digest=digest,
        )
        self._read_picture = read_picture
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def read(self, indices: Tensor) -> Tensor:
        """Return the images at ``indices`` (int64 (b,)) as uint8 (b, 3, height, width).

        Raises:
            DataError: A picture cannot be read any more.
        """
        return read_resized(self._read_picture, indices.tolist(), self.image_size, self._threads())

    def original(self, index: int) -> Image.Image:
        """Return one picture at source resolution, RGB, turned upright by its EXIF entry."""
        return self._read_picture(int(index))

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(count_read_threads(), thread_name_prefix="pictures")
            return self._pool

    def __getstate__(self) -> dict[str, Any]:
        # Threads and locks stay behind when a set is sent to a worker process.
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_pool")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._lock = threading.Lock()
        self._pool = None


def read_resized(
    read_picture: ReadPicture,
    indices: Sequence[int],
    image_size: tuple[int, int],
    threads: ThreadPoolExecutor,
) -> Tensor:
    """Decode and resize pictures in parallel into one uint8 tensor (b, 3, height, width)."""
    pixels = torch.empty((len(indices), 3, *image_size), dtype=torch.uint8)
    rows = pixels.numpy()

    # A few blocks per thread: one task per picture costs more than resizing a small one.
    block = max(1, len(indices) // (_BLOCKS_PER_THREAD * count_read_threads()))

    def fill(start: int) -> None:
        for row in range(start, min(start + block, len(indices))):
            picture = resize_picture(read_picture(indices[row]), image_size)
            rows[row] = np.asarray(picture).transpose(2, 0, 1)

    for _ in threads.map(fill, range(0, len(indices), block)):
        pass
    return pixels
