"""CIFAR-10 from its binary archive: fixed-length records, nothing to unpickle or extract."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tarfile
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from PIL import Image

from pellucid._checks import DataError, UsageError
from pellucid.data.digests import hash_file
from pellucid.data.downloads import RemoteFile, download_file, exclusive_folder
from pellucid.data.image_sets import (
    ImageSet,
    InMemoryImages,
    StreamedImages,
    count_read_threads,
    read_resized,
)
from pellucid.data.splits import Splits, hold_out

ARCHIVE_NAME = "cifar-10-binary.tar.gz"
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
DEFAULT_IMAGE_SIZE = (32, 32)
_SIDE_PX = 32
_PIXEL_BYTES = 3 * _SIDE_PX * _SIDE_PX
_RECORD_BYTES = 1 + _PIXEL_BYTES  # a label, then the red, green and blue planes
_FOLDER = "cifar-10-batches-bin"
_TRAIN_MEMBERS = tuple(f"{_FOLDER}/data_batch_{number}.bin" for number in range(1, 6))
_TEST_MEMBER = f"{_FOLDER}/test_batch.bin"
_OTHER_PLACE = "Choose another place by the environment variable PELLUCID_CACHE or by cache=."
_PYTHON_ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


@dataclass(frozen=True)
class Cifar10Archive:
    """Where an archive in CIFAR-10's binary format comes from and how large its members are.

    Attributes:
        remote: Mirrors, checksum and length.
        records_per_member: Images in each of the five training files and in the test file.
    """

    remote: RemoteFile
    records_per_member: int


# The checksum decides, so a mirror need not be trusted. The home server comes last because it has
# been throttled to about 50 kB/s.
PUBLIC_ARCHIVE = Cifar10Archive(
    remote=RemoteFile(
        urls=(
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/" + ARCHIVE_NAME,
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/"
            + ARCHIVE_NAME,
            "https://www.cs.toronto.edu/~kriz/" + ARCHIVE_NAME,
        ),
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        size_bytes=170_052_171,
    ),
    records_per_member=10_000,
)


def cache_folder(cache: Path | None = None) -> Path:
    """Return where downloads are kept: ``cache``, else $PELLUCID_CACHE, else the user's cache."""
    if cache is not None:
        return Path(cache)
    from_environment = os.environ.get("PELLUCID_CACHE")
    return Path(from_environment) if from_environment else platformdirs.user_cache_path("pellucid")


def read_cifar10(
    image_size: tuple[int, int],
    *,
    archive_path: Path | None = None,
    sha256: str | None = None,
    cache: Path | None = None,
    quiet: bool = False,
    memory_limit_bytes: int = 2**30,
) -> tuple[ImageSet, int]:
    """Load CIFAR-10 at ``image_size`` (height, width).

    Args:
        image_size: Other sizes than (32, 32) are resized bilinearly.
        archive_path: A copy of the archive; by default it is downloaded once.
        sha256: Checksum (hex) of another archive of the same format at ``archive_path``, with
            any number of images a member; it is read into memory and not cached.
        cache: Folder for the download and the array; see ``cache_folder``.
        quiet: No progress bar on stderr.
        memory_limit_bytes: Images resized to more than this in all stream.

    Returns:
        The images, training before test, and the number of training images.

    Raises:
        UsageError: ``archive_path`` does not exist.
        DataError: The archive cannot be had, is another file, or cannot be stored.
    """
    if sha256 is not None:
        records, train_count = _read_other_archive(archive_path, sha256)
    else:
        records = open_records(PUBLIC_ARCHIVE, cache_folder(cache), archive_path, quiet=quiet)
        train_count = len(_TRAIN_MEMBERS) * PUBLIC_ARCHIVE.records_per_member
    images = images_from_records(records, image_size, memory_limit_bytes=memory_limit_bytes)
    return images, train_count


