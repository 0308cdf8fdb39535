"""The run folder of a prototype tree: what was asked for, the data it belongs to, the trees in it.

A run folder can be opened, resumed and used on another day: everything here reads and writes it
through `pellucid.runs.Run`, so each file is whole or not there.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch

from pellucid._checks import DataError, UsageError, check_integer, did_you_mean
from pellucid.data import Augmentation, ImageSet, LabelledData, Splits, load_data
from pellucid.data.choices import BUILT_IN_NAMES, check_image_size
from pellucid.data.folders import list_folder
from pellucid.prototree.classifier import choose_device
from pellucid.prototree.fitted import FittedTree, load_tree, save_tree
from pellucid.prototree.fitting import TreeFit, fit_tree
from pellucid.prototree.recipe import TreeRecipe
from pellucid.runs import Run
from pellucid.runs.run_folder import refuse_occupied

_COMMAND = "fit"
MODEL_FILE = "model.safetensors"
UNPROJECTED_FILE = "unprojected.safetensors"
_RESULT = "result"


@dataclass(frozen=True)
class TreeSettings:
    """All that is needed to train a tree again; the run folder's ``config.json``.

    Attributes:
        data: A built-in name, or the absolute path of a folder or archive.
        recipe: How the tree is trained.
        seed: Source of every random choice.
        image_size: (height, width) in pixels, or None for the data's default.
        validation_fraction: Share of the images outside the test split.
        test_fraction: Share of all images.
        strict: Refuse a folder in which anything is wrong.
        threads: CPU threads; results are the same bit for bit only at the same number.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
    """

    data: str
    recipe: TreeRecipe
    seed: int = 0
    image_size: tuple[int, int] | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    strict: bool = False
    threads: int | None = None
    device: str = "auto"

    @classmethod
    def of(
        cls,
        data: str | Path,
        recipe: TreeRecipe | None = None,
        *,
        seed: int = 0,
        image_size: int | tuple[int, int] | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        strict: bool = False,
        threads: int | None = None,
        device: str = "auto",
    ) -> Self:
        """Check the values, make paths absolute and write down the number of threads.

        Raises:
            UsageError: a value is outside what is allowed.
        """
        if threads is not None:
            check_integer("threads", threads, low=1, high=1024)
        return cls(
            data=str(data) if data in BUILT_IN_NAMES else str(_absolute(data)),
            recipe=recipe or TreeRecipe(),
            seed=check_integer("seed", seed, low=0, high=2**32 - 1),
            image_size=check_image_size(image_size),
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
            strict=strict,
            threads=threads or torch.get_num_threads(),
            device=device,
        )

    def to_config(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dictionaries."""
        return {"command": _COMMAND, **asdict(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any], where: Path) -> Self:
        """Rebuild what ``to_config`` gave.

        Raises:
            DataError: it is not a tree's configuration.
        """
        fields = {name: value for name, value in config.items() if name != "command"}
        try:
            recipe = {**fields.pop("recipe")}
            recipe["prototype_size"] = tuple(recipe["prototype_size"])
            recipe["augmentation"] = Augmentation(**recipe["augmentation"])
            size = fields.pop("image_size")
            return cls(
                # Runs from before there was a bound have none.
                recipe=TreeRecipe(**{"patch_size_px": 0, **recipe}),
                image_size=tuple(size) if size is not None else None,
                **fields,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{str(where)!r} is not the run of a prototype tree: config.json does not fit "
                f"({error}). Give a folder that `pellucid fit` made."
            ) from None


