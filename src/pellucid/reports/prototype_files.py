"""Prototypes kept in the run folder: where each comes from, and the picture itself.

With these a decision can be explained where the training images are not.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pellucid._checks import DataError
from pellucid.data import ImageSet
from pellucid.data.pictures import read_picture
from pellucid.prototree import FittedTree
from pellucid.reports.contents import BoxPx, PrototypePicture
from pellucid.reports.run_pictures import scale_box
from pellucid.runs import Run
from pellucid.runs.atomic_files import write_atomically

_RECORDS = "prototypes"
_FOLDER = "prototypes"


def write_prototypes(
    run: Run, fitted: FittedTree, images: ImageSet, prototypes: Sequence[PrototypePicture]
) -> None:
    """Write ``prototypes.json`` and one picture a prototype.

    Args:
        run: The folder.
        fitted: The tree.
        images: What it was trained on.
        prototypes: From `pellucid.reports.run_pictures.picture_prototypes`.
    """
    folder = run.path / _FOLDER
    folder.mkdir(exist_ok=True)
    records: list[dict[str, Any]] = []
    for prototype in prototypes:
        source = fitted.sources[prototype.branch]
        width, height = images.original(source.image).size
        box = fitted.patch_box(source.row, source.column)
        file = f"{_FOLDER}/branch-{prototype.branch}.png"
        buffer = io.BytesIO()
        Image.fromarray(prototype.picture).save(buffer, "PNG")
        write_atomically(run.path / file, buffer.getvalue())
        records.append(
            {
                "branch": prototype.branch,
                "image": prototype.image_name,
                "image_index": source.image,
                "class": prototype.class_name,
                "image_size_px": [height, width],
                "box_px": list(scale_box(box, fitted.image_size, (height, width))),
                "latent_cell": [source.row, source.column],
                "distance": prototype.distance,
                "distance_before_projection": source.distance,
                "picture": file,
                "box_in_picture_px": list(prototype.box),
                "same_patch_as": list(prototype.duplicates),
                "nearest": [
                    {
                        "image": near.image_name,
                        "class": near.class_name,
                        "distance": near.distance,
                    }
                    for near in prototype.neighbors
                ],
            }
        )
    run.write_json(_RECORDS, records)


def read_prototypes(
    run: Run, *, branches: Collection[int] | None = None
) -> tuple[PrototypePicture, ...]:
    """Read what `write_prototypes` wrote, without the nearest patches.

    Args:
        run: The folder.
        branches: Of these only; None reads all.

    Raises:
        DataError: a file is missing or damaged.
    """
    found = []
    records = run.read_json(_RECORDS)
    try:
        for record in records:
            if branches is not None and record["branch"] not in branches:
                continue
            found.append(
                PrototypePicture(
                    branch=record["branch"],
                    picture=np.asarray(read_picture(_inside(run.path, record["picture"]))),
                    box=BoxPx(*record["box_in_picture_px"]),
                    image_name=record["image"],
                    class_name=record["class"],
                    distance=record["distance"],
                    duplicates=tuple(record["same_patch_as"]),
                )
            )
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{str(run.path / _RECORDS)!r}.json is damaged ({error!r}). "
            f"Make it anew with `pellucid report {run.path}`."
        ) from None
    return tuple(found)


def _inside(folder: Path, name: str) -> Path:
    # The records may come from someone else: a name in them must not lead out of the folder.
    path = folder / _FOLDER / Path(name).name
    return path
