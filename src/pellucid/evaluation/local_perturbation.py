"""Local perturbation: does a prototype's similarity depend on its box, and on nothing else?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from pellucid.evaluation.explained_model import Matches, PrototypeModel
from pellucid.evaluation.measure import Measure, interval_of_mean
from pellucid.evaluation.part_interventions import Tick
from pellucid.evaluation.replacements import REPLACEMENTS, replacement_pixels

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
        tick: Is told of progress; in all ``4 * len(REPLACEMENTS)`` images a pair.
    """
    tick = tick or (lambda _: None)
    generator = torch.Generator().manual_seed(seed)
    pairs = matches.present.nonzero()
    if len(pairs) > _MOST_PAIRS:
        pairs = pairs[torch.randperm(len(pairs), generator=generator)[:_MOST_PAIRS].sort().values]
    image, prototype = pairs.unbind(1)
    boxes = matches.boxes[image, prototype]
    elsewhere = move_boxes(boxes, tuple(images.shape[2:]), generator=generator)
    columns = np.zeros((4, len(pairs), len(REPLACEMENTS)))
    for number, name in enumerate(REPLACEMENTS):
        other = replacement_pixels(name, images, generator=generator)
        for rows in torch.arange(len(pairs)).split(_BATCH_PAIRS):
            for place, some_boxes in enumerate((boxes, elsewhere)):
                inside = fill_boxes(some_boxes[rows], tuple(images.shape[2:]))[:, None]
                plain, changed = images[image[rows]], other[image[rows]]
                for side, is_kept in enumerate((inside, ~inside)):
                    mixed = torch.where(is_kept, plain, changed)
                    found = model.match(mixed).similarity
                    columns[2 * place + side, rows.numpy(), number] = found.gather(
                        1, prototype[rows, None]
                    )[:, 0]
                    tick(len(rows))
    before = matches.similarity[image, prototype].double().numpy()
    return PerturbedSimilarities(image.numpy(), before, *columns)


def move_boxes(
    boxes: Int[Tensor, "n 4"], image_size: tuple[int, int], *, generator: torch.Generator
) -> Int[Tensor, "n 4"]:
    """Return boxes of the same sizes at places drawn uniformly from those inside the image."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    room = torch.tensor(image_size) - sizes + 1
    start = (torch.rand(len(boxes), 2, generator=generator, dtype=torch.float64) * room).long()
    return torch.cat([start, start + sizes], dim=1)


def fill_boxes(
    boxes: Int[Tensor, "n 4"], image_size: tuple[int, int]
) -> Bool[Tensor, "n height width"]:
    """Return for each box which pixels are in it."""
    top, left, bottom, right = (side[:, None] for side in boxes.unbind(1))
    row, column = torch.arange(image_size[0]), torch.arange(image_size[1])
    down, across = (row >= top) & (row < bottom), (column >= left) & (column < right)
    return down[:, :, None] & across[:, None, :]


def relative_changes(
    before: Float[np.ndarray, " pairs"], after: Float[np.ndarray, "pairs replacements"]
) -> NDArray[np.float64]:
    """Return ``(after - before) / before`` averaged over the replacements, (pairs,)."""
    return ((after - before[:, None]) / before[:, None]).mean(axis=1)


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
    outside = np.abs((s.outside - s.before[:, None]) / s.before[:, None]).mean(axis=1)
    elsewhere = np.abs((s.outside_elsewhere - s.before[:, None]) / s.before[:, None]).mean()
    fall = -relative_changes(s.before, s.inside)
    return (
        _make(
            "local_perturbation_outside",
            "similarity change, outside of the box replaced",
            s.image,
            outside,
            float(elsewhere) if len(s.before) else None,
            "lower",
            "mean relative change of a present prototype's similarity when all outside its box "
            "becomes noise, a blur or another image; the nearest patch may move (goal < 5 %)",
            seed,
        ),
        _make(
            "local_perturbation_inside",
            "similarity fall, inside of the box replaced",
            s.image,
            fall,
            float(-relative_changes(s.before, s.inside_elsewhere).mean()) if len(fall) else None,
            "higher",
            "mean relative fall of a present prototype's similarity when its box becomes noise, a "
            "blur or another image; the nearest patch may move (goal > 30 %)",
            seed,
        ),
    )


def _make(
    name: str,
    label: str,
    image: NDArray[np.int64],
    values: NDArray[np.float64],
    chance: float | None,
    better: str,
    note: str,
    seed: int,
) -> Measure:
    if not len(values):
        nothing = "no prototype is present in any image"
        return Measure(name, label, None, None, None, None, better, "relative change", 0, nothing)
    _, where, counts = np.unique(image, return_inverse=True, return_counts=True)
    by_image = np.bincount(where, weights=values) / counts
    low, high = interval_of_mean(by_image, weights=counts.astype(float), seed=seed)
    return Measure(
        name=name,
        label=label,
        value=float(values.mean()),
        low=low,
        high=high,
        chance=chance,
        better=better,
        unit="relative change",
        total=len(counts),
        note=note,
    )
