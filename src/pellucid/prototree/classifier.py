"""The prototype tree as a scikit-learn estimator."""

from __future__ import annotations

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

from pellucid._checks import UsageError, check_choice
from pellucid.data import (
    Augmentation,
    InMemoryImages,
    LabelledData,
    load_data,
    split_images,
)
from pellucid.data.pictures import read_picture, resize_picture
from pellucid.prototree.explanation import Explanation, explain
from pellucid.prototree.fitted import load_tree, read_extra, save_tree
from pellucid.prototree.fitting import fit_tree
from pellucid.prototree.recipe import TreeRecipe

ArrayImages = Any
"""Images as an array: (n, h, w), (n, h, w, channels), (n, channels, h, w) or (n, features)."""


class ProtoTreeClassifier(ClassifierMixin, BaseEstimator):
    """A soft decision tree over image patches, with hard, explainable answers.

    Images come as arrays of shape (n, height, width), (n, height, width, 1 or 3) or
    (n, 1 or 3, height, width). Rows of a two-dimensional array are grey images too: square if the
    number of features is a square, else one pixel high. uint8 arrays are taken as they are; other
    numbers are stretched so that the range seen in ``fit`` becomes black to white.

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
        depth: int = 5,
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
        check_choice("routing", self.routing, ("greedy", "distributed"))
        recipe = self._recipe()
        if isinstance(X, str | Path):
            data = load_data(
                X,
                image_size=self.image_size,
                seed=self._seed,
                validation_fraction=self.validation_fraction,
                quiet=not self.verbose,
            )
            classes = np.asarray(data.images.class_names)
        else:
            data, classes = self._wrap(X, y)
        fit = fit_tree(
            data,
            recipe,
            seed=self._seed,
            device=choose_device(self.device),
            quiet=not self.verbose,
        )
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
        pixels = self._pixels(X)
        tree, rows = self.fitted_.tree.eval(), []
        with torch.inference_mode():
            for part in pixels.split(256):
                answers = tree.answer(self.fitted_.normalization(part.to(self.fitted_.device)))
                if self.routing == "greedy":
                    rows.append(tree.leaf_log_distributions()[answers.greedy_leaf].exp())
                else:
                    rows.append(answers.log_probabilities.exp())
        probabilities = torch.cat(rows).double().cpu().numpy()
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def score(self, X: ArrayImages | str | Path, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy on (X, y), or on the test images of a folder or built-in set."""
        if not isinstance(X, str | Path):
            return super().score(X, y, sample_weight)
        check_is_fitted(self)
        data = load_data(X, image_size=self.fitted_.image_size, quiet=not self.verbose)
        pixels = data.images.read(data.splits.test).numpy()
        labels = np.asarray(data.images.class_names)[data.images.labels[data.splits.test].numpy()]
        return float((self.predict(pixels).astype(str) == labels).mean())

    def explain(self, image: ArrayImages | Image.Image | str | Path) -> Explanation:
        """Return why one image is answered as it is.

        Args:
            image: An array of one image, a Pillow image, or a file.
        """
        check_is_fitted(self)
        if isinstance(image, str | Path):
            image = read_picture(Path(image))
        if isinstance(image, Image.Image):
            image = np.asarray(resize_picture(image.convert("RGB"), self.fitted_.image_size))
        pixels = self._pixels(np.asarray(image)[None])
        return explain(self.fitted_, self.fitted_.normalization(pixels))[0]

    def save(self, path: str | Path) -> None:
        """Write the estimator as one safetensors file."""
        check_is_fitted(self)
        parameters = {k: v for k, v in self.get_params().items() if k != "augmentation"}
        extra = {
            "parameters": parameters,
            "classes": self.classes_.tolist(),
            "value_range": getattr(self, "value_range_", None),
            "n_features_in": getattr(self, "n_features_in_", None),
        }
        save_tree(self.fitted_, path, extra=extra)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, or the ``model.safetensors`` of a run."""
        fitted = load_tree(path)
        extra = read_extra(path)
        estimator = cls(**extra.get("parameters", {"backbone": fitted.recipe.backbone}))
        estimator.fitted_ = fitted
        estimator.classes_ = np.asarray(extra.get("classes", fitted.class_names))
        if extra.get("value_range") is not None:
            estimator.value_range_ = tuple(extra["value_range"])
        if extra.get("n_features_in") is not None:
            vars(estimator)["n_features_in_"] = extra["n_features_in"]
        estimator.history_ = ()
        return estimator

    @property
    def _seed(self) -> int:
        return 0 if self.random_state is None else int(self.random_state)

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

    def _wrap(self, X: ArrayImages, y: Any) -> tuple[LabelledData, np.ndarray]:
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
        pixels = self._resized(X)
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
        if hasattr(self, "n_features_in_"):
            X = validate_data(self, X, reset=False)
        else:
            X = check_array(X, ensure_2d=False, allow_nd=True)
        return self._resized(X)

    def _resized(self, X: np.ndarray) -> Tensor:
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
            X = np.clip((X.astype(np.float64) - low) * (255 / max(high - low, 1e-300)), 0, 255)
        values = torch.from_numpy(np.ascontiguousarray(X)).float()
        size = self.fitted_.image_size if hasattr(self, "fitted_") else _size(self.image_size)
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


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int]:
    if image_size is None:
        return 32, 32
    if isinstance(image_size, int):
        return image_size, image_size
    height, width = image_size
    return height, width
