from __future__ import annotations

import copy
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pellucid._checks import DataError, UsageError
from pellucid.regularization.compaction.compact import compact, load_compacted
from pellucid.regularization.compaction.unit_removal import CannotCompact
from tests.regularization.pruned_networks import (
    FunctionalCnn,
    Residual,
    images,
    kill,
    pruned_cnn,
)


def units_after(compacted) -> dict[str, int]:
    return {layer.name: layer.units_after for layer in compacted.row.layers}


def assert_same_answers(network: nn.Module, smaller: nn.Module, size: int = 32) -> None:
    fresh = images(7, size=size, seed=5)
    with torch.no_grad():
        expected = network.eval()(fresh)
        torch.testing.assert_close(smaller(fresh), expected, rtol=0, atol=1e-5)


def test_compact_pruned_cnn_removes_every_dead_unit():
    network = pruned_cnn()
    compacted = compact(network, images(), repetitions=0)
    assert units_after(compacted) == {"conv1": 6, "conv2": 8, "fc1": 20, "fc2": 82, "fc3": 10}
    assert compacted.row.removed_units == 2 + 8 + 100 + 2
    assert_same_answers(network, compacted.network)


def test_compact_leaves_the_given_network_as_it_was():
    network = pruned_cnn().train()
    before = copy.deepcopy(network.state_dict())
    compact(network, images(), repetitions=0)
    assert network.training
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_compact_nothing_dead_changes_nothing():
    torch.manual_seed(0)
    compacted = compact(FunctionalCnn(), images(), repetitions=0)
    assert compacted.row.removed_units == 0
    assert compacted.row.before == compacted.row.after
    assert compacted.row.largest_difference == 0


def test_compact_unread_units_are_removed_backward_through_the_network():
    network = pruned_cnn()
    with torch.no_grad():
        network.fc3.weight[:, 5:] = 0
        network.fc2.weight[:, 2:] = 0
    kept = units_after(compact(network, images(), repetitions=0))
    assert (kept["fc1"], kept["fc2"]) == (2, 3)  # fc2: 0..4 without the dead 0 and 3


def test_compact_all_dead_keeps_one_unit_a_layer_and_the_answers():
    network = kill(pruned_cnn(), {"conv2": range(16)})
    compacted = compact(network, images(), repetitions=0)
    assert units_after(compacted) == {"conv1": 1, "conv2": 1, "fc1": 1, "fc2": 1, "fc3": 10}
    assert_same_answers(network, compacted.network)


def test_compact_constant_read_with_zero_padding_stays_and_is_counted():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3, padding=1), nn.Flatten())
    kill(network, {"0": [0, 1]})
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([0.5, 0, 1, 1]))
    compacted = compact(network, images(size=8), repetitions=0)
    first = compacted.row.layers[0]
    assert (first.units_after, first.constant_kept) == (3, 1)
    assert_same_answers(network, compacted.network, size=8)


def test_compact_constants_read_with_zero_padding_are_merged_into_one():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 3, padding=1), nn.Flatten())
    kill(network, {"0": [0, 1, 3]})
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([0.5, -0.25, 1, 3, 1]))
    compacted = compact(network, images(size=8), repetitions=0)
    first = compacted.row.layers[0]
    assert (first.units_after, first.constant_kept) == (3, 1)
    assert_same_answers(network, compacted.network, size=8)


def test_compact_reader_without_bias_gets_one():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.Linear(4, 2, bias=False))
    kill(network, {"1": [2]})
    compacted = compact(network, images(size=4), repetitions=0)
    assert compacted.network.state_dict()["2.bias"].shape == (2,)
    assert_same_answers(network, compacted.network, size=4)


def test_compact_residual_block_leaves_channels_that_are_added():
    torch.manual_seed(0)
    network = Residual()
    kill(network, {"stem": [0], "inner": [0, 1], "outer": [2]})
    compacted = compact(network, images(size=8), repetitions=0)
    left = {layer.name: layer.left_alone for layer in compacted.row.layers}
    assert units_after(compacted) == {"stem": 4, "inner": 4, "outer": 4, "head": 5}
    assert left == {
        "stem": "its units go into add",
        "inner": "",
        "outer": "its units go into add",
        "head": "its units are the network's output",
    }
    assert_same_answers(network, compacted.network, size=8)


def test_compact_depthwise_and_prelu_shrink_with_the_layer_before():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6), nn.PReLU(6), nn.Conv2d(6, 2, 1)
    )
    kill(network, {"0": [0, 1], "1": [5]})
    compacted = compact(nn.Sequential(network, nn.Flatten()), images(size=5), repetitions=0)
    depthwise, slopes = (
        compacted.network.get_submodule("0.1"),
        compacted.network.get_submodule("0.2"),
    )
    assert (depthwise.groups, depthwise.in_channels, slopes.num_parameters) == (3, 3, 3)
    assert_same_answers(nn.Sequential(network, nn.Flatten()), compacted.network, size=5)


