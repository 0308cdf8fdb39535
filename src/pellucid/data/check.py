"""``check_folder``: everything that is wrong with a folder of labelled images, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pellucid._progress import Progress
from pellucid.data.digests import hash_file
from pellucid.data.folders import (
    FolderListing,
    PictureFile,
    Problem,
    layout_problem,
    list_folder,
    unknown_class,
)
from pellucid.data.image_sets import count_read_threads
from pellucid.data.pictures import PictureError, pillow_warnings_settled, read_picture

# How many files are handed to the threads at once: enough to keep them busy, few enough that a
# folder of millions needs no millions of pending tasks.
_WINDOW = 1024

# Receives the row of a file in the listing and its decoded picture; called from several threads.
PictureSink = Callable[[int, Image.Image], None]


@dataclass(frozen=True)
class FolderReport:
    """What a folder of images holds and what is wrong with it.

    Attributes:
        path: The folder as it was given.
        layout: ``classes`` for DIR/class/, ``splits`` for DIR/{train,val,test}/class/.
        images: Number of usable images of each class, by class name.
        parts: Number of usable images of each split; empty for the layout ``classes``.
        problems: Everything that is wrong; see ``Problem`` for the kinds.
    """

    path: str
    layout: str
    images: dict[str, int]
    parts: dict[str, int]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def rejected(self) -> tuple[Problem, ...]:
        """The files that training leaves out, and why."""
        return tuple(problem for problem in self.problems if problem.rejects)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not keep a file from being used."""
        return tuple(problem for problem in self.problems if not problem.rejects)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {
            "path": self.path,
            "ok": self.ok,
            "layout": self.layout,
            "images": dict(self.images),
            "parts": dict(self.parts),
            "problems": [problem.to_dict() for problem in self.problems],
        }


@dataclass(frozen=True)
class FolderExamination:
    """Every file of a folder opened, decoded and hashed.

    Attributes:
        report: What was found.
        rows: Positions of the usable files in ``listing.files``.
        files: The usable files.
        digests: SHA-256 (hex) of each usable file's bytes.
        groups: Files of equal number are copies of each other.
    """

    report: FolderReport
    rows: tuple[int, ...]
    files: tuple[PictureFile, ...]
    digests: tuple[str, ...]
    groups: tuple[int, ...]


def check_folder(path: str | Path, *, quiet: bool = False) -> FolderReport:
    """Open, decode and hash every picture of a folder and report what is wrong.

    Args:
        path: A folder laid out as DIR/class/ or DIR/{train,val,test}/class/.
        quiet: No progress bar on stderr.

    Raises:
        UsageError: ``path`` is not a folder.
    """
    return examine_folder(list_folder(path), quiet=quiet).report


def examine_folder(
    listing: FolderListing, *, sink: PictureSink | None = None, quiet: bool = False
) -> FolderExamination:
    """Open, decode and hash every file of a listing once.

    Args:
        listing: From ``list_folder``.
        sink: Receives each picture that could be decoded, so that it need not be decoded again.
        quiet: No progress bar on stderr.
    """
    digests, file_problems = _open_all(listing.files, sink, quiet)
    rows = [row for row, digest in enumerate(digests) if digest is not None]
    problems = list(listing.problems) + file_problems

    trained = Counter(listing.files[row].class_name for row in rows if _trains(listing, row))
    lost = {file.class_name for file in listing.files} - set(trained)
    for name in sorted(lost):
        folder = f"train/{name}" if listing.has_splits else name
        problems.append(Problem(folder, "empty_class", "no usable picture; the class is left out"))
    orphans = [listing.files[row] for row in rows if listing.files[row].class_name in lost]
    problems += [unknown_class(file) for file in orphans]
    rows = [row for row in rows if listing.files[row].class_name not in lost]
    files = [listing.files[row] for row in rows]
    kept_digests = [str(digests[row]) for row in rows]
    groups, copies = _find_copies(files, kept_digests)
    problems += copies
    unusable = layout_problem(listing, trained)
    if unusable is not None:
        problems.append(unusable)
    images = Counter(file.class_name for file in files)
    parts = Counter(file.part for file in files) if listing.has_splits else {}
    report = FolderReport(
        path=str(listing.root),
        layout="splits" if listing.has_splits else "classes",
        images=dict(sorted(images.items())),
        parts=dict(parts),
        problems=tuple(problems),
    )
    return FolderExamination(report, tuple(rows), tuple(files), tuple(kept_digests), tuple(groups))


def _trains(listing: FolderListing, row: int) -> bool:
    return not listing.has_splits or listing.files[row].part == "train"


def _open_all(
    files: tuple[PictureFile, ...], sink: PictureSink | None, quiet: bool
) -> tuple[list[str | None], list[Problem]]:
    """Return each file's digest (None if it cannot be used) and what is wrong with the others."""

    def open_one(row: int) -> str | Problem:
        file = files[row]
        try:
            picture = read_picture(file.path)
        except PictureError as error:
            return Problem(file.name, error.kind, error.detail)
        if sink is not None:
            sink(row, picture)
        try:
            return hash_file(file.path)
        except OSError as error:  # removed since it was decoded
            return Problem(file.name, "unreadable", (error.strerror or str(error)).lower())

    digests: list[str | None] = []
    problems: list[Problem] = []
    progress = Progress(len(files), "file", "reading pictures", quiet=quiet, leave=False)
    with progress, pillow_warnings_settled(), ThreadPoolExecutor(count_read_threads()) as threads:
        for start in range(0, len(files), _WINDOW):
            for found in threads.map(open_one, range(start, min(start + _WINDOW, len(files)))):
                if isinstance(found, Problem):
                    problems.append(found)
                    digests.append(None)
                else:
                    digests.append(found)
                progress.update()
    return digests, problems


def _find_copies(files: list[PictureFile], digests: list[str]) -> tuple[list[int], list[Problem]]:
    """Number the groups of identical files and say how each copy relates to the first."""
    first_of: dict[str, int] = {}
    groups: list[int] = []
    problems: list[Problem] = []
    for position, (file, digest) in enumerate(zip(files, digests, strict=True)):
        first = first_of.setdefault(digest, position)
        groups.append(first)
        if first == position:
            continue
        original = files[first]
        if file.class_name != original.class_name:
            detail = f"same bytes as {original.name} of class {original.class_name!r}"
            problems.append(Problem(file.name, "conflicting_label", detail))
        if file.part != original.part:
            detail = f"same bytes as {original.name} in the {original.part} split"
            problems.append(Problem(file.name, "leaked", detail))
        if file.class_name == original.class_name and file.part == original.part:
            problems.append(Problem(file.name, "duplicate", f"same bytes as {original.name}"))
    return groups, problems
