from __future__ import annotations

import operator
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid.regularization.compaction.unit_flow import follow_units, is_zero_padded
from pellucid.regularization.compaction.unit_removal import trace_network
from tests.regularization.pruned_networks import FunctionalCnn, images, kill

VARYING = float("nan")


def follow(network: nn.Module, example: torch.Tensor | None = None):
    graph_module, shapes = trace_network(network, images(size=8) if example is None else example)
    return {units.name: units for units in follow_units(graph_module, shapes)}


def constants_behind(*between: nn.Module, bias: float = 2.0) -> list[float]:
    """Return the constants of a dead and a living filter where the next layer reads them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), *between, nn.Conv2d(2, 2, 1), nn.Flatten())
    kill(network, {"0": [0]})
    with torch.no_grad():
        network[0].bias[0] = bias
    ((_, _, flow),) = follow(network)["0"].readers
    return flow.constant.tolist()


def test_follow_units_functional_cnn_finds_every_reader():
    flows = follow(FunctionalCnn(), images())
    assert {name: [r[0] for r in units.readers] for name, units in flows.items()} == {
        "conv1": ["conv2"],
        "conv2": ["fc1"],
        "fc1": ["fc2"],
        "fc2": ["fc3"],
        "fc3": [],
    }
    assert flows["conv2"].readers[0][2].block == 36


@pytest.mark.parametrize(
    ("between", "bias", "expected"),
    [
        ([nn.ReLU()], -2.0, 0.0),
        ([nn.Sigmoid()], 0.0, 0.5),
        ([nn.Threshold(1.0, 7.0)], 0.5, 7.0),
        ([nn.MaxPool2d(2, padding=1), nn.Dropout2d()], 2.0, 2.0),
        ([nn.AvgPool2d(2, ceil_mode=True)], 2.0, 2.0),
        ([nn.AvgPool2d(3, padding=1)], 2.0, VARYING),
        ([nn.AvgPool2d(3, padding=1)], 0.0, 0.0),
        ([nn.AvgPool2d(3, padding=1, count_include_pad=False)], 2.0, 2.0),
        ([nn.AvgPool2d(2, divisor_override=3)], 2.0, VARYING),
        ([nn.AdaptiveMaxPool2d(2)], 2.0, 2.0),
    ],
)
def test_follow_units_constant_passes(between, bias, expected):
    dead, living = constants_behind(*between, bias=bias)
    assert dead == pytest.approx(expected, nan_ok=True)
    assert living != living


def test_follow_units_norm_that_scales_by_zero_makes_a_constant():
    norm = nn.BatchNorm2d(2)
    with torch.no_grad():
        norm.weight[1], norm.bias[1] = 0, 0.25
    assert constants_behind(norm)[1] == 0.25


def test_follow_units_norm_moves_the_constant():
    norm = nn.BatchNorm2d(2, eps=0)
    norm.running_mean[0], norm.running_var[0] = 1, 4
    assert constants_behind(norm, bias=2.0)[0] == 0.5


class Applying(nn.Module):
    """Two layers with a function between."""

    def __init__(self, function):
        super().__init__()
        self.first, self.function, self.second = nn.Conv2d(3, 4, 3), function, nn.Conv2d(4, 2, 1)

    def forward(self, maps):
        return self.second(self.function(self.first(maps))).flatten(1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda maps: F.softmax(maps, 1), "its units go into softmax"),
        (lambda maps: torch.cat([maps[:, :2], maps[:, 2:]], 1), "its units go into getitem"),
        (lambda maps: maps + maps, "its units go into add"),
        (lambda maps: F.dropout(maps, 0.1), "its units go into dropout"),
        (lambda maps: F.pad(maps, (1, 1)), "its units go into pad"),
        (lambda maps: maps.transpose(2, 3), "its units go into transpose"),
        (lambda maps: operator.truediv(1, maps + 3), ""),
        (lambda maps: F.avg_pool2d(F.hardtanh(maps, -2, 2), 2), ""),
        (lambda maps: maps.mean([2, 3], keepdim=True), ""),
    ],
)
def test_follow_units_function_between_two_layers(function, reason):
    assert follow(Applying(function))["first"].left_alone == reason


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.Conv2d(4, 4, 1, groups=2), "its units go into function, which reads in groups"),
        (nn.GroupNorm(2, 4), r"its units go into function \(GroupNorm\)"),
        (nn.BatchNorm2d(4, track_running_stats=False), r"go into function \(BatchNorm2d\)"),
    ],
)
def test_follow_units_module_that_mixes_channels_is_named(between, reason):
    assert re.search(reason, follow(Applying(between))["first"].left_alone)


def test_follow_units_linear_layers_over_tokens_follow_the_last_axis():
    network = nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 3))
    flows = follow(network, torch.rand(2, 7, 5))
    assert flows["0"].left_alone == ""
    assert flows["0"].readers[0][0] == "2"


def test_follow_units_layer_with_a_parametrized_weight_is_left_alone():
    network = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    torch.nn.utils.parametrizations.weight_norm(network[1])
    flows = follow(network, torch.rand(2, 5))
    assert flows["0"].left_alone


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(2, 2), False),
        (nn.Conv2d(2, 2, 3), False),
        (nn.Conv2d(2, 2, 3, padding=1), True),
        (nn.Conv2d(2, 2, 3, padding="same"), True),
        (nn.Conv2d(2, 2, 1, padding="same"), False),
        (nn.Conv2d(2, 2, 3, padding="valid"), False),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), False),
    ],
)
def test_is_zero_padded(layer, expected):
    assert is_zero_padded(layer) is expected
