from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid.regularization.stacking.stack_layout import CannotStack, Pass
from pellucid.regularization.stacking.stacked_network import (
    SingleNetwork,
    StackedNetwork,
    count_activations,
)
from pellucid.regularization.stacking.stacked_weights import StackedWeights
from tests.regularization.small_studies import ResidualNet, ScaledNet

SIDE = 8


class Branches(nn.Module):
    """A concatenation, a channel scaling and pools of all kinds."""

    def __init__(self):
        super().__init__()
        self.left = nn.Conv2d(3, 4, 3, padding="same")
        self.right = nn.Conv2d(3, 2, 1, bias=False)
        self.gate = nn.Conv2d(6, 6, 1)
        self.norm = nn.GroupNorm(2, 6)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.last = nn.Linear(6 * 4, 5, bias=False)

    def forward(self, x):
        x = F.leaky_relu(torch.cat([self.left(x), self.right(x)], 1), 0.2)
        x = x * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        x = self.pool(self.relu(self.norm(x)))
        x = F.avg_pool2d(2 * x - 0.5, 2)
        return self.last(x.reshape(x.shape[0], -1))


class LateParameters(nn.Module):
    """The images themselves are pooled, flattened and added up before any parameter."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3 * 16, 6)
        self.norm = nn.BatchNorm1d(6, affine=False)
        self.last = nn.Linear(9, 4)

    def forward(self, x):
        small = F.max_pool2d(torch.relu(x), 2)
        hidden = F.elu(self.norm(self.first((small + small).flatten(1))))
        return self.last(torch.cat((hidden, small.mean(dim=(2, 3))), dim=-1))


def stack(factory, seeds, **options):
    networks = []
    for number in range(len(seeds)):
        torch.manual_seed(number)
        networks.append(factory().double())
    weights = StackedWeights(
        networks, dtype=torch.float64, compute_dtype=torch.float64, device=torch.device("cpu")
    )
    stacked = StackedNetwork(networks[0], image_size=(SIDE, SIDE), seeds=seeds, **options)
    return networks, weights, stacked


def pictures(sets, batch=5):
    source = torch.Generator().manual_seed(0)
    return torch.randn(sets, batch, 3, SIDE, SIDE, generator=source, dtype=torch.float64)


@pytest.mark.parametrize("seeds", [(0,), (0, 0, 0), (0, 0, 1, 1), (0, 1, 1), (0, 1, 2)])
@pytest.mark.parametrize(
    "factory", [Branches, LateParameters, lambda: ResidualNet(4, (SIDE, SIDE))]
)
def test_stacked_network_answers_as_the_networks_do(factory, seeds):
    networks, weights, stacked = stack(factory, seeds)
    images = pictures(len(set(seeds)))
    side_by_side = images.transpose(0, 1).flatten(1, 2)
    state = Pass(weights.leaves(), weights.buffers)
    for training in (True, False):
        answers = stacked(side_by_side, len(images), state, training=training)
        for number, network in enumerate(networks):
            expected = network.train(training)(images[seeds[number]])
            torch.testing.assert_close(answers[number], expected, rtol=0, atol=1e-13)
    # Running statistics moved as each network's own.
    for number, network in enumerate(networks):
        for name, value in network.named_buffers():
            torch.testing.assert_close(weights.buffers[name][number], value, rtol=0, atol=1e-13)


def test_stacked_network_in_evaluation_shares_one_set_of_images():
    networks, weights, stacked = stack(Branches, (0, 0, 1))
    images = pictures(1)[0]
    answers = stacked(images, 1, Pass(weights.leaves(), weights.buffers), training=False)
    for answer, network in zip(answers, networks, strict=True):
        torch.testing.assert_close(answer, network.eval()(images), rtol=0, atol=1e-13)


class Dropping(nn.Module):
    """Drops activations in both layouts, and keeps the rest as it is."""

    def __init__(self, share=0.5):
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1)
        self.drop = nn.Dropout(share)
        self.last = nn.Linear(2 * SIDE * SIDE, 4)

    def forward(self, x):
        x = F.dropout(self.drop(self.first(x)), 0.5, self.training)
        return self.last(torch.flatten(x, 1))


def test_stacked_dropout_is_the_same_for_arms_of_a_seed():
    _, weights, stacked = stack(Dropping, (0, 0, 1))
    with torch.no_grad():
        for value in weights.parameters.values():
            value.copy_(value[:1].expand_as(value))
    source = torch.Generator().manual_seed(0)

    def draw(shape, share):
        return (torch.rand((2, *shape), generator=source) >= share).double() / (1 - share)

    images = pictures(1)[0].repeat(1, 2, 1, 1)
    first, second, other = stacked(
        images, 2, Pass(weights.leaves(), weights.buffers, draw), training=True
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_stacked_dropout_in_evaluation_is_off():
    networks, weights, stacked = stack(Dropping, (0, 0), dropout=0.5)
    images = pictures(1)[0]
    answers = stacked(images, 1, Pass(weights.leaves(), weights.buffers), training=False)
    torch.testing.assert_close(answers[1], networks[1].eval()(images), rtol=0, atol=1e-13)


def test_single_network_answers_as_the_network():
    torch.manual_seed(0)
    network = ScaledNet(4, (SIDE, SIDE))
    weights = StackedWeights(
        [network], dtype=torch.float32, compute_dtype=torch.float32, device=torch.device("cpu")
    )
    images = pictures(1)[0].float()
    state = Pass(weights.leaves(), weights.buffers)
    answers = SingleNetwork(network)(images, 1, state, training=True)
    assert torch.equal(answers[0], network(images))
    assert torch.equal(weights.buffers["norm.running_mean"][0], network.norm.running_mean)


class Strange(nn.Module):
    def __init__(self, layer=None, function=None):
        super().__init__()
        self.layer = layer or nn.Identity()
        self.function = function or (lambda x: x)
        self.last = nn.LazyLinear(3)

    def forward(self, x):
        return self.last(torch.flatten(self.function(self.layer(x)), 1))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Strange(nn.ConvTranspose2d(3, 4, 3)), "layer: ConvTranspose2d layers are not known"),
        (Strange(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), "layer: padding_mode="),
        (Strange(function=lambda x: torch.fft.fft(x).real), "fft_fft: fft_fft is not known"),
        (Strange(function=lambda x: x.view(-1, 6, 4, 8)), r"view: only \(batch, everything else"),
        (Strange(function=lambda x: x.mean(1, keepdim=True)), "mean: a mean must be over height"),
        (Strange(function=lambda x: x * x.shape[2]), "computes with a size"),
        (Strange(function=lambda x: x if x.sum() > 0 else -x), "forward cannot be traced"),
        (ScaledNet(4, (SIDE, SIDE)), "scale: a parameter is used outside of a layer"),
    ],
)
def test_stacked_network_of_unknown_operations_names_the_node(network, reason):
    network(torch.zeros(2, 3, SIDE, SIDE))
    with pytest.raises(CannotStack, match=reason):
        StackedNetwork(network, image_size=(SIDE, SIDE), seeds=(0, 0))


def test_count_activations_counts_one_image():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * SIDE * SIDE, 4))
    expected = 3 * SIDE * SIDE + 2 * SIDE * SIDE + 2 * SIDE * SIDE + 4
    assert count_activations(network, (SIDE, SIDE)) in (expected, expected + 4)
