from __future__ import annotations

import numpy as np
import pytest

from pellucid._checks import UsageError
from pellucid.regularization.collapse import is_collapsed

TEN_CLASSES = np.arange(400) % 10


@pytest.mark.parametrize(
    ("accuracy", "expected"), [(0.0, True), (0.1, True), (0.144, True), (0.146, False), (1, False)]
)
def test_is_collapsed_for_ten_equal_classes_ends_a_twentieth_above_chance(accuracy, expected):
    assert is_collapsed(accuracy, TEN_CLASSES) is expected


def test_is_collapsed_for_unequal_classes_is_measured_by_the_most_frequent():
    labels = [0] * 90 + [1] * 10
    assert is_collapsed(0.9, labels)
    assert not is_collapsed(0.92, labels)


def test_is_collapsed_for_a_single_class_is_true():
    assert is_collapsed(1.0, [3, 3, 3])


def test_is_collapsed_without_labels_raises():
    with pytest.raises(UsageError, match="labels must hold at least one label"):
        is_collapsed(0.5, [])
