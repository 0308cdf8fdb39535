"""Batches of images, labels and indices, in order or shuffled by a generator."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from pellucid._checks import UsageError, check_integer
from pellucid.data.image_sets import ImageSet


def batches(
    images: ImageSet,
    indices: Tensor,
    *,
    batch_size: int,
    generator: torch.Generator | None = None,
    drop_last: bool = False,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Iterate over some images in batches.

    The order is drawn from ``generator`` by this call, not by the first batch, so the generator's
    state afterwards does not depend on how far the iteration gets. Sets that stream are read ahead
    in the background; the batches are the same bit for bit.

    Args:
        images: The set to read from.
        indices: Which images, int64 (n,).
        batch_size: Images per batch; the last batch may be smaller.
        generator: Shuffles; without it the order is that of ``indices``.
        drop_last: Leave out a last batch smaller than ``batch_size``.

    Returns:
        An iterator over (uint8 images (b, 3, H, W), int64 labels (b,), int64 indices (b,)).

    Raises:
        UsageError: ``batch_size`` is below 1 or ``indices`` is not an int64 vector.
    """
    batch_size = check_integer("batch_size", batch_size, low=1)
    if indices.dtype != torch.int64 or indices.dim() != 1:
        raise UsageError(f"indices must be int64 (n,), got {indices.dtype} {tuple(indices.shape)}.")
    if generator is not None:
        order = torch.randperm(len(indices), generator=generator, device=generator.device)
        indices = indices[order.to(indices.device)]
    chunks = list(indices.split(batch_size)) if len(indices) else []
    if drop_last and chunks and len(chunks[-1]) < batch_size:
        chunks.pop()
    if images.prefetch and len(chunks) > 1:
        return _read_ahead(images, chunks)
    return ((images.read(chunk), images.labels[chunk], chunk) for chunk in chunks)


def _read_ahead(images: ImageSet, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
    reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        for chunk in chunks:
            waiting.append((chunk, reader.submit(images.read, chunk)))
            if len(waiting) > images.prefetch:
                ready, pixels = waiting.popleft()
                yield pixels.result(), images.labels[ready], ready
        while waiting:
            ready, pixels = waiting.popleft()
            yield pixels.result(), images.labels[ready], ready
    finally:
        reader.shutdown(wait=False, cancel_futures=True)
