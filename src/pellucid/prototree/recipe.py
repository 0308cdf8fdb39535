"""How a prototype tree is trained: the recipe as printable data, and the training task."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from pellucid._checks import DataError, UsageError, check_choice, check_integer, check_number
from pellucid.backbones import default_patch_size_px
from pellucid.backbones.patch_cnn import LEAST_PATCH_SIZE_PX
from pellucid.data import Augmentation
from pellucid.prototree.leaves import leaf_responsibilities, update_counts
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.projection import LabeledImages, project
from pellucid.prototree.routing import distributed, path_log_probabilities
from pellucid.training import Batch

GENTLE = Augmentation(shift_fraction=0.05, rotate_degrees=10, scale=0.1)
"""Small shifts, turns and scales, which leave digits, letters and most objects what they are."""

_WARM_UP_SHARPNESS = 4.0
"""The warm-up head sees the latent map times this: sigmoids start close together, near 1/2."""

_GREATEST_LEARNING_RATE = 1e30
"""A training at any rate up to here ends by itself, if need be as diverged; near the largest
float32, 3e38, the optimizer's own arithmetic overflows and raises."""

_STEEP_SHARE = 0.5
"""Share of the loss that is taken under steep branches; the rest is that of the soft answer."""

INITIALIZATIONS = ("patches", "random")


