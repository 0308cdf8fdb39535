"""Measures of a model on images it was not trained on."""

from pellucid.evaluation.accuracy import Proportion, TreeEvaluation, evaluate_tree

__all__ = ["Proportion", "TreeEvaluation", "evaluate_tree"]
