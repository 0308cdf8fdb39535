"""One interface for every backbone: our own, timm's and the user's."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid._checks import UsageError, check_integer
from pellucid.backbones.patch_cnn import PatchCnn
from pellucid.backbones.small_cnn import SmallCnnFeatures
from pellucid.backbones.timm_features import create_timm_features, load_matching, read_weights

_OWN = ("patch_cnn", "small_cnn")


class Backbone(nn.Module):
    """A network from images to a latent map; made by :func:`create_backbone`, :func:`wrap_module`.

    Attributes:
        name: As given to :func:`create_backbone`, or the class of the user's module.
        channels: Number of channels of the latent map.
        image_size: Height and width of the images in pixels it was made for.
        latent_size: Rows and columns of the latent map at that image size.
        mean: What to subtract from pixels in [0, 1], per channel.
        std: What to divide them by afterwards.
    """

    def __init__(
        self,
        features: nn.Module,
        *,
        name: str,
        image_size: tuple[int, int],
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        self.features = features
        self.name = name
        self.image_size = image_size
        self.mean = mean
        self.std = std
        self.channels, rows, columns = _latent_shape(features, name, image_size)
        self.latent_size = (rows, columns)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return the latent map of normalized images."""
        return self.features(images)


def create_backbone(
    name: str,
    *,
    image_size: tuple[int, int],
    weights: str | Path | None = None,
    stage: int | None = None,
    patch_size_px: int | None = None,
) -> Backbone:
    """Build a backbone by name.

    Random weights come from torch's global generator. ``resnet18`` and its relatives then start
    as torchvision's do, bit for bit at the same seed.

    Args:
        name: ``patch_cnn`` (small receptive field, see :class:`PatchCnn`), ``small_cnn`` (the
            network of studies, see :class:`SmallCnnFeatures`) or any timm model.
        image_size: Height and width in pixels.
        weights: ``None`` for random ones, ``"hub"`` to download timm's, or a local
            ``.safetensors`` file (``.pth`` and ``.pt`` are read as plain tensors only).
        stage: Which intermediate map of a timm model to use; by default the deepest with at
            least 4 rows and 4 columns (``layer2`` of ``resnet18`` at 32 px), else the largest.
        patch_size_px: Of ``patch_cnn``: how many pixels each way a latent cell may see, >= 7; None
            sets no bound.

    Raises:
        UsageError: The name or stage does not exist, the model cannot take this image size, or
            ``patch_size_px`` is out of range or given for another backbone.
        DataError: The weights cannot be had, read, or do not fit.
    """
    image_size = _checked_size(image_size)
    if patch_size_px is not None and name != "patch_cnn":
        raise UsageError(
            f"patch_size_px must be None for backbone {name!r}, got {patch_size_px!r}: its layers "
            "decide what a cell sees. Use backbone 'patch_cnn', or an earlier stage."
        )
    if name not in _OWN:
        features = create_timm_features(
            name, image_size=image_size, weights=weights, stage=stage, other_names=_OWN
        )
        if weights is None:
            return Backbone(features, name=name, image_size=image_size)
        return Backbone(
            features, name=name, image_size=image_size, mean=features.mean, std=features.std
        )
    if stage is not None:
        raise UsageError(f"stage must be None for backbone {name!r}, got {stage!r}.")
    if weights == "hub":
        raise UsageError(
            f"weights of backbone {name!r} must be None or a file, got 'hub': none are published. "
            "Train it from random weights."
        )
    network = (
        PatchCnn(image_size, patch_size_px=patch_size_px)
        if name == "patch_cnn"
        else SmallCnnFeatures()
    )
    if weights is not None:
        what = f"weights {str(weights)!r} do not fit backbone {name!r}"
        load_matching(network, read_weights(Path(weights)), what=what)
    return Backbone(network, name=name, image_size=image_size)


def wrap_module(module: nn.Module, *, image_size: tuple[int, int]) -> Backbone:
    """Use the user's own module as a backbone, after one trial run in eval mode.

    The trial changes neither its statistics, nor its training mode, nor any random stream.

    Args:
        module: Maps float images (batch, 3, height, width) to finite features (batch, channels,
            rows, columns).
        image_size: Height and width in pixels.

    Raises:
        UsageError: It does not do so.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"module must be a torch.nn.Module, got {type(module).__name__}.")
    return Backbone(module, name=type(module).__name__, image_size=_checked_size(image_size))


def _checked_size(image_size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = image_size
    except (TypeError, ValueError) as error:
        raise UsageError(f"image_size must be (height, width), got {image_size!r}.") from error
    return (
        check_integer("height of image_size", height, low=1),
        check_integer("width of image_size", width, low=1),
    )


def _latent_shape(
    features: nn.Module, name: str, image_size: tuple[int, int]
) -> tuple[int, int, int]:
    """Return (channels, rows, columns) from a trial run that leaves no trace."""
    parameter = next(features.parameters(), torch.empty(0))
    device = parameter.device
    source = torch.Generator().manual_seed(0)
    images = torch.rand((2, 3, *image_size), generator=source).to(device, parameter.dtype)
    modes = {module: module.training for module in features.modules()}
    try:
        features.eval()
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            latent = features(images)
    except Exception as error:
        raise UsageError(
            f"backbone {name!r} must accept float images of shape {tuple(images.shape)}, but "
            f"raised {type(error).__name__}: {error}"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    _check_latent(latent, name, batch=len(images))
    return latent.shape[1], latent.shape[2], latent.shape[3]


def _check_latent(latent: object, name: str, *, batch: int) -> None:
    requirement = f"backbone {name!r} must return a float tensor (batch, channels, rows, columns)"
    if not isinstance(latent, Tensor):
        raise UsageError(f"{requirement}, got {type(latent).__name__}.")
    got = f"got shape {tuple(latent.shape)} of {latent.dtype}"
    if latent.ndim != 4:
        raise UsageError(f"{requirement}, {got}. Cut it before its pooling and classifier.")
    if len(latent) != batch or 0 in latent.shape or not latent.is_floating_point():
        raise UsageError(f"{requirement} with one entry per image, {got} for {batch} images.")
    if not latent.isfinite().all():
        raise UsageError(f"{requirement} of finite numbers, got NaN or infinity.")
