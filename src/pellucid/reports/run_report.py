"""The report of one trained tree: from the tree, its data and its figures to a page's contents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid.data import LabelledData, Problem
from pellucid.evaluation.accuracy import Proportion, TreeEvaluation
from pellucid.evaluation.explanations import ExplanationEvaluation
from pellucid.evaluation.findings import LOW_FIDELITY
from pellucid.prototree import FittedTree, explain
from pellucid.reports.contents import AccuracyRow, ExplainedImage, LeafVisits, TreeReport
from pellucid.reports.interactive.view_data import FEW_PROTOTYPES, source_side_px
from pellucid.reports.run_pictures import (
    SourcePictures,
    picture_explanation,
    picture_patches,
    picture_prototypes,
)
from pellucid.reports.similarity_counts import count_similarities
from pellucid.reports.trust import tabulate_trust
from pellucid.reports.wording import percent

_SMALL_TEST_SET = 100
_FEWEST_RIGHT, _MOST_RIGHT = 6, 20
_NAMED = 10  # how many files or classes a warning names


@dataclass(frozen=True)
class RunFigures:
    """What was measured on a run, besides the tree itself.

    Attributes:
        evaluation: On the test images, after projection and pruning; None without test images.
        unprojected: On the same images, as training left the tree.
        metrics: One row an epoch.
        status: ``"finished"`` or ``"diverged"``.
        epochs_done: Epochs completed.
        best_epoch: The epoch whose state stands, counted from 0.
        seconds: All of it, from loading the data to the last measurement.
        seed: Source of every random choice.
        configuration: Everything that was asked for.
        explanations: How far the explanations can be trusted; None where it was not measured.
    """

    evaluation: TreeEvaluation | None
    unprojected: TreeEvaluation | None
    metrics: Sequence[Mapping[str, Any]] = ()
    status: str = "finished"
    epochs_done: int = 0
    best_epoch: int = -1
    seconds: float = math.nan
    seed: int = 0
    configuration: Mapping[str, Any] = field(default_factory=dict)
    explanations: ExplanationEvaluation | None = None


def make_tree_report(
    fitted: FittedTree,
    data: LabelledData,
    figures: RunFigures,
    *,
    right: int | None = None,
    wrong: int = 6,
) -> TreeReport:
    """Put together all that the page of a tree shows.

    Args:
        fitted: The tree after projection and pruning.
        data: The data it was trained on.
        figures: What was measured.
        right: How many test images answered right are explained; None takes one a class, but at
            least 6 and at most 20.
        wrong: How many answered wrong.
    """
    pictures = SourcePictures(data.images, source_side_px(fitted.tree.topology.branches))
    if right is None:
        right = min(max(_FEWEST_RIGHT, len(fitted.class_names)), _MOST_RIGHT)
    prototypes = picture_prototypes(fitted, data.images, pictures=pictures)
    leaf_visits: tuple[LeafVisits, ...] = ()
    if len(data.splits.test):
        counts = count_similarities(fitted, data.images, data.splits.test)
        leaf_visits = counts.leaf_visits
        prototypes = tuple(
            replace(
                prototype,
                histogram=counts.histograms[prototype.branch],
                found_in=picture_patches(fitted, counts.found_in[prototype.branch], pictures)
                if len(prototypes) <= FEW_PROTOTYPES
                else (),
            )
            for prototype in prototypes
        )
    topology = fitted.tree.topology
    recipe = fitted.recipe
    return TreeReport(
        title=f"Prototype tree for {data.name}",
        subtitle=(
            f"{len(fitted.class_names)} classes, {len(data.splits.train)} training images of "
            f"{fitted.image_size[0]} x {fitted.image_size[1]} px, backbone {recipe.backbone}, "
            f"seed {figures.seed}"
        ),
        class_names=fitted.class_names,
        left_child=np.asarray(topology.left),
        right_child=np.asarray(topology.right),
        leaf_distributions=fitted.tree.leaf_log_distributions().exp().detach().cpu().numpy(),
        prototypes=prototypes,
        metrics=tuple(figures.metrics),
        accuracy=list_accuracies(figures.evaluation, figures.unprojected),
        facts=list_facts(fitted, data, figures),
        warnings=list_warnings(fitted, data, figures),
        explained=_explain_some(fitted, data, figures.evaluation, pictures, right, wrong),
        configuration=figures.configuration,
        leaf_visits=leaf_visits,
        trust=tabulate_trust(figures.explanations) if figures.explanations else None,
    )


def list_accuracies(
    evaluation: TreeEvaluation | None, unprojected: TreeEvaluation | None
) -> tuple[AccuracyRow, ...]:
    """Return the rows of the accuracy table, in the order in which they are read."""
    if evaluation is None:
        return ()
    rows = [
        ("greedy", evaluation.greedy, "one path, a yes or no at each branch; the tree you see"),
        ("most probable leaf", evaluation.most_probable_leaf, "the leaf of highest probability"),
        ("soft", evaluation.distributed, "all leaves mixed, after projection and pruning"),
    ]
    if unprojected is not None:
        rows.append(
            ("soft, before projection", unprojected.distributed, "all leaves, as training ended")
        )
    return tuple(
        AccuracyRow(label, share.value, share.low, share.high, share.total, note)
        for label, share, note in rows
    )


def list_facts(
    fitted: FittedTree, data: LabelledData, figures: RunFigures
) -> tuple[tuple[str, object], ...]:
    """Return the named facts of a run, in the order in which they are shown."""
    facts: list[tuple[str, object]] = []
    evaluation, unprojected = figures.evaluation, figures.unprojected
    if evaluation is not None:
        facts += [
            ("greedy agrees with soft", _in_words(evaluation.fidelity_greedy)),
            (
                "most probable leaf agrees with soft",
                _in_words(evaluation.fidelity_most_probable_leaf),
            ),
        ]
    if evaluation is not None and unprojected is not None:
        drop = 100 * (unprojected.distributed.value - evaluation.distributed.value)
        facts.append(("soft accuracy lost by projection and pruning", f"{drop:.1f} points"))
    if evaluation is not None:
        mean, least, greatest = evaluation.path_lengths
        facts += [
            ("branches on a path", f"{mean:.1f} in the mean, {least} to {greatest}"),
            ("path margin, median", f"{evaluation.path_margin:.3f} in latent distance"),
        ]
    branches = fitted.tree.topology.branches
    pruning = fitted.pruning
    if pruning is not None:
        gone = [
            f"{count} {what}"
            for count, what in (
                (pruning.uniform_leaves, "leaves that answered nothing"),
                (pruning.equal_leaves, "leaves equal to their sibling"),
                (pruning.superfluous_leaves, "leaves without which the tree answers as well"),
            )
            if count
        ]
        facts.append(
            (
                "prototypes before and after pruning",
                f"{pruning.prototypes_before}, then {pruning.prototypes_after}"
                + (f": {', '.join(gone)} went" if gone else ""),
            )
        )
    classes = len(fitted.class_names)
    facts.append(("prototypes per class", f"{branches / classes:.2g}"))
    duplicates = fitted.duplicates()
    facts.append(
        (
            "prototypes that are the same patch",
            "; ".join("branches " + ", ".join(map(str, group)) for group in duplicates) or "none",
        )
    )
    rows, columns = fitted.receptive_field.latent_size
    facts += [
        ("latent map", f"{rows} x {columns} cells"),
        (
            "a cell sees",
            f"{percent(fitted.receptive_field.coverage, 0)} of the image in the median",
        ),
        ("a box", _describe_box(fitted)),
        ("images for training", len(data.splits.train)),
        ("images for validation", len(data.splits.validation)),
        ("images for testing", len(data.splits.test)),
    ]
    if figures.best_epoch >= 0:
        facts.append(
            ("epoch kept, counted from 0", f"{figures.best_epoch} of {figures.epochs_done}")
        )
    facts += [("seconds", round(figures.seconds, 1)), ("seed", figures.seed)]
    return tuple(facts)


def list_warnings(fitted: FittedTree, data: LabelledData, figures: RunFigures) -> tuple[str, ...]:
    """Return what a reader must know before believing the page, doubts of the tree first."""
    found = [*list_doubts(data, figures)]
    evaluation = figures.evaluation
    if evaluation is None:
        found.append("There are no test images, so nothing is known about accuracy on new images.")
    elif evaluation.greedy.total < _SMALL_TEST_SET:
        found.append(
            f"Only {_count(evaluation.greedy.total, 'test image')}: the intervals are wide."
        )
    is_selected = any("validation_accuracy" in row for row in figures.metrics)
    if not is_selected and len(data.splits.validation) == 0:
        found.append("There are no validation images: the last epoch was kept, not the best one.")
    coverage = fitted.receptive_field.coverage_warning(fitted.recipe.backbone)
    if coverage:
        found.append(coverage)
    if data.rejected:
        found.append(
            f"{_count(len(data.rejected), 'file')} could not be used: {_name_some(data.rejected)}."
        )
    if data.warnings:
        found.append(
            f"{_count(len(data.warnings), 'more problem')} with the data: "
            f"{_name_some(data.warnings)}."
        )
    duplicates = fitted.duplicates()
    if duplicates:
        number = sum(len(group) for group in duplicates)
        found.append(
            f"{number} branches share {_count(len(duplicates), 'patch', 'patches')} as prototype."
        )
    return tuple(found)


def list_doubts(data: LabelledData, figures: RunFigures) -> tuple[str, ...]:
    """Return why no explanation of this tree should be trusted, if so; pages of one picture say it.

    Args:
        data: Whose test images ``figures`` are of.
        figures: What was measured.
    """
    found = []
    if figures.status == "diverged" and figures.best_epoch < 0:
        found.append(
            "Training diverged (a loss was not finite) before the tree was trained for a whole "
            "epoch, so this page shows where training started, not a model. Use a lower learning "
            "rate."
        )
    elif figures.status == "diverged":
        found.append(
            f"Training diverged (a loss was not finite) after {figures.epochs_done} complete "
            "epochs, and this is the tree as it was then. Use a lower learning rate."
        )
    evaluation = figures.evaluation
    if evaluation is not None:
        labels = data.images.labels[data.splits.test]
        commonest = Proportion.of(labels == labels.mode().values)
        if evaluation.greedy.low <= commonest.value < 1:  # of one class alone nothing is shown
            found.append(
                f"The tree is not shown to do better than always answering the most frequent class "
                f"({percent(commonest.value)} of the test images). Do not trust its explanations; "
                "give it more images or more epochs."
            )
        fidelity = evaluation.fidelity_greedy
        if fidelity.value < LOW_FIDELITY:
            found.append(
                "The path that is shown is not always the reason: for "
                f"{percent(1 - fidelity.value)} of the test images the whole tree, which weighs "
                "all paths, answers with another class. Look at what all leaves together answer."
            )
    return tuple(found)


def choose_examples(
    labels: Tensor, predictions: Sequence[int], *, right: int, wrong: int
) -> tuple[int, ...]:
    """Return positions of images answered right, then wrong, spread over the true classes.

    The first image of each class comes before the second of any; where not every class has room,
    classes are taken at even distances.

    Args:
        labels: True classes, shape (images,).
        predictions: Answers, one an image.
        right: At most this many answered right.
        wrong: At most this many answered wrong.
    """
    correct = labels == torch.as_tensor(list(predictions), dtype=labels.dtype)
    chosen: list[int] = []
    for mask, wanted in ((correct, right), (~correct, wrong)):
        positions = mask.nonzero().flatten().tolist()
        by_class: dict[int, list[int]] = {}
        for position in positions:
            by_class.setdefault(int(labels[position]), []).append(position)
        classes = sorted(by_class)
        turns = max((len(members) for members in by_class.values()), default=0)
        taken: list[int] = []
        for turn in range(turns):
            members = [by_class[label][turn] for label in classes if turn < len(by_class[label])]
            room = wanted - len(taken)
            if room <= 0:
                break
            if len(members) > room:
                steps = np.linspace(0, len(members) - 1, room).round().astype(int)
                members = [members[step] for step in steps]
            taken += members
        chosen += taken
    return tuple(chosen)


def _explain_some(
    fitted: FittedTree,
    data: LabelledData,
    evaluation: TreeEvaluation | None,
    pictures: SourcePictures,
    right: int,
    wrong: int,
) -> tuple[ExplainedImage, ...]:
    test = data.splits.test
    if evaluation is None or len(evaluation.predictions) != len(test):
        return ()
    labels = data.images.labels[test]
    positions = choose_examples(labels, evaluation.predictions, right=right, wrong=wrong)
    if not positions:
        return ()
    chosen = test[torch.tensor(positions)]
    explained = []
    for pixels, batch_labels, which in fitted.normalized_batches(data.images, chosen):
        for explanation, label, index in zip(
            explain(fitted, pixels), batch_labels.tolist(), which.tolist(), strict=True
        ):
            picture = Image.fromarray(pictures.get(index))
            name = data.images.names[index]
            explained.append(
                picture_explanation(fitted, explanation, picture, name=name, true_class=label)
            )
    return tuple(explained)


def _describe_box(fitted: FittedTree) -> str:
    """Return how large the box of a prototype is where no edge of the image cuts it."""
    height, width = fitted.recipe.prototype_size
    rows, columns = fitted.receptive_field.latent_size
    boxes = [
        fitted.patch_box(row, column)
        for row in range(rows - height + 1)
        for column in range(columns - width + 1)
    ]
    tall = max(box.bottom - box.top for box in boxes)
    wide = max(box.right - box.left for box in boxes)
    whole_height, whole_width = fitted.image_size
    return (
        f"at most {tall} x {wide} px of a {whole_height} x {whole_width} px image "
        "(height x width, as the network takes it)"
    )


def _in_words(share: Proportion) -> str:
    return (
        f"{percent(share.value)} of {share.total} ({100 * share.low:.1f} to {percent(share.high)})"
    )


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _name_some(problems: Sequence[Problem]) -> str:
    named = "; ".join(str(problem) for problem in problems[:_NAMED])
    more = len(problems) - _NAMED
    return f"{named}; and {more} more" if more > 0 else named
