"""The one epoch loop: data order, progress, checkpoints, resume, the NaN guard.

The loop owns everything that is the same for every network; a `Task` owns its mathematics.
Every random choice of epoch ``e`` comes from ``(seed, e)`` alone, so an epoch that was cut off is
simply run again: a resumed training equals an uninterrupted one bit for bit at the same thread
count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pellucid._checks import DataError
from pellucid._progress import Progress
from pellucid.data import Augmentation, ImageSet, Normalization, batches, to_unit
from pellucid.runs import Run, flatten_optimizer, generator, sequence_seed, unflatten_optimizer
from pellucid.training.interruption import interruptible


@dataclass(frozen=True)
class Batch:
    """What one step of a task gave.

    Attributes:
        objective: What is minimized, a differentiable scalar (mean over the batch).
        cross_entropy: The loss without any penalty, a scalar (mean over the batch).
        log_probabilities: Answers, shape (batch, classes).
        sums: Statistics summed over the batch's images, to be given to ``Task.absorb``. A loop over
            several processes adds them up first.
    """

    objective: Tensor
    cross_entropy: Tensor
    log_probabilities: Tensor
    sums: dict[str, Tensor]


class Task(Protocol):
    """A network in training. It never asks for a device, a data order or a file."""

    @property
    def module(self) -> nn.Module:
        """All that is trained and saved."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Steps on the module's parameters; its state is saved."""
        ...

    def begin_epoch(self, epoch: int, steps: int) -> str:
        """Put the module in training mode for epoch ``epoch`` (from 0); return its phase's name."""
        ...

    def learning_rate_factor(self, epoch: int, fraction: float) -> float:
        """Return the factor on every learning rate at ``epoch + fraction`` epochs."""
        ...

    def step(self, images: Tensor, labels: Tensor) -> Batch:
        """Return the objective of one batch of normalized float images."""
        ...

    def absorb(self, sums: dict[str, Tensor]) -> None:
        """Take in the statistics of one batch, after the optimizer's step."""
        ...

    def predict(self, images: Tensor) -> Tensor:
        """Return log-probabilities, shape (batch, classes), in evaluation mode."""
        ...


