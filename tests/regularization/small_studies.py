"""Data of a few random pictures and networks of a few layers, for fast trainings."""

from __future__ import annotations

import torch
from torch import nn

from pellucid.data import InMemoryImages, LabelledData, Splits


def random_pictures(*, train=40, validation=10, side=32, classes=4, seed=0):
    """Return pictures whose class shows in their brightness; the test split is one picture."""
    source = torch.Generator().manual_seed(seed)
    count = train + validation + 1
    labels = torch.randint(0, classes, (count,), generator=source)
    noise = torch.randint(0, 120, (count, 3, side, side), generator=source)
    pixels = (noise + 30 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    images = InMemoryImages(
        pixels,
        labels=labels,
        class_names=[str(number) for number in range(classes)],
        names=[f"picture[{number}]" for number in range(count)],
        digest="0" * 64,
    )
    everything = torch.arange(count)
    splits = Splits(everything[:train], everything[train:-1], everything[-1:])
    return LabelledData("pictures", images, splits)


class ResidualNet(nn.Module):
    """Batch normalization in one and two dimensions, a residual sum, a strided convolution.

    No bias stands before a normalization: its gradient is 0 but for rounding, which Adam enlarges.
    """

    def __init__(self, classes, image_size):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False)
        self.second_norm = nn.BatchNorm2d(6, momentum=None)
        self.down = nn.Conv2d(6, 8, 3, stride=2, dilation=2, padding=2)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden = nn.Linear(32, 12, bias=False)
        self.hidden_norm = nn.BatchNorm1d(12)
        self.last = nn.Linear(12, classes)

    def forward(self, x):
        x = torch.relu(self.first_norm(self.first(x)))
        x = x + self.second_norm(self.second(x)).relu()
        x = self.pool(nn.functional.gelu(self.down(x)))
        x = self.hidden_norm(self.hidden(x.view(x.size(0), -1)))
        return self.last(torch.tanh(x))


class ScaledNet(nn.Module):
    """Uses a parameter outside of a layer, which cannot be stacked."""

    def __init__(self, classes, image_size):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 3))
        self.norm = nn.BatchNorm1d(3)
        self.last = nn.Linear(3, classes)

    def forward(self, x):
        return self.last(self.norm(x.mean((2, 3)) * self.scale))
