"""The parameters of many networks in one flat buffer: one kernel a step for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pellucid._checks import UsageError

_NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)


class StackedWeights:
    """Parameters and buffers of M networks of one architecture, stacked along a leading axis.

    All parameters lie in one buffer, name after name, and the gradients in another, so that an
    optimizer sees a single tensor.

    Frozen parameters (``requires_grad=False``) are kept among the buffers: no optimizer, penalty or
    weight decay sees them, so that they stay what they were, bit for bit. A penalty on them would
    be a constant in the objective.

    Args:
        networks: M networks with the same names and shapes.
        dtype: Of the parameters.
        compute_dtype: Of what the forward pass gets; parameters are cast to it once a step.
        device: Where they are put.

    Attributes:
        parameters: Name to a view of shape (M, *shape), whose ``grad`` is a view too.
        buffers: The networks' other tensors, and frozen parameters.
        kinds: Name of a parameter that is trained to ``"weight"``, ``"bias"`` or ``"norm"``.
        flat: All parameters, shape (numbers,), its ``grad`` all gradients.

    Raises:
        UsageError: no parameter is trained.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        dtype: torch.dtype,
        compute_dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        found = [dict(network.named_parameters()) for network in networks]
        trained = [name for name, value in found[0].items() if value.requires_grad]
        if not trained:
            raise UsageError(
                f"network must have a parameter to train, got {type(networks[0]).__name__} with "
                f"{len(found[0])}, all frozen. Set requires_grad of one to True."
            )
        self._frozen = [name for name in found[0] if name not in trained]
        stacked = {
            name: torch.stack([values[name].detach() for values in found]).to(device, dtype)
            for name in trained
        }
        self.flat = torch.cat([value.flatten() for value in stacked.values()])
        self.flat.grad = torch.zeros_like(self.flat)
        self.parameters = _views(self.flat, stacked)
        for name, view in _views(self.flat.grad, stacked).items():
            self.parameters[name].grad = view
        self.kinds = {
            name: kind for name, kind in parameter_kinds(networks[0]).items() if name in stacked
        }
        rest = [
            {
                **dict(network.named_buffers()),
                **{name: value for name, value in values.items() if name not in stacked},
            }
            for network, values in zip(networks, found, strict=True)
        ]
        self.buffers: dict[str, Tensor] = {}
        for name, pattern in rest[0].items():
            value = torch.stack([values[name].detach() for values in rest]).to(device)
            self.buffers[name] = value.to(dtype) if pattern.is_floating_point() else value
        # Tied tensors are saved under each of their names.
        names = {
            id(value): name for name, value in [*found[0].items(), *networks[0].named_buffers()]
        }
        self._saved_as = {
            saved: names[id(value)]
            for saved, value in networks[0].state_dict(keep_vars=True).items()
            if id(value) in names
        }
        self._compute_dtype = compute_dtype
        self._cast = (
            None if compute_dtype == dtype else torch.empty_like(self.flat).to(compute_dtype)
        )
        source = self.flat if self._cast is None else self._cast
        self._leaves = {
            name: view.requires_grad_() for name, view in _views(source.detach(), stacked).items()
        }

    @property
    def networks(self) -> int:
        """How many there are."""
        return len(next(iter(self.parameters.values())))

    def leaves(self) -> dict[str, Tensor]:
        """Return the parameters as the forward pass wants them, frozen ones too.

        The others are there to be differentiated by.
        """
        if self._cast is not None:
            self._cast.copy_(self.flat)
        frozen = {name: self.buffers[name].to(self._compute_dtype) for name in self._frozen}
        return {**self._leaves, **frozen}

    def take_gradients(self, objective: Tensor) -> None:
        """Differentiate and put the gradients where `flat` and `parameters` have theirs."""
        leaves = list(self._leaves.values())
        gradients = torch.autograd.grad(objective, leaves, allow_unused=True)
        parts = [
            (torch.zeros_like(leaf) if gradient is None else gradient).reshape(-1)
            for leaf, gradient in zip(leaves, gradients, strict=True)
        ]
        assert self.flat.grad is not None
        if self._cast is None:
            torch.cat(parts, out=self.flat.grad)
        else:
            self.flat.grad.copy_(torch.cat(parts))

    def finite(self) -> list[bool]:
        """Return which networks hold nothing but finite numbers."""
        checks = [
            value.isfinite().flatten(1).all(1)
            for value in self.tensors().values()
            if value.is_floating_point()
        ]
        return torch.stack(checks).all(0).tolist()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything stacked, by name: views, not copies."""
        return {**self.parameters, **self.buffers}

    def copy(self) -> dict[str, Tensor]:
        """Return a copy of everything, stacked."""
        return {name: value.clone() for name, value in self.tensors().items()}

    @torch.no_grad()
    def load(self, stacked: Mapping[str, Tensor]) -> None:
        """Take over what `copy` gave, for all networks."""
        for name, value in self.tensors().items():
            value.copy_(stacked[name])

    def views_of(self, flat: Tensor) -> dict[str, Tensor]:
        """Return parts of a tensor laid out like `flat`, by name, each (M, *shape)."""
        return _views(flat, self.parameters)

    def state_dict(self, stacked: Mapping[str, Tensor], model: int) -> dict[str, Tensor]:
        """Return one network's part of what `copy` gave, on the CPU, under a module's names."""
        return {
            saved: stacked[name][model].detach().cpu().clone()
            for saved, name in self._saved_as.items()
        }


def copy_model(target: Mapping[str, Tensor], source: Mapping[str, Tensor], model: int) -> None:
    """Copy one network's part of everything stacked."""
    with torch.no_grad():
        for name, value in target.items():
            value[model].copy_(source[name][model])


def _views(flat: Tensor, pattern: Mapping[str, Tensor]) -> dict[str, Tensor]:
    sizes = [value.numel() for value in pattern.values()]
    parts = flat.detach().split(sizes)
    return {
        name: part.view(value.shape)
        for (name, value), part in zip(pattern.items(), parts, strict=True)
    }


def parameter_kinds(network: nn.Module) -> dict[str, str]:
    """Return what each parameter is to a penalty: ``"weight"``, ``"bias"`` or ``"norm"``.

    Frozen parameters are left out, as no penalty applies to them.
    """
    kinds = {}
    for prefix, module in network.named_modules():
        # timm's normalizations derive from PyTorch's, or say in their name what they are.
        is_norm = isinstance(module, _NORMALIZATIONS) or "norm" in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            kind = "bias" if "bias" in name else "norm" if is_norm else "weight"
            kinds[f"{prefix}.{name}" if prefix else name] = kind
    return kinds