def _read_other_archive(path: Path | None, sha256: str) -> tuple[NDArray[np.uint8], int]:
    """Read an archive that is not the public one, but was made like it."""
    if path is None or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(
            f"sha256 must be 64 hexadecimal digits, for the path of an archive, got {sha256!r}. "
            f"Leave it out for {ARCHIVE_NAME} itself."
        )
    if not path.is_file():
        raise UsageError(f"{path} must be an archive, but there is no such file.")
    found = hash_file(path)
    if found != sha256.lower():
        raise DataError(
            f"{path} is not the archive meant: its SHA-256 is {found}, expected {sha256.lower()}."
        )
    parts = _read_members(path, None)
    return np.concatenate(parts), sum(map(len, parts[:-1]))


def open_records(
    archive: Cifar10Archive, cache: Path, archive_path: Path | None = None, *, quiet: bool = False
) -> NDArray[np.uint8]:
    """Return an archive's records (n, 3073) as a memory-mapped uint8 array, cached in ``cache``.

    The array's file name holds its own SHA-256, which is checked on each use, so a damaged cache is
    noticed and made anew. The downloaded archive is removed once the array stands.

    Raises:
        UsageError: ``archive_path`` does not exist.
        DataError: The archive cannot be had, is another file, or cannot be stored.
    """
    folder = cache / "cifar10"
    if archive_path is not None:
        _verify_copy(archive_path, archive.remote)
    records = _open_cached(folder, archive)
    if records is None:
        try:
            with exclusive_folder(folder):
                records = _make_cached(folder, archive, archive_path, quiet=quiet)
        except OSError as error:
            raise DataError(f"{folder} cannot be used: {error.strerror}. {_OTHER_PLACE}") from error
    return records


def _make_cached(
    folder: Path, archive: Cifar10Archive, archive_path: Path | None, *, quiet: bool
) -> NDArray[np.uint8]:
    records = _open_cached(folder, archive)
    if records is not None:  # made by another process while this one waited
        return records
    for leftover in folder.glob("*.tmp"):  # of a process that was killed
        leftover.unlink()
    source = archive_path
    if source is None:
        source = folder / ARCHIVE_NAME
        # One may be left by a process that ended before reading it, and be damaged since.
        if source.exists() and hash_file(source) != archive.remote.sha256:
            source.unlink()
        if not source.exists():
            download_file(archive.remote, source, quiet=quiet)
    parts = _read_members(source, archive.records_per_member)
    _store(np.concatenate(parts), folder, archive)
    if archive_path is None:
        source.unlink()
    records = _open_cached(folder, archive)
    if records is None:
        raise DataError(f"{folder} does not keep what is written to it. {_OTHER_PLACE}")
    return records


def images_from_records(
    records: NDArray[np.uint8], image_size: tuple[int, int], *, memory_limit_bytes: int = 2**30
) -> ImageSet:
    """Make an image set of records (n, 3073)."""
    pixels = records[:, 1:].reshape(-1, 3, _SIDE_PX, _SIDE_PX)
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    names = [f"cifar10[{index}]" for index in range(len(records))]
    digest = hashlib.sha256(records.data).hexdigest()
    if image_size == (_SIDE_PX, _SIDE_PX):
        return InMemoryImages(
            torch.from_numpy(pixels),
            labels=labels,
            class_names=CLASS_NAMES,
            names=names,
            digest=digest,
        )
    pictures = RecordPictures(pixels)
    if len(records) * 3 * image_size[0] * image_size[1] > memory_limit_bytes:
        return StreamedImages(
            pictures,
            labels=labels,
            class_names=CLASS_NAMES,
            names=names,
            image_size=image_size,
            digest=digest,
        )
    with ThreadPoolExecutor(count_read_threads()) as threads:
        resized = read_resized(pictures, range(len(records)), image_size, threads)
    return InMemoryImages(
        resized,
        labels=labels,
        class_names=CLASS_NAMES,
        names=names,
        digest=digest,
        read_picture=pictures,
    )


