"""Models that know which picture they are shown, so that a test knows what they rest on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pellucid.data import Creatures, CreatureSettings, Difficulty, LabelledData, load_creatures
from pellucid.evaluation.annotated_measures import BACKGROUNDS

PARTS = 5
WORTH = torch.tensor([1.0, 2.0, 3.0, 1.5, 2.5])
"""What each part adds to the logit of the classes that have it in this variant."""


@cache
def few_creatures(
    *, classes: int = 8, test_per_class: int = 2, size: int = 32, shortcut: float = 0.0
) -> LabelledData:
    """Return a small set; not to be changed."""
    settings = CreatureSettings(
        classes=classes,
        train_per_class=4,
        validation_per_class=2,
        test_per_class=test_per_class,
        difficulty=Difficulty(occlusion=0.1, shortcut=shortcut),
    )
    return load_creatures(settings, image_size=size)


@dataclass
class PartsModel:
    """Knows each rendering of the test images by its bytes, and answers by the parts in it.

    The logit of a class is the worth of the parts that are there in the variant of that class, less
    a little for the picture's own class where parts are missing. The importance of a part is what
    the class loses without it, on one pixel that is that part's alone.
    """

    data: LabelledData
    name: str = "parts"
    explains: str = "truly"
    class_names: tuple[str, ...] = ()
    known: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images, indices = self.data.images, self.data.splits.test
        assert isinstance(images, Creatures)
        self.class_names = images.class_names
        self.own = images.variants(indices)
        everything = 2**PARTS - 1
        for kept in range(2**PARTS):  # where a part is hidden, what shows it not comes first
            absent = torch.tensor([not kept >> part & 1 for part in range(PARTS)])
            self._learn(images.render(indices, variants=self.own.masked_fill(absent, -1)), kept)
        for number in range(images.most_objects):
            self._learn(images.without_objects(indices, [number]), everything)
        for seed in range(1, BACKGROUNDS + 1):
            self._learn(images.with_background(indices, seed), everything)
        found = images.annotations(indices)
        self.spots = [
            lonely_pixels(touched, masks)
            for touched, masks in zip(found.touched, found.masks, strict=True)
        ]
        self.generator = np.random.default_rng(3)

    def _learn(self, pixels: Tensor, kept: int) -> None:
        for row, image in enumerate(pixels.numpy()):
            self.known.setdefault(image.tobytes(), (row, kept))

    def logits(self, row: int, kept: int) -> Tensor:
        has = torch.tensor([kept >> part & 1 for part in range(PARTS)])
        same = self.data.images.class_parts == self.own[row]
        logits = (same * has * WORTH).sum(1)
        # Without the part in which twins differ the other one is the answer, not a draw.
        logits[same.all(1)] -= 0.1 * (PARTS - int(has.sum()))
        return logits

    def probabilities(self, images: Tensor) -> Tensor:
        rows = []
        for image in images.numpy():
            place = self.known.get(image.tobytes())
            rows.append(
                torch.zeros(len(self.class_names)) if place is None else self.logits(*place)
            )
        return torch.stack(rows).softmax(1)

    def importance(self, images: Tensor, classes: Tensor) -> Tensor:
        maps = torch.zeros(len(images), *images.shape[2:])
        if self.explains == "the same everywhere":
            return maps + 1
        if self.explains == "at random":
            return torch.from_numpy(self.generator.standard_normal(maps.shape)).float()
        for number, (image, label) in enumerate(zip(images.numpy(), classes.tolist(), strict=True)):
            row, kept = self.known[image.tobytes()]
            whole = self.logits(row, kept).softmax(0)[label]
            for part, spot in enumerate(self.spots[row]):
                if spot is not None:
                    without = self.logits(row, kept & ~(1 << part)).softmax(0)[label]
                    maps[number, spot[0], spot[1]] = whole - without
        return maps


def lonely_pixels(touched: Tensor, masks: Tensor) -> list[tuple[int, int] | None]:
    """Return for each part a pixel that shows it and in which no other part has a share."""
    alone = masks & (touched.sum(0) == 1)
    places = [part.nonzero() for part in alone]
    return [tuple(place[len(place) // 2].tolist()) if len(place) else None for place in places]
