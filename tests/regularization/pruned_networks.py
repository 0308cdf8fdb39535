"""Small networks with dead parts, as penalties leave them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEAD = {"conv1": [1, 4], "conv2": range(0, 16, 2), "fc1": range(20, 120), "fc2": [0, 3]}


class FunctionalCnn(nn.Module):
    """The reference network, written with functions and a reshape that spells out sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5)
        self.conv2 = nn.Conv2d(8, 16, 3)
        self.fc1 = nn.Linear(16 * 6 * 6, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.max_pool2d(F.relu(self.conv1(images)), 2)
        maps = torch.relu(F.max_pool2d(self.conv2(maps), 2))
        columns = F.dropout(maps.view(-1, 16 * 6 * 6), 0.5, self.training)
        return self.fc3(self.fc2(self.fc1(columns).relu()).relu())


class Residual(nn.Module):
    """One block with a shortcut between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.outer = nn.Conv2d(6, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        maps = F.relu(maps + self.outer(F.relu(self.norm(self.inner(maps)))))
        return self.head(maps.mean((2, 3)))


def kill(network: nn.Module, rows: dict) -> nn.Module:
    """Zero the incoming weights of some units."""
    with torch.no_grad():
        for name, units in rows.items():
            network.get_submodule(name).weight[list(units)] = 0
    return network


def pruned_cnn(seed: int = 0) -> FunctionalCnn:
    torch.manual_seed(seed)
    network = FunctionalCnn()
    kill(network, DEAD)
    return network


def images(count: int = 4, size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
