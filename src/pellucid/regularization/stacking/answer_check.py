"""Whether networks in a stack answer as they do by themselves: a few images through both."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pellucid.regularization.stacking.stack_layout import CannotStack, Pass
from pellucid.regularization.stacking.stacked_network import StackedNetwork

_IMAGES = 2
_EXACT = 1e-7
# As shares of the largest logit. In float64 rounding is far below what another function does, even
# where batch normalization of two images enlarges it; in the stack's own dtype it may not be, so
# that there only gross errors count.
_TOLERANCES = {torch.float64: _EXACT, torch.float32: 0.02, torch.bfloat16: 0.2}


@torch.no_grad()
def check_answers(
    stacked: StackedNetwork,
    networks: Sequence[nn.Module],
    *,
    image_size: tuple[int, int],
    compute_dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Compare a stack with the networks themselves on a few random images.

    In float64 on the CPU: logits in evaluation mode, and, unless the networks draw random numbers
    as for dropout, logits and buffers of the first and last in training mode. In the stack's dtype
    on its device: logits in evaluation mode. Networks and random streams are left as they were.

    Args:
        stacked: What answers for all of them.
        networks: On the CPU.
        image_size: Height and width in pixels.
        compute_dtype: Of the stack's forward pass.
        device: Where the stack will be.

    Raises:
        CannotStack: the answers differ, or there are none.
    """
    name = type(networks[0]).__name__
    source = torch.Generator().manual_seed(0)
    parameters = _stack([dict(network.named_parameters()) for network in networks])
    buffers = _stack([dict(network.named_buffers()) for network in networks])
    _make_visible(parameters, source)
    sets = max(stacked.seeds) + 1
    images = torch.randn(sets, _IMAGES, 3, *image_size, generator=source, dtype=torch.float64)
    try:
        with torch.random.fork_rng(devices=[]):
            expected = _compare(name, stacked, networks, parameters, buffers, images)
        if (compute_dtype, device) == (torch.float64, torch.device("cpu")):
            return
        held = torch.float64 if compute_dtype == torch.float64 else torch.float32
        state = Pass(_move(parameters, device, compute_dtype), _move(buffers, device, held))
        inputs = _side_by_side(images).to(device, compute_dtype)
        found = stacked(inputs, sets, state, training=False).cpu()
        _check(name, found, expected, _TOLERANCES[compute_dtype], f"in {compute_dtype}")
    except CannotStack:
        raise
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CannotStack(name, f"it cannot be compared with its stack ({text})") from error


def _stack(networks: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    stacked = {}
    for name, pattern in networks[0].items():
        dtype = torch.float64 if pattern.is_floating_point() else pattern.dtype
        stacked[name] = torch.empty(len(networks), *pattern.shape, dtype=dtype)
        for row, values in zip(stacked[name], networks, strict=True):
            row.copy_(values[name])
    return stacked


def _move(
    tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    return {
        name: value.to(device, dtype if value.is_floating_point() else None)
        for name, value in tensors.items()
    }


def _make_visible(parameters: Mapping[str, Tensor], source: torch.Generator) -> None:
    """Add noise to constant parameters: behind a scale of 0 every function is the same."""
    for stack in parameters.values():
        for value in stack if stack.numel() else ():
            first, last = value.flatten()[[0, -1]]
            if first == last and (value == first).all():
                noise = torch.randn(value.shape, generator=source, dtype=value.dtype)
                value.add_(noise, alpha=0.1)


def _side_by_side(images: Tensor) -> Tensor:
    return images.transpose(0, 1).flatten(1, 2)


def _compare(
    name: str,
    stacked: StackedNetwork,
    networks: Sequence[nn.Module],
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    images: Tensor,
) -> Tensor:
    """Return the networks' own logits in evaluation mode, shape (networks, images, classes)."""
    moved = {key: value.clone() for key, value in buffers.items()}
    state = Pass(parameters, moved)
    answers = {
        training: stacked(_side_by_side(images), len(images), state, training=training)
        for training in (False, True)
    }
    expected = []
    for number, seed in enumerate(stacked.seeds):
        # A copy that shares the parameters: it is what a network does that is wanted of it.
        shared = {id(value): value for value in networks[number].parameters()}
        network = copy.deepcopy(networks[number], shared)
        own = {key: value[number].clone() for key, value in buffers.items()}
        tensors = {**{key: value[number] for key, value in parameters.items()}, **own}

        def answer(
            network: nn.Module = network, tensors: dict[str, Tensor] = tensors, seed: int = seed
        ) -> Tensor:
            return torch.func.functional_call(network, tensors, (images[seed].clone(),))

        network.eval()
        expected.append(answer())
        if 0 < number < len(networks) - 1:
            continue  # in training mode the ends stand for all: it takes as long again
        network.train()
        random = torch.get_rng_state()
        in_training = answer()
        if not torch.equal(random, torch.get_rng_state()):
            continue  # its own dropout, which the stack's pass above went without
        _check(name, answers[True][number], in_training, _EXACT, "in training mode")
        for key, value in own.items():
            _check(name, moved[key][number], value, _EXACT, f"in {key}", least=1.0)
    _check(name, answers[False], torch.stack(expected), _EXACT, "in evaluation mode")
    return torch.stack(expected)


def _check(
    name: str,
    found: Tensor,
    expected: Tensor,
    tolerance: float,
    where: str,
    *,
    least: float = 0.0,
) -> None:
    """Refuse differences above a share of the largest number expected, or of `least`."""
    found, expected = found.double(), expected.double()
    finite = expected[expected.isfinite()].abs()
    size = max(least, finite.max().item() if finite.numel() else 0.0)
    is_same = found.shape == expected.shape and torch.allclose(
        found, expected, rtol=0, atol=tolerance * size, equal_nan=True
    )
    if not is_same:
        raise CannotStack(name, f"stacked, it does not answer as by itself {where}")
