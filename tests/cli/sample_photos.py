"""Small folders of pictures, good and bad, for the command line's tests."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

QUICK = ("--epochs", "2", "--depth", "2", "--threads", "1", "--device", "cpu", "--batch-size", "8")
"""Options that make a fit take about a second."""

CLASSES = ("cat", "dog", "owl")


def make_photos(
    root: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    count: int = 10,
    size: tuple[int, int] = (40, 48),
    seed: int = 0,
) -> Path:
    """Write DIR/class/NN.png: noise with a bright square whose place tells the class."""
    generator = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture = generator.integers(0, 128, (*size, 3), dtype=np.uint8)
            corner = 4 + 9 * number
            picture[corner : corner + 9, corner : corner + 9, number % 3] = 255
            Image.fromarray(picture).save(root / name / f"{index:02d}.png")
    return root


def write_bomb(path: Path, side_px: int = 20_000) -> None:
    """Write a PNG of a few bytes whose header states an enormous picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def write_truncated_jpeg(path: Path) -> None:
    """Write the first half of a JPEG file."""
    whole = path.with_suffix(".whole.jpg")
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(picture).save(whole)
    content = whole.read_bytes()
    whole.unlink()
    path.write_bytes(content[: len(content) // 2])
