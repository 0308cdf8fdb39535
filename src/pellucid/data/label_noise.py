"""Wrong labels and few images on purpose: what makes over-fitting visible in a minute."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from pellucid._checks import DataError, check_integer, check_number
from pellucid.data.load import LabelledData
from pellucid.data.splits import Splits, hold_out


def limit_training(data: LabelledData, train_images: int, *, seed: int = 0) -> LabelledData:
    """Keep a stratified choice of ``train_images`` training images; the others are not used at all.

    Args:
        data: Its validation and test splits stay as they are.
        train_images: Training images to keep, at least one of each class.
        seed: Decides which.

    Raises:
        UsageError: ``train_images`` is larger than the training split, or smaller than the classes.
    """
    train = data.splits.train
    classes = len(data.images.class_names)
    check_integer(
        "train_images",
        train_images,
        low=classes,
        high=len(train),
        remedy=f"The training split has {len(train)} images of {classes} classes.",
    )
    if train_images == len(train):
        return data
    dropped_share = 1 - train_images / len(train)
    kept, _ = hold_out(data.images.labels[train].numpy(), dropped_share, seed=seed)
    splits = Splits(train[torch.from_numpy(kept)], data.splits.validation, data.splits.test)
    return replace(data, splits=splits)


def spoil_labels(data: LabelledData, fraction: float, *, seed: int = 0) -> LabelledData:
    """Give a share of the *training* images a wrong label, drawn evenly from the other classes.

    Symmetric label noise (Angluin and Laird 1988; the usual test bed of over-fitting). Validation
    and test labels stay right.

    Args:
        data: Labelled images.
        fraction: Share of the training images, in [0, 1]; rounded to whole images.
        seed: Decides which images and which labels.

    Raises:
        DataError: there is only one class.
    """
    check_number("fraction", fraction, low=0, high=1)
    train = data.splits.train
    count = round(fraction * len(train))
    if count == 0:
        return data
    classes = len(data.images.class_names)
    if classes < 2:
        raise DataError("wrong labels need at least 2 classes, got 1. Use a fraction of 0.")
    random = np.random.default_rng(seed)
    chosen = train[torch.from_numpy(random.permutation(len(train))[:count])]
    labels = data.images.labels.clone()
    steps = torch.from_numpy(random.integers(1, classes, count))
    labels[chosen] = (labels[chosen] + steps) % classes
    images = copy.copy(data.images)
    images.labels = labels
    return replace(data, images=images)
