"""Training of many networks at once: arms and seeds of a study side by side in one process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid._checks import DataError, UsageError, check_choice
from pellucid.data import LabelledData
from pellucid.regularization.recipe import TRAIN_METRICS, NetworkRecipe
from pellucid.regularization.small_networks import create_network
from pellucid.regularization.stacking.answer_check import check_answers
from pellucid.regularization.stacking.network_answers import NetworkAnswers
from pellucid.regularization.stacking.network_stack import NetworkStack
from pellucid.regularization.stacking.stack_layout import CannotStack
from pellucid.regularization.stacking.stacked_network import (
    SingleNetwork,
    StackedNetwork,
    count_activations,
)
from pellucid.regularization.stacking.stacked_weights import copy_model
from pellucid.regularization.stacking.training_images import TrainingImages
from pellucid.runs import Run
from pellucid.training import Interrupted, Outcome, Snapshot, interruptible

_STACK_BYTES = 12 * 2**20
"""Activations of one training step that one stack may have: what a processor's caches hold."""

OnEpoch = Callable[[int, list[dict[str, Any] | None]], None]


def stack_key(recipe: NetworkRecipe) -> Hashable:
    """Return what recipes must have in common to be trained by one call of `train_stack`.

    That is all but the penalty and label smoothing; seeds may differ too.
    """
    return (
        recipe.network,
        recipe.epochs,
        recipe.batch_size,
        recipe.optimizer,
        recipe.learning_rate,
        recipe.momentum,
        recipe.schedule,
        recipe.decoupled_weight_decay,
        recipe.augmentation,
        recipe.mixup,
        recipe.dropout,
        recipe.normalization,
        recipe.train_metrics,
        recipe.precision,
    )


def train_stack(
    runs: Sequence[tuple[NetworkRecipe, int]],
    data: LabelledData,
    *,
    device: torch.device | str = "cpu",
    run: Run | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    initial: Sequence[Mapping[str, Tensor]] | None = None,
    train_metrics: str = "evaluation",
    checkpoint: str = "stack",
    checkpoint_seconds: float = 10.0,
    keep_end: bool = False,
) -> list[Outcome]:
    """Train networks that differ in seed, penalty and label smoothing side by side.

    The same seed gives the same start, the same order of the images and the same random numbers in
    every run. A network whose loss is not finite is set back to its last good epoch and stays
    there; the others do not notice. What cannot be stacked, or does not answer as by itself in a
    stack, is trained one network at a time, and ``Outcome.details["alone"]`` says why. Frozen
    parameters stay as they are and are not penalized.

    Training is the same to rounding whatever is stacked; bit for bit it is the same for the same
    runs, number of threads and machine, also where it was resumed.

    Args:
        runs: Recipes of equal `stack_key`, with their seeds.
        data: The test split is never looked at.
        device: Where to train.
        run: Where checkpoints go; None keeps none.
        resume: Go on from the run's checkpoint of that name, if there is one.
        on_epoch: Called after each epoch with the number of epochs done and the new history rows,
            one a run (None for a run that has diverged).
        initial: A state dict for each run to start from, instead of a random start.
        train_metrics: ``"evaluation"`` measures the training images after each epoch at fixed
            weights; ``"running"`` averages over the epoch's batches while the weights move (no
            extra pass, but not comparable with the validation figures).
        checkpoint: Name of the checkpoint in the run.
        checkpoint_seconds: Least time between two checkpoints; a training that is shorter than
            this writes none, unless it is interrupted.
        keep_end: Write one at the end in any case.

    Returns:
        One outcome a run, in their order.

    Raises:
        UsageError: the recipes do not belong in one stack, or an argument is out of range.
        DataError: there are no training images, or the checkpoint is of another training.
        Interrupted: Ctrl-C or SIGTERM. All is kept but the epoch that one stack was in the middle
            of, which is trained again.
    """
    training = begin_training(
        runs, data, device=device, initial=initial, train_metrics=train_metrics
    )
    if run is not None and resume and run.has_checkpoint(checkpoint):
        training.load(*run.load_checkpoint(checkpoint))
    remedy = f"Continue with --resume {run.path}" if run is not None else ""
    saved_at = time.monotonic()
    try:
        with interruptible(remedy) as stop_if_asked:
            while training.epochs_done < runs[0][0].epochs and not all(training.diverged):
                rows = training.run_epoch(stop_if_asked)
                is_last = training.epochs_done == runs[0][0].epochs
                is_due = time.monotonic() - saved_at >= checkpoint_seconds
                if run is not None and (
                    is_due or (is_last and (keep_end or run.has_checkpoint(checkpoint)))
                ):
                    run.save_checkpoint(checkpoint, *training.save())
                    saved_at = time.monotonic()
                if on_epoch is not None:
                    on_epoch(training.epochs_done, rows)
    except Interrupted:
        # A second signal stops at once, wherever that is.
        if run is not None and training.is_whole:
            run.save_checkpoint(checkpoint, *training.save())
        raise
    return training.outcomes()


