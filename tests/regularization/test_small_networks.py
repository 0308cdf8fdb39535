from __future__ import annotations

import pytest
import torch
from torch import nn

from pellucid._checks import UsageError
from pellucid.regularization.small_networks import SmallCnn, SmallMlp, create_network


def make(network, seed=0, image_size=(32, 32)):
    return create_network(network, classes=10, image_size=image_size, seed=seed)


def test_small_cnn_has_the_layers_of_the_protocol():
    shapes = {name: tuple(value.shape) for name, value in SmallCnn(10, (32, 32)).named_parameters()}
    assert shapes == {
        "conv1.weight": (8, 3, 5, 5),
        "conv1.bias": (8,),
        "conv2.weight": (16, 8, 3, 3),
        "conv2.bias": (16,),
        "fc1.weight": (120, 576),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    }


def test_small_cnn_on_a_rectangle_answers():
    assert SmallCnn(3, (20, 29))(torch.zeros(2, 3, 20, 29)).shape == (2, 3)


def test_small_cnn_on_small_images_says_what_to_do():
    with pytest.raises(
        UsageError, match=r"at least 12x12 px .* \(8, 8\)\. Use network='small_mlp'"
    ):
        SmallCnn(10, (8, 8))


def test_small_mlp_answers():
    assert SmallMlp(4, (8, 8))(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


def test_create_network_same_seed_starts_the_same():
    for left, right in zip(
        make("small_cnn").parameters(), make("small_cnn").parameters(), strict=True
    ):
        assert torch.equal(left, right)


def test_create_network_other_seed_starts_elsewhere():
    assert not torch.equal(make("small_cnn").fc3.bias, make("small_cnn", seed=1).fc3.bias)


def test_create_network_leaves_the_global_random_state():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    make("small_mlp")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_create_network_builds_timm_models():
    network = make("test_convnext", image_size=(64, 64))
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_create_network_unknown_name_suggests():
    with pytest.raises(UsageError, match=r"got 'smal_cnn'\. Did you mean 'small_cnn'\?"):
        make("smal_cnn")


def test_create_network_calls_a_factory():
    network = make(lambda classes, image_size: nn.Linear(image_size[0], classes))
    assert (network.in_features, network.out_features) == (32, 10)


def test_create_network_factory_of_something_else_raises():
    with pytest.raises(UsageError, match=r"must give an nn\.Module, got int"):
        make(lambda classes, image_size: 3)