@dataclass(frozen=True)
class TreeRecipe:
    """Everything that decides a tree besides the data and the seed.

    Attributes:
        backbone: Name for `pellucid.backbones.create_backbone`.
        weights: Local weights file, ``"hub"``, or None for a random start.
        stage: Which of the backbone's stages gives the latent map; None chooses.
        patch_size_px: Of ``patch_cnn``: how many pixels each way a latent cell may see, >= 7, or 0
            for no bound. None takes `pellucid.backbones.default_patch_size_px`, or no bound with
            ``weights``.
        freeze_backbone: Leave the backbone's weights and statistics as they are.
        depth: Depth of the full tree to start from, 1 to 16.
        latent_channels: Channels of the latent map.
        prototype_size: (height, width) of a prototype in latent cells.
        epochs: All epochs, warm-up included.
        warm_up_epochs: Epochs of backbone and add-on alone, under a max-pool and a linear head;
            0 switches the warm-up off. Left out, it is a sixth of ``epochs``, rounded up.
        prototype_initialization: ``"patches"`` (random patches of training images, after the
            warm-up) or ``"random"`` (a normal distribution, the reference's way).
        interim_projections: How often prototypes are projected while training goes on; the first
            time after half of the epochs, then after half of what remains, and so on. 0 projects
            only at the end, as the reference does.
        routing_steepness: Half of the loss is that of a tree with steeper branches, whose answer is
            near the greedy one; this is the steepness they end with (see `TreeTask`). 1 trains the
            soft answer alone, as the reference does.
        batch_size: Images a step, fewer where an epoch would have less than about eight steps:
            see `pellucid.training.choose_batch_size`.
        learning_rate: Adam's, for add-on and head, at the start of a cosine decay to 0.
        backbone_learning_rate: None takes ``learning_rate``, or a tenth of it with ``weights``.
        prototype_learning_rate: None takes ``learning_rate``.
        augmentation: How training images are varied.
        decoupled_weight_decay: AdamW's, on weights of two or more dimensions, not on prototypes.
        class_constrained_projection: Search only images of the majority classes below a branch.
        pruning_tolerance: Share of training images on which pruning may newly err.
        top_k: Nearest training patches kept for each prototype.
    """

    backbone: str = "patch_cnn"
    weights: str | None = None
    stage: int | None = None
    patch_size_px: int | None = None
    freeze_backbone: bool = False
    depth: int = 6
    latent_channels: int = 64
    prototype_size: tuple[int, int] = (1, 1)
    epochs: int = 60
    warm_up_epochs: int = None  # type: ignore[assignment]  # __post_init__ puts a number
    prototype_initialization: str = "patches"
    interim_projections: int = 4
    routing_steepness: float = 8.0
    batch_size: int = 64
    learning_rate: float = 2e-3
    backbone_learning_rate: float | None = None
    prototype_learning_rate: float | None = None
    augmentation: Augmentation = GENTLE
    decoupled_weight_decay: float = 0.1
    class_constrained_projection: bool = True
    pruning_tolerance: float = 0.001
    top_k: int = 5

    def __post_init__(self) -> None:
        check_integer("depth", self.depth, low=1, high=16, remedy="Use depth=6: 63 prototypes.")
        check_integer("latent_channels", self.latent_channels, low=1)
        check_integer("epochs", self.epochs, low=1)
        if self.warm_up_epochs is None:
            # Into the field, so that a run's configuration says what was done.
            object.__setattr__(self, "warm_up_epochs", self.default_warm_up_epochs(self.epochs))
        check_integer("warm_up_epochs", self.warm_up_epochs, low=0)
        if self.warm_up_epochs >= self.epochs:
            raise UsageError(
                f"warm_up_epochs must be less than epochs={self.epochs}, got "
                f"{self.warm_up_epochs}. The tree itself needs at least one epoch."
            )
        if self.patch_size_px is not None:
            check_integer("patch_size_px", self.patch_size_px, low=0)
        if self.patch_size_px:
            check_integer(
                "patch_size_px",
                self.patch_size_px,
                low=LEAST_PATCH_SIZE_PX,
                remedy="Use about the size of what tells the classes apart, or 0 for no bound.",
            )
            if self.backbone != "patch_cnn":
                raise UsageError(
                    f"patch_size_px must be left out for backbone {self.backbone!r}, got "
                    f"{self.patch_size_px}: its layers decide what a patch sees. Use backbone "
                    "'patch_cnn', or an earlier stage."
                )
        check_integer("batch_size", self.batch_size, low=1)
        check_integer("top_k", self.top_k, low=1)
        check_integer("interim_projections", self.interim_projections, low=0)
        check_number(
            "routing_steepness",
            self.routing_steepness,
            low=1,
            high=1000,
            remedy="Use 4 to 16, or 1 to train the soft answer alone.",
        )
        check_choice("prototype_initialization", self.prototype_initialization, INITIALIZATIONS)
        rates = ("learning_rate", "backbone_learning_rate", "prototype_learning_rate")
        for name in rates:
            if (rate := getattr(self, name)) is not None:
                check_number(
                    name,
                    rate,
                    low=0,
                    high=_GREATEST_LEARNING_RATE,
                    open_low=True,
                    remedy=f"Use {name}={type(self).learning_rate:g}.",
                )
        if not isinstance(self.augmentation, Augmentation):
            raise UsageError(
                f"augmentation must be a pellucid.data.Augmentation, got {self.augmentation!r}. "
                "Use Augmentation() for none."
            )
        check_number(
            "decoupled_weight_decay",
            self.decoupled_weight_decay,
            low=0,
            high=1e6,
            remedy="Use 0.01 to 0.1, or 0 for none.",
        )
        check_number("pruning_tolerance", self.pruning_tolerance, low=0, high=1, open_high=True)

    @staticmethod
    def default_warm_up_epochs(epochs: int) -> int:
        """Return a sixth of ``epochs``, rounded up, but leave the tree itself at least one."""
        return min(math.ceil(epochs / 6), epochs - 1)

    def choose_patch_size_px(self, image_size: tuple[int, int]) -> int | None:
        """Return what a latent cell may see each way, or None where nothing bounds it.

        Args:
            image_size: (height, width) in pixels.
        """
        if self.patch_size_px is None and self.weights is None and self.backbone == "patch_cnn":
            return default_patch_size_px(image_size)
        return self.patch_size_px or None

    @property
    def projection_epochs(self) -> tuple[int, ...]:
        """The epochs, counted from 0, at whose start prototypes are projected."""
        halves = (self.epochs - self.epochs / 2**k for k in range(1, self.interim_projections + 1))
        epochs = {int(half) for half in halves}
        return tuple(sorted(e for e in epochs if self.warm_up_epochs < e < self.epochs))


