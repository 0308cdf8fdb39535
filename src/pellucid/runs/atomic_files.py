"""Files that hold either all of the new content or all of the old, whatever happens."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pellucid._checks import DataError
from pellucid._locks import lock_file

_IS_WINDOWS = os.name == "nt"
_TEMPORARY_SUFFIX = ".partial"


def write_atomically(path: Path, payload: bytes) -> None:
    """Write ``payload`` so that ``path`` holds either all of it or what it held before.

    Raises:
        DataError: It cannot be written; says how much space it needs and how much there is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_file(path) as (temporary, file):
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
            if _IS_WINDOWS:
                file.close()  # Windows renames no open file
            temporary.replace(path)  # elsewhere while still locked, so that nobody sweeps it
        _sync_folder(path.parent)
    except OSError as error:
        raise _write_failure(path, len(payload), error) from error


def append_line(path: Path, line: bytes) -> None:
    """Append ``line`` and a newline; a half-written last line is cut off first.

    Raises:
        DataError: The line cannot be written; what was there before is intact.
    """
    line += b"\n"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            end = _end_of_last_line(file)
            file.truncate(end)
            file.seek(end)
            try:
                written = file.write(line)
                if written != len(line):  # the disk took only a part
                    file.write(line[written:])
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise _write_failure(path, len(line), error) from error


@contextlib.contextmanager
def _temporary_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a locked temporary file beside ``path``; remove it if it is still there at the end."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY_SUFFIX}")
        # Not tempfile.mkstemp: its files can be read by their owner alone, also once renamed.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                lock_file(file, wait=True)
                if not os.fstat(descriptor).st_nlink:
                    continue  # another process swept it before it was locked
                yield temporary, file
            return
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def sweep_temporary_files(folder: Path) -> None:
    """Remove temporary files of dead processes; a living one holds a lock on its own."""
    for path in folder.glob(f".*{_TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if lock_file(file, wait=False, if_not_offered=False):
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_failure(path: Path, needed_bytes: int, error: OSError) -> DataError:
    try:
        free = f"{shutil.disk_usage(path.parent).free / 1e6:.1f} MB"
    except OSError:
        free = "an unknown amount"
    before = "The file as it was before is intact. " if path.exists() else ""
    return DataError(
        f"cannot write {str(path)!r}: {error.strerror or error}; it needs "
        f"{needed_bytes / 1e6:.1f} MB, {free} are free. {before}"
        "Free some space or repair the folder's permissions, then resume the run."
    )


def _end_of_last_line(file: io.FileIO) -> int:
    """Return the offset just after the last newline, 0 if there is none."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 4096)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