def _check(
    runs: Sequence[tuple[NetworkRecipe, int]],
    data: LabelledData,
    initial: Sequence[Mapping[str, Tensor]] | None,
    train_metrics: str,
) -> None:
    if not runs:
        raise UsageError("runs must hold at least one recipe and seed, got none.")
    if len({stack_key(recipe) for recipe, _ in runs}) > 1:
        raise UsageError(
            "runs of one stack may differ in seed, penalty and label_smoothing only. "
            "Group them by stack_key(recipe)."
        )
    if initial is not None and len(initial) != len(runs):
        raise UsageError(f"initial must have one entry a run ({len(runs)}), got {len(initial)}.")
    check_choice("train_metrics", train_metrics, TRAIN_METRICS)
    if len(data.splits.train) == 0:
        raise DataError("training needs at least one image, got 0. Add images to the folder.")


@dataclass
class _Progress:
    """What is known of one run besides its weights."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1
    best_accuracy: float = -1.0
    diverged: bool = False


class StackedTraining:
    """All stacks of one call, epoch by epoch; made by `begin_training`.

    Attributes:
        images: What they train on.
        stacks: Each with the numbers of its runs.
        epochs_done: Epochs that all stacks have completed.
        is_whole: Whether every stack is as an epoch left it, so that `save` may be called.
    """

    def __init__(
        self,
        runs: Sequence[tuple[NetworkRecipe, int]],
        images: TrainingImages,
        stacks: list[tuple[NetworkStack, list[int]]],
        reason: str | None,
        train_metrics: str,
        shape: tuple[int, tuple[int, int]],
    ) -> None:
        self._runs, self.images, self.stacks = runs, images, stacks
        self._reason, self._train_metrics, self._shape = reason, train_metrics, shape
        self._progress = [_Progress() for _ in runs]
        self._best = [stack.weights.copy() for stack, _ in stacks]
        self.epochs_done = 0
        self.is_whole = True
        self._stacks_ahead = 0

    @property
    def diverged(self) -> list[bool]:
        """Which runs have stopped early."""
        return [progress.diverged for progress in self._progress]

    def run_epoch(self, stop_if_asked: Callable[[], None]) -> list[dict[str, Any] | None]:
        """Train one epoch and return a row a run.

        Where it is interrupted, the stacks are left as after their last whole epoch, which those
        that had their turn already are one ahead with; the next call goes on there.
        """
        epoch = self.epochs_done
        for number in range(self._stacks_ahead, len(self.stacks)):
            stack, members = self.stacks[number]
            if not all(self._progress[member].diverged for member in members):
                good = stack.weights.copy()
                tensors, rest = stack.optimizer.save()
                averages = {name: value.clone() for name, value in tensors.items()}
                self.is_whole = False
                try:
                    rows = self._train_one(number, epoch, stop_if_asked)
                except Interrupted:
                    stack.weights.load(good)
                    stack.optimizer.load(averages, rest)
                    self.is_whole = True
                    raise
                self._take_in(number, rows, good)
            self.is_whole = False
            self._stacks_ahead += 1
            if self._stacks_ahead == len(self.stacks):
                self._stacks_ahead = 0
                self.epochs_done += 1
            self.is_whole = True
        last = [progress.history[-1] if progress.history else None for progress in self._progress]
        return [row if row is not None and row["epoch"] == epoch else None for row in last]

    def _train_one(
        self, number: int, epoch: int, stop_if_asked: Callable[[], None]
    ) -> list[dict[str, Any]]:
        """Train one stack for an epoch and measure it; return a row a network."""
        stack, members = self.stacks[number]
        started = time.perf_counter()
        running = stack.train_epoch(
            self.images, epoch, stop_if_asked, measure=self._train_metrics == "running"
        )
        if epoch + 1 == self._runs[0][0].epochs:
            stack.polish(self.images, stop_if_asked)
        train = running
        if self._train_metrics == "evaluation":
            train = stack.evaluate(self.images, "train", stop_if_asked)
        validation = None
        if self.images.validation:
            validation = stack.evaluate(self.images, "validation", stop_if_asked)
        penalties = stack.penalty.value().tolist()
        seconds = (time.perf_counter() - started) / len(members)
        return [
            _row(epoch, place, train, validation, penalties[place], seconds)
            for place in range(len(members))
        ]

    def _take_in(
        self, number: int, rows: Sequence[dict[str, Any]], good: Mapping[str, Tensor]
    ) -> None:
        """Keep the rows and the best weights of one stack; set back what is not finite."""
        stack, members = self.stacks[number]
        is_finite = stack.weights.finite()
        for place, (member, row) in enumerate(zip(members, rows, strict=True)):
            progress = self._progress[member]
            broken = not is_finite[place] or not math.isfinite(
                row["objective"] + (row["validation_loss"] or 0.0)
            )
            if progress.diverged or broken:
                progress.diverged = True
                copy_model(stack.weights.tensors(), good, place)
                stack.forget(place)
                continue
            progress.history.append(row)
            accuracy = row["validation_accuracy"]
            # Without validation images nothing may be selected: the last epoch stands.
            if accuracy is None or accuracy > progress.best_accuracy:
                progress.best_epoch = row["epoch"]
                progress.best_accuracy = -1.0 if accuracy is None else accuracy
                copy_model(self._best[number], stack.weights.tensors(), place)

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and state of a checkpoint."""
        tensors: dict[str, Tensor] = {}
        for number, ((stack, _), best) in enumerate(zip(self.stacks, self._best, strict=True)):
            optimizer, _ = stack.optimizer.save()
            parts = {"weights": stack.weights.tensors(), "best": best, "optimizer": optimizer}
            for part, values in parts.items():
                tensors |= {f"{number}.{part}.{name}": value for name, value in values.items()}
        state = {
            "what": self._describe(),
            "epochs_done": self.epochs_done,
            "stacks_ahead": self._stacks_ahead,
            "progress": [vars(progress) for progress in self._progress],
            "optimizers": [stack.optimizer.save()[1] for stack, _ in self.stacks],
        }
        return tensors, state

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        if state.get("what") != self._describe():
            raise DataError(
                "the checkpoint is of other recipes, seeds or stacks than those asked for. "
                "Resume with the same settings, or start again in another folder."
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): value
                for name, value in tensors.items()
                if name.startswith(prefix)
            }

        for number, (stack, _) in enumerate(self.stacks):
            stack.weights.load(part(f"{number}.weights."))
            for name, value in part(f"{number}.best.").items():
                self._best[number][name].copy_(value)
            stack.optimizer.load(part(f"{number}.optimizer."), state["optimizers"][number])
        self._progress = [_Progress(**progress) for progress in state["progress"]]
        self.epochs_done = state["epochs_done"]
        self._stacks_ahead = state.get("stacks_ahead", 0)

    def _describe(self) -> dict[str, Any]:
        return {
            "runs": [[recipe.describe(), seed] for recipe, seed in self._runs],
            "stacks": [members for _, members in self.stacks],
        }

    def outcomes(self) -> list[Outcome]:
        """Return how each run ended, in the order asked for."""
        found: list[Outcome | None] = [None] * len(self._runs)
        classes, image_size = self._shape
        for (stack, members), best in zip(self.stacks, self._best, strict=True):
            last = stack.weights.copy()
            details: dict[str, Any] = {
                "stacked": len(members),
                "threads": torch.get_num_threads(),
            }
            if self._reason is not None:
                details["alone"] = self._reason
            for place, member in enumerate(members):
                recipe, seed = self._runs[member]
                progress = self._progress[member]

                def snapshot(
                    stacked: Mapping[str, Tensor],
                    epoch: int,
                    stack: NetworkStack = stack,
                    place: int = place,
                    recipe: NetworkRecipe = recipe,
                    seed: int = seed,
                ) -> Snapshot:
                    weights = stack.weights.state_dict(stacked, place)
                    predict = NetworkAnswers(
                        recipe.network, classes, image_size, self.images.normalization, weights
                    )
                    return Snapshot(epoch, weights, predict)

                found[member] = Outcome(
                    status="diverged" if progress.diverged else "finished",
                    history=tuple(progress.history),
                    last=snapshot(last, len(progress.history) - 1),
                    best=snapshot(best, progress.best_epoch),
                    seconds=sum(row["seconds"] for row in progress.history),
                    details=details,
                )
        return [outcome for outcome in found if outcome is not None]