class RecordPictures:
    """Gives record ``i`` as a 32×32 RGB picture."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels

    def __call__(self, index: int) -> Image.Image:
        """Return one picture at source resolution."""
        return Image.fromarray(np.ascontiguousarray(self._pixels[index].transpose(1, 2, 0)))


def split_cifar10(
    labels: torch.Tensor, train_count: int, *, seed: int, validation_fraction: float
) -> Splits:
    """Keep the official test images; cut validation from the training images, stratified."""
    kept, held = hold_out(labels[:train_count].numpy(), validation_fraction, seed=seed)
    return Splits(
        train=torch.from_numpy(kept),
        validation=torch.from_numpy(held),
        test=torch.arange(train_count, len(labels)),
    )


def _verify_copy(path: Path, remote: RemoteFile) -> None:
    if not path.is_file():
        raise UsageError(f"{path} must be the archive {ARCHIVE_NAME}, but there is no such file.")
    try:
        found = hash_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if found == remote.sha256:
        return
    if found == _PYTHON_ARCHIVE_SHA256:
        raise DataError(
            f"{path} is the Python version of CIFAR-10, which is pickled and not read. "
            f"Use the binary version, {ARCHIVE_NAME}."
        )
    raise DataError(
        f"{path} is not the archive {ARCHIVE_NAME}: its SHA-256 is {found} "
        f"({path.stat().st_size:,} bytes), expected {remote.sha256} ({remote.size_bytes:,} bytes). "
        "Download it again; if another archive of that format is meant, give its SHA-256 too."
    )


def _read_members(path: Path, records_per_member: int | None) -> list[NDArray[np.uint8]]:
    """Read the six binary members by name, training first; nothing is written to disk.

    Args:
        path: Of the archive.
        records_per_member: Records that each must hold; None takes any number but 0.
    """
    parts: list[NDArray[np.uint8]] = []
    try:
        with tarfile.open(path, "r:gz") as tar:
            for name in (*_TRAIN_MEMBERS, _TEST_MEMBER):
                member = tar.getmember(name)
                file = tar.extractfile(member) if member.isreg() else None
                count = records_per_member or max(1, round(member.size / _RECORD_BYTES))
                if file is None or member.size != count * _RECORD_BYTES:
                    whole = f"{count * _RECORD_BYTES:,} bytes"
                    raise DataError(
                        f"{path}: {name} must be a file of {whole}, got {member.size:,}."
                    )
                part = np.frombuffer(file.read(), np.uint8).reshape(-1, _RECORD_BYTES)
                if part[:, 0].max() >= len(CLASS_NAMES):
                    raise DataError(f"{path}: labels must be in [0, 9], got {part[:, 0].max()}.")
                parts.append(part)
    except KeyError as error:
        raise DataError(f"{path} has no member {error.args[0]!r}.") from error
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as a tar.gz archive: {error}.") from error
    return parts


def _store(records: NDArray[np.uint8], folder: Path, archive: Cifar10Archive) -> None:
    """Write the array under its final name in one step."""
    name = f"{archive.remote.sha256[:16]}-{hashlib.sha256(records.data).hexdigest()}.npy"
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            np.save(file, records, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
        temporary = None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise DataError(
            f"{folder} cannot hold CIFAR-10 ({records.nbytes / 2**20:.0f} MiB): {reason}. "
            f"{_OTHER_PLACE}"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _open_cached(folder: Path, archive: Cifar10Archive) -> NDArray[np.uint8] | None:
    shape = ((len(_TRAIN_MEMBERS) + 1) * archive.records_per_member, _RECORD_BYTES)
    for path in sorted(folder.glob(f"{archive.remote.sha256[:16]}-*.npy")):
        try:
            # Copy-on-write: torch takes the array without a copy, and the file never changes.
            records = np.load(path, mmap_mode="c", allow_pickle=False)
            digest = hashlib.sha256(records.data).hexdigest()
        except (OSError, ValueError, EOFError):
            records, digest = np.empty(0, np.uint8), ""
        sound = records.shape == shape and records.dtype == np.uint8
        if sound and path.stem.endswith(f"-{digest}"):
            return records
        path.unlink(missing_ok=True)
    return None
