"""How large a network is and how long it takes: parameters, multiplications, bytes, seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from safetensors.torch import save
from torch import Tensor, nn

from pellucid._checks import check_integer

_WARM_UP = 3
# A large network is timed less often rather than for minutes.
_LONGEST_SECONDS = 5.0


@dataclass(frozen=True)
class NetworkSize:
    """What a network costs to keep and to apply.

    Attributes:
        parameters: Number of trainable and frozen parameters.
        nonzero_parameters: Those that are not 0.
        multiplications: Multiply-accumulate operations (MACs) of the convolutions and linear
            layers for one image; activations, pooling and normalization are not counted, nor are
            layers written as functions.
        file_bytes: Length of its safetensors file.
    """

    parameters: int
    nonzero_parameters: int
    multiplications: int
    file_bytes: int


@dataclass(frozen=True)
class Latency:
    """How long two networks take for the same batch, measured in turns in one process.

    Attributes:
        batch_size: Images in the batch.
        before_seconds: Of the first network, in the turn with the median ratio of all turns (on a
            busy machine, medians of each by itself may come from different moments).
        after_seconds: Of the second network, in the same turn.
        threads: PyTorch's threads at the time.
    """

    batch_size: int
    before_seconds: float
    after_seconds: float
    threads: int

    @property
    def ratio(self) -> float:
        """How many times as fast the second network is; > 1 is faster."""
        return self.before_seconds / self.after_seconds


def measure_size(network: nn.Module, example: Tensor) -> NetworkSize:
    """Count parameters, multiplications and bytes of a network.

    Args:
        network: In evaluation mode, so that one image is a batch.
        example: Input of the network, (batch, ...); the first image is used.
    """
    parameters = list(network.parameters())
    return NetworkSize(
        parameters=sum(p.numel() for p in parameters),
        nonzero_parameters=sum(int(p.count_nonzero()) for p in parameters),
        multiplications=_count_multiplications(network, example[:1]),
        # Copies, because safetensors refuses tensors that share memory.
        file_bytes=len(save({k: v.detach().clone() for k, v in network.state_dict().items()})),
    )


def _count_multiplications(network: nn.Module, example: Tensor) -> int:
    counts: list[int] = []

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        # Every output value is a sum over one filter's weights.
        counts.append(output.numel() * module.weight[0].numel())  # type: ignore[index,union-attr]

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts)


def compare_latency(
    before: nn.Module,
    after: nn.Module,
    example: Tensor,
    *,
    batch_size: int,
    repetitions: int = 30,
) -> Latency:
    """Time two networks in turns, so that a busy moment of the machine meets both.

    Args:
        before: In evaluation mode.
        after: In evaluation mode.
        example: Input of both, (batch, ...); repeated or cut to `batch_size`.
        batch_size: Images at once.
        repetitions: Turns, >= 1; in each, both networks run once, in changing order. After 5
            seconds the turns so far are enough.

    Raises:
        UsageError: `batch_size` or `repetitions` is out of range.
    """
    check_integer("batch_size", batch_size, low=1)
    check_integer("repetitions", repetitions, low=1)
    copies = -(-batch_size // len(example))
    batch = example.repeat(copies, *(1 for _ in example.shape[1:]))[:batch_size].contiguous()
    turns: list[tuple[float, float]] = []
    with torch.inference_mode():
        for turn in range(_WARM_UP + repetitions):
            if turn % 2:
                first, second = _time(before, batch), _time(after, batch)
            else:
                second, first = _time(after, batch), _time(before, batch)
            turns.append((first, second))
            spent = sum(first + second for first, second in turns)
            if spent > _LONGEST_SECONDS and turn:
                break
    warm = turns[min(_WARM_UP, len(turns) - 1) :]
    measured = sorted(warm, key=lambda pair: pair[0] / pair[1])
    first, second = measured[len(measured) // 2]
    return Latency(batch_size, first, second, torch.get_num_threads())


def _time(network: nn.Module, batch: Tensor) -> float:
    _wait(batch.device)
    start = time.perf_counter()
    network(batch)
    _wait(batch.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
