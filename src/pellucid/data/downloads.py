"""Resumable downloads from several mirrors, checked before anything is read."""

from __future__ import annotations

import contextlib
import errno
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid._checks import DataError
from pellucid._locks import hold_lock
from pellucid._progress import Progress
from pellucid.data.digests import hash_file

_CHUNK_BYTES = 2**18
_TIMEOUT_SECONDS = 30.0
# Left free beyond the file itself, so that a download never fills a disk to the brim.
_SPARE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class RemoteFile:
    """A file that several servers offer.

    Attributes:
        urls: Mirrors, tried in order.
        sha256: Hex digest of the whole file.
        size_bytes: Its length.
    """

    urls: tuple[str, ...]
    sha256: str
    size_bytes: int


class _MirrorError(Exception):
    """This mirror did not deliver; another may."""


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process holds ``folder``, then hold it; made if it does not exist.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / ".lock", wait=True):
        yield


def download_file(
    remote: RemoteFile,
    target: Path,
    *,
    quiet: bool = False,
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> Path:
    """Download ``remote`` to ``target``, which exists afterwards only if its SHA-256 is right.

    What has been received lies in ``target`` + ``.part``. A cut connection is taken up where it
    broke off, by the next mirror if need be; as long as a round over the mirrors brings new bytes,
    there is another round. A part left by an interrupted process is continued by the next. A wrong
    checksum or a full disk removes it. Two processes must not do this at once: the caller holds
    ``exclusive_folder``.

    Args:
        remote: What to download.
        target: Where to; its folder is made.
        quiet: No progress bar on stderr.
        timeout_seconds: How long a mirror may stay silent.

    Raises:
        DataError: No mirror delivered, the checksum is wrong, or the disk is full.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_checked(remote, part, quiet=quiet, timeout_seconds=timeout_seconds)
        part.replace(target)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full:
            part.unlink(missing_ok=True)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise DataError(
            f"{target.name} cannot be stored in {target.parent}: {reason}. "
            f"It needs {remote.size_bytes / 2**20:.0f} MiB; choose another place by the "
            "environment variable PELLUCID_CACHE or by cache=."
        ) from error
    return target


def _fetch_checked(remote: RemoteFile, part: Path, *, quiet: bool, timeout_seconds: float) -> None:
    """Leave the complete file with the right checksum at ``part``."""
    urls = list(remote.urls)
    wrong: list[str] = []
    while urls:
        last_url = _fetch(remote, part, urls, quiet=quiet, timeout_seconds=timeout_seconds)
        found = hash_file(part)
        if found == remote.sha256:
            return
        part.unlink()
        wrong.append(f"{last_url or 'the part kept from before'}: {found}")
        # A wrong start left by an earlier process is no fault of the mirrors.
        if last_url is not None:
            urls.remove(last_url)
    raise DataError(
        f"the download has a wrong SHA-256 and was removed; expected {remote.sha256}, "
        f"got {'; '.join(wrong)}. Try again later, or give the path of a copy of the file."
    )


def _fetch(
    remote: RemoteFile,
    part: Path,
    urls: Sequence[str],
    *,
    quiet: bool,
    timeout_seconds: float,
) -> str | None:
    """Bring ``part`` to full length; return the mirror that finished it (None: none needed)."""
    if _length(part) > remote.size_bytes:
        part.unlink()
    needed = remote.size_bytes - _length(part)
    if needed == 0:
        return None
    if shutil.disk_usage(part.parent).free < needed + _SPARE_BYTES:
        raise OSError(errno.ENOSPC, "No space left on device")
    progress = Progress(
        remote.size_bytes, "B", f"downloading {part.stem}", quiet=quiet, initial=_length(part)
    )
    with progress:
        while True:
            before = _length(part)
            failures: list[str] = []
            for url in urls:
                try:
                    _continue_from(url, remote, part, progress, timeout_seconds)
                except _MirrorError as error:
                    failures.append(f"{url}: {error}")
                if _length(part) == remote.size_bytes:
                    return url
            if _length(part) <= before:
                break
    kept = f" The {_length(part):,} bytes received are kept; run again to go on from there."
    raise DataError(
        f"{part.stem} could not be downloaded ({'; '.join(failures)})."
        f"{kept if _length(part) else ''} With no network here, download it elsewhere and give "
        "the path of the file."
    )


def _continue_from(
    url: str, remote: RemoteFile, part: Path, progress: Progress, timeout_seconds: float
) -> None:
    """Append what ``url`` still has to give to ``part``."""
    offset = _length(part)
    headers = {"User-Agent": "pellucid", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        error.close()
        raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _MirrorError(str(error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorError(str(error) or type(error).__name__) from error
    with response:
        if response.status == 200:
            offset = 0  # this server knows no ranges: it sends the file from its start
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) != remote.size_bytes - offset:
            raise _MirrorError(
                f"offers {int(length) + offset:,} bytes instead of {remote.size_bytes:,}"
            )
        progress.move_to(offset)
        _append(response, part, offset, remote.size_bytes, progress)


def _append(
    response: http.client.HTTPResponse, part: Path, offset: int, size_bytes: int, progress: Progress
) -> None:
    # Errors of the disk pass as OSError; those of the network become _MirrorError here, where the
    # two can be told apart.
    with part.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        received = offset
        while received < size_bytes:
            try:
                chunk = response.read(min(_CHUNK_BYTES, size_bytes - received))
            except (OSError, http.client.HTTPException) as error:
                raise _MirrorError(f"broke off ({error or type(error).__name__})") from error
            if not chunk:
                raise _MirrorError(f"broke off after {received:,} of {size_bytes:,} bytes")
            file.write(chunk)
            received += len(chunk)
            progress.update(len(chunk))


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
