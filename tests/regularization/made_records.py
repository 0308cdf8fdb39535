"""Records of trainings that never happened, with figures as a test wants them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.regularization.record import LayerWeights, Measured, RunRecord

IMAGES = 1000
EPOCHS = 40


def make_measured(
    arm: str,
    seed: int,
    accuracy: float,
    *,
    train_accuracy: float = 0.95,
    validation: float | None = 0.02,
    zeros: float = 0.0,
    l1_norm: float = 400.0,
    images: int = IMAGES,
    epoch: int = EPOCHS - 1,
) -> Measured:
    """Return a network that gets exactly ``accuracy`` of the images right, mostly the same ones.

    ``validation`` is validation minus test accuracy, None for no validation images.
    """
    ease = np.random.default_rng(images).standard_normal(images)
    key = [seed, *arm.encode()]
    noise = 0.3 * np.random.default_rng(key).standard_normal(images)
    right = np.zeros(images, dtype=np.bool_)
    right[np.argsort(-(ease + noise))[: round(accuracy * images)]] = True
    measured = float(right.mean())
    return Measured(
        epoch=epoch,
        train_loss=0.2,
        train_accuracy=train_accuracy,
        validation_loss=None if validation is None else 0.7,
        validation_accuracy=None if validation is None else measured + validation,
        test_loss=0.7,
        test_accuracy=measured,
        test_correct=right,
        penalty=0.1,
        layers=(
            LayerWeights("conv1.weight", (8, 25), zeros, zeros, 0.0, l1_norm / 4, 1.0),
            LayerWeights("fc1.weight", (10, 80), zeros, zeros, 0.0, 3 * l1_norm / 4, 2.0),
        ),
    )


def overfitting_history(least: int = 11, *, wobble: float = 0.002, seed: int = 0) -> list[dict]:
    """Return curves whose validation loss falls until epoch ``least`` and then rises."""
    noise = np.random.default_rng(seed).uniform(-wobble, wobble, EPOCHS)
    return [
        {
            "epoch": epoch,
            "train_loss": 1.0 / (epoch + 1),
            "validation_loss": 0.6 + 0.02 * abs(epoch - least) + float(noise[epoch]),
        }
        for epoch in range(EPOCHS)
    ]


def flat_history(*, seed: int = 0, noise: float = 0.03) -> list[dict]:
    """Return curves whose validation loss falls and then stays, up to noise."""
    random = np.random.default_rng(seed)
    return [
        {
            "epoch": epoch,
            "train_loss": 1.0 / (epoch + 1),
            "validation_loss": 0.6
            + 2.0 * float(np.exp(-epoch / 2))
            + noise * float(random.standard_normal()),
        }
        for epoch in range(EPOCHS)
    ]


def make_arm(
    arm: str,
    accuracies: Sequence[float],
    *,
    best: Sequence[float] | None = None,
    overfits: bool = True,
    broken: dict[int, str] | None = None,
    validation: float | None = 0.02,
    first_seed: int = 0,
    **measured,
) -> list[RunRecord]:
    """Return one record a seed; ``best`` are the accuracies at the best checkpoint."""
    records = []
    for index, accuracy in enumerate(accuracies):
        seed = first_seed + index
        history = (
            overfitting_history(10 + index % 3, seed=seed) if overfits else flat_history(seed=seed)
        )
        if validation is None:
            history = [{**row, "validation_loss": None} for row in history]
        last = make_measured(arm, seed, accuracy, validation=validation, **measured)
        at_best = accuracy if best is None else best[index]
        records.append(
            RunRecord(
                arm=arm,
                seed=seed,
                status=(broken or {}).get(seed, "finished"),
                history=tuple(history),
                last=last,
                best=last
                if best is None
                else make_measured(
                    arm, seed, at_best, validation=validation, **{**measured, "epoch": 12}
                ),
                seconds=1.0,
            )
        )
    return records


NONE = (0.800, 0.806, 0.795, 0.803, 0.798)
BETTER = (0.827, 0.829, 0.824, 0.826, 0.825)  # about 2.6 points more at every seed
SIMILAR = (0.804, 0.799, 0.801, 0.797, 0.806)
