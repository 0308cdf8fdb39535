"""Projection: every prototype becomes a patch of a real training image, and remembers which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pellucid._checks import DataError
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.nearest_patch import nearest_patch, nearest_patch_of_some

_SPARSE_SHARE = 1 / 3
"""Where no image is looked at by more than this share of the branches, pairs are computed singly:
a product of one image with its own branches is slower a pair than one of all with all."""


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

    @classmethod
    def none(cls, tree: ProtoTree, top_k: int) -> NearestPatches:
        """Return what is known before the first image."""
        shape, device = (tree.topology.branches, top_k), tree.prototypes.device
        return cls(
            distance=tree.prototypes.new_full(shape, torch.inf),
            image=torch.full(shape, -1, device=device),
            label=torch.full(shape, -1, device=device),
            position=torch.zeros(*shape, 2, dtype=torch.int64, device=device),
            patch=tree.prototypes.new_zeros(*shape, tree.prototypes[0].numel()),
        )

    def merged(self, other: NearestPatches) -> NearestPatches:
        """Return the nearest of both; an image that is in both is counted once."""
        top_k = self.distance.shape[1]
        image = torch.cat([self.image, other.image], dim=1)
        distance = torch.cat([self.distance, other.distance], dim=1)
        label = torch.cat([self.label, other.label], dim=1)
        position = torch.cat([self.position, other.position], dim=1)
        # By image, then distance, then position: of one image only the first may stay.
        order = position[..., 1].argsort(dim=1, stable=True)
        for key in (position[..., 0], distance, image):
            order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
        sorted_image = image.gather(1, order)
        again = torch.zeros_like(image, dtype=torch.bool)
        again[:, 1:] = (sorted_image[:, 1:] == sorted_image[:, :-1]) & (sorted_image[:, 1:] >= 0)
        rank = distance.gather(1, order).masked_fill(again, torch.inf)
        by_rank = rank.argsort(dim=1, stable=True)[:, :top_k]
        best = order.gather(1, by_rank)
        distance = rank.gather(1, by_rank)
        empty = distance.isinf()
        row = torch.arange(len(best), device=best.device)[:, None].expand_as(best)
        patch = self.patch[row, best.clamp_max(top_k - 1)]
        theirs = best >= top_k
        patch[theirs] = other.patch[row[theirs], best[theirs] - top_k]
        return NearestPatches(
            distance=distance,
            image=image.gather(1, best).masked_fill(empty, -1),
            label=label.gather(1, best).masked_fill(empty, -1),
            position=position[row, best].masked_fill(empty[..., None], 0),
            patch=patch.masked_fill_(empty[..., None], 0),
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
    return _search(tree, batches, (allowed,), top_k=top_k)[0]


def _search(
    tree: ProtoTree, batches: LabeledImages, limits: Sequence[Tensor | None], *, top_k: int
) -> list[NearestPatches]:
    """Return for each of ``limits`` what `find_nearest_patches` gives, in one pass over the data.

    What a batch is found to hold depends on that batch alone, not on those before it, so that
    several processes find what one finds.
    """
    tree.eval()
    device = tree.prototypes.device
    prototypes = tree.prototypes.flatten(1)
    limits = [None if allowed is None else allowed.to(device) for allowed in limits]
    nearest = [NearestPatches.none(tree, top_k) for _ in limits]
    for images, labels, indices in batches:
        labels, indices = labels.to(device), indices.to(device)
        latent = tree.latent(images)
        patches = tree.patches(latent)
        wanted = None if any(allowed is None for allowed in limits) else _pairs(limits, labels)
        distances, positions = _distances(patches, prototypes, wanted)
        columns = latent.shape[3] - tree.prototypes.shape[3] + 1
        # Lower image indices first, so that ties are settled as in `merged`. A sampler that pads
        # the last batch may repeat an image: the first one counts.
        order = indices.argsort(stable=True)
        new = torch.ones_like(order, dtype=torch.bool)
        new[1:] = indices[order][1:] != indices[order][:-1]
        order = order[new]
        for number, allowed in enumerate(limits):
            kept = distances
            if allowed is not None and wanted is None:
                kept = distances.masked_fill(~allowed[:, labels].T, torch.inf)
            distance, which = _least(kept[order], top_k)
            which = order[which]
            # What cannot be among the nearest needs no patch; this is most of a later batch.
            useful = distance.isfinite() & (distance <= nearest[number].distance[:, -1:])
            branch, rank = useful.nonzero(as_tuple=True)
            image = which[useful]
            place = positions[image, branch]
            found = NearestPatches.none(tree, distance.shape[1])
            found.distance[useful] = distance[useful]
            found.image[useful] = indices[image]
            found.label[useful] = labels[image]
            found.position[useful] = torch.stack([place // columns, place % columns], dim=1)
            found.patch[branch, rank] = patches[image, place]
            nearest[number] = nearest[number].merged(found)
    return nearest


def _least(distances: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return each column's least entries and their rows, increasing, shape (columns, top_k)."""
    distances = distances.nan_to_num(nan=torch.inf, posinf=torch.inf)
    if top_k == 1:
        distance, row = distances.min(dim=0, keepdim=True)  # the first one on a tie
    else:
        distance, row = distances.sort(dim=0, stable=True)
    return distance[:top_k].T, row[:top_k].T


