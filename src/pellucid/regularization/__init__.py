"""Regularization studies: which penalty helps, how sure, and what it does to the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid._lazy_names import load_on_use

_HOMES = {
    "Arm": "pellucid.regularization.arms",
    "ArmSummary": "pellucid.regularization.statistics.summaries",
    "Compacted": "pellucid.regularization.compaction.compact",
    "CompactionRow": "pellucid.regularization.compaction.compact",
    "Comparison": "pellucid.regularization.statistics.comparison",
    "Interval": "pellucid.regularization.statistics.summaries",
    "LayerHistogram": "pellucid.regularization.weight_measures",
    "LayerWeights": "pellucid.regularization.record",
    "Measured": "pellucid.regularization.record",
    "NetworkRecipe": "pellucid.regularization.recipe",
    "Penalty": "pellucid.regularization.penalty",
    "PenaltyPath": "pellucid.regularization.penalty_path",
    "Power": "pellucid.regularization.statistics.power",
    "RunRecord": "pellucid.regularization.record",
    "SmallCnn": "pellucid.regularization.small_networks",
    "SmallMlp": "pellucid.regularization.small_networks",
    "StackedPenalty": "pellucid.regularization.penalties",
    "StudyData": "pellucid.regularization.study_data",
    "StudyResult": "pellucid.regularization.result",
    "StudySettings": "pellucid.regularization.study_settings",
    "TrainedNetwork": "pellucid.regularization.trained_networks",
    "arm_names": "pellucid.regularization.arms",
    "compact": "pellucid.regularization.compaction.compact",
    "compact_run": "pellucid.regularization.trained_networks",
    "compare": "pellucid.regularization.statistics.comparison",
    "create_network": "pellucid.regularization.small_networks",
    "export_onnx": "pellucid.regularization.compaction.onnx_export",
    "load_trained": "pellucid.regularization.trained_networks",
    "named_arm": "pellucid.regularization.arms",
    "named_penalty": "pellucid.regularization.named_penalties",
    "run_study": "pellucid.regularization.study",
    "stack_key": "pellucid.regularization.stacking.stacked_training",
    "summarize": "pellucid.regularization.statistics.summaries",
    "train_stack": "pellucid.regularization.stacking.stacked_training",
    "verdict": "pellucid.regularization.statistics.verdict",
}
__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = load_on_use(__name__, _HOMES)

if TYPE_CHECKING:
    from pellucid.regularization.arms import Arm as Arm
    from pellucid.regularization.arms import arm_names as arm_names
    from pellucid.regularization.arms import named_arm as named_arm
    from pellucid.regularization.compaction.compact import Compacted as Compacted
    from pellucid.regularization.compaction.compact import CompactionRow as CompactionRow
    from pellucid.regularization.compaction.compact import compact as compact
    from pellucid.regularization.compaction.onnx_export import export_onnx as export_onnx
    from pellucid.regularization.named_penalties import named_penalty as named_penalty
    from pellucid.regularization.penalties import StackedPenalty as StackedPenalty
    from pellucid.regularization.penalty import Penalty as Penalty
    from pellucid.regularization.penalty_path import PenaltyPath as PenaltyPath
    from pellucid.regularization.recipe import NetworkRecipe as NetworkRecipe
    from pellucid.regularization.record import LayerWeights as LayerWeights
    from pellucid.regularization.record import Measured as Measured
    from pellucid.regularization.record import RunRecord as RunRecord
    from pellucid.regularization.result import StudyResult as StudyResult
    from pellucid.regularization.small_networks import SmallCnn as SmallCnn
    from pellucid.regularization.small_networks import SmallMlp as SmallMlp
    from pellucid.regularization.small_networks import create_network as create_network
    from pellucid.regularization.stacking.stacked_training import stack_key as stack_key
    from pellucid.regularization.stacking.stacked_training import train_stack as train_stack
    from pellucid.regularization.statistics.comparison import Comparison as Comparison
    from pellucid.regularization.statistics.comparison import compare as compare
    from pellucid.regularization.statistics.power import Power as Power
    from pellucid.regularization.statistics.summaries import ArmSummary as ArmSummary
    from pellucid.regularization.statistics.summaries import Interval as Interval
    from pellucid.regularization.statistics.summaries import summarize as summarize
    from pellucid.regularization.statistics.verdict import verdict as verdict
    from pellucid.regularization.study import run_study as run_study
    from pellucid.regularization.study_data import StudyData as StudyData
    from pellucid.regularization.study_settings import StudySettings as StudySettings
    from pellucid.regularization.trained_networks import TrainedNetwork as TrainedNetwork
    from pellucid.regularization.trained_networks import compact_run as compact_run
    from pellucid.regularization.trained_networks import load_trained as load_trained
    from pellucid.regularization.weight_measures import LayerHistogram as LayerHistogram