def begin_training(
    runs: Sequence[tuple[NetworkRecipe, int]],
    data: LabelledData,
    *,
    device: torch.device | str = "cpu",
    initial: Sequence[Mapping[str, Tensor]] | None = None,
    train_metrics: str = "evaluation",
) -> StackedTraining:
    """Create the networks and put them into stacks; the arguments are those of `train_stack`."""
    _check(runs, data, initial, train_metrics)
    device = torch.device(device)
    recipe = runs[0][0]
    classes, image_size = len(data.images.class_names), data.images.image_size
    networks = []
    for number, (one, seed) in enumerate(runs):
        network = create_network(one.network, classes=classes, image_size=image_size, seed=seed)
        if initial is not None:
            network.load_state_dict(initial[number])
        networks.append(network)
    compute = {
        "float32": torch.float32,
        "float64": torch.float64,
        "bfloat16": torch.bfloat16,
    }[recipe.precision]
    groups, reason = _divide(runs, networks[0], image_size, compute.itemsize)
    # Groups whose runs share images in the same way can share one.
    stacked: dict[tuple[int, ...], StackedNetwork] = {}
    try:
        for members in groups if reason is None else []:
            numbers = _number_seeds(runs, members)
            if numbers in stacked:
                continue
            stacked[numbers] = StackedNetwork(
                networks[0], image_size=image_size, seeds=numbers, dropout=recipe.dropout
            )
            check_answers(
                stacked[numbers],
                [networks[member] for member in members],
                image_size=image_size,
                compute_dtype=compute,
                device=device,
            )
    except CannotStack as error:
        groups, reason = [[number] for number in range(len(runs))], str(error)
    low_precision = recipe.precision == "bfloat16"
    if reason is not None and low_precision:
        compute = torch.float32  # and PyTorch's autocast
    images = TrainingImages(
        data,
        device=device,
        dtype=compute,
        augmentation=recipe.augmentation,
        mixup=recipe.mixup,
        normalization=recipe.normalization,
    )
    stacks = []
    for members in groups:
        if reason is not None:
            network = SingleNetwork(
                networks[members[0]], dropout=recipe.dropout, low_precision=low_precision
            )
        else:
            network = stacked[_number_seeds(runs, members)]
        stack = NetworkStack(
            network,
            [networks[member] for member in members],
            recipes=[runs[member][0] for member in members],
            seeds=[runs[member][1] for member in members],
            compute_dtype=compute,
            device=device,
        )
        stacks.append((stack, members))
    return StackedTraining(runs, images, stacks, reason, train_metrics, (classes, image_size))


