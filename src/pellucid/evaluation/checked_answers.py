"""What a model answers, refused in words where a measure of it would mean nothing.

The tensors returned carry no gradient and are of single precision at least.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from pellucid._checks import UsageError
from pellucid.evaluation.explained_model import ExplainedModel, Matches, PrototypeModel

_TOLERANCE = 1e-2
"""By which probabilities may miss 0 and 1: those of bfloat16, added up, miss it by nearly this."""


def ask_probabilities(
    model: ExplainedModel, images: UInt8[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch classes"]:
    """Return the model's probabilities.

    Raises:
        UsageError: they are not what `ExplainedModel.probabilities` promises.
    """
    found = model.probabilities(images)
    shape = (len(images), len(model.class_names))
    what = f"probabilities of model {model.name!r}"
    found = _check_tensor(what, found, shape, "Return one row an image and one column a class.")
    sums = found.double().sum(1)
    if found.min() < -_TOLERANCE or (sums - 1).abs().max() > _TOLERANCE:
        raise UsageError(
            f"{what} must be >= 0 with rows that add up to 1, got a least one of "
            f"{float(found.min()):.4g} and sums from {float(sums.min()):.4g} to "
            f"{float(sums.max()):.4g}. Return softmax(1) of logits."
        )
    return found


def ask_importance(
    model: ExplainedModel,
    images: UInt8[Tensor, "batch 3 height width"],
    classes: Int[Tensor, " batch"],
) -> Float[Tensor, "batch height width"]:
    """Return the model's importance of each pixel.

    Raises:
        UsageError: it is not what `ExplainedModel.importance` promises.
    """
    found = model.importance(images, classes)
    shape = (len(images), *images.shape[2:])
    what = f"importance of model {model.name!r}"
    return _check_tensor(what, found, shape, "Return one number a pixel.")


def ask_matches(model: PrototypeModel, images: UInt8[Tensor, "batch 3 height width"]) -> Matches:
    """Return where the model finds its prototypes.

    Raises:
        UsageError: that is not what `PrototypeModel.match` promises.
    """
    found = model.match(images)
    what = f"of match() of model {model.name!r}"
    shape = (len(images), model.prototype_count)
    remedy = "Return one row an image and one column a prototype."
    if not isinstance(found, Matches):
        raise UsageError(
            f"match() of model {model.name!r} must return Matches, got a {type(found).__name__}. "
            "Put the four tensors into pellucid.evaluation.Matches."
        )
    found = Matches(
        similarity=_check_tensor(f"similarity {what}", found.similarity, shape, remedy),
        boxes=_check_tensor(f"boxes {what}", found.boxes, (*shape, 4), remedy),
        present=_check_tensor(f"present {what}", found.present, shape, remedy),
        centers_px=None
        if found.centers_px is None
        else _check_tensor(f"centers_px {what}", found.centers_px, (*shape, 2), remedy),
    )
    if found.present.dtype != torch.bool:
        raise UsageError(
            f"present {what} must be bool, got {found.present.dtype}. Compare with a threshold."
        )
    if found.boxes.is_floating_point():
        raise UsageError(
            f"boxes {what} must be whole px, got {found.boxes.dtype}. Round them and call long()."
        )
    top, left, bottom, right = found.boxes.unbind(2)
    height, width = images.shape[2:]
    is_inside = (top >= 0) & (left >= 0) & (bottom <= height) & (right <= width)
    is_bad = ~(is_inside & (top < bottom) & (left < right))
    if is_bad.any():
        raise UsageError(
            f"boxes {what} must be (top, left, bottom, right) within {height} x {width} px, "
            f"half-open and not empty, got {found.boxes[is_bad][0].tolist()}. "
            "Cut boxes off at the image's edge."
        )
    if (found.similarity < 0).any():
        raise UsageError(
            f"similarity {what} must be >= 0, got {float(found.similarity.min()):.4g}. "
            "Take exp(-distance), for instance."
        )
    return found


def _check_tensor(what: str, found: Tensor, shape: tuple[int, ...], remedy: str) -> Tensor:
    if not isinstance(found, Tensor):
        got = f"a {type(found).__name__}"
    elif tuple(found.shape) != shape or found.device.type != "cpu":
        got = f"{tuple(found.shape)} on {found.device}"
    elif not found.isfinite().all():
        got = f"{tuple(found.shape)} with NaN or infinity"
    else:
        if found.is_floating_point():  # NumPy knows no bfloat16
            found = found.to(torch.promote_types(found.dtype, torch.float32))
        return found.detach()
    raise UsageError(f"{what} must be a finite tensor {shape} on the CPU, got {got}. {remedy}")
