"""A trained tree with all that is needed to use and to explain it, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pellucid._checks import DataError, UsageError
from pellucid.backbones import Box, ReceptiveField, create_backbone
from pellucid.data import Augmentation, ImageSet, Normalization, batches
from pellucid.prototree.model import ProtoTree
from pellucid.prototree.projection import LabeledImages, PatchSource
from pellucid.prototree.pruning import Pruning
from pellucid.prototree.recipe import TreeRecipe
from pellucid.prototree.topology import Topology
from pellucid.runs.atomic_files import write_atomically

_FORMAT = 1
_KEY = "pellucid"


@dataclass(frozen=True)
class FittedTree:
    """A tree, the pictures behind its prototypes, and how to feed it.

    Attributes:
        tree: The network, in evaluation mode.
        recipe: How it was trained.
        class_names: One name a class.
        image_size: (height, width) in pixels of the images it takes.
        normalization: Channel means and deviations, applied to pixels in [0, 1].
        receptive_field: Which pixels each latent cell can see.
        sources: For each branch, the training patch that its prototype is; empty before projection.
        neighbors: For each branch, the nearest training patches, one an image, nearest first.
        pruning: What pruning took away, or None.
    """

    tree: ProtoTree
    recipe: TreeRecipe
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    normalization: Normalization
    receptive_field: ReceptiveField
    sources: tuple[PatchSource, ...] = ()
    neighbors: tuple[tuple[PatchSource, ...], ...] = ()
    pruning: Pruning | None = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.tree.prototypes.device

    def normalized_batches(
        self, images: ImageSet, indices: Tensor, *, batch_size: int = 256
    ) -> LabeledImages:
        """Yield (normalized float images, labels, indices) on the tree's device, in order."""
        for pixels, labels, which in batches(images, indices, batch_size=batch_size):
            moved = self.normalization(pixels.to(self.device))
            yield moved, labels.to(self.device), which

    def patch_box(self, row: int, column: int) -> Box:
        """Return the pixels that the patch at a latent row and column can see."""
        height, width = self.recipe.prototype_size
        first = self.receptive_field.box(row, column)
        last = self.receptive_field.box(row + height - 1, column + width - 1)
        return Box(first.top, first.left, last.bottom, last.right)

    def duplicates(self) -> tuple[tuple[int, ...], ...]:
        """Return the groups of branches whose prototypes are one and the same patch."""
        groups: dict[tuple[int, int, int], list[int]] = {}
        for branch, source in enumerate(self.sources):
            groups.setdefault((source.image, source.row, source.column), []).append(branch)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def save_tree(
    fitted: FittedTree, path: str | Path, *, extra: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted tree as one safetensors file, its description as JSON in the header.

    Args:
        fitted: What to write.
        path: Where to.
        extra: JSON-able values of the caller's own, for `read_extra`.

    Raises:
        DataError: the file cannot be written; an older file of that name is left as it was.
    """
    description = {
        "format": _FORMAT,
        "left": fitted.tree.topology.left,
        "right": fitted.tree.topology.right,
        "recipe": asdict(fitted.recipe),
        "backbone": getattr(fitted.tree.backbone, "name", None),
        "class_names": fitted.class_names,
        "image_size": fitted.image_size,
        "normalization": asdict(fitted.normalization),
        "receptive_field": asdict(fitted.receptive_field),
        "sources": [asdict(source) for source in fitted.sources],
        "neighbors": [[asdict(source) for source in row] for row in fitted.neighbors],
        "pruning": asdict(fitted.pruning) if fitted.pruning else None,
        "extra": dict(extra or {}),
    }
    tensors = {
        name: value.detach().cpu().clone() for name, value in fitted.tree.state_dict().items()
    }
    # One key: safetensors writes several in any order, and equal trees would differ as bytes.
    write_atomically(Path(path), save(tensors, metadata={_KEY: json.dumps(description)}))


def read_extra(path: str | Path) -> dict[str, Any]:
    """Return the ``extra`` values that a file of `save_tree` was written with."""
    path = Path(path)
    description, _ = _read(path, with_tensors=False)
    extra = description.get("extra", {})
    if not isinstance(extra, dict):
        raise _not_a_tree(path, TypeError("its extra values have no names"))
    return extra


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the description and, if asked for, the weights."""
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys()) if with_tensors else []
            description: dict[str, Any] = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in names}
        if description["format"] != _FORMAT:
            raise DataError(f"{path} has format {description['format']}; update Pellucid.")
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise _not_a_tree(path, error) from None
    return description, tensors


def _not_a_tree(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is not a tree that Pellucid wrote ({error}). Give a run's model.safetensors."
    )


def load_tree(path: str | Path, *, backbone: nn.Module | None = None) -> FittedTree:
    """Read what `save_tree` wrote.

    Args:
        path: The file.
        backbone: The module to load the weights into; needed when the tree was trained with a
            module of the user's own.

    Raises:
        DataError: the file is missing, damaged or not a Pellucid tree.
        UsageError: the tree needs the user's own backbone.
    """
    path = Path(path)
    description, tensors = _read(path, with_tensors=True)
    try:
        return _rebuild(description, tensors, path, backbone)
    except (KeyError, TypeError, AttributeError) as error:
        raise _not_a_tree(path, error) from None


def _rebuild(
    description: dict[str, Any], tensors: dict[str, Tensor], path: Path, backbone: nn.Module | None
) -> FittedTree:
    stored = _tuples(description["recipe"])
    stored["augmentation"] = Augmentation(**stored["augmentation"])
    # Trees from before there was a bound have none.
    recipe = TreeRecipe(**{"patch_size_px": 0, **stored})
    height, width = description["image_size"]
    own = backbone is not None
    if backbone is None:
        if recipe.backbone == USER_BACKBONE:
            raise UsageError(
                f"backbone must be given for {path}: it was trained with a module of your own, "
                f"{description['backbone']!r}. Pass the same architecture, wrapped as before."
            )
        # The weights come from the file itself, not from where training started.
        backbone = create_backbone(
            recipe.backbone,
            image_size=(height, width),
            stage=recipe.stage,
            patch_size_px=recipe.patch_size_px or None,
        )
    tree = ProtoTree(
        backbone,
        len(description["class_names"]),
        topology=Topology(tuple(description["left"]), tuple(description["right"])),
        latent_channels=recipe.latent_channels,
        prototype_size=recipe.prototype_size,
    )
    try:
        tree.load_state_dict(tensors)
    except RuntimeError as error:
        if own:
            reason = str(error).splitlines()[-1].strip()
            raise UsageError(
                f"backbone must fit the weights in {path}, got a module that does not ({reason}). "
                "Pass the architecture that the tree was trained with."
            ) from None
        raise _not_a_tree(path, error) from None
    pruning = description["pruning"]
    return FittedTree(
        tree=tree.eval(),
        recipe=recipe,
        class_names=tuple(description["class_names"]),
        image_size=(height, width),
        normalization=Normalization(**_tuples(description["normalization"])),
        receptive_field=ReceptiveField(**_tuples(description["receptive_field"])),
        sources=tuple(PatchSource(**source) for source in description["sources"]),
        neighbors=tuple(
            tuple(PatchSource(**source) for source in row) for row in description["neighbors"]
        ),
        pruning=Pruning(**_tuples(pruning)) if pruning else None,
    )


USER_BACKBONE = "(user module)"
"""What a recipe's ``backbone`` says when the user passed a module."""


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
