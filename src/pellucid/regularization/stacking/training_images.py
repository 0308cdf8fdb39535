"""Training images at hand: normalized once, in memory, in the layout convolutions like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from pellucid.data import (
    Augmentation,
    LabelledData,
    Normalization,
    batches,
    measure_channels,
    to_unit,
)
from pellucid.runs import generator, sequence_seed

_READ_BATCH = 512
_KEPT_BYTES = 2**30
"""Images that would take more than this as normalized numbers are normalized batch by batch."""


class TrainingImages:
    """Images and labels of the training and the validation split, ready for stacked networks.

    Args:
        data: The images; the test split is not read.
        device: Where batches are put.
        dtype: Of the batches.
        augmentation: Of training images.
        mixup: Parameter of the Beta distribution that pairs of training images are mixed by.
        normalization: None measures it on the training images.

    Attributes:
        normalization: Of all images.
        training: Number of training images.
        validation: Number of validation images.
    """

    def __init__(
        self,
        data: LabelledData,
        *,
        device: torch.device,
        dtype: torch.dtype,
        augmentation: Augmentation,
        mixup: float,
        normalization: Normalization | None = None,
    ) -> None:
        self.normalization = normalization or Normalization(
            *measure_channels(data.images, data.splits.train)
        )
        self.training = len(data.splits.train)
        self.validation = len(data.splits.validation)
        self._device, self._dtype = device, dtype
        self._augmentation, self._mixup = augmentation, mixup
        indices = torch.cat([data.splits.train, data.splits.validation])
        self._labels = data.images.labels[indices].to(device)
        height, width = data.images.image_size
        numbers = len(indices) * 3 * height * width
        keep = augmentation.is_identity and numbers * dtype.itemsize <= _KEPT_BYTES
        self._is_normalized = keep
        # (n, height, width, 3): a batch of it is "channels last" without being moved again.
        self._images = torch.empty(
            (len(indices), height, width, 3), dtype=dtype if keep else torch.uint8, device=device
        )
        position = 0
        for pixels, _, _ in batches(data.images, indices, batch_size=_READ_BATCH):
            part = self._normalize(pixels) if keep else pixels
            self._images[position : position + len(pixels)] = part.permute(0, 2, 3, 1)
            position += len(pixels)

    def _normalize(self, images: Tensor) -> Tensor:
        if self._dtype == torch.float64:
            images = to_unit(images).to(torch.float64)
        return self.normalization(images).to(self._dtype)

    def epoch(
        self, seeds: Sequence[int], epoch: int, *, batch_size: int, drop_last_of_one: bool
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None, list[float]]]:
        """Iterate over the training images of several seeds at once, each in its own order.

        Args:
            seeds: Distinct.
            epoch: From 0.
            batch_size: The last batch may be smaller.
            drop_last_of_one: Leave out a last batch of a single image, which batch normalization
                cannot be trained on.

        Returns:
            An iterator over images (batch, seeds * 3, height, width); labels (seeds, batch); where
            images are mixed, the second label of each (seeds, batch); and for each seed the share
            of the first.
        """
        order = torch.stack(
            [
                torch.randperm(self.training, generator=generator(seed, "epoch", epoch, "order"))
                for seed in seeds
            ]
        ).to(self._device)
        all_labels = self._labels[order]
        vary = [generator(seed, "epoch", epoch, "augmentation") for seed in seeds]
        mixing = [
            np.random.default_rng(sequence_seed(seed, "epoch", epoch, "mixup")) for seed in seeds
        ]
        parts = zip(
            order.split(batch_size, dim=1), all_labels.split(batch_size, dim=1), strict=True
        )
        for chosen, labels in parts:
            count = chosen.shape[1]
            if count == 1 and drop_last_of_one and self.training > 1:
                return
            images = self._images.index_select(0, chosen.flatten())
            if not self._is_normalized:
                images = self._vary(images, count, vary)
            partners, shares = None, []
            if self._mixup:
                pairing = []
                for random in mixing:
                    shares.append(float(random.beta(self._mixup, self._mixup)))
                    pairing.append(torch.from_numpy(random.permutation(count)))
                images, partners = self._mix(images, labels, torch.stack(pairing), shares)
            yield _side_by_side(images, len(seeds)), labels, partners, shares

    def _vary(self, images: Tensor, count: int, generators: list[torch.Generator]) -> Tensor:
        parts = []
        for part, random in zip(images.split(count), generators, strict=True):
            unit = self._augmentation(to_unit(part.permute(0, 3, 1, 2)), random)
            parts.append(self._normalize(unit).permute(0, 2, 3, 1))
        return torch.cat(parts)

    def _mix(
        self, images: Tensor, labels: Tensor, pairing: Tensor, shares: list[float]
    ) -> tuple[Tensor, Tensor]:
        pairing = pairing.to(self._device)
        sets = images.unflatten(0, (len(shares), -1))
        share = torch.tensor(shares, device=self._device).to(self._dtype).view(-1, 1, 1, 1, 1)
        partners = torch.stack([part[pairs] for part, pairs in zip(sets, pairing, strict=True)])
        return (share * sets + (1 - share) * partners).flatten(0, 1), labels.gather(1, pairing)

    def in_order(self, split: str, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate over a split as it is: images (batch, 3, height, width), labels (batch,)."""
        start, stop = (
            (0, self.training)
            if split == "train"
            else (self.training, self.training + self.validation)
        )
        for first in range(start, stop, batch_size):
            part = slice(first, min(first + batch_size, stop))
            images = self._images[part].permute(0, 3, 1, 2)
            yield images if self._is_normalized else self._normalize(images), self._labels[part]


def _side_by_side(images: Tensor, sets: int) -> Tensor:
    """Turn (sets * batch, height, width, 3) into (batch, sets * 3, height, width)."""
    if sets > 1:
        images = images.unflatten(0, (sets, -1)).permute(1, 2, 3, 0, 4).flatten(3)
    return images.permute(0, 3, 1, 2)
