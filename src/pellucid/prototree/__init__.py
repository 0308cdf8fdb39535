"""Prototype trees: train, project, prune, route, explain."""

from pellucid.prototree.explanation import Explanation, Turn, explain
from pellucid.prototree.fitted import FittedTree, load_tree, save_tree
from pellucid.prototree.fitting import TreeFit, fit_tree
from pellucid.prototree.model import Answers, ProtoTree
from pellucid.prototree.projection import PatchSource, Projection, project
from pellucid.prototree.pruning import Pruning, prune
from pellucid.prototree.recipe import TreeRecipe, TreeTask
from pellucid.prototree.routing import (
    distributed,
    greedy_leaf,
    most_probable_leaf,
    path_log_probabilities,
    path_margin,
)
from pellucid.prototree.topology import Topology

__all__ = [
    "Answers",
    "Explanation",
    "FittedTree",
    "PatchSource",
    "Projection",
    "ProtoTree",
    "Pruning",
    "Topology",
    "TreeFit",
    "TreeRecipe",
    "TreeTask",
    "Turn",
    "distributed",
    "explain",
    "fit_tree",
    "greedy_leaf",
    "load_tree",
    "most_probable_leaf",
    "path_log_probabilities",
    "path_margin",
    "project",
    "prune",
    "save_tree",
]
