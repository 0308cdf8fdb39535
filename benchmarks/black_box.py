"""The black box that trees are compared with: a backbone, global average pooling, one layer."""

from __future__ import annotations

import time


def train_black_box(
    data, *, seed: int, epochs: int, batch_size: int = 64, recipe=None
) -> tuple[float, float]:
    """Return (accuracy on the test images, seconds) of ResNet-18 with random weights.

    Pixels normalized by (.5, .5), last epoch. Without ``recipe`` Adam at 1e-3 and no augmentation;
    with a tree's recipe its augmentation, learning rate, weight decay and cosine schedule too.
    """
    import torch

    started = time.perf_counter()
    network = fit_black_box(data, seed=seed, epochs=epochs, batch_size=batch_size, recipe=recipe)
    seconds = time.perf_counter() - started
    test = data.splits.test
    with torch.inference_mode():
        answers = network(data.images.read(test).float() / 127.5 - 1).argmax(1)
    return (answers == data.images.labels[test]).double().mean().item(), seconds


def build_black_box(data, *, backbone: str = "resnet18"):
    """Return the untrained network; its first module is the backbone."""
    from torch import nn

    from pellucid.backbones import create_backbone

    features = create_backbone(backbone, image_size=data.images.image_size, stage=None)
    return nn.Sequential(
        features,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(features.channels, len(data.images.class_names)),
    )


def fit_black_box(
    data, *, seed: int, epochs: int, batch_size: int = 64, recipe=None, backbone: str = "resnet18"
):
    """Return the trained network, in evaluation mode: see `train_black_box`."""
    import math

    import torch
    from torch import nn

    train = data.splits.train
    torch.manual_seed(seed)
    network = build_black_box(data, backbone=backbone)
    if recipe is None:
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    else:
        matrices = [p for p in network.parameters() if p.ndim >= 2]
        vectors = [p for p in network.parameters() if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.decoupled_weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
        )
    rates = [group["lr"] for group in optimizer.param_groups]
    random = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        network.train()
        parts = train[torch.randperm(len(train))].split(batch_size)
        for step, part in enumerate(parts):
            images = data.images.read(part).float() / 255
            if recipe is not None:
                images = recipe.augmentation(images, random)
                done = (epoch + step / len(parts)) / epochs
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * done))
            images = 2 * images - 1
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), data.images.labels[part]).backward()
            optimizer.step()
    return network.eval()
