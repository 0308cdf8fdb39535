"""What a penalty did to the weights: zeros, dead filters, norms and histograms per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid._checks import check_integer, check_number
from pellucid.regularization.record import LayerWeights

NEAR_ZERO = 1e-3
"""Weights smaller than this in absolute value count as near zero."""


@dataclass(frozen=True)
class LayerHistogram:
    """How the weights of one layer are distributed in one arm, all its seeds pooled.

    Attributes:
        arm: Name of the arm.
        layer: Name of the weight, such as ``"conv1.weight"``.
        edges: Of the bins, ascending, ``len(counts) + 1``; symmetric about 0 and the same in every
            arm of the layer.
        counts: Weights other than exact zeros per bin; those beyond the outer edges are in the
            first and last bin.
        zeros: Number of weights that are exactly 0.
        total: Number of all weights; ``zeros + sum(counts)`` where all are finite.
    """

    arm: str
    layer: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    zeros: int
    total: int


def measure_layers(weights: Mapping[str, Tensor]) -> tuple[LayerWeights, ...]:
    """Measure every layer of a network: each floating-point entry of two or more dimensions.

    Biases and the scales of normalization layers have one dimension and are left out. Norms are
    summed in float64.

    Args:
        weights: A state dict; the layers come in its order.
    """
    return tuple(_measure_layer(name, weight) for name, weight in _layers(weights).items())


def _layers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: weight.detach()
        for name, weight in weights.items()
        if weight.dim() >= 2 and weight.is_floating_point() and weight.numel()
    }


def _measure_layer(name: str, weight: Tensor) -> LayerWeights:
    sizes = weight.to(torch.float64).flatten(1).abs()
    is_zero = sizes == 0
    return LayerWeights(
        name=name,
        shape=tuple(weight.shape),
        exact_zeros=float(is_zero.double().mean()),
        near_zeros=float((sizes < NEAR_ZERO).double().mean()),
        dead_rows=float(is_zero.all(dim=1).double().mean()),
        l1_norm=float(sizes.sum()),
        l2_norm=float(sizes.square().sum().sqrt()),
    )


def weight_histograms(
    weights_by_arm: Mapping[str, Sequence[Mapping[str, Tensor]]],
    *,
    bins: int = 41,
    quantile: float = 0.999,
) -> tuple[LayerHistogram, ...]:
    """Count the weights of each layer and arm in bins that all arms of the layer share.

    The outer edges are at the ``quantile`` of ``|w|`` over the weights other than 0, taken in each
    arm, the largest of the arms: in no arm lie more than ``1 - quantile`` of these weights beyond
    them. Those few are counted in the first and last bin, so that one stray weight does not squeeze
    all others into one bin. Exact zeros are counted apart, and weights that are not finite in no
    bin. Where a layer has no other weights than zeros the edges run from -1 to 1.

    Args:
        weights_by_arm: The state dicts of each arm, one a seed.
        bins: Number of bins. Odd: the middle one is centered at 0. Even: 0 is an edge, and no bin
            holds both signs.
        quantile: In (0, 1].

    Returns:
        Layer by layer, in the order in which they first appear, and in each the arms that have the
        layer, in the order given.

    Raises:
        UsageError: `bins` or `quantile` is out of range.
    """
    check_integer("bins", bins, low=1)
    check_number("quantile", quantile, low=0, high=1, open_low=True)
    pooled = _pool_by_layer(weights_by_arm)
    return tuple(
        histogram
        for layer, arms in pooled.items()
        for histogram in _share_edges(layer, arms, bins, quantile)
    )


def _pool_by_layer(
    weights_by_arm: Mapping[str, Sequence[Mapping[str, Tensor]]],
) -> dict[str, dict[str, NDArray[np.float64]]]:
    parts: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    for arm, networks in weights_by_arm.items():
        for weights in networks:
            for layer, weight in _layers(weights).items():
                values = weight.to("cpu", torch.float64).flatten().numpy()
                parts.setdefault(layer, {}).setdefault(arm, []).append(values)
    return {
        layer: {arm: np.concatenate(values) for arm, values in arms.items()}
        for layer, arms in parts.items()
    }


def _share_edges(
    layer: str, arms: Mapping[str, NDArray[np.float64]], bins: int, quantile: float
) -> list[LayerHistogram]:
    counted = {arm: values[np.isfinite(values) & (values != 0)] for arm, values in arms.items()}
    limits = [
        float(np.quantile(np.abs(values), quantile, method="inverted_cdf"))
        for values in counted.values()
        if values.size
    ]
    # Built from integers, so that the two halves mirror each other to the last bit.
    edges = max(limits, default=1.0) * ((2 * np.arange(bins + 1) - bins) / bins)
    histograms = []
    for arm, values in counted.items():
        counts, _ = np.histogram(values.clip(edges[0], edges[-1]), bins=edges)
        histograms.append(
            LayerHistogram(
                arm=arm,
                layer=layer,
                edges=tuple(edges.tolist()),
                counts=tuple(counts.tolist()),
                zeros=int((arms[arm] == 0).sum()),
                total=int(arms[arm].size),
            )
        )
    return histograms
