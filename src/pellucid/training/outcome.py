"""What a finished training leaves behind, whatever was trained and however."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid.data import LabelledData
from pellucid.runs import Run


@dataclass(frozen=True)
class Snapshot:
    """A network at one moment of its training.

    Attributes:
        epoch: The epoch after which it was taken, from 0.
        weights: Its state dict on the CPU: parameters, and statistics such as those of batch
            normalization.
        predict: Turns uint8 images, shape (batch, 3, height, width), into log-probabilities, shape
            (batch, classes), in evaluation mode.
    """

    epoch: int
    weights: Mapping[str, Tensor]
    predict: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Outcome:
    """How one training ended.

    Attributes:
        status: ``"finished"`` or ``"diverged"`` (a loss was not finite; ``last`` is then the last
            good state).
        history: A row an epoch: ``epoch``, ``train_loss``, ``train_accuracy``, ``validation_loss``,
            ``validation_accuracy`` (cross-entropy and accuracy in evaluation mode at the epoch's
            end), ``penalty``, ``objective`` (their sum on the training images), ``seconds``.
        last: The network after the last epoch.
        best: The network after the epoch of highest validation accuracy, the first such epoch;
            the last epoch where there are no validation images.
        seconds: Wall time, as far as it can be told from that of networks trained beside it.
        details: Further facts to show, such as ``{"prototypes": 15}``.
    """

    status: str
    history: tuple[dict[str, Any], ...]
    last: Snapshot
    best: Snapshot
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)


class Recipe(Protocol):
    """All that decides a network besides the data and the seed: one arm of a study."""

    def describe(self) -> dict[str, Any]:
        """Return the recipe as printable data: strings, numbers, lists, dictionaries."""
        ...

    def fit(
        self,
        data: LabelledData,
        *,
        seed: int,
        run: Run | None,
        device: torch.device,
        resume: bool,
        quiet: bool,
        on_epoch: Callable[[int], None],
    ) -> Outcome:
        """Train one network on the data's training split and select on its validation split.

        The test split is never looked at. With ``run``, checkpoints go there, and ``resume`` goes
        on from the last one, bit for bit. ``on_epoch`` is told how many epochs are done, of those
        that `describe` gives as ``epochs``.
        """
        ...
