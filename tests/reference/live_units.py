"""Which units of a chain matter, found by trying: images in, one unit after the other zeroed."""

from __future__ import annotations

import itertools

import torch
from torch import nn


def is_layer(module):
    return isinstance(module, nn.Conv2d | nn.Linear)


def count_live_units(chain, images):
    """Return the number of units that each layer but the last must keep, at least 1.

    A unit matters if zeroing what the next layer takes from it changes an answer, unless its value
    is the same for all images at all positions (and 0, where the next layer pads with zeros).
    """
    modules = list(chain)
    layers = [i for i, module in enumerate(modules) if is_layer(module)]
    counts = []
    with torch.no_grad():
        answers = chain(images)
        for layer, reader in itertools.pairwise(layers):
            values = images
            for module in modules[:reader]:
                values = module(values)
            units = modules[layer].weight.shape[0]
            block = values.shape[1] // units
            live = 0
            for unit in range(units):
                own = slice(unit * block, (unit + 1) * block)
                constant = float(values[:, own].max() - values[:, own].min()) < 1e-12
                padded = getattr(modules[reader], "padding", (0, 0)) != (0, 0)
                padded = padded and modules[reader].padding_mode == "zeros"
                if constant and (not padded or float(values[:, own].abs().max()) < 1e-12):
                    continue
                zeroed = values.clone()
                zeroed[:, own] = 0
                for module in modules[reader:]:
                    zeroed = module(zeroed)
                live += float((zeroed - answers).abs().max()) > 0
            counts.append(max(live, 1))
    return counts
