"""A tree fitted to coloured squares, whose pictures are larger than what the network takes."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from PIL import Image

from pellucid.data import InMemoryImages, LabelledData, split_images
from pellucid.prototree import FittedTree, TreeRecipe, fit_tree


@functools.cache
def make_data(count: int = 60) -> LabelledData:
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = generator.integers(0, 100, (count, 3, 16, 20), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, label, 2 + 4 * label : 6 + 4 * label, 3:9] = 255

    def original(index: int) -> Image.Image:  # three times as high, four times as wide
        picture = Image.fromarray(pixels[index].transpose(1, 2, 0))
        return picture.resize((80, 48))

    images = InMemoryImages(
        torch.from_numpy(pixels),
        labels=torch.from_numpy(labels),
        class_names=["red", "green", "blue"],
        names=[f"image {index}" for index in range(count)],
        digest="0" * 64,
        read_picture=original,
    )
    splits = split_images(images.labels, validation_fraction=0.1, test_fraction=0.2)
    return LabelledData("squares", images, splits)


def fit_squares(data: LabelledData) -> FittedTree:
    """Return a tree of the caller's own, trained once for each data."""
    return copy.deepcopy(_fit(data))


@functools.cache
def _fit(data: LabelledData) -> FittedTree:
    recipe = TreeRecipe(depth=3, epochs=6, warm_up_epochs=2, batch_size=8, latent_channels=8)
    return fit_tree(data, recipe, quiet=True).fitted


def answer_with_every_class(fitted: FittedTree) -> None:
    """Let the leaves take turns with the classes, so that every image has a runner-up's leaf."""
    counts = fitted.tree.leaf_counts
    counts.fill_(1.0)
    for leaf in range(len(counts)):
        counts[leaf, leaf % counts.shape[1]] = 50.0
