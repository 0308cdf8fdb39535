"""The one epoch loop: every pillar trains through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid._lazy_names import load_on_use

_HOMES = {
    "Batch": "pellucid.training.loop",
    "Interrupted": "pellucid.training.interruption",
    "Logger": "pellucid.training.loggers",
    "Outcome": "pellucid.training.outcome",
    "Progress": "pellucid._progress",
    "Recipe": "pellucid.training.outcome",
    "Snapshot": "pellucid.training.outcome",
    "Task": "pellucid.training.loop",
    "TensorBoardLogger": "pellucid.training.loggers",
    "TrainingPlan": "pellucid.training.loop",
    "TrainingResult": "pellucid.training.loop",
    "choose_batch_size": "pellucid.training.loop",
    "interruptible": "pellucid.training.interruption",
    "stopping_when": "pellucid.training.interruption",
    "train": "pellucid.training.loop",
}
__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)

if TYPE_CHECKING:
    from pellucid._progress import Progress as Progress
    from pellucid.training.interruption import Interrupted as Interrupted
    from pellucid.training.interruption import interruptible as interruptible
    from pellucid.training.interruption import stopping_when as stopping_when
    from pellucid.training.loggers import Logger as Logger
    from pellucid.training.loggers import TensorBoardLogger as TensorBoardLogger
    from pellucid.training.loop import Batch as Batch
    from pellucid.training.loop import Task as Task
    from pellucid.training.loop import TrainingPlan as TrainingPlan
    from pellucid.training.loop import TrainingResult as TrainingResult
    from pellucid.training.loop import choose_batch_size as choose_batch_size
    from pellucid.training.loop import train as train
    from pellucid.training.outcome import Outcome as Outcome
    from pellucid.training.outcome import Recipe as Recipe
    from pellucid.training.outcome import Snapshot as Snapshot
