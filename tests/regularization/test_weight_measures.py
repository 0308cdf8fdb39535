from __future__ import annotations

import pytest
import torch

from pellucid._checks import UsageError
from pellucid.regularization.weight_measures import measure_layers, weight_histograms
from tests.reference.weight_histograms import count_by_loops, measure_by_loops


def sparse_weights(seed: int, scale: float = 0.1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    conv = torch.randn(6, 3, 5, 5, generator=generator) * scale
    conv[torch.rand(conv.shape, generator=generator) < 0.4] = 0
    conv[2] = 0
    return {
        "conv.weight": conv,
        "conv.bias": torch.randn(6, generator=generator),
        "norm.num_batches_tracked": torch.tensor(3),
        "fc.weight": torch.randn(4, 7, generator=generator) * scale,
    }


def test_measure_layers_equals_counting_one_by_one():
    weights = sparse_weights(0)
    for layer in measure_layers(weights):
        rows = weights[layer.name].flatten(1).tolist()
        measured = (
            layer.exact_zeros,
            layer.near_zeros,
            layer.dead_rows,
            layer.l1_norm,
            layer.l2_norm,
        )
        assert measured == pytest.approx(measure_by_loops(rows), abs=0, rel=1e-12)


def test_measure_layers_keeps_the_order_and_leaves_out_vectors():
    layers = measure_layers(sparse_weights(0))
    assert [(layer.name, layer.shape) for layer in layers] == [
        ("conv.weight", (6, 3, 5, 5)),
        ("fc.weight", (4, 7)),
    ]


def test_measure_layers_bfloat16_sums_in_float64():
    weights = {"fc.weight": torch.full((300, 300), 0.125, dtype=torch.bfloat16)}
    assert measure_layers(weights)[0].l1_norm == 300 * 300 * 0.125


@pytest.mark.parametrize("bins", [1, 20, 41])
def test_weight_histograms_equal_counting_one_by_one(bins):
    arms = {"none": [sparse_weights(1), sparse_weights(2)], "l1": [sparse_weights(3, 0.01)]}
    for histogram in weight_histograms(arms, bins=bins, quantile=0.95):
        pooled = [w[histogram.layer].double().flatten() for w in arms[histogram.arm]]
        values = torch.cat(pooled).tolist()
        assert list(histogram.counts) == count_by_loops(values, histogram.edges)
        assert histogram.zeros + sum(histogram.counts) == histogram.total == len(values)
        assert histogram.zeros == values.count(0)


def test_weight_histograms_edges_are_symmetric_and_shared_by_the_arms():
    arms = {"none": [sparse_weights(1)], "l1": [sparse_weights(3, 0.01)]}
    histograms = weight_histograms(arms)
    assert [(h.layer, h.arm) for h in histograms] == [
        ("conv.weight", "none"),
        ("conv.weight", "l1"),
        ("fc.weight", "none"),
        ("fc.weight", "l1"),
    ]
    for first, second in (histograms[:2], histograms[2:]):
        assert first.edges == second.edges
        assert first.edges == tuple(-edge for edge in reversed(first.edges))


def test_weight_histograms_one_stray_weight_does_not_stretch_the_axis():
    weight = torch.linspace(-1, 1, 2000).reshape(20, 100)
    weight[0, 0] = 1e6
    (histogram,) = weight_histograms({"none": [{"fc.weight": weight}]})
    assert histogram.edges[-1] <= 1
    assert histogram.counts[-1] > histogram.counts[-2]


def test_weight_histograms_arm_without_the_layer_is_left_out():
    other = {"fc.weight": torch.ones(2, 2)}
    histograms = weight_histograms({"none": [sparse_weights(0)], "other": [other]})
    assert [(h.layer, h.arm) for h in histograms] == [
        ("conv.weight", "none"),
        ("fc.weight", "none"),
        ("fc.weight", "other"),
    ]


def test_weight_histograms_all_zero_has_empty_bins():
    (histogram,) = weight_histograms({"l1": [{"fc.weight": torch.zeros(3, 4)}]}, bins=2)
    assert (histogram.edges, histogram.counts, histogram.zeros) == ((-1, 0, 1), (0, 0), 12)


def test_weight_histograms_weights_not_finite_are_in_no_bin():
    weight = torch.tensor([[1.0, torch.nan, -torch.inf, 0.0]])
    (histogram,) = weight_histograms({"none": [{"fc.weight": weight}]})
    assert (sum(histogram.counts), histogram.zeros, histogram.total) == (1, 1, 4)


def test_weight_histograms_no_bins_raises():
    with pytest.raises(UsageError, match=r"bins must be an integer >= 1, got 0\."):
        weight_histograms({}, bins=0)
