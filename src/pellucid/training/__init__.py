"""The one epoch loop: every pillar trains through it."""

from pellucid.training.interruption import Interrupted, interruptible
from pellucid.training.loop import Batch, Task, TrainingPlan, TrainingResult, train

__all__ = [
    "Batch",
    "Interrupted",
    "Task",
    "TrainingPlan",
    "TrainingResult",
    "interruptible",
    "train",
]
