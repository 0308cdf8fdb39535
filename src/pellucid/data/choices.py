"""Which data there is by name, and how large its images may be asked for."""

from __future__ import annotations

from pathlib import Path

from pellucid._checks import UsageError, check_integer, did_you_mean

BUILT_IN_NAMES = ("digits", "cifar10", "creatures", "creatures-hard", "creatures-shortcut")
SMALLEST_IMAGE_PX = 4
LARGEST_IMAGE_PX = 1024


_ALLOWED = (
    f"{', '.join(map(repr, BUILT_IN_NAMES))}, the path of cifar-10-binary.tar.gz or a folder of "
    "images"
)


def existing_path(data: object) -> Path:
    """Return the path of a folder or archive.

    Raises:
        UsageError: there is none, or it is a file of another kind.
    """
    if not isinstance(data, str | Path) or not str(data):
        raise UsageError(f"data must be {_ALLOWED}, got {data!r}.")
    path = Path(data).expanduser()
    if path.is_file() and not path.name.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"data must be {_ALLOWED}, but {path} is a single file of another kind.")
    if path.exists():
        return path
    guess = did_you_mean(data, BUILT_IN_NAMES)
    # A bare word is more likely a name than a path.
    if isinstance(data, str) and path.name == data and guess:
        raise UsageError(f"data must be {_ALLOWED}, got {data!r}. {guess}")
    raise UsageError(
        f"data must be {_ALLOWED}, got {str(data)!r}: there is no such file or folder"
        f" (looked in {path.absolute().parent})."
    )


def check_image_size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return (height, width) from one side, two sides, or None for the data's default."""
    if image_size is None:
        return None
    sides = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(sides) != 2:
        raise UsageError(
            f"image_size must be one integer or (height, width), got {image_size!r}. "
            "Use image_size=64 or image_size=(64, 96)."
        )
    height, width = (
        check_integer(
            "image_size",
            side,
            low=SMALLEST_IMAGE_PX,
            high=LARGEST_IMAGE_PX,
            remedy="Use image_size=64 or image_size=(64, 96).",
        )
        for side in sides
    )
    return height, width
