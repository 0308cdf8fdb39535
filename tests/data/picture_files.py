"""Picture files, sound and broken, for the tests of folders."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def draw_picture(number: int, size: tuple[int, int] = (40, 50)) -> Image.Image:
    """Return an RGB picture of (height, width) that differs for each number."""
    noise = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def save_picture(path: Path, number: int = 0, size: tuple[int, int] = (40, 50), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_picture(number, size).save(path, **options)
    return path


def fill_classes(root: Path, counts: dict[str, int], *, start: int = 0, ending: str = "png") -> int:
    """Write numbered pictures, each different, for each class; return the next free number."""
    for name, count in counts.items():
        for index in range(count):
            save_picture(root / name / f"{index:03}.{ending}", start)
            start += 1
    return start


def save_truncated(path: Path, share: float = 0.5, number: int = 0) -> Path:
    save_picture(path, number)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def save_bomb(path: Path, side: int = 20_000) -> Path:
    """Write a valid black grey PNG of side² px; small because it compresses well."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    rows = b"".join(packer.compress(row) for _ in range(min(side, 64))) + packer.flush()
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path
