"""Projection: every prototype becomes a patch of a real training image, and remembers which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pellucid._checks import DataError
from pellucid.prototree.model import ProtoTree


@dataclass(frozen=True)
class PatchSource:
    """Where a latent patch was seen.

    Attributes:
        image: Index in the image set.
        label: Class of that image.
        row: Row of the patch in the latent map.
        column: Column of the patch in the latent map.
        distance: Euclidean distance to the prototype, >= 0.
    """

    image: int
    label: int
    row: int
    column: int
    distance: float


@dataclass(frozen=True)
class Projection:
    """What each prototype was replaced by.

    Attributes:
        sources: For each branch the patch that it now is; ``distance`` says how far it moved.
        unconstrained: Branches for which no image of a majority class was there, so that all
            images were searched.
    """

    sources: tuple[PatchSource, ...]
    unconstrained: tuple[int, ...]


@dataclass(frozen=True)
class NearestPatches:
    """The ``top_k`` nearest patches to each prototype so far, at most one an image.

    A reduction: `merged` is associative and commutative (ties go to the lower image index), so
    batches, processes and machines may be combined in any grouping.

    Attributes:
        distance: Increasing along the second axis; infinite where fewer patches were seen.
        image: Index in the image set, or -1.
        label: Class of that image, or -1.
        position: (row, column) in the latent map.
        patch: The patch itself, of the prototype's shape, flattened.
    """

    distance: Float[Tensor, "branches top_k"]
    image: Int[Tensor, "branches top_k"]
    label: Int[Tensor, "branches top_k"]
    position: Int[Tensor, "branches top_k 2"]
    patch: Float[Tensor, "branches top_k patch_dim"]

    def merged(self, other: NearestPatches) -> NearestPatches:
        """Return the nearest of both."""
        top_k = self.distance.shape[1]
        image = torch.cat([self.image, other.image], dim=1)
        distance = torch.cat([self.distance, other.distance], dim=1)
        by_image = image.argsort(dim=1, stable=True)
        by_distance = distance.gather(1, by_image).argsort(dim=1, stable=True)
        best = by_image.gather(1, by_distance)[:, :top_k]
        row = torch.arange(len(best), device=best.device)[:, None]

        def pick(name: str) -> Tensor:
            return torch.cat([getattr(self, name), getattr(other, name)], dim=1)[row, best]

        return NearestPatches(
            distance[row, best], image[row, best], pick("label"), pick("position"), pick("patch")
        )

    def sources(self, branch: int) -> tuple[PatchSource, ...]:
        """Return the patches found for one branch, nearest first."""
        columns = (self.distance, self.image, self.label, self.position)
        rows = zip(*(column[branch].tolist() for column in columns), strict=True)
        return tuple(
            PatchSource(image, label, row, column, distance)
            for distance, image, label, (row, column) in rows
            if image >= 0
        )


LabeledImages = Iterable[tuple[Tensor, Tensor, Tensor]]
"""Batches of (normalized float images, labels, indices in the image set)."""


@torch.no_grad()
def find_nearest_patches(
    tree: ProtoTree,
    batches: LabeledImages,
    *,
    top_k: int = 1,
    allowed: Bool[Tensor, "branches classes"] | None = None,
) -> NearestPatches:
    """Return for each prototype its nearest patches among the given images.

    Args:
        tree: The tree, put in evaluation mode for the search.
        batches: Images to search.
        top_k: Patches to keep for each prototype.
        allowed: Classes each prototype may be taken from; None allows all.
    """
    tree.eval()
    device = tree.prototypes.device
    shape = (tree.topology.branches, top_k)
    nearest = NearestPatches(
        distance=tree.prototypes.new_full(shape, torch.inf),
        image=torch.full(shape, -1, device=device),
        label=torch.full(shape, -1, device=device),
        position=torch.zeros(*shape, 2, dtype=torch.int64, device=device),
        patch=tree.prototypes.new_zeros(*shape, tree.prototypes[0].numel()),
    )
    for images, labels, indices in batches:
        labels, indices = labels.to(device), indices.to(device)
        latent = tree.latent(images)
        distances, positions = tree.distances(latent)
        if allowed is not None:
            distances = distances.masked_fill(~allowed.to(device)[:, labels].T, torch.inf)
        kept = min(top_k, len(images))
        # Lower image indices first, so that ties are settled as in `merged`.
        order = indices.argsort()
        distance, place = distances[order].sort(dim=0, stable=True)
        which = order[place[:kept]].T
        distance = distance[:kept].T
        branch = torch.arange(shape[0], device=device)[:, None]
        position = positions[which, branch]
        columns = latent.shape[3] - tree.prototypes.shape[3] + 1
        patches = tree.patches(latent)
        found = torch.isfinite(distance)
        nearest = nearest.merged(
            NearestPatches(
                distance=distance,
                image=torch.where(found, indices[which], -1),
                label=torch.where(found, labels[which], -1),
                position=position,
                patch=patches[which, position[..., 0] * columns + position[..., 1]],
            )
        )
    return nearest


def majority_classes_below(tree: ProtoTree) -> Bool[Tensor, "branches classes"]:
    """Return which classes are the majority class of some leaf below each branch."""
    majority = tree.leaf_log_distributions().argmax(dim=1).tolist()
    below = torch.zeros(tree.topology.branches, tree.classes, dtype=torch.bool)
    for leaf, path in enumerate(tree.topology.paths):
        below[[branch for branch, _ in path], majority[leaf]] = True
    return below


@torch.no_grad()
def project(
    tree: ProtoTree, batches: Callable[[], LabeledImages], *, class_constrained: bool = True
) -> Projection:
    """Replace each prototype by its nearest patch, ``P_n <- argmin_z ||z - P_n||``.

    Source: Nauta et al. 2021, section 3.3, equation 4. Deviation: by default a patch must come
    from an image whose class is the majority class of a leaf below the branch; where there is no
    such image, all images are searched.

    Args:
        tree: Changed in place.
        batches: Returns the images to search, without augmentation; may be called twice.
        class_constrained: Search only the majority classes of the leaves below.

    Raises:
        DataError: there are no images.
    """
    allowed = majority_classes_below(tree) if class_constrained else None
    nearest = find_nearest_patches(tree, batches(), allowed=allowed)
    unconstrained = (nearest.image[:, 0] < 0).nonzero()[:, 0].tolist()
    if unconstrained and allowed is not None:
        allowed[:] = False
        allowed[unconstrained] = True
        nearest = nearest.merged(find_nearest_patches(tree, batches(), allowed=allowed))
    if (nearest.image[:, 0] < 0).any():
        if any(len(labels) for _, labels, _ in batches()):
            raise DataError(
                "projection needs finite latent maps, got NaN or infinity. Training diverged: use "
                "a smaller learning_rate."
            )
        raise DataError("projection needs at least one image, got 0. Add training images.")
    tree.prototypes.copy_(nearest.patch[:, 0].view_as(tree.prototypes))
    return Projection(
        sources=tuple(nearest.sources(branch)[0] for branch in range(tree.topology.branches)),
        unconstrained=tuple(unconstrained),
    )
