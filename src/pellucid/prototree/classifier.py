"""The prototype tree as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor
from torch.nn.functional import interpolate

from pellucid._checks import DataError, UsageError, check_choice, check_integer, did_you_mean
from pellucid.data import (
    Augmentation,
    InMemoryImages,
    LabelledData,
    load_data,
    split_images,
)
from pellucid.data.load import check_image_size
from pellucid.data.pictures import read_picture, resize_picture
from pellucid.prototree.explanation import Explanation, explain
from pellucid.prototree.fitted import FittedTree, load_tree, read_extra, save_tree
from pellucid.prototree.fitting import fit_tree
from pellucid.prototree.recipe import TreeRecipe
from pellucid.runs import Run

ArrayImages = Any
"""Images as an array: (n, h, w), (n, h, w, channels), (n, channels, h, w) or (n, features)."""

_BATCH = 256
_TEST_FRACTION = 0.2
_KEPT_ATTRIBUTES = ("value_range_", "n_features_in_", "n_iter_", "held_out_")


class ProtoTreeClassifier(ClassifierMixin, BaseEstimator):
    """A soft decision tree over image patches, with hard, explainable answers.

    Images come as arrays of shape (n, height, width), (n, height, width, 1 or 3) or
    (n, 1 or 3, height, width). Rows of a two-dimensional array are grey images too: square if the
    number of features is a square, else one pixel high. uint8 arrays are taken as they are; other
    numbers are stretched so that the range seen in ``fit`` becomes black to white. After a fit on
    uint8 arrays or on files, other numbers must be in [0, 1].

    Of scikit-learn's estimator checks none is expected to fail: a table of numbers is a set of
    grey images. Two do not run everywhere: ``check_array_api_input``, because only arrays that
    numpy can hold are taken, and the part of ``check_classifier_data_not_an_array`` that needs
    pandas. Nothing in the checks is an image, so images are tested apart.

    Args:
        depth: Depth of the full tree before pruning, 1 to 16.
        backbone: Name for `pellucid.backbones.create_backbone`.
        weights: Local weights file, ``"hub"`` or None.
        image_size: Height and width in pixels, or one number for both, to which all images are
            resized. None takes 32, or for a folder what its images suggest.
        epochs: All epochs, warm-up included; None takes the recipe's.
        learning_rate: None takes the recipe's.
        batch_size: Images a step.
        routing: ``"greedy"`` (one path, explainable) or ``"distributed"`` (all leaves), for
            ``predict``. ``predict_proba`` gives the class distribution of the same.
        validation_fraction: Share of the images that selects the best epoch; 0 takes the last.
        augmentation: Variation of the training images; None takes the recipe's, `Augmentation()`
            none.
        device: ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
        random_state: Seed, None for 0; the same seed gives the same tree.
        verbose: Show progress.

    Attributes:
        classes_: Labels, sorted.
        fitted_: The `pellucid.prototree.FittedTree`.
        history_: One row an epoch.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> tree = ProtoTreeClassifier(depth=4).fit(X[:1500], y[:1500])  # doctest: +SKIP
        >>> tree.score(X[1500:], y[1500:])  # doctest: +SKIP
    """

    def __init__(
        self,
        depth: int = 6,
        *,
        backbone: str = "patch_cnn",
        weights: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int = 64,
        routing: str = "greedy",
        validation_fraction: float = 0.1,
        augmentation: Augmentation | None = None,
        device: str = "cpu",
        random_state: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.depth = depth
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.routing = routing
        self.validation_fraction = validation_fraction
        self.augmentation = augmentation
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: ArrayImages | str | Path, y: Any = None) -> Self:
        """Train on an array of images with labels, or on a folder or built-in set by name.

        A folder's test images (``DIR/test``, or a fifth of the images) are held out; ``score`` of
        the same folder measures on them.

        Raises:
            UsageError: an argument is out of range.
            DataError: the images cannot be used.
        """
        self._check_routing()
        recipe, seed, device = self._recipe(), self._seed, choose_device(self.device)
        size = check_image_size(self.image_size)
        for earlier in ("fitted_", "value_range_", "n_features_in_", "held_out_"):
            vars(self).pop(earlier, None)
        if isinstance(X, str | Path):
            if y is not None:
                raise UsageError(
                    f"y must be left out where X is a folder or a name, got {type(y).__name__}. "
                    "The folders' names are the labels."
                )
            data = load_data(
                X,
                image_size=size,
                seed=seed,
                validation_fraction=self.validation_fraction,
                test_fraction=_TEST_FRACTION,
                quiet=not self.verbose,
            )
            classes = np.asarray(data.images.class_names)
            self.held_out_ = {"seed": seed, "test_fraction": _TEST_FRACTION}
        else:
            data, classes = self._wrap(X, y, size or (32, 32))
        fit = fit_tree(data, recipe, seed=seed, device=device, quiet=not self.verbose)
        self.classes_ = classes
        self.fitted_ = fit.fitted
        self.history_ = fit.training.history
        self.n_iter_ = fit.training.epochs_done
        return self

    def predict(self, X: ArrayImages) -> np.ndarray:
        """Return the label of each image, by the chosen routing."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X: ArrayImages) -> np.ndarray:
        """Return class probabilities (n, classes): of the greedy leaf, or of the whole mixture."""
        check_is_fitted(self)
        return self._probabilities(self._pixels(X).split(_BATCH))

    def score(self, X: ArrayImages | str | Path, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy on (X, y), or on the test images of a folder or built-in set.

        The images of a folder are split as they were for ``fit``, so none of those that it was
        trained on counts.

        Raises:
            DataError: the folder has no test images, or a class that the tree does not know.
        """
        check_is_fitted(self)
        if not isinstance(X, str | Path):
            return super().score(X, y, sample_weight)
        held_out = {"seed": self._seed, "test_fraction": _TEST_FRACTION}
        held_out |= getattr(self, "held_out_", {})
        data = load_data(X, image_size=self.fitted_.image_size, quiet=not self.verbose, **held_out)
        known = [str(label) for label in self.classes_]
        for name in data.images.class_names:
            if name not in known:
                guess = did_you_mean(name, known) or "Rename or remove its folder."
                raise DataError(f"class {name!r} of {X} is none of the tree's classes. {guess}")
        test = data.splits.test
        if len(test) == 0:
            raise DataError(f"{X} has no test images to score. Give one with a folder 'test'.")
        answers = self._probabilities(data.images.read(part) for part in test.split(_BATCH))
        predicted = np.asarray(known)[answers.argmax(axis=1)]
        labels = np.asarray(data.images.class_names)[data.images.labels[test].numpy()]
        return float((predicted == labels).mean())

    def explain(self, image: ArrayImages | Image.Image | str | Path) -> Explanation:
        """Return why one image is answered as it is.

        Args:
            image: An array of one image, a Pillow image, or a file.
        """
        check_is_fitted(self)
        if isinstance(image, str | Path):
            image = read_picture(Path(image))
        if isinstance(image, Image.Image):
            picture = resize_picture(image.convert("RGB"), self.fitted_.image_size)
            pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        else:
            pixels = self._pixels(np.asarray(image)[None])
        moved = pixels.to(self.fitted_.device)
        return explain(self.fitted_, self.fitted_.normalization(moved))[0]

    def save(self, path: str | Path) -> None:
        """Write the estimator as one safetensors file, without the history of its training.

        Raises:
            DataError: the file cannot be written.
        """
        check_is_fitted(self)
        extra = {
            "parameters": {name: _to_plain(v) for name, v in self.get_params().items()},
            "classes": self.classes_.tolist(),
            "classes_dtype": self.classes_.dtype.str,
            "attributes": {
                name: vars(self)[name] for name in _KEPT_ATTRIBUTES if name in vars(self)
            },
        }
        save_tree(self.fitted_, path, extra=extra)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, or the ``model.safetensors`` of a run; it answers on the CPU.

        Raises:
            DataError: the file is missing, damaged or not a Pellucid tree.
        """
        fitted = load_tree(path)
        extra = read_extra(path)
        parameters = extra.get("parameters") or _parameters_of(fitted)
        if isinstance(parameters.get("image_size"), list):
            parameters["image_size"] = tuple(parameters["image_size"])
        if isinstance(parameters.get("augmentation"), dict):
            parameters["augmentation"] = Augmentation(**parameters["augmentation"])
        estimator = cls(**parameters)
        estimator.fitted_ = fitted
        estimator.classes_ = np.asarray(
            extra.get("classes", fitted.class_names), dtype=extra.get("classes_dtype")
        )
        vars(estimator).update(extra.get("attributes") or _held_out_beside(Path(path)))
        estimator.history_ = ()
        return estimator

    @property
    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        return check_integer("random_state", self.random_state, low=0, high=2**32 - 1)

    def _check_routing(self) -> None:
        check_choice("routing", self.routing, ("greedy", "distributed"))

    def _probabilities(self, batches: Iterable[Tensor]) -> np.ndarray:
        """Return class probabilities of uint8 pixels of the network's size."""
        self._check_routing()
        tree, rows = self.fitted_.tree.eval(), []
        with torch.inference_mode():
            for pixels in batches:
                answers = tree.answer(self.fitted_.normalization(pixels.to(self.fitted_.device)))
                if self.routing == "greedy":
                    rows.append(tree.leaf_log_distributions()[answers.greedy_leaf].exp())
                else:
                    rows.append(answers.log_probabilities.exp())
        probabilities = torch.cat(rows).double().cpu().numpy()
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def _recipe(self) -> TreeRecipe:
        chosen = {
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "augmentation": self.augmentation,
        }
        return TreeRecipe(
            depth=self.depth,
            backbone=self.backbone,
            weights=self.weights,
            batch_size=self.batch_size,
            **{name: value for name, value in chosen.items() if value is not None},
        )

    def _wrap(
        self, X: ArrayImages, y: Any, size: tuple[int, int]
    ) -> tuple[LabelledData, np.ndarray]:
        # Rows of features are counted by scikit-learn; pictures of any size will be resized.
        X, y = validate_data(self, X, y, ensure_2d=np.asarray(X).ndim <= 2, allow_nd=True)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise UsageError(
                f"y must have at least 2 classes, got {len(classes)} class. Add images of another."
            )
        if X.dtype != np.uint8:
            self.value_range_ = float(X.min()), float(X.max())
        pixels = self._resized(X, size)
        images = InMemoryImages(
            pixels,
            labels=torch.from_numpy(labels.astype(np.int64)),
            class_names=[str(label) for label in classes],
            names=[f"image {index}" for index in range(len(X))],
            digest="",
        )
        splits = split_images(
            images.labels,
            seed=self._seed,
            validation_fraction=self.validation_fraction,
            test_fraction=0.0,
        )
        return LabelledData(name="array", images=images, splits=splits), classes

    def _pixels(self, X: ArrayImages) -> Tensor:
        if hasattr(self, "n_features_in_") and np.asarray(X).ndim == 2:
            X = validate_data(self, X, reset=False)
        else:
            X = check_array(X, ensure_2d=False, allow_nd=True)
        return self._resized(X, self.fitted_.image_size)

    def _resized(self, X: np.ndarray, size: tuple[int, int]) -> Tensor:
        """Return uint8 pixels (n, 3, height, width) of the network's size."""
        if X.ndim == 1 or X.ndim > 4:
            raise UsageError(
                f"X must have 2, 3 or 4 dimensions, got shape {X.shape}. Reshape your data: one "
                "image is (1, height, width)."
            )
        if X.ndim == 2:
            side = int(X.shape[1] ** 0.5)
            X = X.reshape(len(X), *((side, side) if side**2 == X.shape[1] else (1, X.shape[1])))
        if X.ndim == 4 and X.shape[3] in (1, 3):
            X = np.moveaxis(X, 3, 1)
        elif X.ndim == 3:
            X = X[:, None]
        if X.shape[1] not in (1, 3):
            raise UsageError(f"X must have 1 or 3 channels, got shape {X.shape}. Convert to RGB.")
        if X.dtype != np.uint8:
            low, high = getattr(self, "value_range_", (0.0, 1.0))
            if not hasattr(self, "value_range_") and (X.min() < 0 or X.max() > 1):
                raise UsageError(
                    f"X must be uint8 or numbers in [0, 1], as this tree was fitted on uint8 "
                    f"images, got {X.dtype} from {X.min():g} to {X.max():g}. Use X.astype('uint8')."
                )
            X = np.clip((X.astype(np.float64) - low) * (255 / max(high - low, 1e-300)), 0, 255)
        values = torch.from_numpy(np.ascontiguousarray(X)).float()
        if tuple(values.shape[2:]) != size:
            values = interpolate(values, size, mode="bilinear", antialias=True)
        return values.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()


def choose_device(device: str) -> torch.device:
    """Return the named device; ``"auto"`` takes the first accelerator there is, else the CPU.

    Raises:
        UsageError: the device is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"device must be available on this machine, got {device!r} ({reason}). Use 'auto'."
        ) from None
    return torch.device(device)


def _to_plain(value: Any) -> Any:
    """Return a parameter as JSON can hold it."""
    if isinstance(value, Augmentation):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def _parameters_of(fitted: FittedTree) -> dict[str, Any]:
    """Return the parameters that would train such a tree again, as far as there are any."""
    names = (
        "depth",
        "backbone",
        "weights",
        "epochs",
        "learning_rate",
        "batch_size",
        "augmentation",
    )
    parameters = {name: getattr(fitted.recipe, name) for name in names}
    return {**parameters, "image_size": fitted.image_size}


def _held_out_beside(path: Path) -> dict[str, Any]:
    """Return the attributes that a run's configuration tells, if the file lies in a run."""
    try:
        config = Run.open(path.parent).config
        return {"held_out_": {name: config[name] for name in ("seed", "test_fraction")}}
    except (DataError, KeyError):
        return {}
