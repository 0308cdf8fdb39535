"""Small trees whose latent maps a test can set entry by entry."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.prototree import ProtoTree, Topology


class PassThrough(nn.Module):
    """A backbone that gives its input back, so that images of ``channels`` channels are latents."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        return images


def make_tree(
    topology: Topology,
    *,
    classes: int = 3,
    dim: int = 4,
    prototype_size: tuple[int, int] = (1, 1),
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> ProtoTree:
    """Return a tree on `PassThrough` whose latent map is exactly ``sigmoid(images)``."""
    generator = torch.Generator().manual_seed(seed)
    tree = ProtoTree(
        PassThrough(dim),
        classes,
        topology=topology,
        latent_channels=dim,
        prototype_size=prototype_size,
    ).to(dtype)
    with torch.no_grad():
        tree.add_on.weight.copy_(torch.eye(dim)[:, :, None, None])
        tree.prototypes.copy_(torch.rand(tree.prototypes.shape, generator=generator))
        tree.leaf_counts.copy_(3 * torch.rand(tree.leaf_counts.shape, generator=generator))
    return tree.eval()


def random_images(
    count: int, *, dim: int = 4, size: tuple[int, int] = (3, 5), seed: int = 1
) -> Tensor:
    """Return images (count, dim, height, width) in float64 for trees of `make_tree`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, *size, generator=generator, dtype=torch.float64)


def batched(images: Tensor, labels: Tensor, size: int, order: Tensor | None = None):
    """Return batches of (images, labels, indices), in ``order`` of the images."""
    order = torch.arange(len(images)) if order is None else order
    return [(images[part], labels[part], part) for part in order.split(size)]
