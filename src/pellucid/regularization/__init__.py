"""Regularization studies: which penalty helps, how sure, and what it does to the weights."""

from __future__ import annotations

from pellucid.regularization.arms import Arm, arm_names, named_arm
from pellucid.regularization.compaction.compact import Compacted, CompactionRow, compact
from pellucid.regularization.compaction.onnx_export import export_onnx
from pellucid.regularization.named_penalties import named_penalty
from pellucid.regularization.penalties import Penalty, StackedPenalty
from pellucid.regularization.penalty_path import PenaltyPath
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.record import LayerWeights, Measured, RunRecord
from pellucid.regularization.result import StudyResult
from pellucid.regularization.small_networks import SmallCnn, SmallMlp, create_network
from pellucid.regularization.stacking.stacked_training import stack_key, train_stack
from pellucid.regularization.statistics.comparison import Comparison, compare
from pellucid.regularization.statistics.power import Power
from pellucid.regularization.statistics.summaries import ArmSummary, Interval, summarize
from pellucid.regularization.statistics.verdict import verdict
from pellucid.regularization.study import StudySettings, run_study
from pellucid.regularization.study_data import StudyData
from pellucid.regularization.trained_networks import TrainedNetwork, compact_run, load_trained
from pellucid.regularization.weight_measures import LayerHistogram

__all__ = [
    "Arm",
    "ArmSummary",
    "Compacted",
    "CompactionRow",
    "Comparison",
    "Interval",
    "LayerHistogram",
    "LayerWeights",
    "Measured",
    "NetworkRecipe",
    "Penalty",
    "PenaltyPath",
    "Power",
    "RunRecord",
    "SmallCnn",
    "SmallMlp",
    "StackedPenalty",
    "StudyData",
    "StudyResult",
    "StudySettings",
    "TrainedNetwork",
    "arm_names",
    "compact",
    "compact_run",
    "compare",
    "create_network",
    "export_onnx",
    "load_trained",
    "named_arm",
    "named_penalty",
    "run_study",
    "stack_key",
    "summarize",
    "train_stack",
    "verdict",
]
