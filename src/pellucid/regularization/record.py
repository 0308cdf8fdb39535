"""What a study keeps of one training: curves, accuracies, every test answer, the weights' state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


def run_file_name(arm: str, seed: int) -> str:
    """Return the name of a run's checkpoint: ``l1-seed0``."""
    return f"{arm.replace('+', '.and.')}-seed{seed}"


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer (a parameter of two or more dimensions), without its bias.

    Attributes:
        name: As in the state dict, such as ``"conv1.weight"``.
        shape: Of the tensor; the first axis counts filters or neurons.
        exact_zeros: Share of weights that are 0, in [0, 1].
        near_zeros: Share with ``|w| < 1e-3``, exact zeros included.
        dead_rows: Share of filters or neurons all of whose incoming weights are 0.
        l1_norm: Sum of absolute values.
        l2_norm: Root of the sum of squares.
    """

    name: str
    shape: tuple[int, ...]
    exact_zeros: float
    near_zeros: float
    dead_rows: float
    l1_norm: float
    l2_norm: float


@dataclass(frozen=True)
class Measured:
    """A network measured at one moment: after the last epoch, or at the best checkpoint.

    Attributes:
        epoch: From 0.
        train_loss: Cross-entropy on the training images, in evaluation mode.
        train_accuracy: In [0, 1].
        validation_loss: None without validation images.
        validation_accuracy: None without validation images.
        test_loss: Cross-entropy on the test images.
        test_accuracy: In [0, 1].
        test_correct: Which test images were right, bool (n_test,).
        penalty: Value of the penalty, without cross-entropy.
        layers: Per layer, in the network's order.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float
    test_accuracy: float
    test_correct: NDArray[np.bool_]
    penalty: float
    layers: tuple[LayerWeights, ...]

    @property
    def gap(self) -> float:
        """Training accuracy minus validation accuracy (test accuracy where there is none)."""
        held_out = self.validation_accuracy
        return self.train_accuracy - (self.test_accuracy if held_out is None else held_out)

    @property
    def exact_zeros(self) -> float:
        """Share of all layers' weights that are 0."""
        sizes = [int(np.prod(layer.shape)) for layer in self.layers]
        zeros = sum(
            layer.exact_zeros * size for layer, size in zip(self.layers, sizes, strict=True)
        )
        return zeros / sum(sizes) if sizes else 0.0


@dataclass(frozen=True)
class RunRecord:
    """One training of one arm at one seed.

    Attributes:
        arm: Name of the arm.
        seed: Its seed; the same seed gives the same start and data order in every arm.
        status: ``"finished"``, ``"diverged"`` (not finite) or ``"collapsed"`` (training accuracy
            at or near that of always naming the most frequent class).
        history: A row an epoch, see `pellucid.training.Outcome`.
        last: After the last epoch.
        best: At the best validation accuracy.
        seconds: Wall time.
        details: Further facts.
    """

    arm: str
    seed: int
    status: str
    history: tuple[dict[str, Any], ...]
    last: Measured
    best: Measured
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """Of its checkpoint in the study's folder."""
        return run_file_name(self.arm, self.seed)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; the test answers are packed, eight to a byte."""
        stored: dict[str, Any] = dict(vars(self))
        for moment in ("last", "best"):
            measured = asdict(getattr(self, moment))
            correct = measured.pop("test_correct")
            measured["test_images"] = len(correct)
            measured["test_correct"] = np.packbits(correct).tobytes().hex()
            stored[moment] = measured
        stored["history"] = list(self.history)
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild what `to_json` gave."""
        fields = dict(stored)
        for moment in ("last", "best"):
            measured = dict(fields[moment])
            packed = np.frombuffer(bytes.fromhex(measured["test_correct"]), dtype=np.uint8)
            count = measured.pop("test_images")
            measured["test_correct"] = np.unpackbits(packed, count=count).astype(bool)
            measured["layers"] = tuple(
                LayerWeights(**{**layer, "shape": tuple(layer["shape"])})
                for layer in measured["layers"]
            )
            fields[moment] = Measured(**measured)
        fields["history"] = tuple(fields["history"])
        return cls(**fields)
