"""Uploads that a stranger or a broken program might send to ``pellucid serve``, drawn by seed.

Each says which statuses are right for it. 500 never is.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

ANY = frozenset({200, 400, 413, 415, 422})
"""What a damaged picture or body may be answered with: damage can hit what does not matter."""

NAMES = (
    "../../../../etc/passwd",
    "..\\..\\windows\\system32\\config\\sam",
    "C:\\Users\\me\\photo.png",
    "/dev/stdin",
    "file:///etc/passwd",
    "photo.png\x00.html",
    "<img src=x onerror=alert(1)>.png",
    "';drop table images;--.png",
    "%2e%2e%2f%2e%2e%2fsecret",
    "con.png",
    "a" * 4000 + ".png",
    "‮gnp.exe",
    "ünï 码.png",
    ".",
    "",
)


@dataclass(frozen=True)
class HostileUpload:
    """A request to ``/explain`` and the statuses that are right for it."""

    kind: str
    content_type: str
    body: bytes
    expected: frozenset[int]


def draw_uploads(seed: int, count: int) -> Iterator[HostileUpload]:
    """Yield uploads: the kinds in turn, each with its own random damage."""
    source = random.Random(seed)
    pictures = sound_pictures()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        ending = source.choice(sorted(pictures))
        yield kind(source, pictures[ending], ending)


def sound_pictures() -> dict[str, bytes]:
    """Return a small picture in each format."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    found = {}
    for ending, kind, options in (
        ("png", "PNG", {}),
        ("jpg", "JPEG", {"progressive": True}),
        ("gif", "GIF", {}),
        ("webp", "WEBP", {}),
        ("bmp", "BMP", {}),
        ("tif", "TIFF", {"compression": "tiff_lzw"}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, kind, **options)
        found[ending] = buffer.getvalue()
    return found


def make_bomb(side_px: int = 20_000) -> bytes:
    """Return a PNG of a few hundred bytes that says it has ``side_px``² pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )


def make_body(
    content: bytes,
    *,
    name: str = "photo.png",
    field: str = "image",
    boundary: str = "pellucidboundary",
    kind: str = "image/png",
) -> tuple[str, bytes]:
    """Return the content type and the body of a multipart request with one file."""
    escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{field}"; filename="{escaped}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    ).encode()
    return (
        f"multipart/form-data; boundary={boundary}",
        head + content + f"\r\n--{boundary}--\r\n".encode(),
    )


def _upload(kind: str, content: bytes, expected: frozenset[int] | set[int], **options: str):
    return HostileUpload(kind, *make_body(content, **options), frozenset(expected))


def _flip(source: random.Random, content: bytes, count: int, first: int, last: int) -> bytes:
    changed = bytearray(content)
    for _ in range(count):
        changed[source.randrange(first, min(last, len(changed)))] = source.randrange(256)
    return bytes(changed)


def _header_damaged(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    damaged = _flip(source, content, source.randint(1, 8), 0, 64)
    return _upload(f"header of {ending} damaged", damaged, ANY)


def _pixels_damaged(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    damaged = _flip(source, content, source.randint(1, 40), 32, len(content))
    return _upload(f"pixels of {ending} damaged", damaged, ANY)


def _cut_short(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    return _upload(f"{ending} cut short", content[: source.randrange(len(content))], ANY)


def _numbers_enlarged(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    changed = bytearray(content)
    for _ in range(source.randint(1, 3)):
        place = source.randrange(0, min(80, len(changed) - 4))
        changed[place : place + 4] = source.choice(
            (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0")
        )
    return _upload(f"numbers in {ending} enlarged", bytes(changed), ANY)


def _bytes_moved(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    cut, end = sorted(source.sample(range(len(content)), 2))
    return _upload(
        f"parts of {ending} doubled or lost",
        content[:end] + content[cut:] if source.random() < 0.5 else content[:cut] + content[end:],
        ANY,
    )


def _noise(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    noise = b"\0" + source.randbytes(source.randint(1, 3000))
    return _upload("random bytes", noise, {415})


def _other_kind(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    other = source.choice(
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file",
            b"<!DOCTYPE html><script>alert(1)</script>",
            b"%PDF-1.7\n",
            b"\x7fELF\x02\x01\x01",
            b"PK\x03\x04",
            b"P6\n8 8\n255\n" + bytes(192),
        )
    )
    return _upload("another kind of file", other, {415})


def _bomb(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    return _upload("decompression bomb", make_bomb(source.randint(7_100, 60_000)), {413})


def _empty(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    return _upload("empty file", b"", {400})


def _strange_name(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    return _upload("strange name", content, {200}, name=source.choice(NAMES))


def _strange_field(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    return _upload("another field", content, {400}, field=source.choice(("file", "", "image[]")))


def _frame_damaged(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    kind, body = make_body(content)
    head = body.index(b"\r\n\r\n") + 4
    return HostileUpload("frame damaged", kind, _flip(source, body, 3, 0, head), ANY)


def _frame_cut(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    kind, body = make_body(content)
    return HostileUpload(
        "body cut", kind, body[: source.randrange(len(body) - 4)], frozenset({400})
    )


def _frame_repeated(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    kind, body = make_body(content)
    end = body.rindex(b"--pellucidboundary--")
    return HostileUpload("many parts", kind, body[:end] * 2 + body[end:], frozenset({400}))


def _head_too_long(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    kind, body = make_body(content)
    line = b"X-Long: " + b"x" * source.choice((2_000, 20_000)) + b"\r\n"
    first = body.index(b"\r\n") + 2
    return HostileUpload(
        "head too long", kind, body[:first] + line * 8 + body[first:], frozenset({400})
    )


def _wrong_type(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    kind = source.choice(
        ("application/json", "image/png", "", "multipart/mixed; boundary=x", "text/plain; a=b;;;")
    )
    return HostileUpload("another content type", kind, content, frozenset({415}))


def _bad_boundary(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    boundary = source.choice(("", "x" * 71, "other", '"'))
    _, body = make_body(content)
    kind = f"multipart/form-data; boundary={boundary}"
    return HostileUpload("boundary that is not there", kind, body, frozenset({400}))


def _sound(source: random.Random, content: bytes, ending: str) -> HostileUpload:
    return _upload(f"sound {ending}", content, {200})


KINDS = (
    _header_damaged,
    _pixels_damaged,
    _cut_short,
    _numbers_enlarged,
    _bytes_moved,
    _noise,
    _other_kind,
    _bomb,
    _empty,
    _strange_name,
    _strange_field,
    _frame_damaged,
    _frame_cut,
    _frame_repeated,
    _head_too_long,
    _wrong_type,
    _bad_boundary,
    _sound,
)
