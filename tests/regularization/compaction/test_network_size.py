from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pellucid._checks import UsageError
from pellucid.regularization.compaction.network_size import Latency, compare_latency, measure_size
from tests.regularization.pruned_networks import FunctionalCnn, images


def test_measure_size_reference_network_equals_counting_by_hand():
    size = measure_size(FunctionalCnn().eval(), images())
    convolutions = 28 * 28 * 8 * (3 * 25) + 12 * 12 * 16 * (8 * 9)
    assert size.multiplications == convolutions + 576 * 120 + 120 * 84 + 84 * 10
    assert size.parameters == size.nonzero_parameters == 82030


def test_measure_size_grouped_convolution_counts_one_group_a_filter():
    network = nn.Conv2d(4, 8, 3, groups=2)
    assert measure_size(network, torch.rand(1, 4, 5, 5)).multiplications == 9 * 8 * (2 * 9)


def test_measure_size_bytes_are_those_of_the_file(tmp_path):
    network = FunctionalCnn().eval()
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    size = measure_size(network, images())
    assert size.file_bytes == (tmp_path / "network.safetensors").stat().st_size


def test_measure_size_leaves_no_hook_behind():
    network = nn.Linear(3, 2)
    measure_size(network, torch.rand(1, 3))
    assert not network._forward_hooks


def test_compare_latency_gives_both_networks_the_batch_asked_for():
    seen: dict[str, list[int]] = {"before": [], "after": []}

    class Watching(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, batch):
            seen[self.name].append(len(batch))
            return batch

    compare_latency(
        Watching("before"), Watching("after"), torch.rand(3, 2), batch_size=7, repetitions=2
    )
    assert seen["before"] == seen["after"] == [7] * 5


def test_latency_ratio_above_one_is_faster():
    assert Latency(1, before_seconds=0.2, after_seconds=0.1, threads=1).ratio == 2


def test_compare_latency_no_repetitions_raises():
    with pytest.raises(UsageError, match="repetitions must be an integer >= 1, got 0"):
        compare_latency(nn.Identity(), nn.Identity(), images(), batch_size=1, repetitions=0)
