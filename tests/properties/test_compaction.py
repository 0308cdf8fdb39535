"""Any chain with any dead rows and columns: the same answers from as few units as can be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from pellucid.regularization.compaction.compact import compact
from tests.properties.strategies import QUICK, seeds
from tests.reference.live_units import count_live_units

IMAGE_SIZE = (16, 18)

POOLS = [
    nn.Identity,
    lambda: nn.MaxPool2d(2),
    lambda: nn.MaxPool2d(3, stride=2, padding=1),
    lambda: nn.AvgPool2d(2),
    lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    lambda: nn.AvgPool2d(2, ceil_mode=True),
    lambda: nn.AdaptiveAvgPool2d((5, 6)),
]
# Makes borders around constants, as zero padding does.
BORDERED = [*POOLS, lambda: nn.AvgPool2d(3, stride=2, padding=1)]
KINKED = [nn.ReLU, nn.Hardtanh, nn.Tanh, nn.GELU]
SMOOTH = [nn.Sigmoid, nn.SiLU, nn.LeakyReLU, nn.Identity]


@st.composite
def chains(draw, activations, pools):
    """Draw convolutions, then linear layers, with things in between."""
    modules, channels = [], 2
    shape = torch.zeros(1, channels, *IMAGE_SIZE)
    for _ in range(draw(st.integers(1, 2))):
        units = draw(st.integers(1, 5))
        convolution = nn.Conv2d(
            channels,
            units,
            draw(st.sampled_from([1, 3])),
            padding=draw(st.integers(0, 1)),
            padding_mode=draw(st.sampled_from(["zeros", "zeros", "replicate"])),
            bias=draw(st.booleans()),
        )
        modules += [convolution]
        modules += [nn.BatchNorm2d(units)] if draw(st.booleans()) else []
        modules += [draw(st.sampled_from(activations))(), draw(st.sampled_from(pools))()]
        modules += [nn.Dropout2d()] if draw(st.booleans()) else []
        channels = units
    modules += [nn.Flatten()]
    columns = nn.Sequential(*modules).eval()(shape).shape[1]
    for units in draw(st.lists(st.integers(1, 5), max_size=2)):
        modules += [nn.Linear(columns, units, bias=draw(st.booleans()))]
        modules += [nn.BatchNorm1d(units)] if draw(st.booleans()) else []
        modules += [draw(st.sampled_from(activations))()]
        columns = units
    return nn.Sequential(*modules, nn.Linear(columns, 3)).double().eval()


def damage(chain: nn.Sequential, seed: int) -> None:
    """Give every tensor random values; zero some rows, columns, biases and scales."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        for module in chain:
            for tensor in [*module.parameters(), *module.buffers()]:
                if tensor.dim():
                    tensor.copy_(random(*tensor.shape) + 0.2)  # variances must be positive
            weight = getattr(module, "weight", None)
            if weight is None:
                continue
            weight.sub_(0.7)
            weight[random(len(weight)) < 0.3] = 0
            if weight.dim() > 1:
                weight[:, random(weight.shape[1]) < 0.3] = 0
            if module.bias is not None:
                module.bias.sub_(0.7)
                module.bias[random(len(weight)) < 0.3] = 0


def random_images(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn(6, 2, *IMAGE_SIZE, generator=generator, dtype=torch.float64)


@QUICK
@given(chains(KINKED, BORDERED), seeds)
def test_compact_any_chain_answers_the_same(chain, seed):
    damage(chain, seed)
    compacted = compact(chain, random_images(seed)[:2], repetitions=0)
    images = random_images(seed)
    with torch.no_grad():
        torch.testing.assert_close(compacted.network(images), chain(images), rtol=0, atol=1e-10)


@QUICK
@given(chains(SMOOTH, POOLS), seeds)
def test_compact_any_smooth_chain_keeps_only_units_that_matter(chain, seed):
    damage(chain, seed)
    compacted = compact(chain, random_images(seed)[:2], repetitions=0)
    layers = compacted.row.layers[:-1]
    # Behind the border of a constant, a value may differ between positions and not between images.
    assume(not any(layer.constant_kept for layer in layers))
    assert [layer.units_after for layer in layers] == count_live_units(chain, random_images(seed))


@QUICK
@given(chains(SMOOTH, POOLS), seeds)
def test_compact_any_smooth_chain_keeps_at_most_one_constant_a_layer(chain, seed):
    damage(chain, seed)
    compacted = compact(chain, random_images(seed)[:2], repetitions=0)
    assert all(layer.constant_kept <= 1 for layer in compacted.row.layers)


@QUICK
@given(chains(SMOOTH, POOLS), seeds)
def test_compact_twice_changes_nothing_more(chain, seed):
    damage(chain, seed)
    once = compact(chain, random_images(seed), repetitions=0)
    twice = compact(once.network, random_images(seed), repetitions=0)
    assert twice.row.removed_units == 0
    assert twice.row.largest_difference == pytest.approx(0, abs=1e-12)
