from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.backbones import PatchCnn


@pytest.mark.parametrize(
    ("image_size", "latent"),
    [
        ((32, 32), (128, 8, 8)),
        ((64, 64), (256, 8, 8)),
        ((8, 8), (64, 8, 8)),
        ((48, 96), (256, 6, 12)),
        ((5, 3), (64, 5, 3)),
        ((1, 1), (64, 1, 1)),
        ((224, 224), (512, 14, 14)),
    ],
)
def test_patch_cnn_latent_map_has_eight_to_fifteen_rows_if_the_image_allows(image_size, latent):
    features = PatchCnn(image_size).eval()(torch.rand(2, 3, *image_size))
    assert features.shape == (2, *latent)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80))
def test_patch_cnn_any_size_keeps_two_rows_and_columns(height, width):
    features = PatchCnn((height, width)).eval()(torch.rand(1, 3, height, width))
    assert min(features.shape[2:]) >= min(2, height, width)


def test_patch_cnn_every_parameter_gets_a_gradient():
    network = PatchCnn((16, 16))
    network(torch.rand(2, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
