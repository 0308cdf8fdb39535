"""One stack of networks in training: a step, an epoch, polishing, an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.regularization.penalties import StackedPenalty
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.stacking.flat_optimizers import FlatAdam, FlatSgd
from pellucid.regularization.stacking.stack_layout import Pass
from pellucid.regularization.stacking.stacked_network import SingleNetwork, StackedNetwork
from pellucid.regularization.stacking.stacked_weights import StackedWeights
from pellucid.regularization.stacking.training_images import TrainingImages
from pellucid.runs import generator, sequence_seed

_EVALUATION_BATCH = 64  # larger ones leave the caches

Metrics = tuple[list[float], list[float]]
"""Cross-entropy and accuracy of each network."""


class NetworkStack:
    """Networks that take their steps together.

    Args:
        network: What answers for all of them.
        networks: Their starts.
        recipes: One a network, of equal `stack_key`.
        seeds: One a network; equal seeds see the same batches.
        compute_dtype: Of the forward and backward pass.
        device: Where they are.

    Attributes:
        weights: All parameters and buffers.
        penalty: Of all networks.
        network: What answers for all of them.
        optimizer: Of the flat buffer that holds all parameters.
    """

    def __init__(
        self,
        network: StackedNetwork | SingleNetwork,
        networks: Sequence[nn.Module],
        *,
        recipes: Sequence[NetworkRecipe],
        seeds: Sequence[int],
        compute_dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        dtype = torch.float64 if compute_dtype == torch.float64 else torch.float32
        self.network = network
        self._recipe = recipe = recipes[0]
        self._sets = list(dict.fromkeys(seeds))
        self._set_of = torch.tensor([self._sets.index(seed) for seed in seeds], device=device)
        self._device = device
        self.weights = StackedWeights(
            networks, dtype=dtype, compute_dtype=compute_dtype, device=device
        )
        self.penalty = StackedPenalty(
            [one.penalty for one in recipes], self.weights.parameters, kinds=self.weights.kinds
        )
        self._smoothing = [one.label_smoothing for one in recipes]
        self._is_adam = recipe.optimizer == "adam"
        self.optimizer: FlatSgd | FlatAdam = (
            FlatAdam(self.weights.flat)
            if self._is_adam
            else FlatSgd(self.weights.flat, momentum=recipe.momentum)
        )
        self._has_batch_norm = any(
            isinstance(module, nn.modules.batchnorm._BatchNorm) for module in networks[0].modules()
        )
        self._denominators = (
            self.weights.views_of(self.optimizer.denominators)
            if isinstance(self.optimizer, FlatAdam)
            else None
        )

    def train_epoch(
        self,
        images: TrainingImages,
        epoch: int,
        stop_if_asked: Callable[[], None],
        *,
        measure: bool = True,
    ) -> Metrics:
        """Take one epoch's steps; return loss and accuracy averaged while the weights moved.

        Without `measure` both are 0.
        """
        recipe = self._recipe
        steps = math.ceil(images.training / recipe.batch_size)
        draw = _Masks(self._sets, epoch, self._device)
        metrics = _RunningMetrics(self.weights.networks, self._device)
        # What draws from the global random numbers is a network that could not be stacked.
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(sequence_seed(self._sets[0], "epoch", epoch, "model"))
            batches = images.epoch(
                self._sets,
                epoch,
                batch_size=recipe.batch_size,
                drop_last_of_one=self._has_batch_norm,
            )
            for number, (pixels, labels, partners, shares) in enumerate(batches):
                stop_if_asked()
                fraction = (epoch + number / steps) / recipe.epochs
                logits = self.network(
                    pixels,
                    len(self._sets),
                    Pass(self.weights.leaves(), self.weights.buffers, draw),
                    training=True,
                )
                targets = self._fan_out(labels)
                losses = None
                if partners is None and not any(self._smoothing):
                    objective = _cross_entropy(logits, targets, "sum") / targets.shape[1]
                else:
                    losses = self._losses(logits, targets)
                    if partners is not None:
                        share = torch.tensor(shares, device=self._device).to(losses)[self._set_of]
                        others = self._losses(logits, self._fan_out(partners))
                        losses = share * losses + (1 - share) * others
                    objective = losses.sum()
                self.weights.take_gradients(objective)
                self._step(fraction, epoch * steps + number + 1)
                if measure:
                    metrics.add(logits, targets, losses)
        return metrics.averages()

    def _fan_out(self, per_seed: Tensor) -> Tensor:
        """Turn (seeds, batch) into (networks, batch)."""
        if len(self._sets) == 1:
            return per_seed.expand(self.weights.networks, -1)
        return per_seed[self._set_of]

    def _losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return each network's mean cross-entropy over the batch, shape (networks,)."""
        if any(self._smoothing):
            exact = _exact(logits)
            logs = torch.log_softmax(exact, 2)
            hit = -logs.gather(2, targets.unsqueeze(2)).squeeze(2).mean(1)
            smoothing = torch.tensor(self._smoothing, dtype=hit.dtype, device=hit.device)
            return (1 - smoothing) * hit - smoothing * logs.mean((1, 2))
        return _cross_entropy(logits, targets, "none").view(targets.shape).mean(1)

    def _step(self, fraction: float, steps_taken: int) -> None:
        recipe = self._recipe
        rate = recipe.learning_rate
        if recipe.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * fraction))
        self.penalty.add_gradients(fraction)
        if recipe.decoupled_weight_decay:
            with torch.no_grad():
                for name, value in self.weights.parameters.items():
                    if self.weights.kinds[name] == "weight":
                        value.mul_(1 - rate * recipe.decoupled_weight_decay)
        self.optimizer.step(rate)
        self.penalty.proximal_step(
            learning_rate=rate,
            momentum=0.0 if self._is_adam else recipe.momentum,
            fraction=fraction,
            steps_taken=steps_taken,
            denominators=self._denominators,
        )

    def polish(self, images: TrainingImages, stop_if_asked: Callable[[], None]) -> None:
        """Take the penalty's polishing steps: full-batch, proximal, without momentum.

        They are as long as ``learning_rate`` says; steps as long as momentum makes them in the long
        run were measured to be unstable.
        Normalization and dropout do as in evaluation, so that the objective is one fixed function.
        """
        recipe = self._recipe
        rate = recipe.learning_rate
        for index in range(self.penalty.polish_steps):
            total = torch.zeros_like(self.weights.flat)
            for pixels, labels in images.in_order("train", batch_size=_EVALUATION_BATCH):
                stop_if_asked()
                state = Pass(self.weights.leaves(), self.weights.buffers)
                logits = self.network(pixels, 1, state, training=False)
                targets = labels.expand(self.weights.networks, -1)
                share = len(labels) / images.training
                self.weights.take_gradients(self._losses(logits, targets).sum() * share)
                assert self.weights.flat.grad is not None
                total += self.weights.flat.grad
            assert self.weights.flat.grad is not None
            self.weights.flat.grad.copy_(total)
            self.penalty.polish_step(index=index, learning_rate=rate)

    @torch.no_grad()
    def evaluate(
        self, images: TrainingImages, split: str, stop_if_asked: Callable[[], None]
    ) -> Metrics:
        """Return each network's cross-entropy and accuracy on a split, in evaluation mode."""
        sums = torch.zeros(2, self.weights.networks, dtype=torch.float64, device=self._device)
        state = Pass(self.weights.leaves(), self.weights.buffers)
        count = 0
        for pixels, labels in images.in_order(split, batch_size=_EVALUATION_BATCH):
            stop_if_asked()
            logits = self.network(pixels, 1, state, training=False)
            targets = labels.expand(self.weights.networks, -1)
            losses = _cross_entropy(logits, targets, "none").view(targets.shape)
            sums[0] += losses.sum(1, dtype=torch.float64)
            sums[1] += (logits.argmax(2) == targets).sum(1)
            count += len(labels)
        loss, accuracy = (sums / count).tolist()
        return loss, accuracy

    def forget(self, model: int) -> None:
        """Set one network's optimizer state back to nothing."""
        for value in self.optimizer.state.values():
            for view in self.weights.views_of(value).values():
                view[model].zero_()


