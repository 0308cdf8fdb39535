from __future__ import annotations

import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from pellucid import UsageError
from pellucid.backbones import (
    Box,
    PatchCnn,
    ReceptiveField,
    create_backbone,
    measure_receptive_field,
)
from tests.reference.receptive_field import fields_by_formula, rows_seen_one_by_one


def rows(field: ReceptiveField) -> list[tuple[int, int]]:
    return list(zip(field.row_start, field.row_stop, strict=True))


def columns(field: ReceptiveField) -> list[tuple[int, int]]:
    return list(zip(field.column_start, field.column_stop, strict=True))


_kernel = st.integers(1, 4)
_layers = st.lists(
    st.tuples(st.booleans(), _kernel, st.integers(1, 3), st.integers(0, 1), st.integers(1, 2)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(layers=_layers, height=st.integers(1, 24), width=st.integers(1, 24))
def test_measure_receptive_field_of_a_stack_equals_the_formula(layers, height, width):
    stack = nn.Sequential()
    numbers = []
    channels = 3
    for pools, kernel, stride, padding, dilation in layers:
        padding = min(padding, kernel // 2)
        numbers.append((kernel, stride, padding, dilation))
        if pools:
            stack.append(nn.MaxPool2d(kernel, stride, padding, dilation))
        else:
            stack.append(nn.Conv2d(channels, 4, kernel, stride, padding, dilation))
            stack.append(nn.ReLU())
            channels = 4
    expected = [fields_by_formula(numbers, size) for size in (height, width)]
    assume(all(expected) and None not in expected[0] + expected[1])
    try:
        stack(torch.zeros(1, 3, height, width))
    except RuntimeError:
        assume(False)
    field = measure_receptive_field(stack, (height, width))
    assert rows(field) == expected[0]
    assert columns(field) == expected[1]


@pytest.mark.parametrize("image_size", [(32, 32), (20, 33)])
@pytest.mark.parametrize("stage", [1, 2])
def test_measure_receptive_field_of_resnet_equals_one_row_at_a_time(image_size, stage):
    torch.manual_seed(0)
    backbone = create_backbone("resnet18", image_size=image_size, stage=stage)
    field = measure_receptive_field(backbone, image_size)
    assert rows(field) == rows_seen_one_by_one(backbone, image_size)


@pytest.mark.parametrize("image_size", [(8, 8), (5, 3), (32, 20), (64, 64)])
def test_measure_receptive_field_of_patch_cnn_equals_its_docstring(image_size):
    network = PatchCnn(image_size)
    field = measure_receptive_field(network, image_size)
    assert rows(field) == rows_seen_one_by_one(network, image_size)
    stride = 2 ** round((image_size[0] // field.latent_size[0]).bit_length() - 1)
    widest = max(stop - start for start, stop in rows(field))
    assert widest == min(5 if stride == 1 else 7 * stride - 3, image_size[0])


class SqueezeExcite(nn.Module):
    def forward(self, images):
        return images * nn.functional.hardsigmoid(images.mean((2, 3), keepdim=True))


def test_measure_receptive_field_global_gate_sees_everything():
    field = measure_receptive_field(nn.Sequential(nn.MaxPool2d(2), SqueezeExcite()), (8, 6))
    assert rows(field) == [(0, 8)] * 4
    assert columns(field) == [(0, 6)] * 3


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_measure_receptive_field_of_attention_sees_everything(name):
    backbone = create_backbone(name, image_size=(32, 64))
    assert measure_receptive_field(backbone, (32, 64)).coverage == 1.0


class HideNan(nn.Module):
    def forward(self, images):
        return images.nan_to_num(nan=0.0)


def test_measure_receptive_field_hidden_nan_counts_as_the_whole_image():
    field = measure_receptive_field(nn.Sequential(nn.MaxPool2d(2), HideNan()), (8, 6))
    assert rows(field) == [(0, 8)] * 4


class HideFarNan(nn.Module):
    """Adds the mean of the whole image, but only where it is a number."""

    def forward(self, images):
        return images + images.mean().nan_to_num(nan=0.0)


def test_measure_receptive_field_partly_hidden_nan_counts_as_the_whole_image():
    field = measure_receptive_field(nn.Sequential(nn.MaxPool2d(2), HideFarNan()), (8, 6))
    assert rows(field) == [(0, 8)] * 4


def test_measure_receptive_field_row_of_padding_only_counts_as_the_whole_image():
    field = measure_receptive_field(nn.Conv2d(3, 2, 1, padding=1), (3, 3))
    assert rows(field) == [(0, 3), (0, 1), (1, 2), (2, 3), (0, 3)]


def test_measure_receptive_field_single_precision_constant_is_no_obstacle():
    class AddConstant(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, images):
            return self.mix(images.float())

    field = measure_receptive_field(AddConstant(), (4, 4))
    assert rows(field) == [(0, 2), (0, 3), (1, 4), (2, 4)]


def test_measure_receptive_field_leaves_the_network_as_it_was():
    network = PatchCnn((16, 16)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    stream = torch.get_rng_state()
    measure_receptive_field(network, (16, 16))
    assert network.training
    assert torch.equal(torch.get_rng_state(), stream)
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


def test_measure_receptive_field_too_small_image_raises():
    with pytest.raises(UsageError, match="cannot be measured"):
        measure_receptive_field(nn.Conv2d(3, 2, 5), (3, 3))


def test_receptive_field_box_is_rows_and_columns_of_the_cell():
    field = ReceptiveField((0, 2), (3, 5), (0, 1, 4), (2, 5, 7), (5, 7))
    assert field.latent_size == (2, 3)
    assert field.box(1, 2) == Box(top=2, left=4, bottom=5, right=7)
    assert field.box(1, 2).area == 9


def test_receptive_field_coverage_is_the_median_share():
    field = ReceptiveField((0, 0, 0), (1, 2, 4), (0,), (4,), (4, 4))
    assert field.coverage == 0.5


def test_receptive_field_json_round_trip():
    field = measure_receptive_field(PatchCnn((8, 6)), (8, 6))
    assert ReceptiveField.from_json(json.loads(json.dumps(field.to_json()))) == field


def test_coverage_warning_large_field_names_the_alternative():
    field = ReceptiveField((0,), (4,), (0,), (4,), (4, 4))
    warning = field.coverage_warning("resnet18")
    assert warning is not None
    assert "'resnet18' (1x1 cells) sees 100% of a 4x4 px image" in warning
    assert "patch_cnn" in warning


def test_coverage_warning_small_field_is_none():
    field = measure_receptive_field(PatchCnn((32, 32)), (32, 32))
    assert field.coverage < 0.5
    assert field.coverage_warning("patch_cnn") is None
