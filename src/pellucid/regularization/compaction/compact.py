"""Removing for good what a penalty has switched off: the same answers from a smaller network."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from pellucid._checks import DataError, check_integer, check_number
from pellucid.regularization.compaction.network_size import (
    Latency,
    NetworkSize,
    compare_latency,
    measure_size,
)
from pellucid.regularization.compaction.unit_removal import (
    CannotCompact,
    CompactedLayer,
    assign,
    correct_sizes,
    remove_until_fixed,
    trace_network,
)

LARGEST_DIFFERENCE = 1e-5
"""Logits may differ by so much, or by so much of the largest logit where that is above 1."""

LATENCY_BATCH_SIZES = (1, 64)

# A smaller tolerance is tried where the logits do not agree, then none.
_TOLERANCE_SHARES = (1.0, 0.1, 0.01, 0.0)


@dataclass(frozen=True)
class CompactionRow:
    """One compacted network of a table, as plain numbers.

    Attributes:
        name: Of the network, such as its arm.
        before: Size as trained.
        after: Size as compacted.
        layers: Units per layer, in the network's order.
        largest_difference: Of any logit on the example batch.
        largest_logit: Largest absolute value of a logit there.
        tolerance: Weights up to which units were taken for dead; 0 where only exact zeros were.
        latencies: At the batch sizes 1 and 64; empty if they were not asked for.
    """

    name: str
    before: NetworkSize
    after: NetworkSize
    layers: tuple[CompactedLayer, ...]
    largest_difference: float
    largest_logit: float
    tolerance: float
    latencies: tuple[Latency, ...]

    @property
    def removed_units(self) -> int:
        """Filters and neurons removed from all layers."""
        return sum(layer.units_before - layer.units_after for layer in self.layers)


@dataclass(frozen=True)
class Compacted:
    """A smaller network with the same answers.

    Attributes:
        network: In evaluation mode, made of ordinary layers under the names they had, so that its
            state dict has the same keys (more where a bias was needed, none where a part is gone).
        row: What changed.
    """

    network: fx.GraphModule
    row: CompactionRow


def compact(
    network: nn.Module,
    example: Tensor,
    *,
    tolerance: float = 0.0,
    name: str = "",
    repetitions: int = 30,
) -> Compacted:
    """Remove filters and neurons that cannot matter, and check that the logits stay the same.

    A unit is removed if every layer that reads it either gives it only zero weights, or would read
    a constant: a unit without incoming weights has the value ``activation(bias)`` for every image,
    which moves into the reader's bias. A reader that pads with zeros would see a border around a
    constant other than 0, so there one unit stays for all constant ones. This goes on until nothing
    changes. Every layer keeps at least one unit, which is switched off where all are dead. Inputs
    and logits stay.

    Layers whose units meet others in an addition or a concatenation, or that reach an operation not
    known to treat each channel by itself, are left alone; the row says which and why.

    Args:
        network: Is not changed. Traced by `torch.fx` in evaluation mode.
        example: Input batch, (batch, ...), on the network's device; shapes are taken from it and
            the logits are compared on it (on the CPU).
        tolerance: Also remove units all of whose incoming, or all of whose outgoing weights are at
            most this, if the logits still agree; else a tenth, a hundredth, or none of it is used.
            Unlike exact removals this is as safe as the example is representative.
        name: For the table.
        repetitions: Timed passes of each network at each batch size; 0 for no timing.

    Raises:
        CannotCompact: `torch.fx` cannot trace the network, its answer is not one tensor of finite
            logits, or the logits differ by more than 1e-5 (of the largest logit where that is
            above 1).
        UsageError: an option is out of range.
    """
    check_number("tolerance", tolerance, low=0)
    check_integer("repetitions", repetitions, low=0)
    device, example = example.device, example.cpu()
    # On the CPU, where float32 is float32: accelerators may round the factors of a convolution.
    original = copy.deepcopy(network).cpu().eval()
    with torch.no_grad():
        logits = original(example)
    if not isinstance(logits, Tensor) or not bool(logits.isfinite().all()):
        raise CannotCompact(
            "network must answer with one tensor of finite logits, got "
            f"{'values that are not finite' if isinstance(logits, Tensor) else type(logits)}. "
            "Take a checkpoint from before it diverged, or wrap the network."
        )
    largest_logit = float(logits.abs().max())
    allowed = LARGEST_DIFFERENCE * max(1.0, largest_logit)
    smaller, layers, difference, used = _compact_within(
        original, example, logits, allowed=allowed, tolerance=tolerance
    )
    sizes = measure_size(original, example), measure_size(smaller, example)
    original, smaller, example = original.to(device), smaller.to(device), example.to(device)
    row = CompactionRow(
        name=name,
        before=sizes[0],
        after=sizes[1],
        layers=layers,
        largest_difference=difference,
        largest_logit=largest_logit,
        tolerance=used,
        latencies=tuple(
            compare_latency(original, smaller, example, batch_size=size, repetitions=repetitions)
            for size in (LATENCY_BATCH_SIZES if repetitions else ())
        ),
    )
    return Compacted(smaller, row)


def _compact_within(
    original: nn.Module, example: Tensor, logits: Tensor, *, allowed: float, tolerance: float
) -> tuple[fx.GraphModule, tuple[CompactedLayer, ...], float, float]:
    """Return network, layers, difference and tolerance for the largest tolerance that agrees."""
    difference = float("inf")
    for share in _TOLERANCE_SHARES if tolerance else (0.0,):
        used = share * tolerance
        smaller, layers = remove_until_fixed(original, example, used)
        with torch.no_grad():
            difference = float((smaller(example) - logits).abs().max())
        if difference <= allowed:
            return smaller, layers, difference, used
    raise CannotCompact(
        f"logits must agree to {allowed:.1e}, got a difference of {difference:.1e}. Is something "
        "in the network random in evaluation mode?"
    )


def load_compacted(
    network: nn.Module, weights: Mapping[str, Tensor], example: Tensor
) -> fx.GraphModule:
    """Rebuild a compacted network from its saved weights.

    Args:
        network: Of the architecture that was compacted; its weights do not matter.
        weights: State dict of the compacted network, such as safetensors returns.
        example: Input batch.

    Raises:
        DataError: the weights are not of this architecture.
    """
    graph_module, _ = trace_network(network, example)
    state = dict(weights)
    for name, module in graph_module.named_modules():
        prefix = f"{name}." if name else ""
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        if getattr(module, "bias", module) is None and f"{prefix}bias" in state:
            own.append(("bias", module.weight))  # folding constants has made one
        for key, old in own:
            value = state.pop(prefix + key, None)
            if value is None or (value.dim() != old.dim() and key != "bias"):
                raise DataError(
                    f"weights must fit {type(network).__name__}, got "
                    f"{'no' if value is None else 'another shape of'} {prefix + key}. "
                    "Use the architecture that was compacted."
                )
            assign(module, key, value.to(old.device), like=old)
        correct_sizes(module)
    if state:
        raise DataError(f"weights must fit {type(network).__name__}, got also {min(state)}.")
    return graph_module
