"""Measures of a model on images it was not trained on, and of its explanations."""

from pellucid.evaluation.accuracy import Proportion, TreeEvaluation, evaluate_tree
from pellucid.evaluation.attributions import GradCam, IntegratedGradients
from pellucid.evaluation.explained_model import (
    ExplainedModel,
    Matches,
    PrototypeModel,
    TreeExplainer,
)
from pellucid.evaluation.explanations import ExplanationEvaluation, evaluate_explanations
from pellucid.evaluation.measure import Measure

__all__ = [
    "ExplainedModel",
    "ExplanationEvaluation",
    "GradCam",
    "IntegratedGradients",
    "Matches",
    "Measure",
    "Proportion",
    "PrototypeModel",
    "TreeEvaluation",
    "TreeExplainer",
    "evaluate_explanations",
    "evaluate_tree",
]