class TreeTask:
    """A tree in training: see `pellucid.training.Task` for the methods.

    The first ``warm_up_epochs`` train backbone and add-on under a max-pool over positions and a
    linear head, so that patches mean something before a tree is asked to tell them apart. Then each
    prototype starts as a random patch of a random training image. Neither is in Nauta et al. 2021;
    without them most prototypes end in corners of the image, on background. Projecting every now
    and then while training goes on lets the network adapt to prototypes that are real patches, so
    that the last projection moves them little.

    The other half of the loss is the cross-entropy of the same mixture under steep branches, whose
    log-odds are multiplied by a steepness that grows geometrically from 1 to
    ``recipe.routing_steepness`` over the epochs of the tree. Its limit is the greedy answer, which
    the soft one alone need not care for: two even turns in a row may end elsewhere.

    Source: Nauta et al. 2021; Hehn, Kooij and Hamprecht 2020 (steepness, annealed). Deviation from
    the latter: the soft loss stays, because the soft answer is an answer too, and leaves learn from
    the soft paths.

    Args:
        tree: The tree to train, on its device.
        recipe: How.
        training_images: Returns batches of the training images, without augmentation.
        generator: Draws the patches that the prototypes start from.
    """

    def __init__(
        self,
        tree: ProtoTree,
        recipe: TreeRecipe,
        *,
        training_images: Callable[[], LabeledImages],
        generator: torch.Generator,
    ) -> None:
        self.tree = tree
        self.recipe = recipe
        self._training_images = training_images
        self._generator = generator
        self._head = nn.Linear(tree.prototypes.shape[1], tree.classes).to(tree.prototypes.device)
        self.module = nn.ModuleDict({"tree": tree, "head": self._head})
        self._counts_at_start = tree.leaf_counts.clone()
        self._steps = 1
        self._warming = False
        self._steepness = 1.0
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=recipe.learning_rate)

    def _parameter_groups(self) -> list[dict[str, object]]:
        recipe = self.recipe
        slower = 0.1 if recipe.weights is not None else 1.0
        backbone_rate = recipe.backbone_learning_rate or slower * recipe.learning_rate
        prototype_rate = recipe.prototype_learning_rate or recipe.learning_rate
        if recipe.freeze_backbone:
            self.tree.backbone.requires_grad_(False)
        groups: list[dict[str, object]] = [
            {"params": [self.tree.prototypes], "lr": prototype_rate, "weight_decay": 0.0}
        ]
        own = [*self.tree.add_on.parameters(), *self._head.parameters()]
        for parameters, rate in (
            (self.tree.backbone.parameters(), backbone_rate),
            (own, recipe.learning_rate),
        ):
            trained = [parameter for parameter in parameters if parameter.requires_grad]
            for decay, chosen in (
                (recipe.decoupled_weight_decay, [p for p in trained if p.ndim >= 2]),
                (0.0, [p for p in trained if p.ndim < 2]),
            ):
                if chosen:
                    groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
        return groups

    def begin_epoch(self, epoch: int, steps: int) -> str:
        """Prepare one epoch and return ``"warm-up"`` or ``"tree"``."""
        self._warming = epoch < self.recipe.warm_up_epochs
        self._steepness = self.steepness(epoch)
        if (
            epoch == self.recipe.warm_up_epochs
            and self.recipe.prototype_initialization == "patches"
        ):
            initialize_from_patches(self.tree, self._training_images(), generator=self._generator)
        if epoch in self.recipe.projection_epochs:
            project(
                self.tree,
                self._training_images,
                class_constrained=self.recipe.class_constrained_projection,
            )
        self.module.train()
        if self.recipe.freeze_backbone:
            self.tree.backbone.eval()
        self._counts_at_start = self.tree.leaf_counts.clone()
        self._steps = steps
        return "warm-up" if self._warming else "tree"

    def steepness(self, epoch: int) -> float:
        """Return the steepness of an epoch: 1 at the tree's first, the recipe's at the last."""
        first, last = self.recipe.warm_up_epochs, self.recipe.epochs - 1
        share = (epoch - first) / (last - first) if last > first else 0.0
        return self.recipe.routing_steepness ** max(share, 0.0)

    def learning_rate_factor(self, epoch: int, fraction: float) -> float:
        """Return the cosine decay from 1 to 0 over all epochs."""
        return 0.5 * (1 + math.cos(math.pi * (epoch + fraction) / self.recipe.epochs))

    def step(self, images: Tensor, labels: Tensor) -> Batch:
        """Return the loss of one batch, and with it the leaves' responsibilities."""
        latent = self.tree.latent(images)
        if self._warming:
            answers = self._warm_up_answer(latent)
            loss = nll_loss(answers, labels)
            return Batch(loss, loss, answers.detach(), {})
        distances, _ = self.tree.distances(latent)
        paths = path_log_probabilities(distances, self.tree.topology)
        leaves = self.tree.leaf_log_distributions()
        answers = distributed(paths, leaves)
        loss = objective = nll_loss(answers, labels)
        if self._steepness != 1:
            steep = path_log_probabilities(distances, self.tree.topology, steepness=self._steepness)
            objective = torch.lerp(loss, nll_loss(distributed(steep, leaves), labels), _STEEP_SHARE)
        with torch.no_grad():
            responsibilities = leaf_responsibilities(paths, leaves, labels)
        return Batch(objective, loss, answers.detach(), {"responsibilities": responsibilities})

    def absorb(self, sums: dict[str, Tensor]) -> None:
        """Update the leaves from the responsibilities summed over one batch."""
        if "responsibilities" in sums:
            update_counts(
                self.tree.leaf_counts,
                self._counts_at_start,
                sums["responsibilities"],
                batches=self._steps,
                out=self.tree.leaf_counts,
            )

    def predict(self, images: Tensor) -> Tensor:
        """Return the log-probabilities of whichever head the epoch trains."""
        latent = self.tree.latent(images)
        if self._warming:
            return self._warm_up_answer(latent)
        return self.tree.answer_latent(latent).log_probabilities

    def _warm_up_answer(self, latent: Tensor) -> Tensor:
        return torch.log_softmax(self._head(_WARM_UP_SHARPNESS * latent.amax(dim=(2, 3))), dim=1)


