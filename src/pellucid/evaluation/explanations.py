"""The whole evaluation of a model's explanations: every measure over the same images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from pellucid._checks import DataError, UsageError, check_integer
from pellucid._progress import Progress
from pellucid.data import Creatures, LabelledData
from pellucid.evaluation.annotated_measures import (
    Explain,
    count_steps,
    measure_annotated,
    not_annotated,
)
from pellucid.evaluation.checked_answers import ask_importance, ask_matches, ask_probabilities
from pellucid.evaluation.deletion_curves import (
    STEPS,
    curve_areas,
    measure_curves,
    random_importance,
)
from pellucid.evaluation.explained_model import (
    ExplainedModel,
    Matches,
    PrototypeModel,
    TreeExplainer,
)
from pellucid.evaluation.findings import list_findings
from pellucid.evaluation.local_perturbation import (
    INSIDE,
    OUTSIDE,
    count_perturbed,
    measure_local_perturbation,
    perturb_boxes,
)
from pellucid.evaluation.measure import Definition, Measure
from pellucid.evaluation.part_interventions import Tick
from pellucid.evaluation.tree_figures import (
    BOX_SIZE,
    measure_box_size,
    measure_class_coverage,
    measure_tree,
    no_tree,
)

ACCURACY = Definition(
    "accuracy",
    "accuracy",
    "higher",
    "share",
    "share of right answers among the images measured; of a tree, of all leaves together",
)
EXPLAINED_STEPS = 20
"""An explained image counts as so many answered ones, in the progress shown."""

CURVE_STEPS = 4 * (STEPS + 1)
DEFAULT_IMAGES = 200
_CURVE_IMAGES = 100
_BATCH_IMAGES = 32


@dataclass(frozen=True)
class ExplanationEvaluation:
    """How far a model's explanations can be trusted, in figures.

    Attributes:
        model: The model's name.
        data: The data's name.
        measures: Every figure, with interval, chance level and note.
        images: How many test images were looked at.
        seconds: How long it took.
        findings: What a reader must be told, one sentence each; the gravest first.
    """

    model: str
    data: str
    measures: tuple[Measure, ...]
    images: int
    seconds: float
    findings: tuple[str, ...]

    def __getitem__(self, name: str) -> Measure:
        """Return the measure of that name."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dictionaries."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `to_dict` described.

        Raises:
            DataError: ``fields`` is something else.
        """
        try:
            return cls(
                model=str(fields["model"]),
                data=str(fields["data"]),
                measures=tuple(Measure(**measure) for measure in fields["measures"]),
                images=int(fields["images"]),
                seconds=float(fields["seconds"]),
                findings=tuple(str(finding) for finding in fields["findings"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"this is no evaluation of explanations ({error!r}). Make it again with "
                "`pellucid evaluate RUN --explanations`."
            ) from None


def evaluate_explanations(
    model: ExplainedModel,
    data: LabelledData,
    *,
    images: int = DEFAULT_IMAGES,
    seed: int = 0,
    quiet: bool = False,
) -> ExplanationEvaluation:
    """Measure the explanations of a model on test images.

    Args:
        model: A `TreeExplainer`, or any object that fulfils `ExplainedModel` or `PrototypeModel`.
        data: Creatures allow every measure; other images those that need no annotations.
        images: How many test images to use at most, drawn by ``seed``.
        seed: Of the choice of images and of everything random in the measures.
        quiet: Show no progress.

    Raises:
        DataError: there are no test images.
        UsageError: an argument is out of range, or the model's classes are not those of the data.
    """
    started = time.perf_counter()
    images = check_integer("images", images, low=1)
    seed = check_integer("seed", seed, low=0, high=2**32 - 1)
    if tuple(model.class_names) != tuple(data.images.class_names):
        raise UsageError(
            f"model must have the classes of the data, got {len(model.class_names)} and "
            f"{len(data.images.class_names)} or other names. Number the data's classes as the "
            "model's."
        )
    chosen = _choose(data.splits.test, images, seed)
    pixels, labels = data.images.read(chosen), data.images.labels[chosen]
    answers = ask_probabilities(model, pixels).argmax(1)
    matches = ask_matches(model, pixels) if isinstance(model, PrototypeModel) else None
    steps = _count_steps(data, len(chosen), matches)
    with Progress(steps, "step", "measuring explanations", quiet=quiet) as progress:
        explain = _count_explained(model, progress.update)
        importance = explain(pixels, answers)
        measures = [ACCURACY.of_share((answers == labels).numpy(), chance=_guess(data))]
        if isinstance(data.images, Creatures):
            measures += measure_annotated(
                model,
                data.images,
                chosen,
                pixels,
                answers,
                importance,
                explain=explain,
                matches=matches,
                seed=seed,
                tick=progress.update,
            )
        else:
            measures += not_annotated()
        measures += _measure_boxes(model, pixels, matches, seed, progress.update)
        measures += _measure_curves(model, pixels, answers, importance, seed, progress.update)
        if isinstance(model, TreeExplainer):
            measures += measure_tree(model, data, chosen, answers.numpy(), seed=seed)
        else:
            measures += no_tree()
        coverage, unanswered = measure_class_coverage(model, pixels, labels.numpy())
        measures.append(coverage)
        progress.move_to(steps)
    by_name = {measure.name: measure for measure in measures}
    return ExplanationEvaluation(
        model=model.name,
        data=data.name,
        measures=tuple(measures),
        images=len(chosen),
        seconds=round(time.perf_counter() - started, 3),
        findings=list_findings(
            by_name, is_tree=isinstance(model, TreeExplainer), unanswered=unanswered
        ),
    )


def _count_steps(data: LabelledData, count: int, matches: Matches | None) -> int:
    """Return how many images will be answered; one that is explained counts as several."""
    steps = EXPLAINED_STEPS * count + CURVE_STEPS * min(count, _CURVE_IMAGES)
    if isinstance(data.images, Creatures):
        steps += count_steps(data.images, count) + 2 * EXPLAINED_STEPS * count
    if matches is not None:
        steps += count_perturbed(matches)
    return steps


def _count_explained(model: ExplainedModel, tick: Tick) -> Explain:
    """Return ``model.importance`` for any number of images, telling of progress."""

    def explain(images: Tensor, classes: Tensor) -> Tensor:
        parts = []
        for some, chosen in zip(
            images.split(_BATCH_IMAGES), classes.split(_BATCH_IMAGES), strict=True
        ):
            parts.append(ask_importance(model, some, chosen).detach().float())
            tick(EXPLAINED_STEPS * len(some))
        return torch.cat(parts)

    return explain


def _measure_boxes(
    model: ExplainedModel, pixels: Tensor, matches: Matches | None, seed: int, tick: Tick
) -> tuple[Measure, ...]:
    definitions = (BOX_SIZE, OUTSIDE, INSIDE)
    if matches is None or not isinstance(model, PrototypeModel):
        return tuple(each.unknown("only models with prototypes have it") for each in definitions)
    perturbed = perturb_boxes(model, pixels, matches, seed=seed, tick=tick)
    size = (pixels.shape[2], pixels.shape[3])
    return (
        measure_box_size(matches, size, seed=seed),
        *measure_local_perturbation(perturbed, seed=seed),
    )


def _measure_curves(
    model: ExplainedModel,
    pixels: Tensor,
    answers: Tensor,
    importance: Tensor,
    seed: int,
    tick: Tick,
) -> tuple[Measure, ...]:
    # Every k-th, as images are in the order of their classes.
    some = torch.linspace(0, len(pixels) - 1, min(_CURVE_IMAGES, len(pixels))).round().long()
    pixels, answers, importance = pixels[some], answers[some], importance[some]
    random = random_importance(len(pixels), (pixels.shape[2], pixels.shape[3]), seed=seed)
    areas, by_chance = (
        curve_areas(model, pixels, answers, said, tick=tick) for said in (importance, random)
    )
    return measure_curves(areas, by_chance, seed=seed)


def _guess(data: LabelledData) -> float | None:
    """Return the share of the commonest class among all test images: what guessing it would get.

    None where all are of one class: answering it always would be no guess.
    """
    counts = data.images.labels[data.splits.test].bincount()
    return int(counts.max()) / int(counts.sum()) if (counts > 0).sum() > 1 else None


def _choose(indices: Tensor, count: int, seed: int) -> Tensor:
    if len(indices) == 0:
        raise DataError(
            "explanations need at least one test image, got 0. Add test images, or give other "
            "images of the same classes."
        )
    order = np.random.default_rng(seed).permutation(len(indices))[:count]
    return indices[torch.from_numpy(np.sort(order))]
