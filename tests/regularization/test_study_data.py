from __future__ import annotations

import pytest
import torch

from pellucid import DataError, UsageError
from pellucid.regularization.study_data import StudyData


def test_study_data_of_digits_is_400_images_with_a_fifth_of_the_labels_wrong():
    settings = StudyData.of("digits")
    data = settings.load()
    facts = settings.describe(data)
    assert (facts.train, facts.test, facts.wrong_labels) == (400, 360, 0.2)
    assert facts.validation > 300
    assert "80 of the 400 training labels were made wrong on purpose" in facts.note


def test_study_data_of_digits_with_own_wishes_is_as_wished():
    settings = StudyData.of("digits", wrong_labels=0.0)
    assert (settings.train_images, settings.wrong_labels) == (None, 0.0)
    assert settings.describe(settings.load()).note == ""


def test_study_data_halved_test_split_is_disjoint_and_complete():
    whole = StudyData(data="digits", image_size=(8, 8))
    halved = StudyData(data="digits", image_size=(8, 8), halve_test=True)
    test = whole.load().splits.test
    splits = halved.load().splits
    assert sorted([*splits.validation.tolist(), *splits.test.tolist()]) == test.tolist()
    assert len(splits.train) == 1437
    assert not torch.equal(splits.test, test)


def test_study_data_without_test_images_is_refused():
    with pytest.raises(DataError, match="has no test images to judge the arms by"):
        StudyData(data="digits", test_fraction=0.0, image_size=(8, 8)).load()


def test_study_data_bad_share_of_wrong_labels_is_refused():
    with pytest.raises(UsageError, match=r"wrong_labels must be .* got 1"):
        StudyData(wrong_labels=1.0)
