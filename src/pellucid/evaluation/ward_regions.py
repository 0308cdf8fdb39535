"""Images divided into connected regions of a like color, by Ward's hierarchical clustering."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

_LONGER_SIDE_PX = 64
"""Regions of larger images are found in an image made smaller: the time grows with the pixels."""

_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
"""Linear sRGB to CIE XYZ."""


def find_regions(
    images: UInt8[Tensor, "batch 3 height width"], counts: Sequence[int]
) -> Int[Tensor, "batch counts height width"]:
    """Return the number, from 0, of the region that each pixel belongs to.

    Neighboring pixels or regions are joined again and again, always the two whose union adds least
    to the squared differences of CIE L*a*b* colors from their region's mean. Each of ``counts`` is
    one moment of that: a region at a lesser count is made of whole regions at a greater one.

    Source: Ward 1963, with scikit-learn's constraint of connectivity. Deviation: images of more
    than 64 px a side are made smaller first, and their regions have coarser edges.

    Args:
        images: Pixels; on any device, and the answer is there too.
        counts: How many regions, each >= 1; at most as many as (shrunk) pixels are found.
    """
    height, width = images.shape[2:]
    shrink = min(1, _LONGER_SIDE_PX / max(height, width))
    rows, columns = max(1, round(shrink * height)), max(1, round(shrink * width))
    small = adaptive_avg_pool2d(_to_lab(images.cpu()), (rows, columns))
    labels = np.zeros((len(images), len(counts), rows * columns))
    if rows * columns > 1:
        for image, colors in enumerate(small.permute(0, 2, 3, 1).numpy()):
            joined = _join(colors.tobytes(), rows, columns)
            labels[image] = [_number(joined, min(count, rows * columns)) for count in counts]
    grids = torch.from_numpy(labels).view(len(images), len(counts), rows, columns)
    return interpolate(grids, size=(height, width)).long().to(images.device)


@lru_cache(maxsize=256)
def _join(colors: bytes, rows: int, columns: int) -> NDArray[np.integer]:
    """Return which two nodes are joined, step by step, (pixels - 1, 2); pixels come first.

    Kept for some images: the same ones are explained for several classes, and joining takes as long
    as all else does.

    Args:
        colors: float32 (rows, columns, 3).
        rows: At least one.
        columns: At least one.
    """
    values = np.frombuffer(colors, np.float32).reshape(-1, 3).astype(np.float64)
    return ward_tree(values, connectivity=grid_to_graph(rows, columns))[0]


def _number(joined: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """Return each pixel's region when ``count`` are left; row n of ``joined`` made node p + n."""
    pixels = len(joined) + 1
    above = np.arange(2 * pixels - 1)
    above[joined[: pixels - count]] = np.arange(pixels, 2 * pixels - count)[:, None]
    while (above != above[above]).any():
        above = above[above]
    return np.unique(above[:pixels], return_inverse=True)[1]


def _to_lab(images: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Return CIE L*a*b* of sRGB: a distance of 1 is about what an eye just notices."""
    values = images.float() / 255
    linear = torch.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    matrix = torch.tensor(_XYZ)
    # Divided by the sum of its row: white is 1, 1, 1.
    xyz = torch.einsum("ij,bjhw->bihw", matrix / matrix.sum(1, keepdim=True), linear)
    x, y, z = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)
