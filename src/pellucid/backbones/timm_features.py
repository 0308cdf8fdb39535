"""One stage of a timm model as a map of features. timm loads on first use: it is slow."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid._checks import DataError, UsageError, check_integer, did_you_mean

# A prototype needs positions to choose from: the deepest stage with at least this many.
_LEAST_LATENT_SIZE = 4


class TimmFeatures(nn.Module):
    """The features of one stage of a timm model, as (batch, channels, rows, columns).

    Attributes:
        stage: Number of the stage, in the order of timm's ``forward_intermediates``.
        mean: Of the pixels in [0, 1], per channel, in the model's pretraining.
        std: Their standard deviation.
    """

    def __init__(self, model: nn.Module, stage: int) -> None:
        super().__init__()
        self.model = model
        self.stage = stage
        settings: Mapping[str, Any] = getattr(model, "pretrained_cfg", None) or {}
        self.mean: tuple[float, ...] = tuple(settings.get("mean", (0.5, 0.5, 0.5)))
        self.std: tuple[float, ...] = tuple(settings.get("std", (0.5, 0.5, 0.5)))

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return the latent map."""
        return _intermediates(self.model, images, [self.stage])[0]


def create_timm_features(
    name: str,
    *,
    image_size: tuple[int, int],
    weights: str | Path | None,
    stage: int | None,
    other_names: tuple[str, ...],
) -> TimmFeatures:
    """Build a timm model, load its weights, and cut it after one stage.

    Random ResNets start as torchvision's do: timm would start the last normalization of each
    residual branch at zero, torchvision at one.

    Args:
        name: Of the architecture, optionally with a weights tag (``resnet18.a1_in1k``).
        image_size: Height and width in pixels; fixed into models that need it (ViT, Swin).
        weights: ``None`` (random), ``"hub"`` (timm's, downloaded) or a local file.
        stage: Number of the stage; ``None`` means the deepest whose map has at least 4 rows and
            4 columns, else the one with the largest map.
        other_names: Names that are not timm's, for the suggestion when ``name`` is unknown.
    """
    import timm

    if not timm.is_model(name.split(".")[0]):
        guess = did_you_mean(name, [*other_names, *timm.list_models()])
        raise UsageError(
            f"backbone must be {' or '.join(map(repr, other_names))} or the name of a timm model, "
            f"got {name!r}. {guess or 'Use timm.list_models() to see them.'}"
        )
    model = _build(name, image_size, weights)
    if not hasattr(model, "forward_intermediates"):
        raise UsageError(f"backbone must give a map of features, got {name!r}. Use 'resnet18'.")
    local = None if weights in (None, "hub") else _converted_weights(model, Path(weights))
    sizes = _stage_sizes(model, image_size)
    if not sizes:
        raise UsageError(
            f"image_size {image_size} is too small for backbone {name!r}. "
            "Use larger images or backbone 'patch_cnn'."
        )
    chosen = _choose_stage(name, sizes, stage)
    if hasattr(model, "prune_intermediate_layers"):
        prune: Any = model.prune_intermediate_layers
        prune([chosen], prune_norm=True, prune_head=True)
    if local is not None:
        what = f"weights {str(weights)!r} do not fit backbone {name!r}"
        load_matching(model, local, what=what)
    features = TimmFeatures(model, chosen)
    _freeze_unused(features, image_size)
    return features


def _build(name: str, image_size: tuple[int, int], weights: str | Path | None) -> nn.Module:
    import timm

    arguments: dict[str, Any] = {"img_size": image_size}
    if weights is None:
        # With its classifier, which is pruned later: so the random stream is torchvision's too.
        arguments["zero_init_last"] = False
    else:
        arguments["num_classes"] = 0
    while True:
        try:
            return timm.create_model(name, pretrained=weights == "hub", **arguments)
        except TypeError as error:
            # Whether a model knows an argument is told only by trying.
            unknown = re.search(r"argument '(img_size|zero_init_last)'", str(error))
            if unknown is None or unknown[1] not in arguments:
                raise _not_built(name, image_size, error) from error
            del arguments[unknown[1]]
        except Exception as error:
            if weights == "hub":
                raise DataError(
                    f"the weights of {name!r} cannot be downloaded ({_first_line(error)}). "
                    "Give a local .safetensors file with --weights FILE, or no weights."
                ) from error
            raise _not_built(name, image_size, error) from error


