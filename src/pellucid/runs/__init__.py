"""The run folder: configuration, environment, metrics, checkpoints, and the seeds of a run."""

from __future__ import annotations

from pellucid.runs.environment import describe_environment
from pellucid.runs.optimizer_state import flatten_optimizer, unflatten_optimizer
from pellucid.runs.random_streams import generator, sequence_seed
from pellucid.runs.run_folder import Run

__all__ = [
    "Run",
    "describe_environment",
    "flatten_optimizer",
    "generator",
    "sequence_seed",
    "unflatten_optimizer",
]
