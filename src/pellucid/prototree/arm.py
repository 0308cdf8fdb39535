"""A prototype tree as one arm of a study, beside networks that are no trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._checks import check_choice
from pellucid.data import LabelledData
from pellucid.prototree.fitting import fit_tree
from pellucid.prototree.recipe import TreeRecipe
from pellucid.runs import Run
from pellucid.training import Outcome, Snapshot

ROUTINGS = ("greedy", "distributed")


@dataclass(frozen=True)
class TreeArm:
    """A recipe for a tree, and how the tree answers; a `pellucid.training.Recipe`.

    What is measured is the finished tree, projected and pruned, of the epoch with the best
    validation accuracy: a tree has no other moment that a person would use, so its last epoch and
    its best checkpoint are the same.

    Attributes:
        recipe: How the tree is trained.
        routing: ``"greedy"`` (one path, which a person can follow) or ``"distributed"`` (all
            leaves mixed).
    """

    recipe: TreeRecipe
    routing: str = "greedy"

    def __post_init__(self) -> None:
        check_choice("routing", self.routing, ROUTINGS)

    def describe(self) -> dict[str, Any]:
        """Return the recipe as printable data."""
        answers = "one path, greedy" if self.routing == "greedy" else "all leaves mixed"
        return {
            "title": "tree, one path" if self.routing == "greedy" else "tree, all leaves",
            "objective": "cross-entropy of the soft tree's answer; then projection and pruning. "
            f"It answers by {answers}.",
            "model": "prototype tree",
            "routing": self.routing,
            **asdict(self.recipe),
        }

    def fit(
        self,
        data: LabelledData,
        *,
        seed: int,
        run: Run | None,
        device: torch.device,
        resume: bool,
        quiet: bool,
        on_epoch: Callable[[int], None] = lambda epochs_done: None,
    ) -> Outcome:
        """Train, project and prune one tree; the test split is never looked at.

        In the history, training figures are those taken while the weights moved, and validation
        figures are of the soft tree before projection.
        """
        fit = fit_tree(
            data,
            self.recipe,
            seed=seed,
            device=device,
            run=run,
            resume=resume,
            quiet=quiet,
            on_epoch=on_epoch,
        )
        tree, normalization = fit.fitted.tree, fit.fitted.normalization
        tree.eval()

        @torch.inference_mode()
        def predict(pixels: Tensor) -> Tensor:
            answers = tree.answer(normalization(pixels.to(device)))
            if self.routing == "distributed":
                return answers.log_probabilities
            return tree.leaf_log_distributions()[answers.greedy_leaf]

        training = fit.training
        snapshot = Snapshot(
            epoch=max(0, training.epochs_done - 1),
            weights={name: value.cpu() for name, value in tree.state_dict().items()},
            predict=predict,
        )
        rows = tuple(
            {**row, "penalty": 0.0, "objective": row["train_loss"]} for row in training.history
        )
        return Outcome(
            status=training.status,
            history=rows,
            last=snapshot,
            best=snapshot,
            seconds=sum(row["seconds"] for row in rows),
            details={
                "prototypes": tree.topology.branches,
                "leaves": tree.topology.leaves,
                "best_epoch": training.best_epoch,
            },
        )
