"""The work "noisy digits": data, network and plain loop of ``proximal.py``.

scikit-learn's digits at 32x32 in three equal color channels, normalized by (.5, .5); 400 training,
400 validation and 997 test images, stratified; 20 % of the training labels are replaced by another
class, drawn at random. The network is the small CNN of two convolutions and three linear layers;
SGD, learning rate .01, momentum .9, batches of 64 and the last one of 16, 60 epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.data import load_data
from pellucid.regularization.penalties import Penalty, StackedPenalty

LEARNING_RATE, MOMENTUM, BATCH_SIZE, EPOCHS = 0.01, 0.9, 64, 60
WRONG_LABELS = 0.2
KINDS = {
    f"{layer}.{name}": name
    for layer in ("conv1", "conv2", "fc1", "fc2", "fc3")
    for name in ("weight", "bias")
}


class SmallCnn(nn.Module):
    """Two convolutions and three linear layers; images are 32x32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 5), nn.Conv2d(8, 16, 3)
        self.fc1, self.fc2, self.fc3 = nn.Linear(576, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 3, 32, 32) to logits (n, 10)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


@dataclass(frozen=True)
class Digits:
    """Images and labels of the three splits; `train` with wrong labels."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def load_noisy_digits() -> Digits:
    images = load_data("digits", image_size=32).images
    pixels = images.read(torch.arange(len(images))).float() / 127.5 - 1
    labels = images.labels.clone()
    everything = torch.arange(len(labels)).numpy()
    rest, train = train_test_split(
        everything, test_size=400, random_state=0, stratify=labels.numpy()
    )
    test, validation = train_test_split(
        rest, test_size=400, random_state=0, stratify=labels[rest].numpy()
    )
    random = torch.Generator().manual_seed(0)
    wrong = torch.as_tensor(train)[torch.randperm(400, generator=random)[: int(WRONG_LABELS * 400)]]
    noisy = labels.clone()
    noisy[wrong] = (labels[wrong] + torch.randint(1, 10, wrong.shape, generator=random)) % 10
    return Digits(
        train=(pixels[train], noisy[train]),
        validation=(pixels[validation], labels[validation]),
        test=(pixels[test], labels[test]),
    )


def stack_of_one(network: nn.Module) -> dict[str, Tensor]:
    """Return the network's parameters and gradients with a leading axis of 1, sharing memory."""
    stack = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        stack[name] = parameter.detach()[None]
        stack[name].grad = parameter.grad[None]
    return stack


def train(
    data: Digits,
    penalty: Penalty,
    *,
    seed: int,
    assumed_momentum: float = MOMENTUM,
    builds_up: bool = True,
    polish_rate: float = LEARNING_RATE,
    epochs: int = EPOCHS,
) -> SmallCnn:
    """Train one network by the plain loop.

    The proximal step is told `assumed_momentum`, and the steps taken where it `builds_up`.
    """
    torch.manual_seed(seed)
    network = SmallCnn()
    images, labels = data.train
    penalties = StackedPenalty([penalty], stack_of_one(network), kinds=KINDS)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    steps = epochs * -(-len(images) // BATCH_SIZE)
    step = 0
    for _ in range(epochs):
        for part in torch.randperm(len(images)).split(BATCH_SIZE):
            optimizer.zero_grad(set_to_none=False)
            F.cross_entropy(network(images[part]), labels[part]).backward()
            penalties.add_gradients(step / steps)
            optimizer.step()
            penalties.proximal_step(
                learning_rate=LEARNING_RATE,
                momentum=assumed_momentum,
                fraction=step / steps,
                steps_taken=step + 1 if builds_up else None,
            )
            step += 1
    for index in range(penalty.polish_steps):
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(network(images), labels).backward()
        penalties.polish_step(index=index, learning_rate=polish_rate)
    return network


@torch.no_grad()
def measure(network: SmallCnn, data: Digits) -> dict[str, float]:
    """Share of right answers in each split, the weights' L1 norm, their share of exact zeros.

    ``l1_norm_tiny``: what weights below .001 add to the L1 norm.
    """
    weights = [p.detach() for name, p in network.named_parameters() if KINDS[name] == "weight"]
    figures = {
        split: (network(images).argmax(1) == labels).double().mean().item()
        for split, (images, labels) in vars(data).items()
    }
    images, labels = data.train
    figures["train_loss"] = F.cross_entropy(network(images), labels).item()
    figures["l1_norm"] = sum(w.double().abs().sum().item() for w in weights)
    figures["l1_norm_tiny"] = sum(w[w.abs() < 1e-3].double().abs().sum().item() for w in weights)
    figures["zeros"] = sum((w == 0).sum().item() for w in weights) / sum(w.numel() for w in weights)
    return figures
