"""Local perturbation: does a prototype's similarity depend on its box, and on nothing else?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from pellucid.evaluation.checked_answers import ask_matches
from pellucid.evaluation.explained_model import Matches, PrototypeModel
from pellucid.evaluation.measure import Definition, Measure
from pellucid.evaluation.part_interventions import Tick
from pellucid.evaluation.pixel_boxes import fill_boxes, move_boxes
from pellucid.evaluation.replacements import REPLACEMENTS, replacement_pixels

OUTSIDE = Definition(
    "local_perturbation_outside",
    "similarity change, outside of the box replaced",
    "lower",
    "relative change",
    "mean relative change of a present prototype's similarity when all outside its box becomes "
    "noise, a blur or another image; the nearest patch may move (goal < 5 %)",
)
INSIDE = Definition(
    "local_perturbation_inside",
    "similarity fall, inside of the box replaced",
    "higher",
    "relative change",
    "mean relative fall of a present prototype's similarity when its box becomes noise, a blur or "
    "another image; the nearest patch may move (goal > 30 %)",
)
_MOST_PAIRS = 400
_BATCH_PAIRS = 64


@dataclass(frozen=True)
class PerturbedSimilarities:
    """Similarity of pairs of an image and a prototype that is present in it, before and after.

    Attributes:
        image: Which image, (pairs,).
        before: Similarity in the image as it is, (pairs,).
        outside: With all pixels outside the box replaced, (pairs, replacements).
        inside: With all pixels inside the box replaced, (pairs, replacements).
        outside_elsewhere: Like ``outside`` for a box of the same size at a random place.
        inside_elsewhere: Like ``inside`` for that box.
    """

    image: NDArray[np.int64]
    before: NDArray[np.float64]
    outside: NDArray[np.float64]
    inside: NDArray[np.float64]
    outside_elsewhere: NDArray[np.float64]
    inside_elsewhere: NDArray[np.float64]


def perturb_boxes(
    model: PrototypeModel,
    images: UInt8[Tensor, "images 3 height width"],
    matches: Matches,
    *,
    seed: int = 0,
    tick: Tick | None = None,
) -> PerturbedSimilarities:
    """Replace the inside or the outside of each present prototype's box, and match again.

    The nearest patch may be another one afterwards: what counts is what the model makes of the
    image, not what becomes of one cell.

    Args:
        model: Whose prototypes.
        images: Several images; each is also what others are replaced with.
        matches: The model's answer to ``images``.
        seed: Of noise, random boxes and, where there are more than 400 pairs, of the choice.
        tick: Is told of progress; in all `count_perturbed` images.
    """
    tick = tick or (lambda _: None)
    generator = torch.Generator().manual_seed(seed)
    size = (images.shape[2], images.shape[3])
    # What is not similar at all cannot become less so, relative to itself.
    pairs = (matches.present & (matches.similarity > 0)).nonzero()
    if len(pairs) > _MOST_PAIRS:
        pairs = pairs[torch.randperm(len(pairs), generator=generator)[:_MOST_PAIRS].sort().values]
    image, prototype = pairs.unbind(1)
    boxes = matches.boxes[image, prototype]
    elsewhere = move_boxes(boxes, size, generator=generator)
    columns = np.zeros((4, len(pairs), len(REPLACEMENTS)))
    for number, name in enumerate(REPLACEMENTS if len(pairs) else ()):
        other = replacement_pixels(name, images, generator=generator)
        for rows in torch.arange(len(pairs)).split(_BATCH_PAIRS):
            for place, some_boxes in enumerate((boxes, elsewhere)):
                inside = fill_boxes(some_boxes[rows], size)[:, None]
                plain, changed = images[image[rows]], other[image[rows]]
                for side, is_kept in enumerate((inside, ~inside)):
                    mixed = torch.where(is_kept, plain, changed)
                    found = ask_matches(model, mixed).similarity
                    columns[2 * place + side, rows.numpy(), number] = found.gather(
                        1, prototype[rows, None]
                    )[:, 0]
                    tick(len(rows))
    before = matches.similarity[image, prototype].double().numpy()
    return PerturbedSimilarities(image.numpy(), before, *columns)


def count_perturbed(matches: Matches) -> int:
    """Return how many images `perturb_boxes` matches again."""
    pairs = int((matches.present & (matches.similarity > 0)).sum())
    return 4 * len(REPLACEMENTS) * min(_MOST_PAIRS, pairs)


def measure_local_perturbation(
    similarities: PerturbedSimilarities, *, seed: int = 0
) -> tuple[Measure, Measure]:
    """Return how much similarities change outside their boxes, and how much they fall inside.

    Outside counts every change, up or down; inside only a fall.

    Source: Sacha et al. 2024 (Interpretability Benchmark for Evaluating Spatial Misalignment of
    Prototypical Parts Explanations), prototypical part activation change. Deviation: replaced by
    noise, a blur and another image instead of an adversarial change, and the box is replaced too.
    """
    s = similarities
    if not len(s.before):
        nothing = "no prototype is present in any image"
        return OUTSIDE.unknown(nothing), INSIDE.unknown(nothing)
    moved = np.abs(_relative(s.before, s.outside)).mean(axis=1)
    fallen = -_relative(s.before, s.inside).mean(axis=1)
    _, image, counts = np.unique(s.image, return_inverse=True, return_counts=True)
    weights = counts.astype(float)
    return (
        OUTSIDE.of_mean(
            np.bincount(image, weights=moved) / counts,
            weights=weights,
            chance=float(np.abs(_relative(s.before, s.outside_elsewhere)).mean()),
            seed=seed,
        ),
        INSIDE.of_mean(
            np.bincount(image, weights=fallen) / counts,
            weights=weights,
            chance=float(-_relative(s.before, s.inside_elsewhere).mean()),
            seed=seed,
        ),
    )


def _relative(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    return (after - before[:, None]) / before[:, None]
