"""What every head in ``head.py`` works on: features, prototypes, leaves, and the bare matmul.

Imports torch alone, because it is used in the peer's environment too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BATCH, DIM, HEIGHT, WIDTH, CLASSES = 64, 256, 7, 7, 200
PROJECTION_BATCHES = 8


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_features(seed: int = 0) -> Tensor:
    """Return a batch of latent maps, uniform in [0, 1]: shape (64, 256, 7, 7)."""
    return torch.rand(BATCH, DIM, HEIGHT, WIDTH, generator=_generator(seed))


def draw_labels(seed: int = 0) -> Tensor:
    """Return the labels of a batch of latent maps."""
    return torch.randint(CLASSES, (BATCH,), generator=_generator(1000 + seed))


def draw_prototypes(depth: int) -> Tensor:
    """Return prototypes as training starts with them, N(.5, .1): shape (2**depth - 1, 256)."""
    return 0.5 + 0.1 * torch.randn(2**depth - 1, DIM, generator=_generator(depth))


def draw_leaf_counts(depth: int) -> Tensor:
    """Return leaf counts, uniform in [0, 5]: shape (2**depth, 200)."""
    return 5 * torch.rand(2**depth, CLASSES, generator=_generator(100 + depth))


def projection_batches() -> list[tuple[Tensor, Tensor]]:
    """Return 512 latent maps and their labels in batches of 64."""
    return [(draw_features(seed), draw_labels(seed)) for seed in range(PROJECTION_BATCHES)]


def bare_matmuls(
    features: Tensor, prototypes: Tensor
) -> tuple[dict[str, Callable[[], None]], dict[str, Callable[[], None]]]:
    """Return the matrix product inside every distance, ``sum_d P[k, d] z[b, d, p]``, two ways.

    First without gradients, then with those for features and prototypes. The gradient that flows
    back is a fixed dense one, as the sum over all positions would give it.
    """
    trained_features = features.clone().requires_grad_()
    trained_prototypes = prototypes.clone().requires_grad_()
    ones = torch.ones(BATCH, len(prototypes), HEIGHT * WIDTH)

    def einsum(latent: Tensor, rows: Tensor) -> Tensor:
        return torch.einsum("kd,bdp->bkp", rows, latent.flatten(2))

    def conv2d(latent: Tensor, rows: Tensor) -> Tensor:
        return torch.conv2d(latent, rows[:, :, None, None])

    def inference(product: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def call() -> None:
            with torch.no_grad():
                product(features, prototypes)

        return call

    def training(product: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def call() -> None:
            trained_features.grad = trained_prototypes.grad = None
            result = product(trained_features, trained_prototypes)
            result.backward(ones.view(result.shape))

        return call

    products = {"bare einsum": einsum, "bare conv2d": conv2d}
    return (
        {name: inference(product) for name, product in products.items()},
        {name: training(product) for name, product in products.items()},
    )
