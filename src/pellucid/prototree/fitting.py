"""From labelled images to a projected, pruned tree: the main job in one call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pellucid._checks import DataError
from pellucid.backbones import create_backbone, measure_receptive_field, wrap_module
from pellucid.data import LabelledData, Normalization, measure_channels
from pellucid.prototree.fitted import USER_BACKBONE, FittedTree
from pellucid.prototree.leaves import fit_leaves
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.projection import LabeledImages, Projection, find_nearest_patches, project
from pellucid.prototree.pruning import prune
from pellucid.prototree.recipe import TreeRecipe, TreeTask
from pellucid.prototree.routing import path_log_probabilities
from pellucid.prototree.topology import Topology
from pellucid.runs import Run, generator, sequence_seed
from pellucid.training import TrainingPlan, TrainingResult, train


@dataclass(frozen=True)
class TreeFit:
    """What `fit_tree` gives.

    Attributes:
        fitted: The projected and pruned tree; when training diverged, the last good one.
        unprojected: The tree as training left it, for measuring what projection and pruning cost.
        projection: Where each prototype went; branches are counted as in the tree that was
            projected, which is after the first pruning (of what costs nothing) and before the
            second. ``fitted.sources`` has them as counted in the final tree, and
            ``fitted.pruning.branches`` the final tree's branches as counted in ``unprojected``.
        training: How training ended.
    """

    fitted: FittedTree
    unprojected: FittedTree
    projection: Projection
    training: TrainingResult


def fit_tree(
    data: LabelledData,
    recipe: TreeRecipe,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    topology: Topology | None = None,
    backbone: nn.Module | None = None,
    run: Run | None = None,
    resume: bool = False,
    quiet: bool = False,
    on_epoch: Callable[[int], None] = lambda epochs_done: None,
) -> TreeFit:
    """Train, prune, project and prune again; the test split is never looked at.

    Args:
        data: Images and splits. Without validation images the last epoch stands.
        recipe: How the tree is trained.
        seed: Source of every random choice.
        device: Where to train.
        topology: A tree shape of one's own; None takes the full tree of ``recipe.depth``.
        backbone: A module of one's own, (b, 3, h, w) to (b, c, h', w'); None builds
            ``recipe.backbone``.
        run: Where checkpoints and metrics go.
        resume: Continue from the run's last checkpoint.
        quiet: Show no progress.
        on_epoch: Called with the number of epochs done.

    Raises:
        DataError: too few training images or classes.
        UsageError: the backbone is unknown or does not fit.
        Interrupted: Ctrl-C or SIGTERM; the run can be resumed.
    """
    device = torch.device(device)
    training = data.splits.train
    if len(training) < 2:
        raise DataError(f"training needs at least 2 images, got {len(training)}. Add images.")
    classes = len(data.images.class_names)
    if classes < 2:
        raise DataError(f"training needs at least 2 classes, got {classes}. Add another class.")
    size = data.images.image_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sequence_seed(seed, "initial weights"))
        if backbone is None:
            patch_size_px = recipe.choose_patch_size_px(size)
            network = create_backbone(
                recipe.backbone,
                image_size=size,
                weights=recipe.weights,
                stage=recipe.stage,
                patch_size_px=patch_size_px,
            )
            # Into the recipe that is kept, so that the tree opens whatever becomes the default.
            recipe = replace(recipe, patch_size_px=patch_size_px or 0)
        else:
            network = wrap_module(backbone, image_size=size)
            recipe = replace(recipe, backbone=USER_BACKBONE)
        tree = ProtoTree(
            network,
            classes,
            topology=topology or Topology.full(recipe.depth),
            latent_channels=recipe.latent_channels,
            prototype_size=recipe.prototype_size,
        ).to(device)
        normalization = Normalization(*measure_channels(data.images, training))
        start = FittedTree(
            tree=tree,
            recipe=recipe,
            class_names=data.images.class_names,
            image_size=size,
            normalization=normalization,
            receptive_field=measure_receptive_field(network, size),
        )

        def training_images():
            return start.normalized_batches(data.images, training)

        task = TreeTask(
            tree,
            recipe,
            training_images=training_images,
            generator=generator(seed, "prototypes"),
        )
    result = train(
        task,
        data.images,
        training=training,
        validation=data.splits.validation,
        plan=TrainingPlan(
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            seed=seed,
            device=device,
            normalization=normalization,
            augmentation=recipe.augmentation,
            first_selectable_epoch=recipe.warm_up_epochs,
        ),
        run=run,
        resume=resume,
        quiet=quiet,
        on_epoch=on_epoch,
    )
    tree.eval()
    unprojected = replace(start, tree=copy.deepcopy(tree))
    fitted, projection = finish_tree(start, data)
    return TreeFit(fitted=fitted, unprojected=unprojected, projection=projection, training=result)


@torch.no_grad()
def finish_tree(trained: FittedTree, data: LabelledData) -> tuple[FittedTree, Projection]:
    """Prune, project, fit the leaves again, prune again; all by the training images alone.

    The first pruning takes only what costs nothing, so that no prototype is searched for among the
    majority classes of a leaf that answers for nobody. The second counts the errors of the
    projected tree, which is the one that people will use.

    Source: Nauta et al. 2021, section 3.3. Deviation: they prune once, before projection, and keep
    the leaves as they were.

    Args:
        trained: The tree as training left it; its network is changed in place.
        data: Images and splits.
    """
    tree, recipe, training = trained.tree, trained.recipe, data.splits.train

    def images() -> LabeledImages:
        return trained.normalized_batches(data.images, training)

    distances, labels = _measure_distances(tree, images())
    idle = prune(tree, distances, labels, tolerance=0.0)
    projection = project(
        tree,
        images,
        class_constrained=recipe.class_constrained_projection,
        labels=data.images.labels[training],
    )
    distances, labels = _measure_distances(tree, images())
    paths = path_log_probabilities(distances, tree.topology)
    tree.leaf_counts = fit_leaves(tree.leaf_counts, paths, labels)
    superfluous = prune(tree, distances, labels, tolerance=recipe.pruning_tolerance)
    nearest = find_nearest_patches(tree, images(), top_k=recipe.top_k)
    fitted = replace(
        trained,
        sources=tuple(projection.sources[branch] for branch in superfluous.branches),
        neighbors=tuple(nearest.sources(branch) for branch in range(tree.topology.branches)),
        pruning=idle.then(superfluous),
    )
    return fitted, projection


def _measure_distances(tree: ProtoTree, images: LabeledImages) -> tuple[Tensor, Tensor]:
    """Return each image's distance to each prototype, and the labels."""
    tree.eval()
    rows = [(tree.distances(tree.latent(pixels))[0], labels) for pixels, labels, _ in images]
    distances, labels = zip(*rows, strict=True)
    return torch.cat(distances), torch.cat(labels)
