from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pellucid.data import LabelledData
from pellucid.prototree import FittedTree
from pellucid.reports.run_pictures import (
    picture_prototypes,
    scale_box,
    shrink_picture,
)
from tests.reports.fitted_squares import fit_squares, make_data


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return make_data()


@pytest.fixture(scope="module")
def fitted(data) -> FittedTree:
    return fit_squares(data)


def test_picture_prototypes_show_the_source_at_its_own_resolution(fitted, data):
    for prototype, source in zip(
        picture_prototypes(fitted, data.images), fitted.sources, strict=True
    ):
        original = np.asarray(data.images.original(source.image))
        np.testing.assert_array_equal(prototype.picture, original)
        box = fitted.patch_box(source.row, source.column)
        assert tuple(prototype.box) == (3 * box.top, 4 * box.left, 3 * box.bottom, 4 * box.right)


def test_picture_prototypes_measure_the_distance_to_the_patch_shown(fitted, data):
    tree = fitted.tree
    for prototype, source in zip(
        picture_prototypes(fitted, data.images), fitted.sources, strict=True
    ):
        pixels = fitted.normalization(data.images.read(torch.tensor([source.image])))
        with torch.no_grad():
            patch = tree.latent(pixels)[0, :, source.row, source.column]
        distance = (patch - tree.prototypes[prototype.branch, :, 0, 0]).norm().item()
        assert prototype.distance == pytest.approx(distance, abs=1e-6)
        assert prototype.distance < 1e-6


def test_picture_prototypes_name_the_branches_with_the_same_patch(fitted, data):
    doubled = replace(fitted, sources=(fitted.sources[0],) * len(fitted.sources))
    prototypes = picture_prototypes(doubled, data.images)
    branches = set(range(len(prototypes)))
    for prototype in prototypes:
        assert set(prototype.duplicates) == branches - {prototype.branch}


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_scale_box_covers_the_box_and_stays_inside(draw):
    side = st.integers(1, 300)
    height, width, new_height, new_width = (draw.draw(side) for _ in range(4))
    top, left = draw.draw(st.integers(0, height - 1)), draw.draw(st.integers(0, width - 1))
    bottom = draw.draw(st.integers(top + 1, height))
    right = draw.draw(st.integers(left + 1, width))
    box = scale_box((top, left, bottom, right), (height, width), (new_height, new_width))
    assert 0 <= box.top < box.bottom <= new_height
    assert 0 <= box.left < box.right <= new_width
    assert box.top <= top * new_height / height + 1e-9
    assert box.bottom >= bottom * new_height / height - 1e-9
    assert box.left <= left * new_width / width + 1e-9
    assert box.right >= right * new_width / width - 1e-9


def test_scale_box_to_the_same_size_changes_nothing():
    assert tuple(scale_box((1, 2, 3, 4), (8, 9), (8, 9))) == (1, 2, 3, 4)


def test_shrink_picture_keeps_the_aspect_ratio():
    assert shrink_picture(Image.new("RGB", (400, 200)), 100).shape == (50, 100, 3)


def test_shrink_picture_leaves_small_pictures_alone():
    picture = Image.effect_noise((30, 20), 50).convert("RGB")
    np.testing.assert_array_equal(shrink_picture(picture, 100), np.asarray(picture))
