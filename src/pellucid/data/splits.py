"""Stratified, seeded, disjoint splits into training, validation and test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor

from pellucid._checks import DataError, UsageError, check_integer, check_number

# The test images are the same whatever the seed: were they to move, an image that helped to choose
# settings under one seed would judge them under another.
TEST_SPLIT_SEED = 0


@dataclass(frozen=True)
class Splits:
    """Which images train, which select (validation) and which judge (test).

    Args:
        train: Indices into the image set, int64 (n_train,).
        validation: int64 (n_validation,); may be empty.
        test: int64 (n_test,); may be empty.

    Raises:
        DataError: An index is negative or occurs twice, within a part or across parts.
    """

    train: Tensor
    validation: Tensor
    test: Tensor

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            part = getattr(self, name)
            if not isinstance(part, Tensor) or part.dtype != torch.int64 or part.dim() != 1:
                found = (
                    f"{part.dtype} {tuple(part.shape)}"
                    if isinstance(part, Tensor)
                    else type(part).__name__
                )
                raise UsageError(f"{name} must be a one-dimensional int64 tensor, got {found}.")
            if part.numel() and int(part.min()) < 0:
                raise DataError(f"{name} must hold indices >= 0, got {int(part.min())}.")
        everything = torch.cat([self.train, self.validation, self.test])
        if torch.unique(everything).numel() != everything.numel():
            values, counts = torch.unique(everything, return_counts=True)
            twice = values[counts > 1][:5].tolist()
            raise DataError(f"splits must be disjoint, but images {twice} occur more than once.")

    def to_json(self) -> dict[str, list[int]]:
        """Return the three lists of indices as JSON-ready values."""
        return {
            "train": self.train.tolist(),
            "validation": self.validation.tolist(),
            "test": self.test.tolist(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Splits:
        """Rebuild what ``to_json`` gave.

        Raises:
            DataError: A part is missing, is not a list of integers, or the parts overlap.
        """
        parts: dict[str, Tensor] = {}
        for name in ("train", "validation", "test"):
            values = stored.get(name) if isinstance(stored, Mapping) else None
            if not isinstance(values, Sequence) or not all(type(value) is int for value in values):
                raise DataError(f"stored splits must hold a list of integers called {name!r}.")
            parts[name] = torch.tensor(values, dtype=torch.int64)
        return cls(**parts)


def hold_out(
    labels: ArrayLike, fraction: float, *, seed: int, groups: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a stratified share off a set of labelled images.

    A class is *small* when its share on either side would be less than one image. Small classes
    follow a fixed rule: one image stays in the kept part; of two or more, ``round(fraction · n)``
    but at least one and at most ``n - 1`` are held out. All other classes go through
    scikit-learn's stratified ``train_test_split``, which keeps at least one image of each on
    either side.

    Args:
        labels: Class of each image, integers (n,).
        fraction: Share to hold out, in [0, 1).
        seed: Decides which images are held out.
        groups: Images of equal group (copies of one file) are never separated: the first image of
            a group is split and the others follow it. Integers (n,).

    Returns:
        Sorted positions kept and sorted positions held out; together every position once.

    Raises:
        UsageError: ``fraction`` or ``seed`` is out of range, or the shapes differ.
    """
    fraction = check_number("fraction", fraction, low=0.0, high=1.0, open_high=True)
    seed = check_integer("seed", seed, low=0, high=2**32 - 1)
    classes = np.asarray(labels, dtype=np.int64)
    if classes.ndim != 1:
        raise UsageError(f"labels must have one dimension, got shape {classes.shape}.")
    if groups is None:
        held = _hold_out_positions(classes, fraction, seed)
    else:
        group = np.asarray(groups, dtype=np.int64)
        if group.shape != classes.shape:
            raise UsageError(f"groups must have shape {classes.shape}, got {group.shape}.")
        _, first, member = np.unique(group, return_index=True, return_inverse=True)
        # np.unique orders by group number; sorting the first positions keeps the images' order, so
        # that a set without copies is split as if no groups had been given.
        order = np.argsort(first)
        held_groups = order[_hold_out_positions(classes[first[order]], fraction, seed)]
        held = np.flatnonzero(np.isin(member, held_groups))
    kept = np.setdiff1d(np.arange(len(classes)), held, assume_unique=True)
    return kept.astype(np.int64), np.sort(held).astype(np.int64)


def _hold_out_positions(
    classes: NDArray[np.int64], fraction: float, seed: int
) -> NDArray[np.int64]:
    if fraction == 0 or len(classes) == 0:
        return np.empty(0, dtype=np.int64)
    _, member, counts = np.unique(classes, return_inverse=True, return_counts=True)
    small = np.minimum(fraction * counts, (1 - fraction) * counts) < 1
    held: list[NDArray[np.int64]] = []
    ordinary_positions = np.flatnonzero(~small[member])
    if len(ordinary_positions):
        ordinary_classes = classes[ordinary_positions]
        held.append(_split_ordinary(ordinary_positions, ordinary_classes, fraction, seed))
    small_positions = np.flatnonzero(small[member])
    if len(small_positions):
        random = np.random.default_rng(seed)
        # One shuffle, then a stable sort by class: each class's images in random order.
        small_positions = random.permutation(small_positions)
        small_member = member[small_positions]
        small_positions = small_positions[np.argsort(small_member, kind="stable")]
        small_counts = counts[small]
        quota = np.clip(np.rint(fraction * small_counts), 1, small_counts - 1).astype(np.int64)
        start = np.repeat(np.cumsum(small_counts) - small_counts, small_counts)
        rank = np.arange(len(small_positions)) - start
        held.append(small_positions[rank < np.repeat(quota, small_counts)])
    return np.concatenate(held)


def _split_ordinary(
    positions: NDArray[np.int64], classes: NDArray[np.int64], fraction: float, seed: int
) -> NDArray[np.int64]:
    _, held = train_test_split(positions, test_size=fraction, random_state=seed, stratify=classes)
    return np.asarray(held, dtype=np.int64)


def split_images(
    labels: ArrayLike,
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    groups: ArrayLike | None = None,
) -> Splits:
    """Split images into train, validation and test.

    The test images do not depend on ``seed``; validation images do.

    Args:
        labels: Class of each image, integers (n,).
        seed: Moves the validation images.
        validation_fraction: Share of the images outside the test split, in [0, 1).
        test_fraction: Share of all images, in [0, 1).
        groups: Copies that must stay together, integers (n,); see ``hold_out``.

    Raises:
        UsageError: A fraction or the seed is out of range.
    """
    classes = np.asarray(labels, dtype=np.int64)
    group = None if groups is None else np.asarray(groups, dtype=np.int64)
    rest, test = hold_out(classes, test_fraction, seed=TEST_SPLIT_SEED, groups=group)
    train, validation = hold_out(
        classes[rest],
        validation_fraction,
        seed=seed,
        groups=None if group is None else group[rest],
    )
    return Splits(
        train=torch.from_numpy(rest[train]),
        validation=torch.from_numpy(rest[validation]),
        test=torch.from_numpy(test),
    )