def _not_built(name: str, image_size: tuple[int, int], error: Exception) -> UsageError:
    return UsageError(
        f"backbone {name!r} cannot be built for images of {image_size[0]}x{image_size[1]} px: "
        f"{_first_line(error)}. Use another image size, or backbone 'patch_cnn'."
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary from a .safetensors, .pth or .pt file; never runs code from it.

    Raises:
        DataError: The file is missing, damaged, or holds something other than tensors.
    """
    if not path.is_file():
        raise DataError(f"weights must be 'hub' or an existing file, got {str(path)!r}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix not in (".pth", ".pt"):
            raise DataError(
                f"weights must be a .safetensors, .pth or .pt file, got {str(path)!r}. "
                "Convert them with safetensors.torch.save_file."
            )
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except SafetensorError as error:
        raise DataError(f"weights {str(path)!r} are damaged: {error}.") from error
    except Exception as error:
        raise DataError(
            f"weights {str(path)!r} cannot be loaded safely: {_first_line(error)}. "
            "Convert them to safetensors where you trust them."
        ) from error
    # Training scripts wrap the weights, and DataParallel prefixes the names.
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise DataError(f"weights {str(path)!r} must hold tensors by name and nothing else.")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def load_matching(module: nn.Module, tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Load ``tensors`` into ``module``; surplus ones (a classifier's) are left out.

    Raises:
        DataError: A tensor is missing or has another shape.
    """
    wanted = module.state_dict()
    missing = [
        name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")
    ]
    shapes = [
        f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    if missing or shapes:
        lacks = [f"{len(missing)} tensors are missing, first {missing[0]}"] if missing else []
        raise DataError(
            f"{what}: {'; '.join(lacks + shapes[:2])}. Use the weights of this very model."
        )
    module.load_state_dict({**wanted, **{k: v for k, v in tensors.items() if k in wanted}})


def _converted_weights(model: nn.Module, path: Path) -> dict[str, Tensor]:
    """Read weights for the model before it is pruned, which timm's converters rely on."""
    tensors = read_weights(path)
    # timm's converter of the family: names of the original release, position tables of other sizes
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return tensors
    try:
        return dict(convert(tensors, model))
    except Exception as error:
        raise DataError(
            f"weights {str(path)!r} do not fit the model: {type(error).__name__} in timm's "
            f"conversion: {_first_line(error)}. Use the weights of this very model."
        ) from error


def _intermediates(model: nn.Module, images: Tensor, indices: list[int] | None) -> list[Tensor]:
    # Without timm's last normalization: it belongs to the classifier, and is pruned.
    forward: Any = model.forward_intermediates
    return forward(
        images, indices=indices, intermediates_only=True, output_fmt="NCHW", stop_early=True
    )


def _stage_sizes(model: nn.Module, image_size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Return (channels, rows, columns) of each stage that can be computed at this size."""
    images = torch.zeros(1, 3, *image_size)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            try:
                maps = _intermediates(model, images, None)
            except (RuntimeError, AssertionError, ValueError):
                # The last stages may be too deep for a small image; find those that are not.
                maps = []
                for stage in range(len(getattr(model, "feature_info", []))):
                    try:
                        maps += _intermediates(model, images, [stage])
                    except (RuntimeError, AssertionError, ValueError):
                        break
    finally:
        model.train(was_training)
    return [(m.shape[1], m.shape[2], m.shape[3]) for m in maps]


def _choose_stage(name: str, sizes: list[tuple[int, int, int]], stage: int | None) -> int:
    if stage is not None:
        listed = ", ".join(f"{i}: {c}x{h}x{w}" for i, (c, h, w) in enumerate(sizes))
        remedy = f"The stages of {name!r} (channels x rows x columns) are {listed}."
        return check_integer("stage", stage, low=0, high=len(sizes) - 1, remedy=remedy)
    large_enough = [i for i, size in enumerate(sizes) if min(size[1:]) >= _LEAST_LATENT_SIZE]
    if large_enough:
        return large_enough[-1]
    return max(range(len(sizes)), key=lambda i: (sizes[i][1] * sizes[i][2], i))


def _freeze_unused(features: TimmFeatures, image_size: tuple[int, int]) -> None:
    """Exclude from training what timm could not prune; DDP refuses parameters without gradient."""
    was_training = features.training
    features.eval()
    parameters = [p for p in features.parameters() if p.requires_grad]
    with torch.enable_grad():
        total = features(torch.zeros(1, 3, *image_size)).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
    features.train(was_training)
