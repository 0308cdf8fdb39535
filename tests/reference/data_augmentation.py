"""One image's affine map, pixel by pixel, from the limits and the seven draws."""

from __future__ import annotations

import math


def reflect(position, length):
    """Fold a coordinate into [-0.5, length - 0.5] by mirroring at the edges."""
    low, high = -0.5, length - 0.5
    while position < low or position > high:
        position = 2 * low - position if position < low else 2 * high - position
    return min(max(position, 0.0), length - 1.0)


def move_by_loops(image, draws, settings):
    """Return nested lists (channels, height, width) of a moved image.

    The forward map of a point, in px from the center: mirror, scale, turn, shift. Each output pixel
    looks up where it came from.
    """
    channels, height, width = len(image), len(image[0]), len(image[0][0])
    down = settings.shift_fraction * (2 * draws[0] - 1) * height
    right = settings.shift_fraction * (2 * draws[1] - 1) * width
    angle = math.radians(settings.rotate_degrees) * (2 * draws[2] - 1)
    factor = 1 + settings.scale * (2 * draws[3] - 1)
    mirrored = settings.flip and draws[4] < 0.5
    moved = [[[0.0] * width for _ in range(height)] for _ in range(channels)]
    for row in range(height):
        for column in range(width):
            x = column - (width - 1) / 2 - right
            y = row - (height - 1) / 2 - down
            x, y = (
                (math.cos(angle) * x + math.sin(angle) * y) / factor,
                (-math.sin(angle) * x + math.cos(angle) * y) / factor,
            )
            if mirrored:
                x = -x
            source_x = reflect(x + (width - 1) / 2, width)
            source_y = reflect(y + (height - 1) / 2, height)
            left, top = min(int(source_x), width - 1), min(int(source_y), height - 1)
            far, low = min(left + 1, width - 1), min(top + 1, height - 1)
            across, along = source_x - left, source_y - top
            for channel in range(channels):
                plane = image[channel]
                moved[channel][row][column] = (
                    plane[top][left] * (1 - across) * (1 - along)
                    + plane[top][far] * across * (1 - along)
                    + plane[low][left] * (1 - across) * along
                    + plane[low][far] * across * along
                )
    return moved