def test_compact_timm_normalization_with_activation_is_followed():
    from timm.layers import BatchNormAct2d

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), BatchNormAct2d(6), nn.Conv2d(6, 2, 3), nn.Flatten())
    nn.init.normal_(network[1].bias)
    compacted = compact(kill(network, {"0": [1, 4]}), images(size=6), repetitions=0)
    assert units_after(compacted) == {"0": 4, "2": 2}
    assert_same_answers(network, compacted.network, size=6)


def test_compact_depthwise_with_one_channel_left_answers_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1), nn.Flatten()
    )
    compacted = compact(kill(network, {"0": [0, 1, 3]}), images(size=5), repetitions=0)
    assert units_after(compacted) == {"0": 1, "2": 2}
    assert_same_answers(network, compacted.network, size=5)


def test_compact_tolerance_drops_units_of_small_weights():
    network = pruned_cnn()
    with torch.no_grad():
        network.fc1.weight[7] *= 1e-9
        network.fc1.bias[7] = 1e-9
    exact = units_after(compact(network, images(), repetitions=0))
    compacted = compact(network, images(), tolerance=1e-7, repetitions=0)
    assert (exact["fc1"], units_after(compacted)["fc1"]) == (20, 19)
    assert compacted.row.tolerance == 1e-7
    assert compacted.row.largest_difference <= 1e-5


def test_compact_too_large_a_tolerance_falls_back_to_what_agrees():
    compacted = compact(pruned_cnn(), images(), tolerance=1e3, repetitions=0)
    assert compacted.row.tolerance == 0
    assert units_after(compacted)["fc1"] == 20


def test_compact_units_read_after_an_operation_in_place_are_left_alone():
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, columns):
            hidden = self.first(columns)
            return self.second(hidden.relu_()) + self.second.bias * hidden.mean()

    torch.manual_seed(0)
    network = kill(Overwriting(), {"first": [0]})
    row = compact(network, torch.rand(4, 3), repetitions=0).row
    assert row.removed_units == 0


def test_compact_shared_layer_is_left_alone():
    torch.manual_seed(0)
    shared = nn.Linear(4, 4)
    network = nn.Sequential(nn.Linear(3, 4), shared, nn.ReLU(), shared, nn.Linear(4, 2))
    kill(network, {"0": [0], "1": [1]})
    row = compact(network, torch.rand(4, 3), repetitions=0).row
    assert row.removed_units == 0
    assert row.layers[1].left_alone == "it shares or computes its weights, or has hooks"


def test_compact_row_measures_sizes_and_becomes_json():
    row = compact(pruned_cnn(), images(), name="group", repetitions=1).row
    assert (row.before.parameters, row.after.parameters) == (82030, 9228)
    assert row.after.nonzero_parameters == row.after.parameters
    assert row.after.file_bytes < row.before.file_bytes
    assert [latency.batch_size for latency in row.latencies] == [1, 64]
    assert asdict(row)["layers"][0]["name"] == "conv1"


def test_compact_network_that_branches_on_values_raises():
    class Branching(nn.Module):
        def forward(self, columns):
            return columns if columns.sum() > 0 else -columns

    with pytest.raises(CannotCompact, match=r"network must be traceable by torch\.fx, got"):
        compact(Branching(), torch.rand(2, 3))


def test_compact_diverged_network_raises():
    network = pruned_cnn()
    with torch.no_grad():
        network.fc1.bias[0] = torch.nan
    with pytest.raises(CannotCompact, match="one tensor of finite logits"):
        compact(network, images())


def test_compact_random_network_raises():
    class Noisy(nn.Module):
        def forward(self, columns):
            return columns + torch.rand_like(columns)

    torch.manual_seed(0)
    with pytest.raises(CannotCompact, match="random in evaluation mode"):
        compact(Noisy(), torch.rand(2, 3))


def test_compact_negative_tolerance_raises():
    with pytest.raises(UsageError, match=r"tolerance must be a number in \[0, inf\), got -1"):
        compact(pruned_cnn(), images(), tolerance=-1)


def test_load_compacted_saved_weights_answer_the_same(tmp_path):
    network = pruned_cnn()
    save_file(
        compact(network, images(), repetitions=0).network.state_dict(),
        tmp_path / "small.safetensors",
    )
    loaded = load_compacted(FunctionalCnn(), load_file(tmp_path / "small.safetensors"), images())
    assert loaded.fc1.in_features == 8 * 36
    assert_same_answers(network, loaded)


def test_load_compacted_bias_that_folding_made_is_loaded():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.Linear(4, 2, bias=False))
    smaller = compact(kill(network, {"1": [2]}), images(size=4), repetitions=0).network
    loaded = load_compacted(network, smaller.state_dict(), images(size=4))
    assert_same_answers(network, loaded, size=4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "got no conv1.weight"),
        ({"conv1.weight": torch.zeros(3)}, "got another shape of conv1.weight"),
        ({**FunctionalCnn().state_dict(), "extra": torch.zeros(1)}, "got also extra"),
    ],
)
def test_load_compacted_weights_of_another_network_raise(weights, message):
    with pytest.raises(DataError, match=message):
        load_compacted(FunctionalCnn(), weights, images())
