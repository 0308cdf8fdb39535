"""One network trained by a plain loop: torch modules, torch optimizers, one batch at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pellucid.data import measure_channels, normalize
from pellucid.regularization.small_networks import create_network
from pellucid.runs import generator


def train_plainly(recipe, seed, data):
    """Return the network after its last epoch, and (loss, accuracy) of train and validation.

    Penalties by subgradient in the objective; float64.
    """
    network = create_network(
        recipe.network,
        classes=len(data.images.class_names),
        image_size=data.images.image_size,
        seed=seed,
    ).double()
    train, validation = data.splits.train, data.splits.validation
    mean, deviation = measure_channels(data.images, train)

    def pixels(indices):
        return normalize(data.images.read(indices).float().div(255).double(), mean, deviation)

    if recipe.optimizer == "adam":
        optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    else:
        optimizer = torch.optim.SGD(
            network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum
        )
    weights = [p for p in network.parameters() if p.ndim > 1]
    rows = []
    for epoch in range(recipe.epochs):
        network.train()
        order = torch.randperm(len(train), generator=generator(seed, "epoch", epoch, "order"))
        for chosen in order.split(recipe.batch_size):
            optimizer.zero_grad()
            logits = network(pixels(train[chosen]))
            loss = F.cross_entropy(
                logits,
                data.images.labels[train[chosen]],
                label_smoothing=recipe.label_smoothing,
            )
            for weight in weights:
                loss = loss + recipe.penalty.l1 * weight.abs().sum()
                loss = loss + recipe.penalty.l2 / 2 * weight.square().sum()
            loss.backward()
            optimizer.step()
        network.eval()
        row = []
        with torch.no_grad():
            for part in (train, validation):
                logits = network(pixels(part))
                row.append(F.cross_entropy(logits, data.images.labels[part]).item())
                hits = logits.argmax(1) == data.images.labels[part]
                row.append(hits.double().mean().item())
        rows.append(tuple(row))
    return network, rows
