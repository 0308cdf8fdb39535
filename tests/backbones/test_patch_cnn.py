from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import UsageError
from pellucid.backbones import PatchCnn, default_patch_size_px, measure_receptive_field
from tests.reference.receptive_field import fields_by_formula


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


# ---------------------------------------------------------------- patch_size_px


@pytest.mark.parametrize(
    ("image_size", "patch_size_px", "latent", "widest"),
    [
        ((64, 64), 7, (64, 32, 32), 7),
        ((64, 64), 12, (64, 32, 32), 11),
        ((64, 64), 13, (128, 16, 16), 13),
        ((64, 64), 17, (128, 16, 16), 17),
        ((64, 64), 25, (128, 16, 16), 25),
        ((64, 64), 28, (128, 16, 16), 25),
        ((64, 64), 33, (256, 8, 8), 33),
        ((64, 64), 53, (256, 8, 8), 53),
        ((32, 32), 13, (128, 8, 8), 13),
        ((96, 128), 53, (256, 12, 16), 53),
    ],
)
def test_patch_cnn_bounded_cells_see_no_more_than_asked(image_size, patch_size_px, latent, widest):
    network = PatchCnn(image_size, patch_size_px=patch_size_px).eval()
    assert network(torch.rand(1, 3, *image_size)).shape == (1, *latent)
    field = measure_receptive_field(network, image_size)
    rows = zip(field.row_start, field.row_stop, strict=True)
    assert max(stop - start for start, stop in rows) == widest <= patch_size_px


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 72), st.integers(1, 72), st.integers(7, 80))
def test_patch_cnn_bounded_layers_keep_within_the_bound_and_keep_two_cells(height, width, bound):
    network = PatchCnn((height, width), patch_size_px=bound)
    fields = fields_by_formula(_kernels(network), 4 * bound + 64)
    assert max(stop - start for start, stop in fields) <= bound
    features = network.eval()(torch.rand(1, 3, height, width))
    assert min(features.shape[2:]) >= min(2, height, width)


def test_patch_cnn_bound_of_25_px_has_the_layers_of_the_free_network_at_32_px():
    free, bounded = PatchCnn((32, 32)), PatchCnn((64, 64), patch_size_px=25)
    assert _kernels(free) == _kernels(bounded)


@pytest.mark.parametrize("bound", [6, 0, -3, 12.5])
def test_patch_cnn_bound_out_of_range_is_refused(bound):
    with pytest.raises(UsageError, match=r"patch_size_px must be an integer >= 7, got .* Use abou"):
        PatchCnn((64, 64), patch_size_px=bound)


@pytest.mark.parametrize(
    ("image_size", "expected"),
    [
        ((8, 8), None),
        ((32, 32), None),
        ((63, 63), None),
        ((64, 64), 25),
        ((127, 127), 25),
        ((128, 128), 53),
        ((224, 224), 53),
        ((32, 128), 25),
    ],
)
def test_default_patch_size_px_bounds_what_would_see_more_than_25_px(image_size, expected):
    assert default_patch_size_px(image_size) == expected


def _kernels(network: PatchCnn) -> list[tuple[int, int, int, int]]:
    """Return (kernel, stride, padding, dilation) of each layer that looks around itself."""
    found = []
    for layer in network.layers:
        if isinstance(layer, torch.nn.Conv2d):
            found.append((layer.kernel_size[0], layer.stride[0], layer.padding[0], 1))
        elif isinstance(layer, torch.nn.MaxPool2d):
            found.append((layer.kernel_size, layer.stride, 0, 1))
    return found
