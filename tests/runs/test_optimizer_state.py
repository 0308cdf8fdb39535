from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from pellucid import DataError, UsageError
from pellucid.runs import Run, flatten_optimizer, unflatten_optimizer


def make_optimizer(kind: str, model: nn.Sequential) -> torch.optim.Optimizer:
    groups = [
        {"params": model[0].parameters(), "lr": 0.1 + 0.2},
        {"params": model[2].parameters(), "lr": 1e-3 / 3, "weight_decay": 0.01},
    ]
    match kind:
        case "adam":
            return torch.optim.Adam(groups, betas=(0.9, 0.987654321), amsgrad=True)
        case "adamw":
            return torch.optim.AdamW(groups)
        case "adamw-tensor-lr":
            return torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-3 / 7))
        case "sgd":
            return torch.optim.SGD(groups)
        case _:
            return torch.optim.SGD(groups, momentum=0.9, nesterov=True)


KINDS = ["adam", "adamw", "adamw-tensor-lr", "sgd", "sgd-momentum"]


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        loss = model(torch.randn(8, 5, generator=generator)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def assert_same(left: object, right: object) -> None:
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert set(left) == set(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [0, 3])
def test_flatten_optimizer_round_trip_is_exact(kind, steps):
    model = make_model()
    optimizer = make_optimizer(kind, model)
    train(model, optimizer, range(steps))
    tensors, state = flatten_optimizer(optimizer.state_dict())
    restored = unflatten_optimizer(tensors, json.loads(json.dumps(state)))
    assert_same(restored, optimizer.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_flatten_optimizer_resumed_through_a_checkpoint_equals_uninterrupted(kind, tmp_path):
    straight = make_model()
    train(straight, make_optimizer(kind, straight), range(6))

    model = make_model()
    optimizer = make_optimizer(kind, model)
    train(model, optimizer, range(3))
    run = Run.create(tmp_path / "run", command="fit", config={})
    tensors, state = flatten_optimizer(optimizer.state_dict())
    run.save_checkpoint("last", {**model.state_dict(), **tensors}, {"optimizer": state})

    loaded, loaded_state = Run.open(run.path).load_checkpoint("last")
    resumed = make_model()
    resumed_optimizer = make_optimizer(kind, resumed)
    resumed.load_state_dict({name: loaded[name] for name in resumed.state_dict()})
    resumed_optimizer.load_state_dict(unflatten_optimizer(loaded, loaded_state["optimizer"]))
    train(resumed, resumed_optimizer, range(3, 6))
    for name, tensor in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_flatten_optimizer_frozen_parameters_round_trip():
    model = make_model()
    model[0].requires_grad_(False)
    optimizer = make_optimizer("adam", model)
    train(model, optimizer, range(2))
    tensors, state = flatten_optimizer(optimizer.state_dict())
    assert_same(unflatten_optimizer(tensors, state), optimizer.state_dict())


def test_flatten_optimizer_names_tensors_by_parameter_and_key():
    model = make_model()
    optimizer = make_optimizer("adamw", model)
    train(model, optimizer, range(1))
    tensors, _ = flatten_optimizer(optimizer.state_dict(), prefix="o")
    assert {"o.0.exp_avg", "o.3.step"} <= tensors.keys()


def test_unflatten_optimizer_missing_tensor_raises_naming_it():
    model = make_model()
    optimizer = make_optimizer("adam", model)
    train(model, optimizer, range(1))
    tensors, state = flatten_optimizer(optimizer.state_dict())
    del tensors["optimizer.1.exp_avg"]
    with pytest.raises(DataError, match=r"lacks the optimizer tensor optimizer.1.exp_avg"):
        unflatten_optimizer(tensors, state)


def test_flatten_optimizer_unsupported_state_raises():
    state_dict = {"state": {}, "param_groups": [{"params": [0], "hook": {"a": 1}}]}
    with pytest.raises(UsageError, match="hook of the optimizer must be a tensor, number"):
        flatten_optimizer(state_dict)
