"""How one network of a study is trained, as frozen, printable data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pellucid._checks import UsageError, check_choice, check_integer, check_number
from pellucid.data.augmentation import Augmentation
from pellucid.data.normalization import Normalization
from pellucid.regularization.penalty import Penalty

if TYPE_CHECKING:
    from torch import nn

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("constant", "cosine")
TRAIN_METRICS = ("evaluation", "running")
PRECISIONS = ("float32", "bfloat16", "float64")

NetworkFactory = Callable[[int, tuple[int, int]], "nn.Module"]
"""Called with the number of classes and the (height, width) of the images."""


@dataclass(frozen=True)
class NetworkRecipe:
    """Everything that decides a trained network besides the data and the seed.

    Attributes:
        network: ``"small_cnn"``, ``"small_mlp"``, ``"patch_cnn"``, the name of a timm model, or a
            factory; see `create_network`.
        penalty: What is added to the cross-entropy.
        epochs: Passes over the training images.
        batch_size: Images a step; an incomplete last batch is trained on too.
        optimizer: ``"sgd"`` or ``"adam"``.
        learning_rate: At the start.
        momentum: Of SGD, in [0, 1).
        schedule: ``"constant"`` or ``"cosine"`` (to 0 at the end).
        decoupled_weight_decay: Weights shrink by ``learning_rate * this`` a step, apart from the
            objective; not the same as ``Penalty.l2`` under momentum or Adam.
        augmentation: How training images are varied.
        label_smoothing: Share of the target's probability spread over all classes, in [0, 1).
        mixup: Parameter of the Beta distribution that pairs of images are mixed by; 0 for none.
        dropout: Share of the activations before every linear layer but the first set to 0.
        normalization: Subtracted from and dividing the pixels; None measures it on the training
            images.
        train_metrics: ``"evaluation"`` measures the training images after each epoch at fixed
            weights, as the validation images are; ``"running"`` averages over the epoch's batches
            while the weights move: cheaper, but not comparable.
        precision: Of the forward and backward pass; weights stay float32 under ``"bfloat16"``.

    Raises:
        UsageError: a value is out of range.
    """

    network: str | NetworkFactory = "small_cnn"
    penalty: Penalty = field(default_factory=Penalty)
    epochs: int = 60
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    schedule: str = "constant"
    decoupled_weight_decay: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_smoothing: float = 0.0
    mixup: float = 0.0
    dropout: float = 0.0
    normalization: Normalization | None = None
    train_metrics: str = "evaluation"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, low=1)
        check_integer("batch_size", self.batch_size, low=1)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        self.penalty.check_optimizer(self.optimizer)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("train_metrics", self.train_metrics, TRAIN_METRICS)
        check_number("learning_rate", self.learning_rate, low=0, high=1e30, open_low=True)
        check_number("momentum", self.momentum, low=0, high=1, open_high=True)
        check_number("decoupled_weight_decay", self.decoupled_weight_decay, low=0, high=1e6)
        check_number("label_smoothing", self.label_smoothing, low=0, high=1, open_high=True)
        check_number("mixup", self.mixup, low=0, high=100)
        check_number("dropout", self.dropout, low=0, high=1, open_high=True)
        if not (isinstance(self.network, str) or callable(self.network)):
            raise UsageError(
                "network must be a name or a function (classes, image_size) -> nn.Module, got "
                f"{self.network!r}. Pass the function, not a network: every seed needs its own."
            )

    def describe(self) -> dict[str, Any]:
        """Return the recipe as strings, numbers and dictionaries."""
        described = asdict(self)
        if not isinstance(self.network, str):
            name = getattr(self.network, "__qualname__", type(self.network).__qualname__)
            described["network"] = f"{getattr(self.network, '__module__', '')}.{name}".lstrip(".")
        return described
