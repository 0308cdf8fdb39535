"""Collapse: a penalty so strong that the network gives every image the same answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pellucid._checks import UsageError, check_number

CHANCE_MARGIN = 0.05


def is_collapsed(train_accuracy: float, labels: ArrayLike) -> bool:
    """Whether a network hardly beats always naming the most frequent class.

    True where ``(train_accuracy - p) / (1 - p) <= 0.05`` with ``p`` the share of the most frequent
    class: of the mistakes that a constant answer makes, less than a twentieth is gone. A network
    with constant answers has an accuracy of at most ``p``, so it is always found; a twentieth is
    far below what any useful network reaches, however many classes there are and however unequal.

    Args:
        train_accuracy: On the training images with the labels it was trained on, in evaluation
            mode, in [0, 1].
        labels: These labels, integers >= 0, shape (n,).

    Raises:
        UsageError: no labels, or an accuracy out of range.
    """
    check_number("train_accuracy", train_accuracy, low=0, high=1)
    answers = np.asarray(labels)
    if answers.size == 0:
        raise UsageError("labels must hold at least one label, got none. Give the training labels.")
    most_frequent_share = float(np.bincount(answers.ravel()).max()) / answers.size
    return train_accuracy - most_frequent_share <= CHANCE_MARGIN * (1 - most_frequent_share)
