"""The study of the original protocol, written out plainly: one network, a DataLoader, a loop."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

BATCH = 64
LEARNING_RATE = 0.01
MOMENTUM = 0.9
ARMS = {
    "none": {},
    "l1": {"l1": 1e-4},
    "l2": {"weight_decay": 1e-3},
}


class Pictures(Dataset):
    """What torchvision's CIFAR10 does for each image: array, PIL image, transforms."""

    def __init__(self, pixels: np.ndarray, labels: list[int]) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


class Net(nn.Module):
    """The small CNN of the protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(8, 16, 3)
        self.fc1 = nn.Linear(16 * 6 * 6, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.relu(self.fc1(x))
        return self.fc3(torch.relu(self.fc2(x)))


class PlainStudy:
    """One network of one arm; `run_epoch` trains it for an epoch and validates it."""

    def __init__(self, arm: str, training: Dataset, validation: Dataset) -> None:
        settings = ARMS[arm]
        self.network = Net()
        self.loss = nn.CrossEntropyLoss()
        self.l1 = settings.get("l1", 0.0)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=settings.get("weight_decay", 0.0),
        )
        # Workers stay, so that their start is not counted in an epoch as short as these.
        self.training = DataLoader(
            training, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True
        )
        self.validation = DataLoader(
            validation, batch_size=BATCH, num_workers=2, persistent_workers=True
        )

    def run_epoch(self) -> tuple[float, float, float, float]:
        """Return loss and accuracy of training (while the weights move) and validation."""
        self.network.train()
        total, correct = 0.0, 0
        for images, labels in self.training:
            self.optimizer.zero_grad()
            outputs = self.network(images)
            loss = self.loss(outputs, labels)
            if self.l1:
                norm = sum(
                    p.abs().sum()
                    for name, p in self.network.named_parameters()
                    if "bias" not in name
                )
                loss = loss + self.l1 * norm
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(labels)
            correct += (outputs.argmax(1) == labels).sum().item()
        train = total / len(self.training.dataset), correct / len(self.training.dataset)
        self.network.eval()
        total, correct = 0.0, 0
        with torch.no_grad():
            for images, labels in self.validation:
                outputs = self.network(images)
                total += self.loss(outputs, labels).item() * len(labels)
                correct += (outputs.argmax(1) == labels).sum().item()
        held_out = total / len(self.validation.dataset), correct / len(self.validation.dataset)
        return *train, *held_out