def _pairs(limits: Sequence[Tensor | None], labels: Tensor) -> Tensor:
    """Return which images some limit lets which branch see, shape (batch, branches)."""
    allowed = torch.stack([limit for limit in limits if limit is not None]).any(dim=0)
    return allowed[:, labels].T


def _distances(patches: Tensor, prototypes: Tensor, wanted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return distances and positions, shape (batch, branches); infinite where not wanted.

    With many classes a branch is looked for in few images: then only those pairs are computed.
    """
    if wanted is None:
        found = nearest_patch(patches, prototypes)
        return found.distance, found.position
    counts = wanted.sum(dim=1)
    most = max(1, int(counts.max()))
    if most > _SPARSE_SHARE * len(prototypes):
        found = nearest_patch(patches, prototypes)
        return found.distance.masked_fill(~wanted, torch.inf), found.position
    image, branch = wanted.nonzero(as_tuple=True)
    slot = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    chosen = torch.zeros(len(wanted), most, dtype=torch.int64, device=image.device)
    chosen[image, slot] = branch
    found = nearest_patch_of_some(patches, prototypes, chosen)
    distances = patches.new_full(wanted.shape, torch.inf)
    positions = torch.zeros_like(distances, dtype=torch.int64)
    distances[image, branch] = found.distance[image, slot]
    positions[image, branch] = found.position[image, slot]
    return distances, positions


def majority_classes_below(tree: ProtoTree) -> Bool[Tensor, "branches classes"]:
    """Return which classes are the majority class of some leaf below each branch."""
    majority = tree.leaf_log_distributions().argmax(dim=1).tolist()
    below = torch.zeros(tree.topology.branches, tree.classes, dtype=torch.bool)
    for leaf, path in enumerate(tree.topology.paths):
        below[[branch for branch, _ in path], majority[leaf]] = True
    return below


@torch.no_grad()
def project(
    tree: ProtoTree,
    batches: Callable[[], LabeledImages],
    *,
    class_constrained: bool = True,
    labels: Int[Tensor, images] | None = None,
) -> Projection:
    """Replace each prototype by its nearest patch, ``P_n <- argmin_z ||z - P_n||``.

    One pass over the images.

    Source: Nauta et al. 2021, section 3.3, equation 4. Deviation: by default a patch must come
    from an image whose class is the majority class of a leaf below the branch; where there is no
    such image, all images are searched.

    Args:
        tree: Changed in place.
        batches: Returns the images to search, without augmentation.
        class_constrained: Search only the majority classes of the leaves below.
        labels: Of all images to search, those in other processes included. They say beforehand
            which branches have no image of their own classes, so that for the others only images
            of their own classes are compared; without them every branch is compared with every
            image. The result is the same.

    Raises:
        DataError: there are no images.
    """
    allowed = majority_classes_below(tree) if class_constrained else None
    if allowed is None:
        nearest = find_nearest_patches(tree, batches())
        unconstrained = torch.zeros(tree.topology.branches, dtype=torch.bool)
    elif labels is not None:
        present = torch.zeros(tree.classes, dtype=torch.bool)
        present[labels.cpu()] = True
        unconstrained = ~(allowed & present).any(dim=1)
        nearest = find_nearest_patches(tree, batches(), allowed=allowed | unconstrained[:, None])
    else:
        own, nearest = _search(tree, batches(), (allowed, None), top_k=1)
        constrained = own.image[:, 0] >= 0
        unconstrained = ~constrained.cpu()
        nearest = NearestPatches(
            *(
                torch.where(constrained.view(-1, *[1] * (mine.ndim - 1)), mine, general)
                for mine, general in zip(vars(own).values(), vars(nearest).values(), strict=True)
            )
        )
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
        unconstrained=tuple(unconstrained.nonzero()[:, 0].tolist()),
    )
