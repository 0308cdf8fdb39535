from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pellucid.regularization.small_networks import SmallMlp
from pellucid.regularization.stacking.answer_check import check_answers
from pellucid.regularization.stacking.stack_layout import CannotStack
from pellucid.regularization.stacking.stacked_network import StackedNetwork
from tests.regularization.small_studies import ResidualNet

SIDE = 9
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def made(factory, count=3):
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        networks.append(factory(4, (SIDE, SIDE)))
    return networks


def check(networks, seeds=(0, 0, 1), dtype=torch.float32):
    stacked = StackedNetwork(networks[0], image_size=(SIDE, SIDE), seeds=seeds)
    check_answers(
        stacked,
        networks,
        image_size=(SIDE, SIDE),
        compute_dtype=dtype,
        device=torch.device("cpu"),
    )


class Dropping(SmallMlp):
    def forward(self, images):
        return nn.functional.dropout(super().forward(images), 0.5, self.training)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factory", [SmallMlp, ResidualNet, Dropping])
def test_check_answers_accepts_networks_and_leaves_all_as_it_was(factory, dtype):
    networks = made(factory)
    before = [copy.deepcopy(network.state_dict()) for network in networks]
    random = torch.get_rng_state()
    check(networks, dtype=dtype)
    assert torch.equal(random, torch.get_rng_state())
    for network, expected in zip(networks, before, strict=True):
        assert network.training
        for name, value in network.state_dict().items():
            assert torch.equal(value, expected[name])


class Hooked(SmallMlp):
    """A hook of a layer is not traced."""

    def __init__(self, classes, image_size):
        super().__init__(classes, image_size)
        self.fc2.register_forward_hook(lambda module, inputs, output: 2 * output)


class HookedInEvaluation(SmallMlp):
    def __init__(self, classes, image_size):
        super().__init__(classes, image_size)
        self.fc2.register_forward_hook(
            lambda module, inputs, output: output if module.training else 2 * output
        )


class HookedBehindZeros(Hooked):
    def __init__(self, classes, image_size):
        super().__init__(classes, image_size)
        nn.init.zeros_(self.fc3.weight)


class Counting(SmallMlp):
    """Counts its calls where tracing does not see it."""

    def __init__(self, classes, image_size):
        super().__init__(classes, image_size)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return super().forward(images)


@pytest.mark.parametrize(
    ("factory", "where"),
    [
        (Hooked, "in training mode"),
        (HookedInEvaluation, "in evaluation mode"),
        (HookedBehindZeros, "in training mode"),
        (Counting, "in calls"),
    ],
)
def test_check_answers_of_another_function_raises(factory, where):
    with pytest.raises(CannotStack, match=rf"does not answer as by itself {where}"):
        check(made(factory))


def test_check_answers_of_a_network_that_fails_names_the_error():
    networks = made(SmallMlp)

    def fail(module, inputs):
        raise ValueError("no such thing")

    networks[1].fc1.register_forward_pre_hook(fail)
    with pytest.raises(CannotStack, match=r"cannot be compared with its stack \(no such thing\)"):
        check(networks)
