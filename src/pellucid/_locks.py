"""Locks between processes. The kernel holds them, so a process that dies leaves none behind.

Imports nothing of ours, because data and run folders, which know nothing of each other, need it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FAR_BYTE = 1 << 30
"""Windows locks bytes, not files, and a locked one cannot be read: this one is never written."""


class LockedError(Exception):
    """Another process holds the lock; ``holder`` says which, as far as that is known."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"locked by {holder}")
        self.holder = holder


def lock_file(file: BinaryIO, *, wait: bool, if_not_offered: bool = True) -> bool:
    """Lock an open file until it is closed; return False where another holder has it.

    Args:
        file: Opened in binary mode.
        wait: Wait for the other holder.
        if_not_offered: What to return on a file system that has no locks (some network ones).
    """
    try:
        if sys.platform == "win32":
            file.seek(_FAR_BYTE)
            while True:
                try:
                    # LK_LOCK waits ten seconds only.
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                    return True
                except OSError:
                    if not wait:
                        return False
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return if_not_offered
    return True


@contextlib.contextmanager
def hold_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock file ``path`` inside the block; it exists only while somebody holds it.

    Not reentrant, and it keeps threads of one process apart too.

    Raises:
        LockedError: Another holds it and ``wait`` is False.
        OSError: The file cannot be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            if not lock_file(file, wait=wait):
                raise LockedError(_read_holder(path))
            if not _is_at(file, path):
                continue  # the holder before removed it while this one waited
            try:
                file.seek(0)
                with contextlib.suppress(OSError):  # a full disk: the lock itself needs no space
                    file.truncate()
                    file.write(f"process {os.getpid()}".encode())
                yield
            finally:
                if sys.platform == "win32":
                    file.close()  # Windows removes no open file
                with contextlib.suppress(OSError):
                    path.unlink()
            return


def holder_of(path: Path) -> str | None:
    """Return who holds the lock file ``path``, such as ``process 1234``, or None if nobody does."""
    try:
        with path.open("r+b", buffering=0) as file:
            return None if lock_file(file, wait=False) else _read_holder(path)
    except OSError:
        return None


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read_holder(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_bytes()[:40].decode() or "another process"
    return "another process"
