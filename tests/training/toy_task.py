"""A small task and small images for the epoch loop, with accidents that a test can order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.data import Augmentation, InMemoryImages, Normalization
from pellucid.training import Batch, TrainingPlan

COUNT = 40
CLASSES = 3


def toy_images(count: int = COUNT) -> InMemoryImages:
    """Return 4 x 5 pictures whose brightest third tells their class."""
    generator = torch.Generator().manual_seed(11)
    labels = torch.arange(count) % CLASSES
    pixels = torch.randint(0, 120, (count, 3, 4, 5), generator=generator)
    for image, label in enumerate(labels.tolist()):
        pixels[image, label] += 100
    return InMemoryImages(
        pixels.to(torch.uint8),
        labels=labels,
        class_names=("red", "green", "blue"),
        names=[f"toy[{index}]" for index in range(count)],
        digest="toy",
    )


def toy_plan(*, epochs: int = 4, seed: int = 5, batch_size: int = 8, **options) -> TrainingPlan:
    return TrainingPlan(
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        device=torch.device("cpu"),
        normalization=Normalization((0.4, 0.4, 0.4), (0.2, 0.2, 0.2)),
        augmentation=options.pop("augmentation", Augmentation(shift_fraction=0.1, brightness=0.1)),
        **options,
    )


class ToyTask:
    """A linear classifier with dropout and batch statistics, and a count of what it absorbed.

    Args:
        at_step: Called with (epoch, step) before each step's loss; may raise, or return a factor
            for the loss.
    """

    def __init__(self, *, at_step=None, learning_rate: float = 0.05) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.module = nn.Sequential(
                nn.Flatten(), nn.BatchNorm1d(60), nn.Dropout(0.2), nn.Linear(60, CLASSES)
            )
        self.module.register_buffer("seen", torch.zeros(()))
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=learning_rate)
        self.at_step = at_step
        self.epochs: list[int] = []
        self._step = 0

    def begin_epoch(self, epoch: int, steps: int) -> str:
        self.epochs.append(epoch)
        self.module.train()
        self._step = 0
        return "toy"

    def learning_rate_factor(self, epoch: int, fraction: float) -> float:
        return 1 / (1 + epoch + fraction)

    def step(self, images: Tensor, labels: Tensor) -> Batch:
        factor = 1.0
        if self.at_step is not None:
            factor = self.at_step(self.epochs[-1], self._step) or 1.0
        self._step += 1
        answers = torch.log_softmax(self.module(images), dim=1)
        loss = nn.functional.nll_loss(answers, labels)
        return Batch(factor * loss, loss, answers.detach(), {"seen": torch.tensor(len(labels))})

    def absorb(self, sums: dict[str, Tensor]) -> None:
        self.module.seen += sums["seen"]

    def predict(self, images: Tensor) -> Tensor:
        return torch.log_softmax(self.module(images), dim=1)


def weights(task: ToyTask) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.module.state_dict().items()}
