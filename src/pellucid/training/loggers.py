"""Where a training's numbers go while it runs, besides its run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from pellucid._checks import UsageError


class Logger(Protocol):
    """Takes scalars and weights as they come; whatever has these methods is one."""

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Note some values, such as ``{"l1/seed0/train_loss": 0.7}``, after a step or epoch."""
        ...

    def log_histogram(self, step: int, name: str, values: Tensor) -> None:
        """Note how the entries of a tensor are distributed."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class TensorBoardLogger:
    """Writes event files that ``tensorboard --logdir FOLDER`` shows.

    Args:
        folder: Created where it does not exist; an existing one gets a further event file.

    Raises:
        UsageError: The extra ``tensorboard`` is not installed.
    """

    def __init__(self, folder: str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "The TensorBoard logger needs tensorboard, not installed. "
                'Run: pip install "pellucid[tensorboard]", or ".[tensorboard]" in a clone.'
            ) from error
        self._writer = SummaryWriter(str(folder))

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write one point of each curve; a ``/`` in a name groups curves."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def log_histogram(self, step: int, name: str, values: Tensor) -> None:
        """Write one histogram of all finite entries; none where there are none."""
        finite = values.detach().float()
        finite = finite[finite.isfinite()].cpu()
        if len(finite):
            self._writer.add_histogram(name, finite, step)

    def close(self) -> None:
        """Write what is still in memory and close the file."""
        self._writer.close()
