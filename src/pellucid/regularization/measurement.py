"""From a finished training to its record: every split in evaluation mode, and the weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data import LabelledData, batches
from pellucid.regularization.collapse import is_collapsed
from pellucid.regularization.record import Measured, RunRecord
from pellucid.regularization.weight_measures import measure_layers
from pellucid.training import Outcome, Snapshot

_BATCH = 512


def record_outcome(arm: str, seed: int, outcome: Outcome, data: LabelledData) -> RunRecord:
    """Measure a finished training on all three splits: here its test answers are taken, once.

    Args:
        arm: Name of the arm.
        seed: Its seed.
        outcome: What training left.
        data: What it was trained on.
    """
    last = _measure(outcome, outcome.last, data)
    same = outcome.best.epoch == outcome.last.epoch
    best = last if same else _measure(outcome, outcome.best, data)
    status = outcome.status
    labels = data.images.labels[data.splits.train]
    if status == "finished" and is_collapsed(last.train_accuracy, labels):
        status = "collapsed"
    return RunRecord(
        arm=arm,
        seed=seed,
        status=status,
        history=outcome.history,
        last=last,
        best=best,
        seconds=outcome.seconds,
        details=dict(outcome.details),
    )


def _measure(outcome: Outcome, snapshot: Snapshot, data: LabelledData) -> Measured:
    splits = data.splits
    train_loss, train_correct = _answer(snapshot, data, splits.train)
    test_loss, test_correct = _answer(snapshot, data, splits.test)
    validation: tuple[float | None, float | None] = (None, None)
    if len(splits.validation):
        loss, correct = _answer(snapshot, data, splits.validation)
        validation = (loss, float(correct.mean()))
    row = next((row for row in outcome.history if row["epoch"] == snapshot.epoch), {})
    return Measured(
        epoch=snapshot.epoch,
        train_loss=train_loss,
        train_accuracy=float(train_correct.mean()),
        validation_loss=validation[0],
        validation_accuracy=validation[1],
        test_loss=test_loss,
        test_accuracy=float(test_correct.mean()),
        test_correct=test_correct,
        penalty=float(row.get("penalty", 0.0)),
        layers=measure_layers(snapshot.weights),
    )


def _answer(
    snapshot: Snapshot, data: LabelledData, indices: Tensor
) -> tuple[float, NDArray[np.bool_]]:
    """Return the mean cross-entropy, and which images were answered right."""
    loss = 0.0
    correct: list[Tensor] = []
    for pixels, labels, _ in batches(data.images, indices, batch_size=_BATCH):
        answers = snapshot.predict(pixels).to("cpu", torch.float64)
        loss += torch.nn.functional.nll_loss(answers, labels, reduction="sum").item()
        correct.append(answers.argmax(1) == labels)
    return loss / len(indices), torch.cat(correct).numpy()