@dataclass(frozen=True)
class TreeRun:
    """The run folder of one tree; make it with `create` or `open`.

    Attributes:
        run: The folder.
        settings: What was asked for.
    """

    run: Run
    settings: TreeSettings

    @classmethod
    def create(cls, settings: TreeSettings, data: LabelledData, out: str | Path | None) -> TreeRun:
        """Make a fresh run folder for ``settings`` and write down data and splits.

        Args:
            settings: What to train.
            data: What ``settings`` loaded.
            out: The folder; None names a new one under ``runs/``.
        """
        run = Run.create(
            out,
            command=_COMMAND,
            config=settings.to_config(),
            environment={
                "data_digest": data.images.digest,
                "seed": settings.seed,
                "torch_threads": settings.threads,
                "device_used": str(choose_device(settings.device)),
            },
        )
        run.write_json("splits", data.splits.to_json())
        return cls(run, settings)

    @classmethod
    def open(cls, path: str | Path) -> TreeRun:
        """Open a run folder.

        Raises:
            DataError: it is missing, incomplete or not that of a tree.
        """
        run = Run.open(path)
        return cls(run, TreeSettings.from_config(run.config, run.path))

    @property
    def path(self) -> Path:
        """The folder."""
        return self.run.path

    def load_data(self, *, quiet: bool = False) -> LabelledData:
        """Load the data this run was made for, with the splits it was made with.

        Raises:
            DataError: the data is no longer the same, or no longer there.
        """
        try:
            data = load_settings_data(self.settings, quiet=quiet)
        except UsageError as error:
            raise DataError(f"the data of run {str(self.path)!r} is not there: {error}") from None
        expected = self.run.environment.get("data_digest")
        if data.images.digest != expected:
            raise DataError(
                f"the data has changed since run {str(self.path)!r} was made: the digest of "
                f"{self.settings.data!r} is {data.images.digest[:12]}..., not "
                f"{str(expected)[:12]}.... Restore the files, or fit the new ones with another -o."
            )
        splits = Splits.from_json(self.run.read_json("splits"))
        return LabelledData(data.name, data.images, splits, data.rejected, data.warnings)

    def train(
        self,
        data: LabelledData,
        *,
        device: str | None = None,
        resume: bool = False,
        quiet: bool = False,
    ) -> TreeFit:
        """Train in this folder and write both trees, before and after projection.

        Args:
            data: From `load_data`, or what the run was created with.
            device: None takes the settings'.
            resume: Go on from the last checkpoint, if there is one.
            quiet: No progress bar.

        Raises:
            UsageError: another process trains in this folder.
        """
        with self.run.exclusive(), threads_set(self.settings.threads):
            fit = fit_tree(
                data,
                self.settings.recipe,
                seed=self.settings.seed,
                device=choose_device(device or self.settings.device),
                run=self.run,
                resume=resume,
                quiet=quiet,
            )
            save_tree(fit.unprojected, self.path / UNPROJECTED_FILE)
            save_tree(fit.fitted, self.path / MODEL_FILE)
        return fit

    def load_tree(self, *, device: str | None = None, projected: bool = True) -> FittedTree:
        """Read the tree, after projection and pruning or as training left it.

        Raises:
            DataError: training has not finished, or the file is damaged.
        """
        path = self.path / (MODEL_FILE if projected else UNPROJECTED_FILE)
        if not path.is_file():
            if (self.read_result() or {}).get("status") == "diverged":
                # To resume it would only end the same way.
                rate = self.settings.recipe.learning_rate
                raise DataError(
                    f"run {str(self.path)!r} has no {path.name}: training diverged before the tree "
                    "was trained for a whole epoch. Fit again into another folder with a "
                    f"--learning-rate below {rate:g}, for example {_lower_rate(rate):g}."
                )
            raise DataError(
                f"run {str(self.path)!r} has no {path.name}: it did not finish. "
                f"Continue it with `pellucid fit --resume {self.path}`."
            )
        try:
            fitted = load_tree(path)
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, (DataError, UsageError)):
                raise
            raise DataError(f"{path} is damaged ({error}). Fit the tree again.") from None
        fitted.tree.to(choose_device(device or "cpu"))
        return fitted

    def read_result(self) -> dict[str, Any] | None:
        """Return what `write_result` wrote, or None where the run has not finished."""
        if not (self.path / f"{_RESULT}.json").is_file():
            return None
        return self.run.read_json(_RESULT)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json``, which marks the run as finished: to be written last."""
        self.run.write_json(_RESULT, result)

    def discard_if_untrained(self) -> None:
        """Empty a run folder that holds no checkpoint, so that the same -o works again."""
        if self.run.has_checkpoint("last"):
            return
        for name in ("splits.json", "environment.json", "config.json", "metrics.jsonl"):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        with contextlib.suppress(OSError):  # something of the user's own is in it: it stays
            self.path.rmdir()

    def load_other_images(
        self,
        data: str | Path,
        class_names: tuple[str, ...],
        *,
        image_size: tuple[int, int],
        quiet: bool = False,
    ) -> LabelledData:
        """Load other images of the same classes, numbered as this run's.

        Args:
            data: A built-in name or a folder.
            class_names: The tree's.
            image_size: The tree's, (height, width) in pixels.
            quiet: No progress bar.

        Returns:
            This run's own data if it is the same. Of other data, the images that may judge the tree
            are the test split, and the other splits are empty, as none of it trained the tree:
            the test split of a folder that has splits and of built-in data, else all images.

        Raises:
            DataError: a class of ``data`` is none of the tree's.
        """
        other = load_data(data, image_size=image_size, fewest_classes=1, quiet=quiet)
        if other.images.digest == self.run.environment.get("data_digest"):
            return self.load_data(quiet=True)
        images = renumber_classes(other.images, class_names)
        judged = other.splits.test
        if data not in BUILT_IN_NAMES and Path(data).is_dir() and not list_folder(data).has_splits:
            judged = torch.arange(len(images))
        nothing = judged[:0]
        splits = Splits(train=nothing, validation=nothing, test=judged)
        return LabelledData(other.name, images, splits, other.rejected)


def check_free(out: str | Path | None) -> None:
    """Refuse an ``out`` that exists and is not empty.

    Raises:
        UsageError: it is a folder with something in it.
    """
    if out is not None and Path(out).is_dir():
        refuse_occupied(Path(out))


def load_settings_data(settings: TreeSettings, *, quiet: bool = False) -> LabelledData:
    """Load the data of ``settings``.

    Raises:
        UsageError: there is no such data.
        DataError: it cannot be used.
    """
    return load_data(
        settings.data,
        image_size=settings.image_size,
        seed=settings.seed,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        strict=settings.strict,
        quiet=quiet,
    )


def renumber_classes(images: ImageSet, class_names: tuple[str, ...]) -> ImageSet:
    """Return the same images with labels that count in ``class_names``.

    Raises:
        DataError: a class of ``images`` is not among them.
    """
    number = {name: index for index, name in enumerate(class_names)}
    for name in images.class_names:
        if name not in number:
            listed = ", ".join(map(repr, class_names[:12])) + ", ..." * (len(class_names) > 12)
            raise DataError(
                f"class {name!r} is none of the tree's classes {listed}. "
                f"{did_you_mean(name, class_names) or 'Rename or remove its folder.'}"
            )
    renumbered = copy.copy(images)
    table = torch.tensor([number[name] for name in images.class_names])
    renumbered.labels = table[images.labels]
    renumbered.class_names = class_names
    return renumbered


@contextlib.contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """Let torch use ``threads`` CPU threads inside the block; None leaves it as it is."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _lower_rate(rate: float) -> float:
    """Return the default learning rate, or a tenth of ``rate`` where that is lower."""
    return min(TreeRecipe.learning_rate, rate / 10)


def _absolute(data: str | Path) -> Path:
    path = Path(data).expanduser()
    # A name that is neither a file nor a folder is left as it was typed, for the error message.
    return path.absolute() if path.exists() else Path(data)