@torch.no_grad()
def initialize_from_patches(
    tree: ProtoTree, images: LabeledImages, *, generator: torch.Generator
) -> None:
    """Set each prototype to a random patch of a random training image.

    A reduction over batches: every patch draws a random key, and those with the largest keys stay.
    Where there are fewer patches than prototypes, they are used again in turn.

    Args:
        tree: Its prototypes are changed in place.
        images: Batches to draw from.
        generator: Source of the keys, on the CPU.

    Raises:
        DataError: there are no images.
    """
    tree.eval()
    wanted = tree.topology.branches
    keys = torch.empty(0)
    kept = tree.prototypes.new_empty(0, tree.prototypes[0].numel())
    for pixels, _, _ in images:
        patches = tree.patches(tree.latent(pixels)).flatten(0, 1)
        drawn = torch.rand(len(patches), generator=generator)
        best = torch.cat([keys, drawn]).argsort(descending=True, stable=True)[:wanted]
        keys = torch.cat([keys, drawn])[best]
        kept = torch.cat([kept, patches])[best.to(kept.device)]
    if len(kept) == 0:
        raise DataError("initialization needs at least one image, got 0. Add training images.")
    rows = torch.arange(wanted, device=kept.device) % len(kept)
    tree.prototypes.copy_(kept[rows].view_as(tree.prototypes))
