"""Distance from every prototype to its nearest latent patch, exact near zero, cheap to train.

The expanded square ``||z||^2 - 2 z.P + ||P||^2`` turns all distances of a batch into one matrix
product, but it cancels: in float32 a patch at distance 1e-3 may come out at 5e-3, with a gradient
that points the wrong way. Pairs whose square could have cancelled are therefore computed again
from the difference ``z - P`` itself; all others keep the product's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

_CANCELLATION = 1e-3
"""A squared distance below this share of ``||z||^2 + ||P||^2`` is computed again exactly."""

_PRODUCT_ENTRIES = 1 << 19
"""Entries of the matrix product held at a time: small enough to be reduced while still in cache."""

_DIFFERENCE_ENTRIES = 1 << 22
"""Entries of ``z - P`` held at a time; like the above it bounds memory and changes no value."""


@dataclass(frozen=True)
class NearestPatch:
    """The nearest patch of each image to each prototype.

    Attributes:
        distance: Euclidean distance, >= 0, shape (batch, prototypes).
        position: Index of the patch among the ``height * width`` positions, row by row.
    """

    distance: Float[Tensor, "batch prototypes"]
    position: Int[Tensor, "batch prototypes"]


def nearest_patch(
    patches: Float[Tensor, "batch positions dim"], prototypes: Float[Tensor, "prototypes dim"]
) -> NearestPatch:
    """Return ``min_p ||patches[b, p] - prototypes[k]||`` and the position that attains it.

    Where several patches are equally near up to rounding, any one of them may be given.
    Differentiable in both arguments: only the nearest patch receives a gradient, namely
    ``(z - P) / ||z - P||``, and zero where the distance is zero.

    Source: Nauta et al. 2021, equation 1. Deviation: the reference adds 1e-14 under the root and
    takes the expanded square for every pair; here near-zero pairs are exact.

    Args:
        patches: Latent patches, float32 or float64.
        prototypes: One row a prototype, same dtype and device.
    """
    distance, position = _NearestPatch.apply(patches, prototypes)  # type: ignore[misc]
    return NearestPatch(distance, position)


class _NearestPatch(torch.autograd.Function):
    """Keeps a number a pair for the backward pass, never one a pair and position."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        batch, positions, dim = patches.shape
        patch_norms = patches.new_empty(batch, positions)
        prototype_norms = torch.linalg.vector_norm(prototypes, dim=1).square_()
        twice = (2 * prototypes).T
        squared = patches.new_empty(batch, len(prototypes))
        position = torch.empty(squared.shape, dtype=torch.int64, device=patches.device)
        near = torch.empty(squared.shape, dtype=torch.bool, device=patches.device)
        step = min(batch, max(1, _PRODUCT_ENTRIES // max(1, len(prototypes) * positions)))
        buffer = patches.new_empty(step * positions, len(prototypes))
        kept = any(ctx.needs_input_grad)
        table = patches.new_empty(batch if kept else step, positions, dim)
        for start in range(0, batch, step):
            part = slice(start, start + step)
            own = patches[part]
            own = (table[part] if kept else table[: len(own)]).copy_(own)
            rows = own.view(-1, dim)
            # Norms without a temporary of the patches' own size.
            patch_norms[part] = torch.linalg.vector_norm(own, dim=2).square_()
            product = torch.mm(rows, twice, out=buffer[: len(rows)])
            # 2 z.P - ||z||^2; taking ||P||^2 off does not change which patch is nearest.
            product = product.view(-1, positions, len(prototypes))
            product -= patch_norms[part, :, None]
            greatest, where = _greatest(product)
            part_squared = prototype_norms - greatest
            scale = patch_norms[part].gather(1, where) + prototype_norms
            part_near = part_squared < _CANCELLATION * scale
            squared[part], position[part], near[part] = part_squared, where, part_near
            if part_near.any():
                squared[part][part_near], position[part][part_near] = _refine(
                    product, own, prototypes, scale, part_near
                )
        distance = squared.clamp_min_(0).sqrt_()
        ctx.mark_non_differentiable(position)
        ctx.save_for_backward(table, prototypes, distance, position, near)
        return distance, position

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor, _: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        patches, prototypes, distance, position, near = ctx.saved_tensors
        batch, positions, dim = patches.shape
        rows = patches.reshape(batch * positions, dim)
        # d distance / d z = (z - P) / distance; far pairs split it into z and P parts.
        weight = torch.where(distance > 0, grad / distance, 0)
        row = position + torch.arange(batch, device=position.device)[:, None] * positions
        far_weight = weight.masked_fill(near, 0)
        grad_patches = grad_prototypes = None
        if ctx.needs_input_grad[0]:
            grad_patches = _scatter_difference(rows, prototypes, row, far_weight)
        if ctx.needs_input_grad[1]:
            pulled = torch.nn.functional.embedding_bag(
                row.T.contiguous(), rows, per_sample_weights=far_weight.T.contiguous(), mode="sum"
            )
            grad_prototypes = far_weight.sum(0)[:, None] * prototypes - pulled
        image, prototype = near.nonzero(as_tuple=True)
        step = max(1, _DIFFERENCE_ENTRIES // dim)
        for start in range(0, len(image), step):
            b, k = image[start : start + step], prototype[start : start + step]
            pull = weight[b, k, None] * (rows[row[b, k]] - prototypes[k])
            if grad_patches is not None:
                grad_patches.index_add_(0, row[b, k], pull)
            if grad_prototypes is not None:
                grad_prototypes.index_add_(0, k, pull, alpha=-1)
        if grad_patches is not None:
            grad_patches = grad_patches.view(batch, positions, dim)
        return grad_patches, grad_prototypes


def _greatest(product: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``product.max(dim=1)``, values and indices, shape (batch, prototypes).

    Spoken as a max-pooling of channels-last maps, which runs over all prototypes of a position at
    once where ``max`` takes one number at a time.
    """
    batch, positions, prototypes = product.shape
    maps = product.view(batch, 1, positions, prototypes).permute(0, 3, 1, 2)
    value, where = torch.nn.functional.max_pool2d(maps, (1, positions), return_indices=True)
    return value.view(batch, prototypes), where.view(batch, prototypes)


def _scatter_difference(rows: Tensor, prototypes: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    """Return ``sum over (b, k) of weight * (rows[row] - prototypes[k])``, added up at ``row``."""
    flat_row, flat_weight = row.flatten(), weight.flatten()
    order = flat_row.argsort(stable=True)
    prototype = torch.arange(row.shape[1], device=row.device).repeat(row.shape[0])[order]
    counts = torch.bincount(flat_row, minlength=len(rows))
    offsets = counts.cumsum(0) - counts
    pulled = torch.nn.functional.embedding_bag(
        prototype, prototypes, offsets, per_sample_weights=-flat_weight[order], mode="sum"
    )
    total = torch.zeros_like(rows[:, 0]).index_add_(0, flat_row, flat_weight)
    return pulled.addcmul_(total[:, None], rows)


def _refine(
    product: Tensor, patches: Tensor, prototypes: Tensor, scale: Tensor, near: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the exact least squared distance and position of the ``near`` pairs.

    Rounding may also have chosen the wrong patch, so every position whose expanded square lies
    within the rounding error of the least one is looked at.
    """
    image, prototype = near.nonzero(as_tuple=True)
    slack = 8 * torch.finfo(patches.dtype).eps * patches.shape[2] ** 0.5 * scale[near]
    squared = patches.new_full((len(image),), torch.inf)
    position = torch.zeros_like(image)
    step = max(1, _DIFFERENCE_ENTRIES // (patches.shape[1] * patches.shape[2]))
    for start in range(0, len(image), step):
        part = slice(start, start + step)
        b, k = image[part], prototype[part]
        values = product[b, :, k]
        candidate = values >= values.amax(dim=1, keepdim=True) - slack[part, None]
        pair, place = candidate.nonzero(as_tuple=True)
        exact = (patches[b[pair], place] - prototypes[k[pair]]).square().sum(1)
        table = torch.full_like(values, torch.inf)
        table[pair, place] = exact
        squared[part], position[part] = table.min(dim=1)
    return squared, position
