"""The run folder: configuration, environment, metrics, checkpoints, and the seeds of a run.

The names load on first use: opening a run folder does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid._lazy_names import load_on_use

_HOMES = {
    "Run": "pellucid.runs.run_folder",
    "describe_environment": "pellucid.runs.environment",
    "flatten_optimizer": "pellucid.runs.optimizer_state",
    "generator": "pellucid.runs.random_streams",
    "sequence_seed": "pellucid.runs.random_streams",
    "unflatten_optimizer": "pellucid.runs.optimizer_state",
}
__all__ = [
    "Run",
    "describe_environment",
    "flatten_optimizer",
    "generator",
    "sequence_seed",
    "unflatten_optimizer",
]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)

if TYPE_CHECKING:
    from pellucid.runs.environment import describe_environment as describe_environment
    from pellucid.runs.optimizer_state import flatten_optimizer as flatten_optimizer
    from pellucid.runs.optimizer_state import unflatten_optimizer as unflatten_optimizer
    from pellucid.runs.random_streams import generator as generator
    from pellucid.runs.random_streams import sequence_seed as sequence_seed
    from pellucid.runs.run_folder import Run as Run
