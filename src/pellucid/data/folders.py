"""Which pictures a folder holds, and which class and split each belongs to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid._checks import DataError, UsageError
from pellucid.data.pictures import PICTURE_EXTENSIONS

PARTS = ("train", "validation", "test")
_PART_BY_FOLDER = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
EXPECTED_LAYOUTS = (
    "Expected DIR/class/picture.png or DIR/{train,val,test}/class/picture.png with at least 2 "
    f"classes; pictures end in {', '.join(sorted(PICTURE_EXTENSIONS))}."
)

# Kinds of problem that concern one file and keep it from being used.
REJECTING_KINDS = frozenset(
    {"unreadable", "truncated", "too_large", "empty_file", "not_an_image", "unknown_class"}
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a folder of images.

    Attributes:
        path: Relative to the folder, ``/`` between the parts.
        kind: Of a file that is not used: ``unreadable``, ``truncated``, ``too_large``,
            ``empty_file``, ``not_an_image`` or ``unknown_class`` (in test or validation only). Of a
            file that is used all the same: ``duplicate``, ``conflicting_label`` (the same bytes in
            two classes) or ``leaked`` (the same bytes in two splits). Of a folder:
            ``empty_class``, ``unlabelled`` (pictures outside any class) or ``layout`` (nothing can
            be trained on this folder).
        detail: One phrase that says what was found.
    """

    path: str
    kind: str
    detail: str

    @property
    def rejects(self) -> bool:
        """Whether the file at ``path`` is left out."""
        return self.kind in REJECTING_KINDS

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as JSON-ready values."""
        return {"path": self.path, "kind": self.kind, "detail": self.detail}

    def __str__(self) -> str:
        return f"{self.path}: {self.kind} ({self.detail})"


@dataclass(frozen=True)
class PictureFile:
    """A file with a picture's extension, not opened yet.

    Attributes:
        path: Where it is.
        name: Relative to the folder, ``/`` between the parts, always valid text.
        class_name: Of the folder it lies in, at any depth.
        part: ``train``, ``validation``, ``test``, or "" where the folder has no splits.
    """

    path: Path
    name: str
    class_name: str
    part: str


@dataclass(frozen=True)
class FolderListing:
    """What a folder holds, by names alone.

    Attributes:
        root: The folder.
        has_splits: Whether the layout is DIR/{train,val,test}/class/.
        files: Sorted by split, class and name.
        problems: What the names alone show to be wrong.
    """

    root: Path
    has_splits: bool
    files: tuple[PictureFile, ...]
    problems: tuple[Problem, ...]


def list_folder(root: str | Path) -> FolderListing:
    """Find the pictures of a folder and decide its layout; no file is opened.

    The layout has splits when every folder directly below ``root`` that holds pictures is called
    train, val, valid, validation or test (any case). Otherwise each folder below ``root`` is a
    class. Hidden files and folders and files without a picture's extension are ignored.

    Raises:
        UsageError: ``root`` is not a folder.
        DataError: A folder cannot be listed.
    """
    root = Path(root)
    if not root.is_dir():
        reason = "is a file" if root.exists() else "does not exist"
        raise UsageError(f"{root} must be a folder of images, but it {reason}.")
    folders = _subfolders(root)
    part_of = {folder: _PART_BY_FOLDER.get(folder.name.lower(), "") for folder in folders}
    holding = [folder for folder in folders if any(_walk_pictures(folder))]
    train = [folder for folder in holding if part_of[folder] == "train"]
    has_splits = bool(holding) and all(part_of[folder] for folder in holding)
    if not has_splits:
        files, problems = _list_classes(root, root, "")
        return _listing(root, False, files, problems)
    if not any(any(_walk_pictures(inner)) for folder in train for inner in _subfolders(folder)):
        detail = (
            "train has no class folders, so its pictures have no labels"
            if train
            else f"there is {' and '.join(folder.name for folder in holding)} but no train"
        )
        return _listing(root, True, [], [Problem(".", "unlabelled", detail)])
    files, problems = [], []
    for part in PARTS:
        for folder in (folder for folder in folders if part_of[folder] == part):
            found, wrong = _list_classes(root, folder, part)
            files += found
            problems += wrong
    return _listing(root, True, *_keep_training_classes(files, problems))


def _listing(
    root: Path, has_splits: bool, files: list[PictureFile], problems: list[Problem]
) -> FolderListing:
    return FolderListing(root, has_splits, tuple(files), tuple(problems))


def _list_classes(root: Path, folder: Path, part: str) -> tuple[list[PictureFile], list[Problem]]:
    """List the classes below ``folder``, which is ``root`` itself or one of its splits."""
    files: list[PictureFile] = []
    problems: list[Problem] = []
    loose = sorted(entry.name for entry in _entries(folder) if _is_picture(entry))
    if loose:
        detail = f"{len(loose)} pictures lie outside any class folder, the first is {loose[0]}"
        problems.append(Problem(_relative(root, folder), "unlabelled", as_text(detail)))
    for class_folder in _subfolders(folder):
        class_name = as_text(class_folder.name)
        found = [
            PictureFile(path, _relative(root, path), class_name, part)
            for path in _walk_pictures(class_folder)
        ]
        files += sorted(found, key=lambda file: file.name)
        if not found:
            detail = "no pictures; the class is left out"
            problems.append(Problem(_relative(root, class_folder), "empty_class", detail))
    return files, problems


def _keep_training_classes(
    files: list[PictureFile], problems: list[Problem]
) -> tuple[list[PictureFile], list[Problem]]:
    known = {file.class_name for file in files if file.part == "train"}
    unknown = [file for file in files if file.class_name not in known]
    problems = problems + [unknown_class(file) for file in unknown]
    return [file for file in files if file.class_name in known], problems


def unknown_class(file: PictureFile) -> Problem:
    """Say that a validation or test picture belongs to a class without training pictures."""
    detail = f"train has no usable picture of class {file.class_name!r}"
    return Problem(file.name, "unknown_class", detail)


def layout_problem(listing: FolderListing, usable: Counter[str]) -> Problem | None:
    """Say why nothing can be trained on a folder, if so.

    Args:
        listing: The folder.
        usable: Number of usable (training) pictures of each class.
    """
    classes = [name for name, count in usable.items() if count > 0]
    if len(classes) >= 2:
        return None
    unlabelled = [problem for problem in listing.problems if problem.kind == "unlabelled"]
    if classes:
        found = f"only one class has usable pictures, {classes[0]!r} with {usable[classes[0]]}"
    elif listing.files:
        found = f"none of its {len(listing.files)} pictures can be used"
    elif unlabelled:
        found = f"no class folder has pictures; {unlabelled[0].detail}"
    else:
        found = "no pictures were found"
    return Problem(".", "layout", f"{found}. {EXPECTED_LAYOUTS}")


def as_text(name: str) -> str:
    """Return a file name as valid Unicode: bytes that are not UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _relative(root: Path, path: Path) -> str:
    return as_text(path.relative_to(root).as_posix())


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not _is_hidden(entry.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}.") from error
    return sorted(visible, key=lambda entry: entry.name)


def _is_picture(entry: os.DirEntry[str]) -> bool:
    extension = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
    return extension in PICTURE_EXTENSIONS and not entry.is_dir()


def _subfolders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir()]


def _walk_pictures(
    folder: Path, ancestors: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[Path]:
    # A link to a folder above would be walked for ever; a folder linked from two classes is not.
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in ancestors:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walk_pictures(Path(entry.path), ancestors | {here})
        elif _is_picture(entry):
            yield Path(entry.path)
