"""One network trained by a plain loop: torch modules, torch optimizers, one batch at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pellucid.data import measure_channels, normalize
from pellucid.regularization.small_networks import create_network
from pellucid.runs import generator


def train_plainly(recipe, seed, data):
    """Return the network after its last epoch, and (loss, accuracy) of train and validation.

    L2, and L1 by subgradient, in the objective; L1 by proximal steps of SGD weight by weight, after
    each step and when polishing; float64.
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
    penalty = recipe.penalty
    is_proximal = penalty.method == "proximal"
    in_objective = 0.0 if is_proximal else penalty.l1
    steps = 0
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
                loss = loss + in_objective * weight.abs().sum()
                loss = loss + penalty.l2 / 2 * weight.square().sum()
            loss.backward()
            optimizer.step()
            steps += 1
            if is_proximal and penalty.l1:
                # The velocity after k steps of the same gradient: 1 + mu + ... + mu^(k - 1) times.
                velocity = sum(recipe.momentum**k for k in range(steps))
                soften(weights, recipe.learning_rate * velocity * penalty.l1)
        network.eval()
        if epoch + 1 == recipe.epochs:
            for _ in range(penalty.polish_steps):
                polish(network, weights, pixels(train), data.images.labels[train], recipe)
        row = []
        with torch.no_grad():
            for part in (train, validation):
                logits = network(pixels(part))
                row.append(F.cross_entropy(logits, data.images.labels[part]).item())
                hits = logits.argmax(1) == data.images.labels[part]
                row.append(hits.double().mean().item())
        rows.append(tuple(row))
    return network, rows


@torch.no_grad()
def soften(weights, threshold):
    """Move every weight towards 0 by the threshold, and no further."""
    for weight in weights:
        for index, value in enumerate(weight.flatten().tolist()):
            size = max(abs(value) - threshold, 0.0)
            weight.view(-1)[index] = size if value > 0 else -size


def polish(network, weights, images, labels, recipe):
    """Take one proximal gradient step on all images, as long as the learning rate says."""
    network.zero_grad()
    loss = F.cross_entropy(network(images), labels)
    for weight in weights:
        loss = loss + recipe.penalty.l2 / 2 * weight.square().sum()
    loss.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= recipe.learning_rate * parameter.grad
    soften(weights, recipe.learning_rate * recipe.penalty.l1)
