"""A made-up report with real pictures (scikit-learn's digits), for tests and for looking at."""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from pellucid.reports.contents import (
    AccuracyRow,
    BoxPx,
    DecisionStep,
    ExplainedImage,
    LeafVisits,
    NearbyPatch,
    PrototypePicture,
    SimilarityHistogram,
    TreeReport,
    TrustRow,
    TrustTable,
)
from pellucid.reports.interactive.view_data import FEW_PROTOTYPES

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    loaded = load_digits()
    return loaded.images, loaded.target


def full_tree(depth: int) -> tuple[np.ndarray, np.ndarray]:
    branches = 2**depth - 1
    left, right = 2 * np.arange(branches) + 1, 2 * np.arange(branches) + 2
    return tuple(np.where(side < branches, side, ~(side - branches)) for side in (left, right))


def random_tree(branches: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Grow a tree by replacing a random leaf with a branch, ``branches`` times."""
    left, right = np.zeros(branches, dtype=int), np.zeros(branches, dtype=int)
    open_ends: list[tuple[np.ndarray, int]] = []
    for branch in range(branches):
        if open_ends:
            side, parent = open_ends.pop(int(generator.integers(len(open_ends))))
            side[parent] = branch
        open_ends += [(left, branch), (right, branch)]
    for leaf, (side, parent) in enumerate(open_ends):
        side[parent] = ~leaf
    return left, right


def digit_picture(index: int, size_px: int, *, colored: bool = False) -> np.ndarray:
    pixels = np.round(digits()[0][index] * 255 / 16).astype(np.uint8)
    image = Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC)
    picture = np.repeat(np.asarray(image)[..., None], 3, axis=2)
    if colored:  # as heavy to compress as a photograph
        generator = np.random.default_rng(index)
        coarse = generator.integers(0, 256, size=(14, 14, 3), dtype=np.uint8)
        texture = np.asarray(Image.fromarray(coarse).resize((size_px, size_px)))
        noise = generator.normal(0, 9, picture.shape)
        mixed = 0.6 * picture + 0.4 * texture + noise
        picture = mixed.clip(0, 255).astype(np.uint8)
    return picture


def make_report(
    *,
    depth: int = 3,
    size_px: int = 64,
    branches: int | None = None,
    class_names: tuple[str, ...] = DIGIT_NAMES,
    neighbors: int = 5,
    explained: int = 4,
    colored: bool = False,
    seed: int = 0,
) -> TreeReport:
    generator = np.random.default_rng(seed)
    left, right = full_tree(depth) if branches is None else random_tree(branches, generator)
    count, classes = len(left), len(class_names)
    labels = digits()[1]
    concentration = np.full(classes, 0.05)
    leaves = generator.dirichlet(concentration, size=count + 1)
    leaves = (leaves + 1e-4) / (leaves + 1e-4).sum(axis=1, keepdims=True)

    def draw_box() -> BoxPx:
        side = max(1, int(size_px * generator.uniform(0.2, 0.45)))
        top, start = (int(v) for v in generator.integers(0, size_px - side + 1, size=2))
        return BoxPx(top, start, top + side, start + side)

    def patch() -> tuple[np.ndarray, BoxPx, str, str]:
        index = int(generator.integers(len(labels)))
        name = class_names[labels[index] % classes]
        return digit_picture(index, size_px, colored=colored), draw_box(), f"digits[{index}]", name

    def histogram() -> SimilarityHistogram:
        everywhere = generator.poisson(18, size=20)
        passing = generator.binomial(everywhere, 0.3)
        return SimilarityHistogram(tuple(everywhere.tolist()), tuple(passing.tolist()))

    shown = neighbors if count <= FEW_PROTOTYPES else 0
    prototypes = tuple(
        PrototypePicture(
            branch,
            *patch(),
            distance=float(generator.uniform(0, 3e-7)),
            neighbors=tuple(
                NearbyPatch(*patch(), distance=0.05 * rank) for rank in range(neighbors)
            ),
            found_in=tuple(NearbyPatch(*patch(), distance=0.1 * rank) for rank in range(shown)),
            duplicates=(0,) if branch == count - 1 and count > 1 else (),
            histogram=histogram(),
        )
        for branch in range(count)
    )
    images = []
    for number in range(explained):
        picture, _, name, true_class = patch()
        turns = []
        for branch in range(count):
            similarity = float(generator.uniform(0.02, 0.99))
            distance = -math.log(similarity)
            margin = abs(distance - math.log(2))
            box = draw_box()
            turns.append(DecisionStep(branch, similarity, similarity >= 0.5, distance, margin, box))
        node, steps = 0, []
        while node >= 0 and count:
            step = turns[node]
            steps.append(step)
            node = int(right[node] if step.went_right else left[node])
        leaf = ~node if count else 0
        predicted = int(np.argmax(leaves[leaf]))
        correct = number % 2 == 0
        images.append(
            ExplainedImage(
                name=name,
                picture=picture,
                true_class=class_names[predicted] if correct else true_class,
                predicted_class=class_names[predicted],
                class_probabilities=leaves[leaf],
                steps=tuple(steps),
                leaf=leaf,
                path_probability=float(
                    np.prod([s.similarity if s.went_right else 1 - s.similarity for s in steps])
                ),
                margin=min((step.margin for step in steps), default=math.inf),
                correct=correct,
                runner_up=class_names[int(np.argsort(leaves[leaf])[-2])],
                turns=tuple(turns),
            )
        )
    epochs = range(1, 16)
    metrics = tuple(
        {
            "epoch": epoch,
            "phase": "warm-up" if epoch <= 3 else "tree",
            "train_loss": 2.3 * math.exp(-epoch / 4) + 0.02,
            "train_accuracy": 1 - 0.9 * math.exp(-epoch / 3),
            "validation_loss": 2.3 * math.exp(-epoch / 4) + 0.08 + 0.02 * (epoch % 2),
            "validation_accuracy": None if epoch == 1 else 1 - 0.92 * math.exp(-epoch / 3.2),
            "seconds": 1.5,
        }
        for epoch in epochs
    )
    return TreeReport(
        title="Prototype tree of digits",
        subtitle="1 437 training and 360 test images of 10 classes, seed 0",
        class_names=class_names,
        left_child=left,
        right_child=right,
        leaf_distributions=leaves,
        prototypes=prototypes,
        metrics=metrics,
        accuracy=(
            AccuracyRow("distributed (soft)", 357 / 360, 0.9758, 0.9972, 360, "mixes all leaves"),
            AccuracyRow("distributed before projection", 358 / 360, 0.98, 0.9985, 360),
            AccuracyRow("most probable leaf", 356 / 360, 0.9718, 0.9957, 360),
            AccuracyRow("greedy (hard tree)", 356 / 360, 0.9718, 0.9957, 360, "one path, one leaf"),
        ),
        facts=(
            ("fidelity of greedy to soft", "99.4 %"),
            ("projection drop", "0.3 points"),
            ("path length, mean (min to max)", "4.8 (2 to 5)"),
            ("prototypes before and after pruning", "31, 24"),
            ("duplicate prototypes", 2),
            ("leaves", count + 1),
            ("seconds", 41.25),
            ("seed", 0),
            ("backbone", "resnet18, cut after layer2"),
            ("receptive field, share of the image", 0.3412),
        ),
        warnings=("2 of 31 prototypes show the same patch as another.",),
        explained=tuple(images),
        configuration={
            "data": "digits",
            "depth": depth,
            "optimizer": {"name": "adam", "learning_rate": 0.001},
            "normalize": {"mean": [0.5], "std": [0.5]},
            "weights": None,
            "freeze": False,
        },
        leaf_visits=tuple(LeafVisits(12, 11) for _ in range(count + 1)),
        trust=TrustTable(
            findings=("Another background changes 83 % of its answers.",),
            rows=(
                TrustRow("fidelity", 0.994, 0.98, 1.0, 0.1, "higher", "share", 360, "as written"),
                TrustRow("single deletion", 0.71, 0.6, 0.8, 0.0, "higher", "correlation", 50),
                TrustRow("path length", 4.8, unit="count", total=360),
            ),
            images=360,
            unmeasured=(("there are no parts to point at", ("pointing game", "purity")),),
        ),
    )