def _number_seeds(
    runs: Sequence[tuple[NetworkRecipe, int]], members: Sequence[int]
) -> tuple[int, ...]:
    """Return the number of each member's seed among those of its stack."""
    seeds = [runs[member][1] for member in members]
    sets = list(dict.fromkeys(seeds))
    return tuple(sets.index(seed) for seed in seeds)


def _row(
    epoch: int,
    place: int,
    train: tuple[list[float], list[float]],
    validation: tuple[list[float], list[float]] | None,
    penalty: float,
    seconds: float,
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "train_loss": train[0][place],
        "train_accuracy": train[1][place],
        "validation_loss": None if validation is None else validation[0][place],
        "validation_accuracy": None if validation is None else validation[1][place],
        "penalty": penalty,
        "objective": train[0][place] + penalty,
        "seconds": seconds,
    }


def _divide(
    runs: Sequence[tuple[NetworkRecipe, int]],
    pattern: torch.nn.Module,
    image_size: tuple[int, int],
    number_bytes: int,
) -> tuple[list[list[int]], str | None]:
    """Return which runs make one stack, and why none can where that is so.

    Runs of one seed share their images and stay together; as many seeds go into a stack as the
    caches can hold.
    """
    by_seed: dict[int, list[int]] = {}
    for number, (_, seed) in enumerate(runs):
        by_seed.setdefault(seed, []).append(number)
    recipe = runs[0][0]
    try:
        StackedNetwork(pattern, image_size=image_size, seeds=[0], dropout=recipe.dropout)
    except CannotStack as error:
        return [[number] for number in range(len(runs))], str(error)
    per_network = count_activations(pattern, image_size) * recipe.batch_size * number_bytes
    room = max(1, _STACK_BYTES // per_network)
    groups: list[list[int]] = []
    for members in by_seed.values():
        if groups and len(groups[-1]) + len(members) <= room:
            groups[-1] += members
        else:
            groups.append(list(members))
    return groups, None
