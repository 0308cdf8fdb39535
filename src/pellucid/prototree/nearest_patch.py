"""Distance from every prototype to its nearest latent patch, exact near zero, cheap to train.

The expanded square ``||z||^2 - 2 z.P + ||P||^2`` turns all distances of a batch into one matrix
product, but it cancels: in float32 a patch at distance 1e-3 may come out at 5e-3, with a gradient
that points the wrong way. Pairs whose square could have cancelled are therefore computed again
from the difference ``z - P`` itself; all others keep the product's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

_CANCELLATION = 1e-3
"""A squared distance below this share of ``||z||^2 + ||P||^2`` is computed again exactly."""

_PRODUCT_ENTRIES = 1 << 19
"""Entries of the matrix product held at a time: small enough to be reduced while still in cache."""

_COLUMNS = 16
"""The product's columns are filled up to a multiple of this: a matrix product whose width is no
multiple of the vector length takes up to a sixth longer."""

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
    kept = torch.is_grad_enabled() and (patches.requires_grad or prototypes.requires_grad)
    distance, position = _NearestPatch.apply(patches, prototypes, kept)  # type: ignore[misc]
    return NearestPatch(distance, position)


@torch.no_grad()
def nearest_patch_of_some(
    patches: Float[Tensor, "batch positions dim"],
    prototypes: Float[Tensor, "prototypes dim"],
    chosen: Int[Tensor, "batch chosen"],
) -> NearestPatch:
    """Return `nearest_patch` for the prototypes that each image names, without gradients.

    Args:
        patches: Latent patches, float32 or float64.
        prototypes: One row a prototype.
        chosen: For each image the prototypes to compare it with.

    Returns:
        Distance and position of each pair, shape (batch, chosen).
    """
    return NearestPatch(*_measure(patches, prototypes, chosen)[:2])


def _measure(
    patches: Tensor,
    prototypes: Tensor,
    chosen: Tensor | None = None,
    *,
    table: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return distance, position, and which pairs were near enough to be computed again.

    Args:
        patches: Shape (batch, positions, dim).
        prototypes: Shape (prototypes, dim).
        chosen: For each image the prototypes to compare it with; None takes all.
        table: Receives the patches in contiguous rows.
    """
    batch, positions, dim = patches.shape
    count = len(prototypes) if chosen is None else chosen.shape[1]
    patch_norms = patches.new_empty(batch, positions)
    prototype_norms = torch.linalg.vector_norm(prototypes, dim=1).square_()
    columns = -(-len(prototypes) // _COLUMNS) * _COLUMNS
    twice = prototypes.new_empty(columns, dim)
    torch.mul(prototypes, 2, out=twice[: len(prototypes)])
    twice[len(prototypes) :].zero_()
    if chosen is not None:
        columns = count
    squared = patches.new_empty(batch, count)
    position = torch.empty(squared.shape, dtype=torch.int64, device=patches.device)
    near = torch.empty(squared.shape, dtype=torch.bool, device=patches.device)
    step = min(batch, max(1, _PRODUCT_ENTRIES // max(1, columns * positions)))
    step = -(-batch // max(1, -(-batch // max(1, step))))  # chunks of one size
    buffer = patches.new_empty(step, positions, columns)
    needed = table is None and not patches.is_contiguous()
    spare = patches.new_empty(step if needed else 0, positions, dim)
    for start in range(0, batch, step):
        part = slice(start, start + step)
        own = patches[part]
        if not own.is_contiguous():
            if own.device.type == "cpu":
                # Read once in the order of memory: the copy jumps, and without this it waits for
                # each number to arrive, which takes more than twice as long.
                own.sum()
            own = (spare[: len(own)] if table is None else table[part]).copy_(own)
        # Norms without a temporary of the patches' own size.
        patch_norms[part] = torch.linalg.vector_norm(own, dim=2).square_()
        product, norms = buffer[: len(own)], prototype_norms
        if chosen is None:
            torch.mm(own.view(-1, dim), twice.T, out=product.view(-1, columns))
        else:
            torch.bmm(own, twice[chosen[part]].transpose(1, 2), out=product)
            norms = prototype_norms[chosen[part]]
        # 2 z.P - ||z||^2; taking ||P||^2 off does not change which patch is nearest.
        product -= patch_norms[part, :, None]
        greatest, where = (found[:, :count] for found in _greatest(product))
        part_squared = norms - greatest
        scale = patch_norms[part].gather(1, where) + norms
        part_near = part_squared < _CANCELLATION * scale
        squared[part], position[part], near[part] = part_squared, where, part_near
        if part_near.any():
            own_chosen = None if chosen is None else chosen[part]
            squared[part][part_near], position[part][part_near] = _refine(
                product, own, prototypes, scale, part_near, own_chosen
            )
    return squared.clamp_min_(0).sqrt_(), position, near


class _NearestPatch(torch.autograd.Function):
    """Keeps a number a pair for the backward pass, never one a pair and position."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, prototypes: Tensor, kept: bool) -> tuple[Tensor, Tensor]:
        table = None
        if kept and not patches.is_contiguous():
            table = patches.new_empty(patches.shape)
        distance, position, near = _measure(patches, prototypes, table=table)
        ctx.mark_non_differentiable(position)
        if kept:
            rows = patches if table is None else table
            ctx.save_for_backward(rows, prototypes, distance, position, near)
        return distance, position

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor, _: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        patches, prototypes, distance, position, near = ctx.saved_tensors
        batch, positions, dim = patches.shape
        rows = patches.reshape(batch * positions, dim)
        # d distance / d z = (z - P) / distance; far pairs split it into z and P parts.
        weight = torch.where(distance > 0, grad / distance, 0)
        row = position + torch.arange(batch, device=position.device)[:, None] * positions
        far_weight = weight.masked_fill(near, 0)
        grad_patches = grad_prototypes = None
        if ctx.needs_input_grad[0]:
            grad_patches = _scatter_difference(patches, prototypes, position, far_weight)
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
        return grad_patches, grad_prototypes, None


def _greatest(product: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``product.max(dim=1)``, values and indices, shape (batch, prototypes).

    Spoken as a max-pooling of channels-last maps, which runs over all prototypes of a position at
    once where ``max`` takes one number at a time.
    """
    batch, positions, prototypes = product.shape
    maps = product.view(batch, 1, positions, prototypes).permute(0, 3, 1, 2)
    value, where = torch.nn.functional.max_pool2d(maps, (1, positions), return_indices=True)
    return value.view(batch, prototypes), where.view(batch, prototypes)


def _scatter_difference(
    patches: Tensor, prototypes: Tensor, position: Tensor, weight: Tensor
) -> Tensor:
    """Return ``sum over k of weight * (patches - prototypes[k])``, added up at ``position``.

    Shape (batch * positions, dim).
    """
    batch, positions, dim = patches.shape
    prototype = _order_by_position(position, positions)
    total = torch.zeros_like(patches[:, :, 0]).scatter_add_(1, position, weight)
    counts = torch.zeros_like(total, dtype=torch.int64)
    counts = counts.scatter_add_(1, position, torch.ones_like(position)).flatten()
    pulled = torch.nn.functional.embedding_bag(
        prototype.flatten(),
        prototypes,
        counts.cumsum(0) - counts,
        per_sample_weights=weight.gather(1, prototype).neg_().flatten(),
        mode="sum",
    )
    return pulled.addcmul_(total.view(-1, 1), patches.reshape(batch * positions, dim))


def _order_by_position(position: Tensor, positions: int) -> Tensor:
    """Return ``position.argsort(dim=1, stable=True)``.

    On the CPU by NumPy, whose sort of short integers counts instead of comparing.
    """
    if position.device.type == "cpu" and positions <= np.iinfo(np.int16).max:
        return torch.from_numpy(position.numpy().astype(np.int16).argsort(axis=1, kind="stable"))
    return position.argsort(dim=1, stable=True)


def _refine(
    product: Tensor,
    patches: Tensor,
    prototypes: Tensor,
    scale: Tensor,
    near: Tensor,
    chosen: Tensor | None,
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
        if chosen is not None:
            k = chosen[b, k]
        candidate = values >= values.amax(dim=1, keepdim=True) - slack[part, None]
        pair, place = candidate.nonzero(as_tuple=True)
        exact = (patches[b[pair], place] - prototypes[k[pair]]).square().sum(1)
        table = torch.full_like(values, torch.inf)
        table[pair, place] = exact
        squared[part], position[part] = table.min(dim=1)
    return squared, position
