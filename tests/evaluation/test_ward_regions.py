from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from pellucid.evaluation.ward_regions import _to_lab, find_regions
from tests.reference import plain_ward


def noise(*size: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, size, generator=generator).to(torch.uint8)


def test_find_regions_of_flat_patches_are_the_patches():
    images = torch.full((1, 3, 20, 24), 200, dtype=torch.uint8)
    images[0, :, 3:9, 2:10] = torch.tensor([220, 30, 30], dtype=torch.uint8)[:, None, None]
    images[0, :, 12:18, 8:20] = torch.tensor([20, 40, 200], dtype=torch.uint8)[:, None, None]
    (found,) = find_regions(images, (3,))[0]
    assert (found[3:9, 2:10] == found[3, 2]).all()
    assert (found[12:18, 8:20] == found[12, 8]).all()
    assert torch.bincount(found.flatten()).sort()[0].tolist() == [48, 72, 360]


def test_find_regions_equals_plain_loops():
    images = noise(2, 3, 5, 6)
    found = find_regions(images, (7, 3))
    for image, colors in enumerate(_to_lab(images).permute(0, 2, 3, 1).double().numpy()):
        for column, count in enumerate((7, 3)):
            regions = {
                frozenset(map(tuple, (found[image, column] == number).nonzero().tolist()))
                for number in range(count)
            }
            assert regions == plain_ward.join_pixels(colors, count)


def test_find_regions_are_as_many_as_asked_connected_and_nested():
    fine, coarse = find_regions(noise(1, 3, 16, 12), (9, 4))[0].numpy()
    assert sorted(np.unique(fine)) == list(range(9))
    assert sorted(np.unique(coarse)) == list(range(4))
    assert all(label(fine == number)[1] == 1 for number in range(9))
    assert all(len(np.unique(coarse[fine == number])) == 1 for number in range(9))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3), (3, 40)])
def test_find_regions_of_a_tiny_image_are_at_most_its_pixels(size):
    found = find_regions(noise(1, 3, *size), (12,))
    assert found.shape == (1, 1, *size)
    assert len(found.unique()) == min(12, size[0] * size[1])


def test_find_regions_of_a_large_image_are_those_of_it_made_smaller():
    small = noise(1, 3, 64, 32)
    large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = find_regions(small, (5, 8)).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(find_regions(large, (5, 8)), expected)


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_to_lab_of_known_colors(color, expected):
    found = _to_lab(torch.tensor(color, dtype=torch.uint8).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor(expected).float(), atol=0.1, rtol=0)