@dataclass(frozen=True)
class TrainingPlan:
    """How long, in what order and on what.

    Attributes:
        epochs: Passes over the training indices.
        batch_size: Images a step, at most: see `choose_batch_size`. An incomplete last batch is
            left out while training.
        seed: Source of every random choice.
        device: Where images are put; the module must be there already.
        augmentation: Applied to training images only.
        normalization: Channel means and deviations, measured on the training images.
        first_selectable_epoch: Epochs before this one (a warm-up) are never the best one.
    """

    epochs: int
    batch_size: int
    seed: int
    device: torch.device
    normalization: Normalization
    augmentation: Augmentation
    first_selectable_epoch: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        status: ``"finished"`` or ``"diverged"`` (a loss, on training or validation images, or a
            weight was not finite; the weights are those after the last good epoch, or the first
            ones).
        epochs_done: Epochs completed.
        best_epoch: The epoch with the highest validation accuracy (lower cross-entropy on a tie),
            or the last one where there are no validation images.
        history: One row an epoch, as in ``metrics.jsonl``.
    """

    status: str
    epochs_done: int
    best_epoch: int
    history: tuple[dict[str, Any], ...]


_LEAST_STEPS = 8
_LEAST_BATCH = 8


def choose_batch_size(asked: int, images: int) -> int:
    """Return how many images a step takes: fewer than asked where there are few images.

    An epoch shall have about eight steps. With 54 images and batches of 64, sixty epochs are sixty
    steps, after which a tree has hardly begun to learn. A batch keeps eight images, unless fewer
    were asked for or there are fewer, because batch statistics of less are mostly noise.

    Args:
        asked: The greatest number of images a step.
        images: Training images, >= 1.
    """
    size = min(asked, max(_LEAST_BATCH, images // _LEAST_STEPS), images)
    # As large as gives the same number of steps: fewer images are left out at the epoch's end.
    return min(asked, images // (images // size))


def train(
    task: Task,
    images: ImageSet,
    *,
    training: Tensor,
    validation: Tensor,
    plan: TrainingPlan,
    run: Run | None = None,
    resume: bool = False,
    quiet: bool = False,
    on_epoch: Callable[[int], None] = lambda epochs_done: None,
) -> TrainingResult:
    """Train ``task`` and leave it in the state of its best epoch.

    Args:
        task: The network and its mathematics.
        images: All images.
        training: Indices to train on, shape (n,).
        validation: Indices that select the best epoch, shape (m,); may be empty.
        plan: How long and in what order.
        run: Where checkpoints ``last`` and ``best`` and the metrics go; None keeps them in memory.
        resume: Continue from the run's last checkpoint, if there is one.
        quiet: Show no progress bar.
        on_epoch: Called with the number of epochs done, after each and where resuming starts.

    Raises:
        DataError: fewer training images than one batch needs.
        Interrupted: Ctrl-C or SIGTERM; the last checkpoint is intact.
    """
    if len(training) < 1:
        raise DataError("training must hold at least one image, got 0. Add images to the folder.")
    batch_size = choose_batch_size(plan.batch_size, len(training))
    steps = len(training) // batch_size
    state = _State.fresh()
    if resume and run is not None:
        if run.has_checkpoint("last"):
            state = _restore(task, run, "last")
            on_epoch(state.epochs_done)
        run.truncate_metrics(state.epochs_done)
    good = best = _copy_weights(task)
    progress = Progress(
        plan.epochs * steps, "step", "train", quiet=quiet, initial=state.epochs_done * steps
    )
    remedy = f"Continue with --resume {run.path}" if run is not None else ""
    with progress, interruptible(remedy) as stop_if_asked:
        while state.epochs_done < plan.epochs:
            epoch = state.epochs_done
            started = time.perf_counter()
            with torch.random.fork_rng(devices=_cuda_devices(plan.device)):
                torch.manual_seed(sequence_seed(plan.seed, "epoch", epoch, "model"))
                phase = task.begin_epoch(epoch, steps)
                progress.describe(f"{phase} {epoch + 1}/{plan.epochs}")
                measured = _run_epoch(
                    task, images, training, batch_size, plan, epoch, progress, stop_if_asked
                )
            validated: dict[str, float] = {}
            is_whole = measured is not None and _weights_are_finite(task)
            if is_whole and len(validation):
                validated = _evaluate(task, images, validation, plan)
            # Weights may be whole and yet too large to compute with: no training step saw the last.
            if measured is None or not is_whole or not math.isfinite(validated.get("loss", 0.0)):
                task.module.load_state_dict(good)
                return state.result("diverged")
            row = {"epoch": epoch, "phase": phase, **measured}
            row |= {f"validation_{name}": value for name, value in validated.items()}
            row["seconds"] = time.perf_counter() - started
            state.finish(row, selectable=epoch >= plan.first_selectable_epoch)
            good = _copy_weights(task)
            if state.best_epoch == epoch:
                best = good
            # The metrics come first: a kill in between leaves a row that resume cuts off again.
            if run is not None:
                run.append_metrics(row)
                tensors, description = _tensors(task), state.to_json(task)
                if state.best_epoch == epoch:
                    run.save_checkpoint("best", tensors, description)
                run.save_checkpoint("last", tensors, description)
            progress.postfix(_headline(row))
            on_epoch(state.epochs_done)
    if run is not None and run.has_checkpoint("best"):
        _restore(task, run, "best")
    else:
        task.module.load_state_dict(best)
    return state.result("finished")


def _run_epoch(
    task: Task,
    images: ImageSet,
    training: Tensor,
    batch_size: int,
    plan: TrainingPlan,
    epoch: int,
    progress: Progress,
    stop_if_asked: Any,
) -> dict[str, float] | None:
    """Run one epoch; None when a loss was not finite."""
    order = generator(plan.seed, "epoch", epoch, "order")
    transform = generator(plan.seed, "epoch", epoch, "augmentation")
    base_rates = [group["lr"] for group in task.optimizer.param_groups]
    sums = torch.zeros(3, dtype=torch.float64, device=plan.device)
    count = 0
    steps = len(training) // batch_size
    try:
        for index, (pixels, labels, _) in enumerate(
            batches(images, training, batch_size=batch_size, generator=order, drop_last=True)
        ):
            stop_if_asked()
            factor = task.learning_rate_factor(epoch, index / steps)
            for group, rate in zip(task.optimizer.param_groups, base_rates, strict=True):
                group["lr"] = rate * factor
            inputs = plan.augmentation(to_unit(pixels.to(plan.device)), transform)
            inputs = plan.normalization(inputs)
            labels = labels.to(plan.device)
            task.optimizer.zero_grad(set_to_none=True)
            batch = task.step(inputs, labels)
            if not torch.isfinite(batch.objective):
                return None
            batch.objective.backward()
            task.optimizer.step()
            task.absorb(batch.sums)
            correct = (batch.log_probabilities.argmax(1) == labels).sum()
            sums += torch.stack(
                [batch.objective.detach(), batch.cross_entropy.detach(), correct / len(labels)]
            ) * len(labels)
            count += len(labels)
            progress.update()
    finally:
        for group, rate in zip(task.optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate
    objective, cross_entropy, accuracy = (sums / count).tolist()
    # Taken while the weights moved; `_evaluate` gives the figure at fixed weights.
    return {
        "train_objective": objective,
        "train_loss": cross_entropy,
        "train_accuracy": accuracy,
    }


def _evaluate(
    task: Task, images: ImageSet, indices: Tensor, plan: TrainingPlan
) -> dict[str, float]:
    task.module.eval()
    loss = torch.zeros((), dtype=torch.float64, device=plan.device)
    correct = torch.zeros((), dtype=torch.int64, device=plan.device)
    with torch.inference_mode():
        for pixels, labels, _ in batches(images, indices, batch_size=256):
            labels = labels.to(plan.device)
            answers = task.predict(plan.normalization(pixels.to(plan.device)))
            loss += torch.nn.functional.nll_loss(answers, labels, reduction="sum")
            correct += (answers.argmax(1) == labels).sum()
    return {"loss": loss.item() / len(indices), "accuracy": correct.item() / len(indices)}


@dataclass
class _State:
    """Where a training stands after its last complete epoch."""

    epochs_done: int
    best_epoch: int
    best_score: tuple[float, float]
    history: list[dict[str, Any]]

    @classmethod
    def fresh(cls) -> _State:
        return cls(0, -1, (-1.0, 0.0), [])

    def finish(self, row: dict[str, Any], *, selectable: bool) -> None:
        self.history.append(row)
        self.epochs_done += 1
        # Without validation images nothing may be selected, so the last epoch stands.
        score = (row.get("validation_accuracy", 1.0), -row.get("validation_loss", 0.0))
        if selectable and score >= self.best_score:
            self.best_score, self.best_epoch = score, row["epoch"]

    def result(self, status: str) -> TrainingResult:
        return TrainingResult(status, self.epochs_done, self.best_epoch, tuple(self.history))

    def to_json(self, task: Task) -> dict[str, Any]:
        return {
            "epochs_done": self.epochs_done,
            "best_epoch": self.best_epoch,
            "best_score": list(self.best_score),
            "history": self.history,
            "optimizer": flatten_optimizer(task.optimizer.state_dict())[1],
        }


def _copy_weights(task: Task) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in task.module.state_dict().items()}


def _weights_are_finite(task: Task) -> bool:
    """Whether the last step, whose loss nobody has seen yet, left the weights whole."""
    return all(bool(value.isfinite().all()) for value in task.module.state_dict().values())


def _tensors(task: Task) -> dict[str, Tensor]:
    module = {f"module.{name}": value for name, value in task.module.state_dict().items()}
    return module | flatten_optimizer(task.optimizer.state_dict())[0]


def _load_tensors(task: Task, tensors: dict[str, Tensor]) -> None:
    prefix = "module."
    task.module.load_state_dict(
        {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    )


def _restore(task: Task, run: Run, name: str) -> _State:
    tensors, state = run.load_checkpoint(name)
    _load_tensors(task, tensors)
    optimizer = {key: value for key, value in tensors.items() if not key.startswith("module.")}
    task.optimizer.load_state_dict(unflatten_optimizer(optimizer, state["optimizer"]))
    return _State(
        state["epochs_done"], state["best_epoch"], tuple(state["best_score"]), state["history"]
    )


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _headline(row: dict[str, Any]) -> dict[str, str]:
    shown = {"loss": row["train_loss"]}
    if "validation_accuracy" in row:
        shown["validation"] = row["validation_accuracy"]
    return {name: f"{value:.3f}" for name, value in shown.items()}
