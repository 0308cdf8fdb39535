from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid.regularization.stacking.in_place_operations import make_out_of_place, trace
from pellucid.regularization.stacking.stack_layout import CannotStack, Pass
from pellucid.regularization.stacking.stacked_network import SingleNetwork, StackedNetwork
from pellucid.regularization.stacking.stacked_weights import StackedWeights

SIDE = 6


class Around(nn.Module):
    """A function of a convolution's result, between that and a linear layer."""

    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.keep = nn.Identity()
        self.pool = nn.MaxPool2d(2)
        self.function = function
        self.last = nn.LazyLinear(4)

    def forward(self, x):
        return self.last(torch.flatten(self.function(self, self.conv(x)), 1))


def around(function, seed=0):
    torch.manual_seed(seed)
    network = Around(function)
    network(torch.zeros(1, 3, SIDE, SIDE))
    return network


def add_to_itself(net, x):
    y = x
    y += 1
    return x + y


def scale_itself(net, x):
    y = x
    y *= 2
    return F.avg_pool2d(x, 2)


def unused_result(net, x):
    x.add_(1)
    return x


def by_view(net, x):
    flat = x.view(x.size(0), -1)
    net.relu(x)
    return flat


def of_view(net, x):
    return F.relu_(torch.flatten(x, 1)) + x.reshape(x.size(0), -1)


def by_two_names(net, x):
    first, second = net.keep(x), x.contiguous()
    return net.relu(first) + second


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: net.relu(x) + x,
        lambda net, x: x + 2 * net.relu(x),
        lambda net, x: net.pool(net.relu(x)) + net.pool(x),
        lambda net, x: F.relu_(x) + x,
        lambda net, x: F.relu(x, inplace=True) + x,
        lambda net, x: F.leaky_relu(x, 0.1, True) + x,
        lambda net, x: x.mul_(2) + x,
        lambda net, x: operator.iadd(x, 1) * x,
        lambda net, x: torch.cat([net.relu(x), x], 1),
        lambda net, x: net.relu(net.drop(x)) + x,
        lambda net, x: net.relu(F.dropout(x, 0.5, net.training)) + x,
        add_to_itself,
        scale_itself,
        unused_result,
        by_view,
        of_view,
        by_two_names,
    ],
)
def test_stacked_network_of_what_is_changed_and_used_again_raises(function):
    with pytest.raises(CannotStack, match=r"changes in place what .* may use afterwards"):
        StackedNetwork(around(function), image_size=(SIDE, SIDE), seeds=(0, 0))


def rename(net, x):
    x += 0.5
    x *= 2
    x -= 1
    x /= 3
    return x


def residual(net, x):
    before = x
    x = net.conv(x)
    x += before
    return net.relu(x)


def number_of_rows(net, x):
    rows = x.size(0)
    rows *= 1
    return net.relu(x).view(rows, -1)


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: net.relu(x),
        lambda net, x: net.pool(net.relu(x)),
        lambda net, x: F.relu_(x),
        lambda net, x: F.leaky_relu_(x, 0.1),
        lambda net, x: F.elu(x, 1.0, True),
        lambda net, x: x.tanh().mul_(2).add_(x),
        lambda net, x: net.pool(x) + net.pool(net.relu(x)),  # used again, but before
        rename,
        residual,
        number_of_rows,
    ],
)
def test_stacked_network_of_what_is_changed_only_answers_as_the_networks_do(function):
    networks = [around(function, seed).double() for seed in range(3)]
    weights = StackedWeights(
        networks, dtype=torch.float64, compute_dtype=torch.float64, device=torch.device("cpu")
    )
    stacked = StackedNetwork(networks[0], image_size=(SIDE, SIDE), seeds=(0, 0, 0))
    images = torch.randn(5, 3, SIDE, SIDE, dtype=torch.float64)
    before = images.clone()
    answers = stacked(images, 1, Pass(weights.leaves(), weights.buffers), training=False)
    for answer, network in zip(answers, networks, strict=True):
        torch.testing.assert_close(answer, network.eval()(images.clone()), rtol=0, atol=1e-13)
    assert torch.equal(images, before)


class ChangesImages(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3 * SIDE * SIDE, 4)

    def forward(self, x):
        return self.last(torch.flatten(F.relu(x, True), 1))


@pytest.mark.parametrize("is_stacked", [True, False])
def test_networks_that_change_their_input_leave_the_images_alone(is_stacked):
    network = ChangesImages()
    weights = StackedWeights(
        [network], dtype=torch.float32, compute_dtype=torch.float32, device=torch.device("cpu")
    )
    images = torch.randn(2, 3, SIDE, SIDE)
    before = images.clone()
    answering = (
        StackedNetwork(network, image_size=(SIDE, SIDE), seeds=(0,))
        if is_stacked
        else SingleNetwork(network)
    )
    answering(images, 1, Pass(weights.leaves(), weights.buffers), training=False)
    assert torch.equal(images, before)


def test_make_out_of_place_refuses_a_result_written_elsewhere():
    network = around(lambda net, x: torch.cat([x, x], 1))
    network.function = lambda net, x: torch.cat([x, x], 1, out=x.abs())
    traced = trace(network)
    with pytest.raises(CannotStack, match="writes its result into another value"):
        make_out_of_place(traced)
