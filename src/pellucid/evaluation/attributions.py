"""Any image classifier with an attribution from Captum, beside the prototype tree.

Captum is an extra (``pip install 'pellucid[captum]'``) and imported only when something is asked.
"""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from pellucid._checks import UsageError, check_integer
from pellucid.data import Normalization

_BATCH_IMAGES = 128
_CAPTUM_BATCH = 64


class Attribution(ABC):
    """A network with an attribution: an `ExplainedModel`.

    Attributes:
        name: What to call network and attribution in tables.
        class_names: In the order of the network's logits.
        network: In evaluation mode; its weights are left alone.
        normalization: Turns pixels into what the network takes.
    """

    _method: str

    def __init__(
        self,
        network: nn.Module,
        *,
        class_names: tuple[str, ...],
        normalization: Normalization,
        name: str | None,
    ) -> None:
        if not isinstance(network, nn.Module):
            raise UsageError(f"network must be a torch.nn.Module, got {type(network).__name__}.")
        if importlib.util.find_spec("captum") is None:
            raise UsageError(
                f"{type(self).__name__} needs the package 'captum', which is not installed. "
                "Run `pip install 'pellucid[captum]'` ('.[captum]' in a clone)."
            )
        self.name = f"network, {self._method}" if name is None else name
        self.class_names = tuple(class_names)
        self.network = network.eval()
        self.normalization = normalization

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def probabilities(
        self, images: UInt8[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the softmax of the logits."""
        with torch.inference_mode():
            parts = [self.network(part).softmax(1).cpu() for part in self._normalized(images)]
        answers = torch.cat(parts)
        if answers.shape[1] != len(self.class_names):
            raise UsageError(
                f"network must have a logit for each of the {len(self.class_names)} classes, got "
                f"{answers.shape[1]}. Name as many classes as the network knows."
            )
        return answers

    def importance(
        self, images: UInt8[Tensor, "batch 3 height width"], classes: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch height width"]:
        """Return the evidence of each pixel for the logit of one class an image."""
        parts = [
            self._attribute(part, chosen.to(part.device)).detach().cpu()
            for part, chosen in zip(
                self._normalized(images), classes.split(_BATCH_IMAGES), strict=True
            )
        ]
        return torch.cat(parts)

    @abstractmethod
    def _attribute(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return the evidence (b, height, width) in normalized images."""

    def _normalized(self, images: Tensor) -> Iterator[Tensor]:
        for part in images.split(_BATCH_IMAGES):
            yield self.normalization(part.to(self.device))


class GradCam(Attribution):
    """Grad-CAM: what the channels of one layer hold, by how much each speaks for the class.

    With channels ``A_k`` and logit ``y``: the map is ``relu(sum_k w_k A_k)``, ``w_k`` the mean of
    ``dy/dA_k`` over positions, brought to the image's size bilinearly.

    Source: Selvaraju et al. 2017, equations 1 and 2; computed by Captum's ``LayerGradCam``.

    Args:
        network: Maps normalized images (b, 3, h, w) to logits (b, classes).
        layer: The part of ``network`` whose output (b, channels, rows, columns) is looked at, as a
            rule the last one that still has positions.
        class_names: In the order of the logits.
        normalization: That of the training.
        positive_only: The final ``relu``; without it, evidence against the class is negative.
        name: None for ``"network, Grad-CAM"``.

    Raises:
        UsageError: ``layer`` is no part of ``network``, or Captum is missing.
    """

    _method = "Grad-CAM"

    def __init__(
        self,
        network: nn.Module,
        layer: nn.Module,
        *,
        class_names: tuple[str, ...],
        normalization: Normalization,
        positive_only: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(network, class_names=class_names, normalization=normalization, name=name)
        if not any(module is layer for module in network.modules()):
            raise UsageError(
                f"layer must be a module of the network, got {type(layer).__name__} from elsewhere."
                " Use one of `network.modules()`."
            )
        self.layer = layer
        self.positive_only = positive_only

    def _attribute(self, images: Tensor, classes: Tensor) -> Tensor:
        method = _captum().LayerGradCam(self.network, self.layer)
        coarse = method.attribute(images, target=classes, relu_attributions=self.positive_only)
        if coarse.dim() != 4:
            raise UsageError(
                "layer must give maps (batch, channels, rows, columns), got "
                f"{coarse.dim()} dimensions. Use the last layer before pooling."
            )
        size = images.shape[2:]
        return nn.functional.interpolate(coarse, size=tuple(size), mode="bilinear")[:, 0]


class IntegratedGradients(Attribution):
    """Integrated gradients: the class's gradient, averaged on the way from a blank image.

    ``(x - b) * integral over t in [0, 1] of dy/dx at b + t (x - b)``, added up over colors; all
    pixels together give ``y(x) - y(b)``, up to the error of the quadrature.

    Source: Sundararajan, Taly and Yan 2017, equation 1; computed by Captum's
    ``IntegratedGradients``. Deviation: Gauss-Legendre nodes instead of even steps; the blank image
    has the mean color of the training images, not black, unless ``baseline`` says otherwise.

    Args:
        network: Maps normalized images (b, 3, h, w) to logits (b, classes).
        class_names: In the order of the logits.
        normalization: That of the training.
        baseline: Red, green and blue of the blank image in [0, 1]; None for the normalization's
            means.
        steps: Gradients an image, >= 1.
        name: None for ``"network, integrated gradients"``.

    Raises:
        UsageError: An argument is out of range, or Captum is missing.
    """

    _method = "integrated gradients"

    def __init__(
        self,
        network: nn.Module,
        *,
        class_names: tuple[str, ...],
        normalization: Normalization,
        baseline: tuple[float, float, float] | None = None,
        steps: int = 50,
        name: str | None = None,
    ) -> None:
        super().__init__(network, class_names=class_names, normalization=normalization, name=name)
        self.steps = check_integer("steps", steps, low=1)
        colors = normalization.mean if baseline is None else tuple(baseline)
        if len(colors) != 3 or not all(0 <= color <= 1 for color in colors):
            raise UsageError(
                f"baseline must be three numbers in [0, 1], got {baseline!r}. "
                "Use (0.0, 0.0, 0.0) for black."
            )
        self.baseline = colors

    def _attribute(self, images: Tensor, classes: Tensor) -> Tensor:
        blank = torch.tensor(self.baseline, dtype=images.dtype, device=images.device)
        by_color = (
            _captum()
            .IntegratedGradients(self.network)
            .attribute(
                images,
                baselines=self.normalization(blank.view(1, 3, 1, 1)).expand_as(images),
                target=classes,
                n_steps=self.steps,
                internal_batch_size=max(_CAPTUM_BATCH, len(images)),
            )
        )
        return by_color.sum(1)


def _captum() -> Any:
    return importlib.import_module("captum.attr")