def _exact(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    """Return that of (networks, batch, classes) with (networks, batch), summed or one by one."""
    return F.cross_entropy(_exact(logits).flatten(0, 1), targets.reshape(-1), reduction=reduction)


class _RunningMetrics:
    """Loss and accuracy while the weights move, worked out for many steps at once.

    One at a time, the few operations on small tensors would cost more than a tenth of a
    millisecond a step.
    """

    _KEPT_NUMBERS = 2**20

    def __init__(self, networks: int, device: torch.device) -> None:
        self._sums = torch.zeros(2, networks, dtype=torch.float64, device=device)
        self._count = 0
        self._kept: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self._numbers = 0

    def add(self, logits: Tensor, targets: Tensor, losses: Tensor | None) -> None:
        """Take in a step.

        Args:
            logits: (networks, batch, classes).
            targets: (networks, batch).
            losses: Means over the batch where they are not plain cross-entropies, (networks,).
        """
        self._kept.append((logits.detach(), targets, None if losses is None else losses.detach()))
        self._count += targets.shape[1]
        self._numbers += logits.numel()
        if self._numbers >= self._KEPT_NUMBERS:
            self._work_out()

    @torch.no_grad()
    def _work_out(self) -> None:
        if not self._kept:
            return
        logits = torch.cat([step[0] for step in self._kept], 1)
        targets = torch.cat([step[1] for step in self._kept], 1)
        means = [
            losses.double() * targets.shape[1]
            for _, targets, losses in self._kept
            if losses is not None
        ]
        if means:
            self._sums[0] += torch.stack(means).sum(0)
        else:
            each = _cross_entropy(logits, targets, "none").view(targets.shape)
            self._sums[0] += each.sum(1, dtype=torch.float64)
        self._sums[1] += (logits.argmax(2) == targets).sum(1)
        self._kept, self._numbers = [], 0

    def averages(self) -> Metrics:
        """Return each network's loss and accuracy."""
        self._work_out()
        loss, accuracy = (self._sums / max(self._count, 1)).tolist()
        return loss, accuracy


class _Masks:
    """Draws dropout masks, each seed from its own stream."""

    def __init__(self, seeds: Sequence[int], epoch: int, device: torch.device) -> None:
        self._generators = [generator(seed, "epoch", epoch, "dropout") for seed in seeds]
        self._device = device

    def __call__(self, shape: tuple[int, ...], share: float) -> Tensor:
        drawn = [torch.rand(shape, generator=random) for random in self._generators]
        return (torch.stack(drawn) >= share).to(self._device) / (1 - share)
