"""One picture, a file or its bytes: judged by its header, decoded, turned upright, RGB, resized.

Pillow's global settings stay as they are: nothing here changes ``Image.MAX_IMAGE_PIXELS`` or
``ImageFile.LOAD_TRUNCATED_IMAGES``.
"""

from __future__ import annotations

import contextlib
import io
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pellucid._checks import DataError

# Above this a picture is refused from its header, undecoded. 50 megapixels are 150 MB as RGB: more
# than any camera in common use, and far below where Pillow itself warns (89) or refuses (179).
MAX_PICTURE_PIXELS = 50_000_000
# What 50 megapixels take at the most wasteful (16-bit RGBA, uncompressed), and some more.
MAX_FILE_BYTES = 512 * 2**20

PICTURE_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})

# First bytes by which a damaged picture is told from a file that never was one.
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}
# The only decoders that are ever asked; Pillow has dozens, and some start other programs.
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
_LARGEST_16_BIT = 65535
_BAND_PIXELS = 2**20
_TRUNCATED = "the file ends before the picture does"


class PictureError(DataError):
    """A file cannot be used as a picture.

    Attributes:
        kind: ``unreadable``, ``truncated``, ``too_large``, ``empty_file`` or ``not_an_image``.
        detail: What is wrong, as one phrase without the path.
    """

    def __init__(self, name: Path | str, kind: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.kind = kind
        self.detail = detail


@contextlib.contextmanager
def pillow_warnings_settled() -> Iterator[None]:
    """Make Pillow behave the same whatever the process does with warnings.

    Oddities that Pillow reads past (a damaged EXIF entry) stay quiet, and its bomb warning is an
    error. Python's warning filters belong to the process: enter this once around a whole pass, in
    the thread that starts it, never in each worker thread.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_header(path: Path) -> tuple[int, int]:
    """Return the (height, width) in px that a file's header states; upright, nothing is decoded.

    Raises:
        PictureError: The file is empty, too large, unreadable or not a picture.
    """
    with _opened(_File(path)) as image:
        width, height = image.size
        # Pillow decodes a PNG to look for an EXIF entry behind its pixels; a header must not.
        has_exif = image.format != "PNG" or "exif" in image.info
        turned = has_exif and _orientation(image) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def read_picture(path: Path) -> Image.Image:
    """Return a file's first frame as an upright RGB picture; transparent parts become white.

    Raises:
        PictureError: As ``read_header``, or the pixels are cut short or damaged.
    """
    return _decode(_File(path))


def decode_picture(content: bytes, *, name: str = "picture") -> Image.Image:
    """Return what `read_picture` would of a file with this content; nothing touches the disk.

    Args:
        content: All bytes of a picture file.
        name: What to call it in an error; never used as a path.

    Raises:
        PictureError: As ``read_picture``.
    """
    return _decode(_Bytes(name, content))


def convert_picture(image: Image.Image, *, name: str = "picture") -> Image.Image:
    """Return a Pillow image as an upright RGB picture; transparent parts become white.

    Raises:
        PictureError: It is too large, or its pixels cannot be read.
    """
    return _convert(image, _Bytes(name, b""))


def _decode(source: _File | _Bytes) -> Image.Image:
    with _opened(source) as image:
        return _convert(image, source)


def _convert(image: Image.Image, source: _File | _Bytes) -> Image.Image:
    _check_pixels(image, source)
    try:
        image.load()
        return _to_rgb(_upright(image))
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(source.name, "too_large", _too_large_detail()) from error
    except (_UnsupportedPixelsError, MemoryError) as error:
        raise PictureError(source.name, "unreadable", str(error) or "not enough memory") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise _damaged(source, error) from error


def resize_picture(picture: Image.Image, image_size: tuple[int, int]) -> Image.Image:
    """Resize a whole picture to ``image_size`` (height, width), bilinear with antialiasing.

    Nothing is cropped and the aspect ratio is not kept, so a box in the resized image maps to the
    original by one factor per axis.
    """
    height, width = image_size
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class _File:
    """A picture on the disk."""

    name: Path

    def measure_bytes(self) -> int:
        try:
            status = self.name.stat()
        except OSError as error:
            raise PictureError(self.name, "unreadable", _system_reason(error)) from error
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise PictureError(self.name, "unreadable", "not a regular file")
        return status.st_size

    def open(self) -> Image.Image:
        return Image.open(self.name, formats=_FORMATS)

    def first_bytes(self) -> bytes:
        with self.name.open("rb") as file:
            return file.read(12)


@dataclass(frozen=True)
class _Bytes:
    """A picture in memory."""

    name: str
    content: bytes

    def measure_bytes(self) -> int:
        return len(self.content)

    def open(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content), formats=_FORMATS)

    def first_bytes(self) -> bytes:
        return self.content[:12]


@contextlib.contextmanager
def _opened(source: _File | _Bytes) -> Iterator[Image.Image]:
    size_bytes = source.measure_bytes()
    if size_bytes == 0:
        raise PictureError(source.name, "empty_file", "the file is empty")
    if size_bytes > MAX_FILE_BYTES:
        detail = f"{size_bytes / 2**20:,.0f} MiB; at most {MAX_FILE_BYTES / 2**20:.0f} are read"
        raise PictureError(source.name, "too_large", detail)
    try:
        image = source.open()
    except UnidentifiedImageError as error:
        raise _unidentified(source, size_bytes) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(source.name, "too_large", _too_large_detail()) from error
    except Exception as error:
        raise _damaged(source, error) from error
    with image:
        _check_pixels(image, source)
        yield image


def _check_pixels(image: Image.Image, source: _File | _Bytes) -> None:
    width, height = image.size
    if width * height > MAX_PICTURE_PIXELS:
        detail = f"{height}×{width} px; {_too_large_detail()}"
        raise PictureError(source.name, "too_large", detail)


def _too_large_detail() -> str:
    return f"pictures of more than {MAX_PICTURE_PIXELS // 10**6} megapixels are refused"


def _system_reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()


def _unidentified(source: _File | _Bytes, size_bytes: int) -> PictureError:
    try:
        first = source.first_bytes()
    except OSError as error:
        return PictureError(source.name, "unreadable", _system_reason(error))
    known = next((known for start, known in _SIGNATURES.items() if first.startswith(start)), None)
    if known is None or (known == "WebP" and first[8:12] != b"WEBP"):
        detail = "the content is not a picture of a known format"
        return PictureError(source.name, "not_an_image", detail)
    if _is_cut_webp(first, size_bytes):
        return PictureError(source.name, "truncated", _TRUNCATED)
    detail = f"starts like a {known} file but its header is damaged"
    return PictureError(source.name, "unreadable", detail)


def _damaged(source: _File | _Bytes, error: Exception) -> PictureError:
    if isinstance(error, OSError) and error.errno is not None:
        return PictureError(source.name, "unreadable", _system_reason(error))
    reason = str(error) or type(error).__name__
    with contextlib.suppress(OSError):
        if _is_cut_webp(source.first_bytes(), source.measure_bytes()):
            return PictureError(source.name, "truncated", _TRUNCATED)
    if isinstance(error, EOFError) or "truncated" in reason.lower():
        return PictureError(source.name, "truncated", _TRUNCATED)
    return PictureError(source.name, "unreadable", f"cannot be decoded ({reason})")


def _is_cut_webp(first: bytes, size_bytes: int) -> bool:
    # libwebp does not tell a file that ends too early from other damage; RIFF states its length.
    is_webp = first.startswith(b"RIFF") and first[8:12] == b"WEBP"
    return is_webp and int.from_bytes(first[4:8], "little") + 8 > size_bytes


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # a damaged EXIF entry does not make the pixels unusable
        return 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


class _UnsupportedPixelsError(Exception):
    """The pixel values have no agreed meaning as brightness."""


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > _LARGEST_16_BIT:
            raise _UnsupportedPixelsError(
                "grey values outside 0..65535 have no agreed range; save as 8 or 16 bits"
            )
        grey = np.rint(values * (255 / _LARGEST_16_BIT)).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "F":
        raise _UnsupportedPixelsError(
            "floating-point pixels have no agreed range; save as 8 or 16 bits"
        )
    if image.has_transparency_data:
        return _on_white(image)
    # A copy even when nothing changes: the caller keeps it after the file is closed.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _on_white(image: Image.Image) -> Image.Image:
    """Return a picture with transparent parts in front of white, made band by band.

    At once it would take the memory of the picture five times.
    """
    width, height = image.size
    shown = Image.new("RGB", image.size)
    rows = max(1, _BAND_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height))).convert("RGBA")
        white = Image.new("RGBA", band.size, (255, 255, 255, 255))
        shown.paste(Image.alpha_composite(white, band).convert("RGB"), (0, top))
    return shown
