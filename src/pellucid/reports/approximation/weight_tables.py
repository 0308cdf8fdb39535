"""The weights as tables: every neuron of a small network, ranges by group of a large one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from pellucid.approximation.network import NeuronGroup, SigmoidLayer, SigmoidNetwork
from pellucid.reports.approximation.statements import write_count, write_value

_MOST_ROWS = 120
_MOST_TERMS = 4


@dataclass(frozen=True)
class GroupRow:
    """A group of neurons: what it is for, and the ranges of its weights."""

    role: str
    neurons: str
    weights: str
    biases: str
    output_weights: str


@dataclass(frozen=True)
class NeuronRow:
    """One neuron: its weights, bias and, in the last layer, its weight in the sum."""

    number: str
    role: str
    weights: str
    bias: str
    step: str
    output_weight: str


@dataclass(frozen=True)
class LayerTable:
    """One hidden layer."""

    title: str
    is_last: bool
    has_steps: bool
    groups: tuple[GroupRow, ...]
    rows: tuple[NeuronRow, ...]
    left_out: int


def tabulate_layers(network: SigmoidNetwork, names: tuple[str, ...]) -> list[LayerTable]:
    """Return a table for each hidden layer, at most so many rows long."""
    tables = []
    for number, layer in enumerate(network.hidden):
        is_last = number == len(network.hidden) - 1
        output = network.output_weight if is_last else None
        inputs = names if number == 0 else None
        shown = min(layer.neurons, _MOST_ROWS)
        rows = tuple(_neuron_row(layer, neuron, inputs, output) for neuron in range(shown))
        tables.append(
            LayerTable(
                f"Hidden layer {number + 1}: {write_count(layer.neurons)} "
                f"{'neuron' if layer.neurons == 1 else 'neurons'}",
                is_last,
                any(row.step for row in rows),
                tuple(_group_row(layer, group, output) for group in _groups(layer)),
                rows,
                layer.neurons - shown,
            )
        )
    return tables


def _groups(layer: SigmoidLayer) -> tuple[NeuronGroup, ...]:
    return layer.groups or (NeuronGroup("no role given", 0, layer.neurons),)


def _group_row(layer: SigmoidLayer, group: NeuronGroup, output: np.ndarray | None) -> GroupRow:
    part = slice(group.start, group.stop)
    weight = layer.weight[part]
    entries = weight if isinstance(weight, np.ndarray) else scipy.sparse.csr_array(weight).data
    return GroupRow(
        group.role,
        write_count(group.stop - group.start),
        _range(entries[entries != 0]),
        _range(layer.bias[part]),
        "" if output is None else _range(output[part]),
    )


def _range(values: np.ndarray) -> str:
    if values.size == 0:
        return "none"
    low, high = float(values.min()), float(values.max())
    if low == high:
        return write_value(low)
    return f"{write_value(low)} to {write_value(high)}"


def _neuron_row(
    layer: SigmoidLayer, neuron: int, names: tuple[str, ...] | None, output: np.ndarray | None
) -> NeuronRow:
    row = layer.row(neuron)
    terms = [
        f"{write_value(weight, 6)}·{names[source] if names else f'h{source + 1}'}"
        for source, weight in list(row.items())[:_MOST_TERMS]
    ]
    further = len(row) - len(terms)
    text = " + ".join(terms).replace("+ \N{MINUS SIGN}", "\N{MINUS SIGN} ")
    bias = float(layer.bias[neuron])
    step = ""
    if names and len(row) == 1:
        ((source, weight),) = row.items()
        step = (
            f"{'up' if weight > 0 else 'down'} at {names[source]} = {write_value(-bias / weight)}"
        )
    return NeuronRow(
        str(neuron + 1),
        layer.role(neuron) or "no role given",
        (text or "none") + (f" and {further} more" if further else ""),
        write_value(bias, 6),
        step,
        "" if output is None else write_value(float(output[neuron]), 6),
    )
