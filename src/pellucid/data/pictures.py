"""One picture file: judged by its header, decoded, turned upright, made RGB, resized.

Pillow's global settings stay as they are: nothing here changes ``Image.MAX_IMAGE_PIXELS`` or
``ImageFile.LOAD_TRUNCATED_IMAGES``.
"""

from __future__ import annotations

import contextlib
import stat
import warnings
from collections.abc import Iterator
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
_LARGEST_16_BIT = 65535
_TRUNCATED = "the file ends before the picture does"


class PictureError(DataError):
    """A file cannot be used as a picture.

    Attributes:
        kind: ``unreadable``, ``truncated``, ``too_large``, ``empty_file`` or ``not_an_image``.
        detail: What is wrong, as one phrase without the path.
    """

    def __init__(self, path: Path, kind: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
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
    with _opened(path) as image:
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
    with _opened(path) as image:
        try:
            image.load()
            return _to_rgb(_upright(image))
        except PictureError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise PictureError(path, "too_large", _too_large_detail()) from error
        except (_UnsupportedPixelsError, MemoryError) as error:
            raise PictureError(path, "unreadable", str(error) or "not enough memory") from error
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            raise _damaged(path, error) from error


def resize_picture(picture: Image.Image, image_size: tuple[int, int]) -> Image.Image:
    """Resize a whole picture to ``image_size`` (height, width), bilinear with antialiasing.

    Nothing is cropped and the aspect ratio is not kept, so a box in the resized image maps to the
    original by one factor per axis.
    """
    height, width = image_size
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.BILINEAR)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        status = path.stat()
    except OSError as error:
        raise PictureError(path, "unreadable", _system_reason(error)) from error
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
        raise PictureError(path, "unreadable", "not a regular file")
    size_bytes = status.st_size
    if size_bytes == 0:
        raise PictureError(path, "empty_file", "the file is empty")
    if size_bytes > MAX_FILE_BYTES:
        detail = f"{size_bytes / 2**20:,.0f} MiB; at most {MAX_FILE_BYTES / 2**20:.0f} are read"
        raise PictureError(path, "too_large", detail)
    try:
        image = Image.open(path)
    except UnidentifiedImageError as error:
        raise _unidentified(path, size_bytes) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(path, "too_large", _too_large_detail()) from error
    except Exception as error:
        raise _damaged(path, error) from error
    with image:
        width, height = image.size
        if width * height > MAX_PICTURE_PIXELS:
            detail = f"{height}×{width} px; {_too_large_detail()}"
            raise PictureError(path, "too_large", detail)
        yield image


def _too_large_detail() -> str:
    return f"pictures of more than {MAX_PICTURE_PIXELS // 10**6} megapixels are refused"


def _system_reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()


def _unidentified(path: Path, size_bytes: int) -> PictureError:
    try:
        first = _first_bytes(path)
    except OSError as error:
        return PictureError(path, "unreadable", _system_reason(error))
    name = next((name for start, name in _SIGNATURES.items() if first.startswith(start)), None)
    if name is None or (name == "WebP" and first[8:12] != b"WEBP"):
        return PictureError(path, "not_an_image", "the content is not a picture of a known format")
    if _is_cut_webp(first, size_bytes):
        return PictureError(path, "truncated", _TRUNCATED)
    return PictureError(path, "unreadable", f"starts like a {name} file but its header is damaged")


def _damaged(path: Path, error: Exception) -> PictureError:
    if isinstance(error, OSError) and error.errno is not None:
        return PictureError(path, "unreadable", _system_reason(error))
    reason = str(error) or type(error).__name__
    with contextlib.suppress(OSError):
        if _is_cut_webp(_first_bytes(path), path.stat().st_size):
            return PictureError(path, "truncated", _TRUNCATED)
    if isinstance(error, EOFError) or "truncated" in reason.lower():
        return PictureError(path, "truncated", _TRUNCATED)
    return PictureError(path, "unreadable", f"cannot be decoded ({reason})")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


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
        layers = image.convert("RGBA")
        white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layers).convert("RGB")
    # A copy even when nothing changes: the caller keeps it after the file is closed.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()
