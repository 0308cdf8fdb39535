"""Eggs the plain way: each point is inside or outside, many points a pixel, the edge by distance.

No tiles, no batches, no gradient: one image, every egg over the whole of it, ``TIMES`` × ``TIMES``
points in each pixel, outlines by the exact Euclidean distance transform, then averages.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

TIMES = 8


def is_inside(column, row, egg) -> np.ndarray:
    """Return whether points (column, row) lie in one egg, given by a dictionary of its numbers."""
    dx, dy = column - egg["x"], row - egg["y"]
    u = (dx * egg["cosine"] + dy * egg["sine"]) / egg["along"]
    v = dy * egg["cosine"] - dx * egg["sine"]
    in_reach = np.abs(u) <= 1
    width = egg["across"] * (1 - egg["taper"] * np.where(in_reach, u, 0))
    width = np.maximum(width, 0.05 * egg["across"])
    v = (v - egg["bend"] * np.where(in_reach, u, 0) ** 2) / width
    boxed = np.sqrt(u**4 + v**4)
    return in_reach & ((1 - egg["square"]) * (u**2 + v**2) + egg["square"] * boxed <= 1)


def points(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row of every point, (TIMES · height, TIMES · width)."""
    row = (np.arange(TIMES * height) + 0.5) / TIMES
    column = (np.arange(TIMES * width) + 0.5) / TIMES
    return np.broadcast_arrays(column, row[:, None])


def average(values: np.ndarray) -> np.ndarray:
    """Return the mean of each pixel's points."""
    height, width = values.shape[0] // TIMES, values.shape[1] // TIMES
    blocks = values.reshape(height, TIMES, width, TIMES, *values.shape[2:])
    return blocks.mean(axis=(1, 3))


def coverage(height: int, width: int, egg) -> np.ndarray:
    """Return the share of each pixel that one egg covers."""
    return average(is_inside(*points(height, width), egg).astype(float))


def paint(background: np.ndarray, eggs: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Paint eggs, back to front, on (3, height, width).

    Returns:
        The picture (3, height, width), and the code of the topmost egg at each point, 0 for none.
    """
    _, height, width = background.shape
    column, row = points(height, width)
    picture = background.transpose(1, 2, 0).repeat(TIMES, axis=0).repeat(TIMES, axis=1)
    codes = np.zeros((TIMES * height, TIMES * width), int)
    for egg in eggs:
        inside = is_inside(column, row, egg)
        if not inside.any():
            continue
        depth_px = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] / TIMES
        dx, dy = column - egg["x"], row - egg["y"]
        u = (dx * egg["cosine"] + dy * egg["sine"]) / egg["along"]
        v = dy * egg["cosine"] - dx * egg["sine"] - egg["bend"] * np.minimum(u**2, 1)
        v = v / np.maximum(egg["across"] * (1 - egg["taper"] * u), 0.05 * egg["across"])
        squared = (1 - egg["square"]) * (u**2 + v**2) + egg["square"] * np.sqrt(u**4 + v**4)
        fall = np.clip(dy / max(egg["along"], egg["across"]), -1, 1)
        light = 1.07 - 0.15 * np.minimum(squared, 1) - 0.11 * fall
        is_line = inside & (depth_px <= egg["outline_px"])
        picture[inside] = (light[..., None] * egg["color"])[inside]
        picture[is_line] = egg["outline_color"]
        codes[inside] = egg["code"]
    return average(picture).transpose(2, 0, 1), codes
