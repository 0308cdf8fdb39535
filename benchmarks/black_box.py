"""The black box that trees are compared with: a backbone, global average pooling, one layer."""

from __future__ import annotations

import time


def train_black_box(data, *, seed: int, epochs: int, batch_size: int = 64) -> tuple[float, float]:
    """Return (accuracy on the test images, seconds) of ResNet-18 with random weights.

    Adam at 1e-3, pixels normalized by (.5, .5), no augmentation, last epoch.
    """
    import torch
    from torch import nn

    from pellucid.backbones import create_backbone

    train, test = data.splits.train, data.splits.test
    torch.manual_seed(seed)
    backbone = create_backbone("resnet18", image_size=data.images.image_size, stage=None)
    network = nn.Sequential(
        backbone,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(backbone.channels, len(data.images.class_names)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    started = time.perf_counter()
    for _ in range(epochs):
        network.train()
        for part in train[torch.randperm(len(train))].split(batch_size):
            images = data.images.read(part).float() / 127.5 - 1
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), data.images.labels[part]).backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    network.eval()
    with torch.inference_mode():
        answers = network(data.images.read(test).float() / 127.5 - 1).argmax(1)
    return (answers == data.images.labels[test]).double().mean().item(), seconds
