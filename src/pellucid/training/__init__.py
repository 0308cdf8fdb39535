"""The one epoch loop: every pillar trains through it."""

from pellucid._progress import Progress
from pellucid.training.interruption import Interrupted, interruptible, stopping_when
from pellucid.training.loggers import Logger, TensorBoardLogger
from pellucid.training.loop import (
    Batch,
    Task,
    TrainingPlan,
    TrainingResult,
    choose_batch_size,
    train,
)
from pellucid.training.outcome import Outcome, Recipe, Snapshot

__all__ = [
    "Batch",
    "Interrupted",
    "Logger",
    "Outcome",
    "Progress",
    "Recipe",
    "Snapshot",
    "Task",
    "TensorBoardLogger",
    "TrainingPlan",
    "TrainingResult",
    "choose_batch_size",
    "interruptible",
    "stopping_when",
    "train",
]
