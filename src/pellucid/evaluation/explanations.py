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
from pellucid.evaluation.explained_model import ExplainedModel, Matches, PrototypeModel
from pellucid.evaluation.local_perturbation import measure_local_perturbation, perturb_boxes
from pellucid.evaluation.measure import Measure, interval_of_share
from pellucid.evaluation.part_interventions import (
    count_renderings,
    intervene,
    pool_by_region,
    score_drops,
)
from pellucid.evaluation.replacements import REPLACEMENTS
from pellucid.evaluation.single_deletion import measure_single_deletion

_IMAGES = 200


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
    images: int = _IMAGES,
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
    answers = model.probabilities(pixels)
    classes = answers.argmax(1)
    right = int((classes == labels).sum())
    measures = [
        Measure(
            "accuracy",
            "accuracy",
            right / len(labels),
            *interval_of_share(right, len(labels)),
            1 / len(model.class_names),
            "higher",
            "share",
            len(labels),
            "share of right answers",
        )
    ]
    matches: Matches | None = None
    if isinstance(model, PrototypeModel):
        matches = model.match(pixels)
    steps = 0
    if isinstance(data.images, Creatures):
        steps += count_renderings(data.images, len(chosen))
    if matches is not None:
        steps += 4 * len(REPLACEMENTS) * min(400, int(matches.present.sum()))
    importance = model.importance(pixels, classes)
    with Progress(steps, "image", "measuring explanations", quiet=quiet) as progress:
        if isinstance(data.images, Creatures):
            changed = intervene(model, data.images, chosen, tick=progress.update)
            visible = changed.parts.flatten(2).any(2).numpy()
            measures.append(
                measure_single_deletion(
                    pool_by_region(importance, changed.parts).numpy(),
                    score_drops(changed.plain, changed.without_part, classes),
                    visible,
                    seed=seed,
                )
            )
        if isinstance(model, PrototypeModel) and matches is not None:
            perturbed = perturb_boxes(model, pixels, matches, seed=seed, tick=progress.update)
            measures += measure_local_perturbation(perturbed, seed=seed)
    return ExplanationEvaluation(
        model=model.name,
        data=data.name,
        measures=tuple(measures),
        images=len(chosen),
        seconds=round(time.perf_counter() - started, 3),
        findings=(),
    )


def _choose(indices: Tensor, count: int, seed: int) -> Tensor:
    if len(indices) == 0:
        raise DataError(
            "explanations need at least one test image, got 0. Add test images, or give other "
            "images of the same classes."
        )
    order = np.random.default_rng(seed).permutation(len(indices))[:count]
    return indices[torch.from_numpy(np.sort(order))]
