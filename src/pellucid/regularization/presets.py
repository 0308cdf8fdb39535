"""Whole protocols by name: the reference experiment, faults and all."""

from __future__ import annotations

from dataclasses import replace

from pellucid.data.normalization import Normalization
from pellucid.regularization.arms import Arm
from pellucid.regularization.penalty import Penalty
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.study_data import StudyData

PRESETS = ("reference",)
REFERENCE_SEED = 42

REFERENCE_RECIPE = NetworkRecipe(
    network="small_cnn",
    epochs=30,
    batch_size=64,
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    normalization=Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    train_metrics="running",
)
"""How the reference experiment trained."""

REFERENCE_FAULTS = (
    "One seed: another seed may turn the order of the arms round.",
    "The validation images are half of the official test images: what is selected on one half is "
    "judged on its sister half. (The original drew the halves in an order without a seed; here it "
    "has one.)",
    "The curves of the training images are taken while the weights move, so they lag behind and "
    "the distance to the validation curves looks smaller than it is. (The tables here are measured "
    "with the network at rest.)",
    "The original counted the penalty in the training loss it reported, so the losses of two arms "
    "could not be compared. On this page cross-entropy, penalty and objective are kept apart.",
    "L1 by subgradient: weights get small but none gets exactly zero, so nothing can be removed.",
    "L2 as SGD's weight_decay, which shrinks biases too, while L1 leaves them out.",
    "One strength for each penalty, taken as given.",
)
"""What the default protocol mends, a sentence each; shown in the report of the preset."""


def reference_arms(base: NetworkRecipe) -> tuple[Arm, ...]:
    """Return the three arms of the reference experiment.

    Source: the comparison of penalties on CIFAR-10 that this pillar starts from: none; L1, 1e-4
    times the sum over all parameters but biases, by subgradient; L2, ``weight_decay=1e-3``.
    """
    penalties = {
        "none": Penalty(),
        "l1": Penalty(l1=1e-4, method="subgradient"),
        "l2": Penalty(l2=1e-3, include_biases=True, include_norms=True),
    }
    return tuple(Arm(name, replace(base, penalty=penalty)) for name, penalty in penalties.items())


def reference_data(
    data: str, *, seed: int = REFERENCE_SEED, sha256: str | None = None
) -> StudyData:
    """Return the reference experiment's splits: the official test images, halved at random."""
    return replace(
        StudyData.of(data, seed=seed, sha256=sha256), validation_fraction=0.0, halve_test=True
    )
