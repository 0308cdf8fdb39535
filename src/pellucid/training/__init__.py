"""The one epoch loop: every pillar trains through it."""

from pellucid._progress import Progress
from pellucid.training.interruption import Interrupted, interruptible
from pellucid.training.loop import (
    Batch,
    Task,
    TrainingPlan,
    TrainingResult,
    choose_batch_size,
    train,
)

__all__ = [
    "Batch",
    "Interrupted",
    "Progress",
    "Task",
    "TrainingPlan",
    "TrainingResult",
    "choose_batch_size",
    "interruptible",
    "train",
]
